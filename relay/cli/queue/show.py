"""`queue show`: all that happened to a message, in order of time, and what happens next."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.status import Daemon, asked, outage
from relay.cli.terminal import say
from relay.config.settings import Settings
from relay.core import clock
from relay.core.ids import as_reference
from relay.core.states import WAITING, State
from relay.core.times import age, shown
from relay.store import installation
from relay.store.outbox import references
from relay.store.outbox.outcomes import recipients_of
from relay.store.queries import listing, word_search
from relay.store.queries.listing import MessageRow
from relay.store.queries.word_search import Wanted
from relay.store.schema import BROKEN

# What a person can do about a message that nothing will happen to by itself.
_PERSONS = {
    State.HELD: "held until `queue release`, `queue cancel` or `queue found`",
    State.FAILED: "stays until `queue retry` or `queue dismiss`",
    State.EXPIRED: "stays until `queue retry` or `queue dismiss`",
    State.QUARANTINED: "stays until `queue release` or `queue dismiss`",
}
_DUE = {
    State.QUEUED: "due",
    State.SCHEDULED: "scheduled: due",
    State.SENDING: "its claim ends: then it is in doubt",
    State.IN_DOUBT: "is looked up at the provider",
}


@click.command()
@click.argument("id", metavar="ID|REFERENCE")
@click.pass_obj
def show(path: Path, id: str) -> None:
    """Show one message's history, with the provider's words, and what is next."""
    with reading(path) as (read, store):
        named = as_reference(id)
        id = (named and store.read_now(references.find, named)) or id
        found = store.read_now(listing.find, id)
        fates = store.read_now(recipients_of, id)
        reference = store.read_now(references.of, id)
        summary = store.read_now(word_search.find, Wanted(id=id), None, 1)
        pauses = store.read_now(installation.paused_servers)
        waits = found is not None and found.row.state in (*WAITING, State.IN_DOUBT)
        daemon = asked(read.data) if waits else Daemon({})
    if found is None:
        raise click.ClickException(f"no message {id}")
    row = found.row
    say(f"{row.id}  {row.state}  server {row.server}  key {row.key or '-'}")
    say(f"to {found.content.recipients or '-'}")
    for line in _recipients(found.content.recipients.split(), fates, row.state):
        say(f"  {line}")
    if reference is not None:
        say(f"reference {reference}")
    [about] = summary.rows
    say(f"writer {about.writer or '-'}")
    say(f"subject {about.subject or '-'}")
    told = listing.history(found)
    if row.cleared_at is not None:
        told.append((row.cleared_at, "contents cleared"))
    for at, words in sorted(told, key=lambda one: one[0]):
        say(f"{shown(at)}  {words}")
    for line in _next(row, read, pauses, daemon, clock.now()):
        say(line)
    if row.words and not any(row.words in words for _, words in told):
        say(f"now: {row.words}")


def _recipients(
    named: Sequence[str], fates: Mapping[str, tuple[str, float]], state: str
) -> Iterator[str]:
    """Return, for each recipient, what became of it, where that is not the same for all."""
    known = {address: f"{fate} at {shown(at)}" for address, (fate, at) in fates.items()}
    if known:
        yield from (f"{address}  {known.get(address, state)}" for address in named)


def _next(
    row: MessageRow, read: Settings, pauses: Mapping[str, float], daemon: Daemon, now: float
) -> Iterator[str]:
    """Return what happens next, and what is unusual about a message."""
    if row.state in _DUE:
        yield f"{shown(row.due_at)}  {_DUE[row.state]}"
    if row.kind == BROKEN and row.state == State.QUARANTINED:
        yield "next: stays until `screened release`, once its plugin is mended, or `screened drop`"
    elif row.state in _PERSONS:
        yield f"next: {_PERSONS[row.state]}"
    if row.state in (*WAITING, State.IN_DOUBT):
        reasons = [*_hindrances(row, read, pauses), *_delays(row, daemon)] or [*_turn(row, now)]
        yield from (f"next: waits, because {why}" for why in reasons)
    if row.maybe_twice:
        yield "flag: may have been delivered twice"
    if row.crashes:
        yield f"flag: sending it failed badly {row.crashes} times"


def _hindrances(row: MessageRow, read: Settings, pauses: Mapping[str, float]) -> Iterator[str]:
    known = read.servers.get(row.server)
    if known is None:
        yield f"{read.path.name} has no server {row.server}"
        return
    for name in dict.fromkeys((row.server, known.server.group)):
        server = read.servers[name].server
        if name in pauses:
            yield f"{name} is paused since {shown(pauses[name])}"
        if not server.enabled:
            yield f"{name} is not enabled"
        elif row.tries and not server.queue_enabled:
            yield f"retries of {name} are not enabled"


def _delays(row: MessageRow, daemon: Daemon) -> Iterator[str]:
    """Return what in the running daemon a message waits for."""
    if not daemon.said:
        yield daemon.silence
    elif row.state in WAITING and row.server in daemon.said.get("stuck", ()):
        yield from (outage(one) for one in daemon.said["outages"] if row.server in one["servers"])


def _turn(row: MessageRow, now: float) -> Iterator[str]:
    """Say why a message waits that nothing hinders."""
    if row.state == State.IN_DOUBT:
        yield "nobody knows whether the provider took it"
    elif row.due_at <= now:
        yield "its turn has not come: others are being sent"
    elif row.tries:
        words = f" ({row.words})" if row.words else ""
        yield f"attempt {row.tries} was put off{words}; the next is in {age(row.due_at - now)}"
    else:
        yield f"its time has not come: in {age(row.due_at - now)}"
