"""`mailbox`: what the embedded mailbox took."""

from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.terminal import hand_over, paged, print_page
from relay.core.ids import timestamp
from relay.core.mime import as_bytes
from relay.core.times import shown
from relay.store import documents
from relay.store.queries import listing


@click.group(invoke_without_command=True)
@click.option("--search", default="", help="Only with this in a recipient or the subject.")
@paged(limit=20)
@click.pass_context
def mailbox(context: click.Context, search: str, limit: int, below: str | None) -> None:
    """List the messages that the mailbox took, newest first."""
    if context.invoked_subcommand is not None:
        return
    with reading(context.obj) as (_, store):
        page = store.read_now(listing.mailbox, below, limit, search)
    print_page(
        page.rows,
        page.below,
        lambda row: f"{row.id}  {shown(timestamp(row.id))}  {row.recipients}  {row.subject}",
    )


@mailbox.command()
@click.argument("id")
@click.pass_obj
def show(path: Path, id: str) -> None:
    """Print one message as it would be mailed."""
    with reading(path) as (_, store):
        document = store.read_now(listing.in_mailbox, id)
    if document is None:
        raise click.ClickException(f"the mailbox has no message {id}, or its contents were cleared")
    hand_over(as_bytes(documents.load(id, document)))
