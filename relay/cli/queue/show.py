"""`queue show`: all that happened to a message, in order of time, and what happens next."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.status import Daemon, asked
from relay.cli.terminal import say
from relay.config.settings import Settings
from relay.core import clock
from relay.core.ids import as_reference
from relay.core.states import WAITING, State
from relay.core.times import shown
from relay.operators import timeline
from relay.operators.explanation import Circumstances, explain
from relay.operators.timeline import Told
from relay.store import installation
from relay.store.outbox import references
from relay.store.queries import listing
from relay.store.words import texts


@click.command()
@click.argument("id", metavar="ID|REFERENCE")
@click.pass_obj
def show(path: Path, id: str) -> None:
    """Show one message's history, with the provider's words, and what is next."""
    with reading(path) as (read, store):
        named = as_reference(id)
        id = (named and store.read_now(references.find, named)) or id
        told = store.read_now(timeline.gather, id)
        about = store.read_now(texts.find, id)
        pauses = store.read_now(installation.paused_servers)
        waits = told is not None and told.found.row.state in (*WAITING, State.IN_DOUBT)
        daemon = asked(read.data) if waits else Daemon({})
    if told is None or about is None:
        raise click.ClickException(f"no message {id}")
    found, row = told.found, told.found.row
    say(f"{row.id}  {row.state}  server {row.server}  key {row.key or '-'}")
    say(f"to {found.content.recipients or '-'}")
    for line in _recipients(found.content.recipients.split(), told.fates, row.state):
        say(f"  {line}")
    if told.reference:
        say(f"reference {told.reference}")
    say(f"writer {about.writer or '-'}")
    say(f"subject {about.subject or '-'}")
    for at, line in _history(told):
        say(f"{shown(at)}  {line}")
    for line in _next(told, circumstances(read, pauses, daemon, clock.now())):
        say(line)
    if row.words and not any(row.words in words for _, words in _history(told)):
        say(f"now: {row.words}")


def circumstances(
    read: Settings, pauses: Mapping[str, float], daemon: Daemon, now: float
) -> Circumstances:
    """Return what is around a message, as a command sees it."""
    return Circumstances(
        {name: one.server for name, one in read.servers.items()},
        now,
        read.path.name,
        pauses,
        daemon.said.get("outages", ()),
        daemon.said.get("stuck", ()),
        daemon.silence,
    )


def _history(told: Told) -> list[tuple[float, str]]:
    """Return what happened in words, oldest first, and what others' words mean below them."""
    found = told.found
    lines = listing.history(found)
    for one in timeline.timeline(told):
        if one.kind in ("posted", "checks", "mapping") and found.content.origin:
            lines.append((one.at, f"{one.headline}: {one.words}" if one.words else one.headline))
        elif one.meaning and one.kind == "attempt":
            lines.append((one.at, f"that means: {one.meaning}"))
    if found.row.cleared_at is not None:
        lines.append((found.row.cleared_at, "contents cleared"))
    return sorted(lines, key=lambda one: one[0])


def _recipients(
    named: Sequence[str], fates: Mapping[str, tuple[str, float]], state: str
) -> Iterator[str]:
    """Return, for each recipient, what became of it, where that is not the same for all."""
    known = {address: f"{fate} at {shown(at)}" for address, (fate, at) in fates.items()}
    if known:
        yield from (f"{address}  {known.get(address, state)}" for address in named)


def _next(told: Told, around: Circumstances) -> Iterator[str]:
    """Return what happens next and why, what to do, and what is unusual about a message."""
    row = told.found.row
    if row.state in timeline.NEXT:
        yield f"{shown(row.due_at)}  {timeline.NEXT[row.state]}"
    why = explain(told.found, around)
    yield f"why: {why.sentence}"
    if why.remedy:
        yield f"do: {why.remedy}"
    if row.crashes:
        yield f"flag: sending it failed badly {row.crashes} times"
