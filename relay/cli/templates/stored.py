"""`templates list`, `show`, `restore` and `preview`: what is stored, and how it looks."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from relay.cli.context import server_of
from relay.cli.templates import common
from relay.cli.templates.common import library_of, reference_of, whole
from relay.cli.terminal import hand_over, say
from relay.config import settings
from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.times import shown
from relay.operators.acting import system_user
from relay.store.templates import StoredTemplate
from relay.templates.folder import folder_name
from relay.templates.library import Library


@click.command("list")
@click.argument("server")
@click.pass_obj
def list_templates(path: Path, server: str) -> None:
    """List SERVER's templates: alias, number, type, name, layout, version, when and by whom."""
    with library_of(path, server) as (library, group):
        templates = asyncio.run(common.all_of(library, group))
    for line in _columns([_row(template) for template in templates]):
        say(line)
    if not templates:
        say(f"{group} has no templates", err=True)


def _row(template: StoredTemplate) -> list[str]:
    return [
        template.alias or "-",
        str(template.id),
        template.type,
        template.name,
        template.layout or "-",
        f"version {template.version}",
        shown(template.edited_at),
        template.edited_by,
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
            say(line)
        return
    found = next((one for one in known if version in (None, one.version)), None)
    if found is None:
        raise click.ClickException(f"{reference} has no version {version}")
    for line in _shown(found):
        say(line)


def _shown(template: StoredTemplate) -> Iterator[str]:
    names = ("alias", "number", "type", "name", "layout", "version", "edited", "by")
    for name, value in zip(names, _row(template), strict=True):
        yield f"{name:8} {value.removeprefix('version ')}"
    if not template.active:
        yield "deleted"
    if template.subject:
        yield f"subject  {template.subject}"
    for name, part in (("html", template.html), ("text", template.text)):
        if part:
            yield f"\n--- {name} ---\n{part}"


@click.command()
@click.argument("server")
@click.argument("reference")
@click.argument("version", type=int)
@click.pass_obj
def restore(path: Path, server: str, reference: str, version: int) -> None:
    """Make a template of SERVER what it was in VERSION; this makes a new version."""
    read = settings.load(path)
    group = server_of(read, server).group
    named = reference_of(reference)
    asked = {"server": group, "reference": named, "version": version}

    async def alone(library: Library) -> dict[str, Any]:
        return {"version": (await library.restore(group, named, version, system_user())).version}

    made = common.carry_out(read, "restore", asked, alone)["version"]
    say(f"{reference}  version {made}, as it was in version {version}")


class _Rendered(NamedTuple):
    subject: str | None
    html: str | None
    text: str | None
    warnings: Sequence[str] = ()


@click.command()
@click.option("--model", type=click.File("rb"), help="A JSON file; else a model is made up.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Where to write the HTML part, - for standard output; else REFERENCE.html.",
)
@click.argument("server")
@click.argument("reference")
@click.pass_obj
def preview(path: Path, server: str, reference: str, model: Any, output: str | None) -> None:
    """Render a template of SERVER: write its HTML part, print its subject and its text part."""
    values = None if model is None else _model(model)
    with library_of(path, server) as (library, group):
        template, rendered = asyncio.run(_rendered(library, group, reference_of(reference), values))
    _print(rendered, output or f"{folder_name(template.alias, template.id)}.html")


def _model(file: Any) -> Mapping[str, Any]:
    try:
        model = json.loads(file.read())
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{file.name}: {error}") from None
    if not isinstance(model, dict):
        raise click.ClickException(f"{file.name}: not a JSON object")
    return model


async def _rendered(
    library: Library, server: str, reference: int | str, model: Mapping[str, Any] | None
) -> tuple[StoredTemplate, _Rendered]:
    template = await library.find(server, reference)
    if template.type == "Standard" and model is not None:
        # As it would be sent: what the model lacks stays empty.
        message, warnings = await library.rendered(
            Message(_NOBODY, (_NOBODY,), template=template.id, model=model), server
        )
        return template, _Rendered(message.subject, message.html, message.text, warnings)
    found = await library.validate(server, whole(template), model, inline_css=True)
    parts = {"subject": found.subject, "html": found.html, "text": found.text}
    faults = [
        f"{name}: {fault.message}" for name, part in parts.items() if part for fault in part.errors
    ]
    shown = {name: part.rendered if part else None for name, part in parts.items()}
    return template, _Rendered(shown["subject"], shown["html"], shown["text"], faults)


_NOBODY = Address("nobody@example.com")


def _print(rendered: _Rendered, output: str) -> None:
    beside = output == "-"
    for warning in rendered.warnings:
        say(f"warning: {warning}", err=True)
    if rendered.html and beside:
        hand_over(rendered.html.encode())
    elif rendered.html:
        try:
            Path(output).write_bytes(rendered.html.encode())
        except OSError as error:
            raise click.ClickException(f"{output}: cannot be written ({error.strerror})") from None
        say(output)
    else:
        say("no HTML part", err=True)
    if rendered.subject:
        say(f"Subject: {rendered.subject}", err=beside)
    if rendered.text:
        say(f"\n{rendered.text}", err=beside)
