"""`templates list`, `show` and `restore`: what is stored, in all its versions."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from relay.cli.context import server_of
from relay.cli.templates import common
from relay.cli.templates.common import library_of, reference_of
from relay.cli.terminal import visible
from relay.config import settings
from relay.core.times import shown
from relay.store.templates import StoredTemplate


@click.command("list")
@click.argument("server")
@click.pass_obj
def list_templates(path: Path, server: str) -> None:
    """List SERVER's templates: alias, number, type, name, layout, version, when and by whom."""
    with library_of(path, server) as (library, group):
        templates = asyncio.run(common.all_of(library, group))
    for line in _columns([_row(template) for template in templates]):
        click.echo(line)
    if not templates:
        click.echo(f"{group} has no templates", err=True)


def _row(template: StoredTemplate) -> list[str]:
    return [
        visible(template.alias) or "-",
        str(template.id),
        template.type,
        visible(template.name),
        visible(template.layout) or "-",
        f"version {template.version}",
        shown(template.edited_at),
        visible(template.edited_by),
    ]


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


@click.command()
@click.option("--version", type=int, help="As it was in this version.")
@click.option("--versions", is_flag=True, help="List the versions instead, newest first.")
@click.argument("server")
@click.argument("reference")
@click.pass_obj
def show(path: Path, server: str, reference: str, version: int | None, *, versions: bool) -> None:
    """Show a template of SERVER with all its parts."""
    with library_of(path, server) as (library, group):
        known = asyncio.run(library.versions(group, reference_of(reference)))
    if versions:
        for line in _columns([[*_row(one)[5:], *_row(one)[:5]] for one in known]):
            click.echo(line)
        return
    found = next((one for one in known if version in (None, one.version)), None)
    if found is None:
        raise click.ClickException(f"{reference} has no version {version}")
    for line in _shown(found):
        click.echo(line)


def _shown(template: StoredTemplate) -> Iterator[str]:
    names = ("alias", "number", "type", "name", "layout", "version", "edited", "by")
    for name, value in zip(names, _row(template), strict=True):
        yield f"{name:8} {value.removeprefix('version ')}"
    if not template.active:
        yield "deleted"
    if template.subject:
        yield f"subject  {visible(template.subject)}"
    for name, part in (("html", template.html), ("text", template.text)):
        if part:
            yield f"\n--- {name} ---\n{visible(part)}"


@click.command()
@click.argument("server")
@click.argument("reference")
@click.argument("version", type=int)
@click.pass_obj
def restore(path: Path, server: str, reference: str, version: int) -> None:
    """Make a template of SERVER what it was in VERSION; this makes a new version."""
    read = settings.load(path)
    group = server_of(read, server).group
    made = common.restore(read, group, reference_of(reference), version)
    click.echo(f"{reference}  version {made}, as it was in version {version}")
