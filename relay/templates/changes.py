"""Changes to stored templates, one or several, each checked against the others as it is made.

A change is a function of the writing connection: it does all of its work or, by raising one of
the StoredTemplateErrors, none of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

from relay.core.errors import (
    LayoutInUse,
    NothingToPush,
    StoredTemplateError,
    TemplateInvalid,
    TemplateNotFound,
    TooManyTemplates,
    TypesDiffer,
)
from relay.store import acts, templates
from relay.store.acts import Act, By
from relay.store.engine.database import Connection
from relay.store.templates import StoredTemplate, TemplateType
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
    """Who makes a version, and when, in epoch seconds."""

    by: By
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
        edited_by=author.by.who,
    )
    if new.alias is None and (AUTO_ALIAS or type == "Layout"):
        new = replace(new, alias=_free_alias(connection, new))
    _check_room(connection, server)
    _check(connection, new)
    templates.add(connection, new)
    _note(connection, "created", new, 0, author)
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
    new = replace(new, version=version, edited_at=author.at, edited_by=author.by.who)
    templates.replace(connection, former, new)
    verb = "changed" if new.active else "deleted"
    _note(connection, verb if former.active else "restored", new, former.version, author)
    return new


def _note(
    connection: Connection, verb: str, new: StoredTemplate, before: int, author: Author
) -> None:
    """Note who made a version, and of which."""
    target = f"{new.server}/{new.alias or new.id}"
    versions = (f"version {before}" if before else "", f"version {new.version}")
    act = Act(author.at, author.by, f"template {verb}", target, *versions)
    acts.add(connection, [act])


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


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a template, or would be; `id` is None for one that is not there yet."""

    action: Literal["Create", "Edit"]
    id: int | None
    alias: str
    name: str
    type: TemplateType


def push(
    connection: Connection, source: str, destination: str, author: Author, perform: bool
) -> Sequence[Change]:
    """Bring a server's templates that have an alias to another server."""
    pushed = [template for template in templates.active(connection, source) if template.alias]
    if not pushed:
        raise NothingToPush("There are no templates with an alias to push.")
    if len(pushed) > MAX_TEMPLATES:
        raise NothingToPush(f"At most {MAX_TEMPLATES} templates can be pushed.")
    drafts = [_draft(template) for template in pushed]
    return apply(connection, destination, drafts, author, perform)


def apply(
    connection: Connection,
    server: str,
    drafts: Iterable[TemplateDraft],
    author: Author,
    perform: bool,
) -> Sequence[Change]:
    """Create or edit templates, found by their aliases, or by number where they have no alias.

    Layouts come first; what would not change is left out. Errors begin with the alias. Without
    `perform` all of it is done and taken back, so that what is told is what would happen.
    """
    if perform:
        return _apply_all(connection, server, drafts, author)
    with templates.taken_back(connection):
        changes = _apply_all(connection, server, drafts, author)
    return [replace(change, id=None) if change.action == "Create" else change for change in changes]


def target(connection: Connection, server: str, draft: TemplateDraft) -> StoredTemplate | None:
    """Find the active template that a draft of several is meant for."""
    reference = draft.alias if draft.alias is not None else draft.id
    if reference is None:
        return None
    known = templates.by_reference(connection, server, reference)
    return known if known is not None and known.active else None


def check_same_type(former: StoredTemplate, draft: TemplateDraft) -> None:
    """Raise TypesDiffer for a draft that wants a template to be of another type."""
    if draft.type and draft.type != former.type:
        raise TypesDiffer(f"The template is of type {former.type} there, not {draft.type}.")


def labelled(error: StoredTemplateError, draft: TemplateDraft) -> StoredTemplateError:
    """Return the same error with the template's alias or name before its words."""
    return type(error)(f"{draft.alias or draft.name or draft.id}: {error}")


def _apply_all(
    connection: Connection, server: str, drafts: Iterable[TemplateDraft], author: Author
) -> list[Change]:
    changes = []
    for draft in sorted(drafts, key=lambda draft: draft.type != "Layout"):
        try:
            change = _apply(connection, server, draft, author)
        except StoredTemplateError as error:
            raise labelled(error, draft) from None
        if change is not None:
            changes.append(change)
    return changes


def _apply(
    connection: Connection, server: str, draft: TemplateDraft, author: Author
) -> Change | None:
    former = target(connection, server, draft)
    if former is None:
        new = create(connection, server, draft, author)
        return Change("Create", new.id, new.alias or "", new.name, new.type)
    check_same_type(former, draft)
    new = edit(connection, server, former.id, draft, author)
    if new == former:
        return None
    return Change("Edit", new.id, new.alias or "", new.name, new.type)


def _draft(template: StoredTemplate) -> TemplateDraft:
    content: dict[str, Any] = {name: value or "" for name, value in content_of(template).items()}
    return TemplateDraft(**content, type=template.type)
