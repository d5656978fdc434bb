"""`templates preview`: how a template looks with a model."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from relay.cli.templates.common import library_of, reference_of, whole
from relay.cli.terminal import visible
from relay.core.addresses import Address
from relay.core.message import Message
from relay.store.templates import StoredTemplate
from relay.templates.folder import folder_name
from relay.templates.library import Library


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
    values = None if model is None else _read(model)
    with library_of(path, server) as (library, group):
        template, rendered = asyncio.run(_rendered(library, group, reference_of(reference), values))
    _print(rendered, output or f"{folder_name(template.alias, template.id)}.html")


def _read(file: Any) -> Mapping[str, Any]:
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
        click.echo(f"warning: {visible(warning)}", err=True)
    if rendered.html and beside:
        click.echo(rendered.html)
    elif rendered.html:
        try:
            Path(output).write_bytes(rendered.html.encode())
        except OSError as error:
            raise click.ClickException(f"{output}: cannot be written ({error.strerror})") from None
        click.echo(output)
    else:
        click.echo("no HTML part", err=True)
    if rendered.subject:
        click.echo(f"Subject: {visible(rendered.subject)}", err=beside)
    if rendered.text:
        click.echo(f"\n{visible(rendered.text)}", err=beside)
