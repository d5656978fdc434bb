"""What the commands of templates share: the server that is meant, its library, its one door."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from relay.cli.context import reading, server_of, writing
from relay.cli.control_client import tell
from relay.cli.terminal import visible
from relay.config.settings import Settings
from relay.store.templates import StoredTemplate
from relay.templates.changes import Change
from relay.templates.library import Library
from relay.templates.rules import TemplateDraft

WHO = "operator"
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


def apply(read: Settings, server: str, drafts: Sequence[TemplateDraft]) -> Sequence[Change]:
    """Store drafts, all of them or none; through the daemon where one runs."""
    asked = {"server": server, "drafts": [asdict(draft) for draft in drafts]}
    answer = _told(read, "/templates/apply", asked)
    if answer is not None:
        return [Change(**change) for change in answer["changes"]]
    with writing(read) as store:
        return asyncio.run(Library(store).apply(server, drafts, WHO))


def restore(read: Settings, server: str, reference: int | str, version: int) -> int:
    """Make a template what it was in a version; return the number of the new version."""
    asked = {"server": server, "reference": reference, "version": version}
    answer = _told(read, "/templates/restore", asked)
    if answer is not None:
        return int(answer["version"])
    with writing(read) as store:
        return asyncio.run(Library(store).restore(server, reference, version, WHO)).version


def _told(read: Settings, path: str, asked: dict[str, Any]) -> dict[str, Any] | None:
    """Have the daemon do something; None if none runs. End the command if it refuses."""
    answer = tell(read.data, path, asked, see="templates list", seconds=SECONDS)
    if answer is not None and answer["problem"]:
        raise click.ClickException(visible(answer["problem"]))
    return answer
