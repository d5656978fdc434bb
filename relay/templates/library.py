"""The stored templates of an installation, as handlers, commands and acceptance use them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from relay.core import clock
from relay.core.errors import StoredTemplateError, TemplateInvalid
from relay.core.message import Message
from relay.store import templates
from relay.store.acts import By
from relay.store.engine.database import Connection, Store
from relay.store.templates import StoredTemplate
from relay.templates import changes
from relay.templates.changes import Author, Change
from relay.templates.parts import Cache, check_parts
from relay.templates.references import active, known, layout_of
from relay.templates.rendering import Warnings, render_message
from relay.templates.rules import TemplateDraft, check_draft, check_whole, content_of, type_of
from relay.templates.validation import Validation, check_content, validated

Arguments = ParamSpec("Arguments")
T = TypeVar("T")

__all__ = ["Library", "Warnings"]


class Library:
    """Finds, changes, checks and renders stored templates. `server` is always a group's name.

    A template is named by its number or its alias. `who` orders a change. What takes long runs in
    a reader's thread; each change is one commit. All raise StoredTemplateErrors.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache = Cache()

    async def find(self, server: str, reference: int | str) -> StoredTemplate:
        """Find a template, by number a deleted one too; raise TemplateNotFound."""
        return await self._store.read(known, server, reference)

    async def listed(
        self,
        server: str,
        *,
        offset: int,
        count: int,
        type: str | None = None,
        layout: str | None = None,
    ) -> tuple[int, Sequence[StoredTemplate]]:
        """Count the active templates, of a type and in a layout if given, and give some of them.

        Raise TemplateInvalid for an unknown type; `All` is any.
        """
        if type not in (None, "All", "Standard", "Layout"):
            raise TemplateInvalid("The 'TemplateType' is not valid: All, Standard or Layout.")
        kind = None if type == "All" else type
        return await self._store.read(templates.listed, server, offset, count, kind, layout)

    async def create(self, server: str, draft: TemplateDraft, who: By) -> StoredTemplate:
        """Store a new template. Without an alias it gets one, made of its name."""
        await self._store.read(_check_new, server, draft)
        return await self._change(changes.create, server, draft, _author(who))

    async def edit(
        self, server: str, reference: int | str, draft: TemplateDraft, who: By
    ) -> StoredTemplate:
        """Change what the draft gives; the empty string takes a part, or the layout, away.

        Templates that stand in a layout follow its alias. What changes nothing makes no version.
        """
        await self._store.read(_check_edit, server, reference, draft)
        return await self._change(changes.edit, server, reference, draft, _author(who))

    async def delete(self, server: str, reference: int | str, who: By) -> StoredTemplate:
        """Make a template inactive; raise LayoutInUse for a layout that others stand in."""
        return await self._change(changes.delete, server, reference, _author(who))

    async def versions(self, server: str, reference: int | str) -> Sequence[StoredTemplate]:
        """Return all versions of a template, newest first, the current one included."""
        return await self._store.read(_versions, server, reference)

    async def restore(
        self, server: str, reference: int | str, version: int, who: By
    ) -> StoredTemplate:
        """Make a new version with an old one's content; a deleted template is active again."""
        return await self._change(changes.restore, server, reference, version, _author(who))

    async def validate(
        self,
        server: str,
        draft: TemplateDraft,
        model: Mapping[str, Any] | None,
        inline_css: bool,
    ) -> Validation:
        """Try a draft out without storing it; what does not parse is in the result."""
        return await self._store.read(_validate, server, draft, model, inline_css)

    async def push(self, source: str, destination: str, perform: bool, who: By) -> Sequence[Change]:
        """Bring all templates that have an alias to another server, in one commit.

        Those that are the same there are left out. Without `perform` nothing is changed.
        """
        return await self._change(changes.push, source, destination, _author(who), perform)

    async def apply(
        self, server: str, drafts: Sequence[TemplateDraft], who: By, perform: bool = True
    ) -> Sequence[Change]:
        """Create or edit templates by alias, in one commit, as `push` does.

        A draft without an alias is found by its number, and is a new template otherwise.
        """
        await self._store.read(_check_all, server, drafts)
        return await self._change(changes.apply, server, drafts, _author(who), perform)

    async def rendered(self, message: Message, server: str) -> tuple[Message, Warnings]:
        """Return a message with a template its subject and parts, and what the model lacked.

        Raise TemplateNotFound or TemplateRenderError.
        """
        return await self._store.read(render_message, message, server, self._cache)

    async def _change(
        self,
        change: Callable[Concatenate[Connection, Arguments], T],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> T:
        def made(connection: Connection) -> T:
            return change(connection, *args, **kwargs)

        return await self._store.write(templates.change, made)


def _author(who: By) -> Author:
    return Author(who, clock.now())


def _check_new(connection: Connection, server: str, draft: TemplateDraft) -> None:
    """Raise what is wrong with a draft of a new template, before the writer is asked."""
    check_draft(draft)
    type = type_of(draft)
    check_whole(type, content_of(draft))
    layout = layout_of(connection, server, draft.layout)
    check_parts(draft, layout, type == "Layout")


def _check_edit(
    connection: Connection, server: str, reference: int | str, draft: TemplateDraft
) -> None:
    former = active(connection, server, reference)
    check_draft(replace(draft, type=None))
    new = changes.edited(former, draft)
    check_whole(new.type, content_of(new))
    layout = layout_of(connection, server, new.layout)
    check_parts(new, layout, new.type == "Layout")


def _check_all(connection: Connection, server: str, drafts: Sequence[TemplateDraft]) -> None:
    """Raise what is wrong with each draft alone; their layouts may be among them."""
    aliases: set[str] = set()
    for draft in drafts:
        try:
            check_draft(draft)
            former = changes.target(connection, server, draft)
            if draft.alias in aliases:
                raise TemplateInvalid("The alias is given twice.")
            if former is not None:
                changes.check_same_type(former, draft)
            type = type_of(draft) if former is None else former.type
            check_parts(draft, None, type == "Layout")
        except StoredTemplateError as error:
            raise changes.labelled(error, draft) from error
        if draft.alias is not None:
            aliases.add(draft.alias)


def _versions(
    connection: Connection, server: str, reference: int | str
) -> Sequence[StoredTemplate]:
    current = known(connection, server, reference)
    return [current, *templates.versions(connection, server, current.id)]


def _validate(
    connection: Connection,
    server: str,
    draft: TemplateDraft,
    model: Mapping[str, Any] | None,
    inline_css: bool,
) -> Validation:
    check_content(draft, model is not None)
    layout = layout_of(connection, server, draft.layout)
    return validated(draft, layout, model, inline_css)
