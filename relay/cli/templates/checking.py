"""`templates validate`: whether everything parses; file, line and character of what does not."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from relay.cli.templates import common
from relay.cli.templates.places import label
from relay.cli.terminal import say
from relay.config import settings
from relay.core.errors import StoredTemplateError, TemplateInvalid, TemplateSyntaxError
from relay.templates import folder as folders
from relay.templates import rules
from relay.templates.parts import read_part
from relay.templates.rules import TemplateDraft

# Where a template stands, for each of its parts and for all else.
Places = Mapping[str, str]
Layouts = Mapping[str | None, TemplateDraft]


@click.command()
@click.argument("what", metavar="SERVER|FOLDER")
@click.pass_obj
def validate(path: Path, what: str) -> None:
    """Check the templates of a server, or those of a folder (./NAME if a server is called so).

    Exit code 1 if anything is wrong.
    """
    known = what.lower() in settings.load(path).servers
    checked = _stored(path, what) if known else _in_folder(Path(what))
    wrong = count = 0
    for lines in checked:
        count += 1
        wrong += bool(lines)
        for line in lines:
            say(line)
    say(f"{count} template{'' if count == 1 else 's'}, {wrong} with errors", err=True)
    if wrong:
        sys.exit(1)


def _stored(path: Path, server: str) -> Iterator[list[str]]:
    """Return, for each stored template, a line for everything that is wrong with it."""
    with common.library_of(path, server) as (library, group):
        templates = asyncio.run(common.all_of(library, group))
    drafts = [common.whole(template) for template in templates]
    layouts = _layouts(drafts)
    for draft in drafts:
        parts = {part: f"{label(draft)}: {rules.NAMES[part]}" for part in rules.PARTS}
        yield list(_faults(draft, layouts, {**parts, "": label(draft)}))


def _in_folder(folder: Path) -> Iterator[list[str]]:
    """Return, for each template of a folder, a line for everything that is wrong with it."""
    read: list[folders.FolderTemplate] = []
    for path in folders.paths(folder):
        try:
            read.append(folders.read(path))
        except TemplateInvalid as error:
            yield [str(error)]
    layouts = _layouts([template.draft for template in read])
    known: dict[str | None, Path] = {}
    for template in read:
        path, draft = template.path, template.draft
        other = known.setdefault(draft.alias, path)
        twice = (
            [] if other is path or not draft.alias else [f"{path}: Alias is also that of {other}"]
        )
        yield [*twice, *_faults(draft, layouts, _files(path))]


def _files(path: Path) -> Places:
    html, text = path.with_name(folders.HTML), path.with_name(folders.TEXT)
    return {"": str(path), "subject": f"{path}: Subject", "html": str(html), "text": str(text)}


def _layouts(drafts: list[TemplateDraft]) -> Layouts:
    return {draft.alias: draft for draft in drafts if draft.type == "Layout"}


def _faults(draft: TemplateDraft, layouts: Layouts, places: Places) -> Iterator[str]:
    """Say what is wrong with a template: as a whole, then part by part."""
    try:
        rules.check_draft(draft)
        rules.check_whole(rules.type_of(draft), rules.content_of(draft))
    except StoredTemplateError as error:
        yield f"{places['']}: {error}"
    layout = layouts.get(draft.layout)
    if draft.layout and layout is None:
        yield f"{places['']}: there is no layout {draft.layout}"
    for part in rules.PARTS:
        lines = list(_syntax(draft, part, None))
        # Together they may be too deep or too long, where each alone is not.
        if layout is not None and not lines and not any(_syntax(layout, part, None)):
            lines = list(_syntax(draft, part, layout))
        yield from (f"{places[part]}:{line}" for line in lines)


def _syntax(draft: TemplateDraft, part: str, layout: TemplateDraft | None) -> Iterator[str]:
    source = getattr(draft, part)
    framed = layout is not None and part != "subject"
    try:
        if source and draft.type == "Layout":
            read_part("", source)
        elif source:
            read_part(source, getattr(layout, part) if framed else None)
    except TemplateSyntaxError as error:
        yield from (f"{one.line}:{one.character}: {one.message}" for one in error.errors)
