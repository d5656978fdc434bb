"""`screened`: the submissions that were kept back as a robot's."""

import json
import re
from pathlib import Path

import click

from relay.commands.opened import reading
from relay.commands.paging import paged, print_page
from relay.store import listing
from relay.times import shown


@click.group(invoke_without_command=True)
@paged(limit=50)
@click.pass_context
def screened(context: click.Context, limit: int, below: str | None) -> None:
    """List the submissions that were kept back, newest first, with the reason."""
    if context.invoked_subcommand is not None:
        return
    with reading(context.obj) as (_, store):
        page = store.read_now(listing.screened, below, limit)
    print_page(page, lambda row: f"{row.id}  {shown(row.created_at)}  {row.server:16}  {row.words}")


@screened.command()
@click.argument("id")
@click.pass_obj
def show(path: Path, id: str) -> None:
    """Print the fields of one, as they were submitted."""
    with reading(path) as (_, store):
        found = store.read_now(listing.find, id)
    if found is None or found[0].state != "screened":
        raise click.ClickException(f"no screened submission {id}")
    if found.row.cleared_at is not None:
        raise click.ClickException(f"its fields were cleared on {shown(found.row.cleared_at)}")
    fields = json.loads(found[1].document)["fields"]
    # JSON leaves these as they are, and to a terminal they are commands.
    text = json.dumps(fields, indent=2, ensure_ascii=False)
    click.echo(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


_CONTROLS = re.compile("[\x7f-\x9f]")
