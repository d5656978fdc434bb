"""Changes to stored templates, each checked against the other rows in the commit that makes it.

A change is a function of the writing connection: it does all of its work or, by raising one of
the StoredTemplateErrors, none of it.
"""

from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from relay.core.errors import (
    LayoutInUse,
    TemplateInvalid,
    TemplateNotFound,
    TooManyTemplates,
)
from relay.store import templates
from relay.store.engine.database import Connection
from relay.store.templates import StoredTemplate
from relay.templates.references import active, known, layout_of
from relay.templates.rules import (
    MAX_TEMPLATES,
    TemplateDraft,
    auto_alias,
    check_whole,
    content_of,
    type_of,
)

# Whether a standard template without an alias gets one, made of its name. A layout always does.
AUTO_ALIAS = True

# Numbers that a draft brings are kept up to here: all that clients can hold.
_HIGHEST_GIVEN = 2**31 - 1

T = TypeVar("T")


class Author(NamedTuple):
    """Who makes a version (a key's id, or `operator`), and when, in epoch seconds."""

    id: str
    at: float


def create(
    connection: Connection, server: str, draft: TemplateDraft, author: Author
) -> StoredTemplate:
    """Store a new template under a number of its own."""
    type = type_of(draft)
    new = StoredTemplate(
        server=server,
        id=_number(connection, server, draft.id),
        version=1,
        name=draft.name or "",
        alias=draft.alias,
        type=type,
        subject=draft.subject or None,
        html=draft.html or None,
        text=draft.text or None,
        layout=draft.layout or None,
        active=True,
        edited_at=author.at,
        edited_by=author.id,
    )
    if new.alias is None and (AUTO_ALIAS or type == "Layout"):
        new = replace(new, alias=_free_alias(connection, new))
    _check_room(connection, server)
    _check(connection, new)
    templates.add(connection, new)
    return new


def edit(
    connection: Connection,
    server: str,
    reference: int | str,
    draft: TemplateDraft,
    author: Author,
) -> StoredTemplate:
    """Change what the draft gives; the type stays. What changes nothing makes no version."""
    former = active(connection, server, reference)
    return _save(connection, former, edited(former, draft), author)


def edited(former: StoredTemplate, draft: TemplateDraft) -> StoredTemplate:
    """Return a template with what the draft gives; the empty string takes a part away."""
    given: dict[str, Any] = {
        field: value or None for field, value in content_of(draft).items() if value is not None
    }
    return replace(former, **given)


def delete(
    connection: Connection, server: str, reference: int | str, author: Author
) -> StoredTemplate:
    """Make a template inactive: its alias is free, its number stays its own."""
    former = active(connection, server, reference)
    if former.type == "Layout" and former.alias is not None:
        using = len(templates.standing_in(connection, server, former.alias))
        if using:
            raise LayoutInUse(
                f"The layout '{former.alias}' is in use by other templates ({using})."
            )
    return _save(connection, former, replace(former, active=False), author)


def restore(
    connection: Connection, server: str, reference: int | str, version: int, author: Author
) -> StoredTemplate:
    """Make a new version with the content of an old one; a deleted template is active again."""
    former = known(connection, server, reference)
    versions = {old.version: old for old in templates.versions(connection, server, former.id)}
    old = former if version == former.version else versions.get(version)
    if old is None:
        raise TemplateNotFound(f"Version {version} of this template was not found.")
    if not former.active:
        _check_room(connection, server)
    content: dict[str, Any] = dict(content_of(old))
    return _save(connection, former, replace(former, **content, active=True), author)


def _save(
    connection: Connection, former: StoredTemplate, new: StoredTemplate, author: Author
) -> StoredTemplate:
    """Store a new version; templates that stand in a layout follow its alias."""
    if new == former:
        return former
    if new.active:
        _check(connection, new)
    new = _replace(connection, former, new, author)
    # A deleted layout's alias may be another's by now, with templates of its own.
    if new.type == "Layout" and former.active and former.alias and new.alias != former.alias:
        for template in templates.standing_in(connection, new.server, former.alias):
            _replace(connection, template, replace(template, layout=new.alias), author)
    return new


def _replace(
    connection: Connection, former: StoredTemplate, new: StoredTemplate, author: Author
) -> StoredTemplate:
    version = former.version + 1
    new = replace(new, version=version, edited_at=author.at, edited_by=author.id)
    templates.replace(connection, former, new)
    return new


def _check(connection: Connection, new: StoredTemplate) -> None:
    check_whole(new.type, content_of(new))
    if new.alias is not None:
        other = templates.by_alias(connection, new.server, new.alias)
        if other is not None and other.id != new.id:
            raise TemplateInvalid(f"The 'Alias' '{new.alias}' is in use by another template.")
    layout_of(connection, new.server, new.layout)


def _check_room(connection: Connection, server: str) -> None:
    if templates.count_active(connection, server) >= MAX_TEMPLATES:
        raise TooManyTemplates(
            f"This server has {MAX_TEMPLATES} templates, which is as many as it may have."
        )


def _number(connection: Connection, server: str, given: int | None) -> int:
    is_usable = given is not None and 0 < given <= _HIGHEST_GIVEN
    if given and is_usable and templates.by_number(connection, server, given) is None:
        return given
    return templates.next_number(connection)


def _free_alias(connection: Connection, new: StoredTemplate) -> str:
    stem = alias = auto_alias(new.name, new.type)
    count = 1
    while templates.by_alias(connection, new.server, alias) is not None:
        count += 1
        alias = f"{stem}-{count}"
    return alias
