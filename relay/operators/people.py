"""Who may use the console: made, invited, signed in and out; each with its act, in one commit."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from relay.core import clock
from relay.core.errors import RelayError
from relay.operators import passwords, second_factor
from relay.operators.passwords import Passwords
from relay.operators.roles import Role, role_of
from relay.store import acts, operators
from relay.store.acts import Act, Acted, By
from relay.store.engine.database import Store
from relay.store.operators import Change, Ending, NewSession, Person

FIRST = "admin"
LINK_SECONDS = 86_400
# A session ends so long after it began, and after it was used last.
SESSION_SECONDS = 12 * 3600
IDLE_SECONDS = 30 * 60
MEANWHILE = "it changed in the meantime: begin again"
# How often it is written down that a session is used.
TOUCH_SECONDS = 60


class Refused(RelayError):
    """What a person wants cannot be; the words say why."""


class Proof(NamedTuple):
    """Who somebody is, and what of the proof is good once: other values of the person's row."""

    person: Person
    spent: Mapping[str, Any]


class Known(NamedTuple):
    """Who somebody is, as an identity provider says; `role` is None where it gives none here."""

    subject: str
    name: str
    role: Role | None


class SignedIn(NamedTuple):
    """A session's secret, for its cookie, and whose it is."""

    secret: str
    person: Person


def digest(secret: str) -> bytes:
    """Return what is kept of a secret: of links and sessions."""
    return hashlib.sha256(secret.encode()).digest()


def csrf_token(session: str) -> str:
    """Return the token that every form of a session brings back."""
    return hmac.new(session.encode(), b"form", hashlib.sha256).hexdigest()


def inviting(name: str, role: Role, by: By, secret: str) -> Acted:
    """Return what makes a person whose link has a secret; the result is None for a taken name."""
    now = clock.now()
    link = {"link": digest(secret), "link_until": now + LINK_SECONDS}
    values = {"name": name, "role": role.label, "created_at": now, **link}
    act = Act(now, by, "invite", name, "", role.label)
    return Acted(operators.add, values, lambda id: [] if id is None else [act])


def changing_role(person: Person, role: Role, by: By) -> Acted:
    """Return what changes a person's role; the result is False for the last admin's."""
    change = Change(person.id, {"role": role.label}, {"role": person.role})
    operation = operators.demote if person.role == Role.ADMIN.label else operators.change
    act = Act(clock.now(), by, "change role", person.name, person.role, role.label)
    return Acted(operation, change, lambda done: [act] if done else [])


def removing(person: Person, by: By) -> Acted:
    """Return what removes a person; the result is False for the last admin."""
    now = clock.now()
    values: dict[str, Any] = {
        "removed_at": now,
        "password": None,
        "totp_secret": None,
        "link": None,
    }
    values |= {"subject": None, "recovery_codes": "[]"}
    change = Change(person.id, values, ends_sessions=True)
    operation = operators.demote if person.role == Role.ADMIN.label else operators.change
    act = Act(now, by, "remove", person.name, person.role, "")
    return Acted(operation, change, lambda done: [act] if done else [])


def relinking(person: Person, by: By, secret: str) -> Acted:
    """Return what gives a person a new link; the one before is dead."""
    now = clock.now()
    change = Change(person.id, {"link": digest(secret), "link_until": now + LINK_SECONDS})
    act = Act(now, by, "new link", person.name)
    return Acted(operators.change, change, lambda done: [act] if done else [])


def signing_out(person: Person, by: By, kept: bytes = b"") -> Acted:
    """Return what ends the sessions of a person, but for one; the result is how many."""
    act = Act(clock.now(), by, "end sessions", person.name)
    return Acted(
        operators.end_sessions, Ending(person.id, kept), lambda count: [act] if count else []
    )


def dropping_second_factor(person: Person, by: By) -> Acted:
    """Return what leaves a person with the password alone; the result is False without another."""
    values = {"totp_secret": None, "recovery_codes": "[]"}
    expected = {"totp_secret": person.totp_secret}
    act = Act(clock.now(), by, "remove second factor", person.name)
    is_there = person.totp_secret is not None
    change = Change(person.id, values, expected)
    return Acted(operators.change, change, lambda done: [act] if done and is_there else [])


