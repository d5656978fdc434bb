"""What the commands of templates share: the server that is meant, its library, its one door."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relay.cli.context import Orders, reading, server_of
from relay.config.settings import Settings
from relay.store.templates import StoredTemplate
from relay.templates.library import Library
from relay.templates.rules import TemplateDraft

PAGE = 100
# A hundred long templates take long to be read and checked.
SECONDS = 600.0


@contextmanager
def library_of(path: Path, server: str) -> Iterator[tuple[Library, str]]:
    """Return the library of a settings file, for reading, and the name of the server's group."""
    with reading(path) as (read, store):
        yield Library(store), server_of(read, server).group


def reference_of(text: str) -> int | str:
    """Return a template's number or alias, as a reference says it."""
    return int(text) if text.isascii() and text.isdecimal() else text


async def all_of(library: Library, server: str) -> Sequence[StoredTemplate]:
    """Return all templates of a server, but for the deleted ones."""
    found: list[StoredTemplate] = []
    while True:
        total, page = await library.listed(server, offset=len(found), count=PAGE)
        found += page
        if not page or len(found) >= total:
            return found


def whole(template: StoredTemplate) -> TemplateDraft:
    """Make a draft of all that a template is: "" is a part or a layout that it does not have."""
    standard = template.type == "Standard"
    return TemplateDraft(
        name=template.name,
        alias=template.alias,
        type=template.type,
        subject=template.subject or "" if standard else None,
        html=template.html or "",
        text=template.text or "",
        layout=template.layout or "" if standard else None,
        id=template.id,
    )


def carry_out(
    read: Settings, order: str, asked: Mapping[str, Any], alone: Callable[[Library], Any]
) -> Any:
    """Have the daemon change templates where one runs, or else `alone`, given the library."""
    with Orders(read, see="templates list", seconds=SECONDS) as orders:
        return orders.carry_out(
            f"/templates/{order}", asked, lambda store: asyncio.run(alone(Library(store)))
        )
