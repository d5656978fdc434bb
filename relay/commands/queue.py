"""`queue`: what was not sent, why, and another try."""

import time
from pathlib import Path
from typing import Any

import click

from relay import settings
from relay.commands.daemon import ask
from relay.commands.opened import reading, writing
from relay.commands.paging import paged, print_page
from relay.store import listing, outbox
from relay.times import age, shown

STATES = ["queued", "sending", "in_doubt", "failed", "expired"]


@click.group(invoke_without_command=True)
@click.option("--state", type=click.Choice(STATES))
@paged(limit=50)
@click.pass_context
def queue(context: click.Context, state: str | None, limit: int, below: str | None) -> None:
    """List the messages that were not sent, newest first."""
    if context.invoked_subcommand is not None:
        return
    with reading(context.obj) as (_, store):
        page = store.read_now(listing.unsent, below, limit, state)
    now = time.time()
    print_page(page, lambda row: _line(row, now))


def _line(row: Any, now: float) -> str:
    old, tries = age(now - row.created_at), f"{row.tries} tries"
    return f"{row.id}  {row.state:8}  {row.server:16}  {old:>4}  {tries:8}  {row.words or ''}"


@queue.command()
@click.argument("id")
@click.pass_obj
def show(path: Path, id: str) -> None:
    """Show one message's history, with the provider's words."""
    with reading(path) as (_, store):
        found = store.read_now(listing.find, id)
    if found is None:
        raise click.ClickException(f"no message {id}")
    row, attempts = found.row, found.attempts
    click.echo(f"{row.id}  {row.state}  server {row.server}  key {row.key or '-'}")
    click.echo(f"to {found.content.recipients}")
    for at, words in listing.history(found):
        click.echo(f"{shown(at)}  {words}")
    if row.state == "queued":
        click.echo(f"{shown(row.due_at)}  due")
    elif row.words and not (attempts and attempts[-1].words == row.words):
        click.echo(f"now: {row.words}")


@queue.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("id")
@click.pass_obj
def retry(path: Path, id: str, *, yes: bool) -> None:
    """Queue a message again that failed, expired or is in doubt."""
    with reading(path) as (read, store):
        found = store.read_now(listing.find, id)
    if found is None:
        raise click.ClickException(f"no message {id}")
    if found[0].state == "in_doubt" and not yes:
        click.confirm(
            "The provider may have taken it: it may arrive twice. Send again?", abort=True
        )
    if not _revive(read, id):
        raise click.ClickException(f"{id} is {found[0].state}; only {_REVIVABLE} can be retried")
    click.echo(f"{id}  queued")


_REVIVABLE = ", ".join(outbox.REVIVABLE_STATES)


def _revive(read: settings.Settings, id: str) -> bool:
    answer = ask(read.data, "POST", "/retry", {"id": id})
    if answer is not None:
        return bool(answer["revived"])
    with writing(read) as store:
        [revived] = store.write_now(outbox.revive, [(id, time.time())])
    return revived
