"""What people may: each role all that the one before it may, and more."""

from enum import IntEnum


class Role(IntEnum):
    """A person's role; the names in lower case are those that settings and commands take."""

    # States, times, servers, counts, messages' ids: nothing that somebody wrote, and nobody's name.
    VIEWER = 1
    # Contents too; orders about messages, suppressions and pauses.
    OPERATOR = 2
    # People, erasure, the restoring of templates.
    ADMIN = 3

    @property
    def label(self) -> str:
        """The role's name as people write it."""
        return self.name.lower()


ROLES = tuple(role.label for role in Role)


def role_of(name: str) -> Role:
    """Return the role of a name; raise KeyError where there is none."""
    return Role[name.upper()]