@dataclass(eq=False, repr=False)
class People:
    """The people of an installation, in a running daemon."""

    store: Store
    passwords: Passwords = field(default_factory=Passwords)

    async def listed(self) -> Sequence[Person]:
        """Return all who are there, by name."""
        return await self.store.read(operators.listed)

    async def named(self, name: str) -> Person:
        """Find somebody; raise Refused."""
        person = await self.store.read(operators.by_name, name.lower())
        if person is None or person.removed_at is not None:
            raise Refused(f"there is nobody called {name}")
        return person

    async def first_link(self) -> str | None:
        """Make the first admin where there is nobody; return a link while he has no password.

        It is the link's secret. The one before is dead. Where others share the store there is none:
        they may have printed it.
        """
        by, secret = By("relay", "command"), secrets.token_urlsafe(32)
        first = inviting(FIRST, Role.ADMIN, by, secret)._replace(operation=operators.add_first)
        if await self.store.write(acts.acted, first) is not None:
            return secret
        person = await self.store.read(operators.by_name, FIRST)
        is_new = person is not None and person.password is None and person.subject is None
        if person is None or not is_new or person.removed_at or self.store.shared is not None:
            return None
        await self.store.write(acts.acted, relinking(person, by, secret))
        return secret

    async def invite(self, name: str, role: Role, by: By) -> str:
        """Make a person; return the secret of a link that is good once, for a day."""
        name = checked_name(name)
        secret = secrets.token_urlsafe(32)
        if await self.store.write(acts.acted, inviting(name, role, by, secret)) is None:
            raise Refused(f"there is somebody called {name} already")
        return secret

    async def relink(self, person: Person, by: By) -> str:
        """Return the secret of a new link, to set another password behind; raise Refused."""
        if person.subject is not None:
            raise Refused(f"{person.name} signs in at the identity provider")
        secret = secrets.token_urlsafe(32)
        await self.store.write(acts.acted, relinking(person, by, secret))
        return secret

    async def change_role(self, person: Person, role: Role, by: By) -> None:
        """Change a person's role; raise Refused for the last admin."""
        if not await self.store.write(acts.acted, changing_role(person, role, by)):
            raise Refused("the last admin stays one")

    async def remove(self, person: Person, by: By) -> None:
        """Remove a person and end the sessions; raise Refused for the last admin."""
        if not await self.store.write(acts.acted, removing(person, by)):
            raise Refused("the last admin cannot be removed")

    async def sign_out_everywhere(self, person: Person, by: By) -> int:
        """End all sessions of a person; count them."""
        count: int = await self.store.write(acts.acted, signing_out(person, by))
        return count

    async def sign_out_elsewhere(self, person: Person, session: str, by: By) -> int:
        """End all sessions of a person but this one; count them."""
        order = signing_out(person, by, digest(session))
        count: int = await self.store.write(acts.acted, order)
        return count

    async def set_password(self, person: Person, password: str, by: By) -> None:
        """Set a person's password, and end the sessions; his link is used up. Raise Refused."""
        if person.subject is not None:
            raise Refused("who signs in at the identity provider has no password here")
        if problem := passwords.objection(password, person.name):
            raise Refused(problem)
        hashed = await self.passwords.hashed(password)
        values = {"password": hashed, "link": None, "link_until": None}
        expected = {"password": person.password, "link": person.link}
        change = Change(person.id, values, expected, ends_sessions=True)
        await self._change(change, Act(clock.now(), by, "set password", person.name))

    async def add_second_factor(
        self, person: Person, secret: str, code: str, by: By
    ) -> Sequence[str]:
        """Set up a second factor whose code was read; return its recovery codes. Raise Refused."""
        if person.password is None:
            raise Refused("set a password first")
        step = second_factor.step_of(secret, code, clock.now())
        if step is None:
            raise Refused("this is not the code that the app shows now")
        codes = second_factor.recovery_codes()
        digests = second_factor.digests(codes)
        values = {"totp_secret": secret, "totp_step": step, "recovery_codes": digests}
        change = Change(person.id, values, {"totp_secret": None, "password": person.password})
        await self._change(change, Act(clock.now(), by, "set second factor", person.name))
        return codes

    async def renew_recovery_codes(self, person: Person, by: By) -> Sequence[str]:
        """Return new recovery codes; the old ones are good no more. Raise Refused."""
        if person.totp_secret is None:
            raise Refused("there is no second factor")
        codes = second_factor.recovery_codes()
        values = {"recovery_codes": second_factor.digests(codes)}
        change = Change(person.id, values, {"totp_secret": person.totp_secret})
        await self._change(change, Act(clock.now(), by, "renew recovery codes", person.name))
        return codes

    async def drop_second_factor(self, person: Person, by: By) -> None:
        """Leave a person with the password alone; raise Refused where there is nothing to drop."""
        if person.totp_secret is None:
            raise Refused(f"{person.name} has no second factor")
        if not await self.store.write(acts.acted, dropping_second_factor(person, by)):
            raise Refused(MEANWHILE)

    async def _change(self, change: Change, act: Act) -> None:
        acted = Acted(operators.change, change, lambda done: [act] if done else [])
        if not await self.store.write(acts.acted, acted):
            raise Refused(MEANWHILE)

    async def of_link(self, secret: str) -> Person | None:
        """Return whose link this is, while it is good."""
        return await self.store.read(operators.by_link, digest(secret), clock.now())

    async def proven(self, name: str, password: str, code: str) -> Proof | None:
        """Return who has this name, password and code; it takes as long where nobody has."""
        person = await self.store.read(operators.by_name, name.strip().lower())
        known = None if person is None or person.removed_at is not None else person.password
        if not await self.passwords.is_right(password, known) or person is None:
            return None
        spent = second_factor.spent(person, code, clock.now())
        return None if spent is None else Proof(person, spent)

    async def has_password(self, person: Person, password: str) -> bool:
        """Whether this is a person's password; who has none yet has any."""
        return person.password is None or await self.passwords.is_right(password, person.password)

    async def begin(
        self, person: Person, by: By, spent: Mapping[str, Any] | None = None
    ) -> SignedIn:
        """Begin a session; raise Refused where the person changed since it was read."""
        secret, now = secrets.token_urlsafe(32), clock.now()
        session = NewSession(digest(secret), person, now, by.origin, spent or {})
        act = Act(now, by, "sign in", person.name)
        beginning = Acted(operators.begin_session, session, lambda done: [act] if done else [])
        if not await self.store.write(acts.acted, beginning):
            raise Refused(MEANWHILE)
        return SignedIn(secret, person)

    async def come(self, known: Known, by: By) -> Person:
        """Return who an identity provider means, with the role that it gives now; raise Refused.

        Who was not here yet is made. Whom it gives no role any more is signed out everywhere.
        """
        person = await self.store.read(operators.by_subject, known.subject)
        if person is None and known.role is not None:
            return await self._welcome(known, known.role, by)
        if person is None or known.role is None:
            if person is not None:
                await self.sign_out_everywhere(person, by._replace(who=person.name))
            raise Refused("the identity provider gives you no role here")
        if role(person) != known.role:
            await self.change_role(person, known.role, by._replace(who=person.name))
        return await self.named(person.name)

    async def _welcome(self, known: Known, role: Role, by: By) -> Person:
        name, now = checked_name(known.name), clock.now()
        values = {"name": name, "role": role.label, "created_at": now, "subject": known.subject}
        act = Act(now, by._replace(who=name), "come", name, "", role.label)
        adding = Acted(operators.add, values, lambda id: [] if id is None else [act])
        if await self.store.write(acts.acted, adding) is None:
            raise Refused(f"somebody else is called {name} here: ask an admin")
        return await self.named(name)

    async def of_session(self, secret: str) -> Person | None:
        """Return whose session this is, while it lasts, and note that it is used."""
        now, known = clock.now(), digest(secret)
        found = await self.store.read(operators.session, known)
        if found is None:
            return None
        if now - found.created_at > SESSION_SECONDS or now - found.seen_at > IDLE_SECONDS:
            await self.store.write(operators.end_session, known)
            return None
        if now - found.seen_at > TOUCH_SECONDS:
            await self.store.write(operators.touch, (known, found.person.id, now))
        return found.person

    async def end(self, secret: str) -> None:
        """End a session."""
        await self.store.write(operators.end_session, digest(secret))


def checked_name(name: str) -> str:
    """Return a name as it is kept; raise Refused for one that nobody can have."""
    name = name.strip().lower()
    plain = name.replace(".", "").replace("-", "").replace("_", "").replace("@", "")
    if not 1 <= len(name) <= 100 or not plain.isalnum() or not name.isascii():
        raise Refused("a name has letters, digits, `.`, `-`, `_` and `@` only")
    return name


def role(person: Person) -> Role:
    """Return a person's role."""
    return role_of(person.role)
