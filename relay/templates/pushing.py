"""Several templates at once: a server's, brought to another one, and drafts from elsewhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from relay.core.errors import NothingToPush, StoredTemplateError, TypesDiffer
from relay.store import templates
from relay.store.engine.database import Connection
from relay.store.templates import StoredTemplate, TemplateType
from relay.templates.changes import Author, create, edit
from relay.templates.rules import MAX_TEMPLATES, TemplateDraft, content_of


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
