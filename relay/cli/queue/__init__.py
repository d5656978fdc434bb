"""`queue`: what was not sent, why, and what an operator orders about it."""

from typing import Any

import click

from relay.cli.context import reading
from relay.cli.queue.actions import cancel, dismiss, found, release, retry
from relay.cli.queue.readdress import readdress
from relay.cli.queue.replay import replay
from relay.cli.queue.show import show
from relay.cli.terminal import paged, print_page, say
from relay.core import clock
from relay.core.times import age, shown
from relay.store import installation
from relay.store.outbox import unsent as stored
from relay.store.outbox.unsent import CLOSED_STATES, OPEN_STATES, Selection


@click.group(invoke_without_command=True)
@click.option(
    "--state",
    type=click.Choice([*map(str, (*OPEN_STATES, *CLOSED_STATES))]),
    help="Only those in this state; else all but what is cancelled or suppressed.",
)
@click.option("--server", help="Only those of this server.")
@click.option("--dismissed", is_flag=True, help="Also those that a person has dismissed.")
@paged(limit=50)
@click.pass_context
def queue(
    context: click.Context,
    state: str | None,
    server: str | None,
    limit: int,
    below: str | None,
    *,
    dismissed: bool,
) -> None:
    """List the messages that were not sent, newest first."""
    if context.invoked_subcommand is not None:
        return
    selection = Selection(state, server and server.lower(), dismissed)
    with reading(context.obj) as (_, store):
        page = store.read_now(stored.page, selection, below, limit)
        pauses = store.read_now(installation.paused_servers)
    now = clock.now()
    print_page(page.rows, page.below, lambda row: _line(row, now))
    for name, since in pauses.items():
        say(f"{name} is paused since {shown(since)}", err=True)


def _line(row: Any, now: float) -> str:
    old, tries = age(now - row.created_at), f"{row.tries} tries"
    twice = "may be delivered twice; " if row.maybe_twice else ""
    words = f"{twice}{row.words or ''}"
    return f"{row.id}  {row.state:11}  {row.server:16}  {old:>4}  {tries:8}  {words}".rstrip()


for command in (show, retry, release, cancel, found, dismiss, replay, readdress):
    queue.add_command(command)
