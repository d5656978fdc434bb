"""`queue retry`, `release`, `cancel`, `found`, `dismiss`: messages by id, or all of a state."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from relay.cli.context import reading, writing
from relay.cli.control_client import tell
from relay.cli.terminal import agree, counted, progress, visible
from relay.config.settings import Settings
from relay.store.outbox import operator_actions
from relay.store.outbox import unsent as stored
from relay.store.outbox.operator_actions import APPLIES_TO, OPERATIONS, SENDING, Order, Verdict
from relay.store.outbox.unsent import Selection

# Messages of one order to the daemon: its answer comes soon, and others' mail is not held up.
BATCH = 200
# A single order may wait for the store for so many seconds.
SECONDS = 120.0

_TWICE = "The provider may have taken {}: sent again, it may arrive twice. Go on?"

Carry = Callable[[Sequence[str]], Sequence[Verdict]]


def _order(name: str, more: str = "") -> click.Command:
    """Make the command for an operation on the messages named, or on all of a state."""

    @click.command(name, help=f"{OPERATIONS[name].__doc__} {more}".strip())
    @click.option("--all", "every", is_flag=True, help="All messages in a state.")
    @click.option(
        "--state",
        type=click.Choice([*map(str, APPLIES_TO[name])]),
        help="With --all: those in this state.",
    )
    @click.option("--server", help="With --all: only those of this server.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @click.pass_context
    def order(
        context: click.Context,
        /,
        ids: tuple[str, ...],
        state: str | None,
        server: str | None,
        *,
        every: bool,
        yes: bool,
    ) -> None:
        if bool(ids) == every or every == (state is None) or (server and not every):
            raise click.UsageError("name messages by ID, or say --all --state STATE")
        selection = Selection(state, server and server.lower()) if every else None
        _run(context.obj, name, ids, selection, yes=yes)

    return order


def _run(
    path: Path, name: str, ids: Sequence[str], selection: Selection | None, *, yes: bool
) -> None:
    """Pick the messages, ask what must be asked, carry the order out; return the verdicts."""
    with reading(path) as (read, store):
        if selection is not None:
            ids = store.read_now(_all_of, selection)
        twice = store.read_now(_doubtful, ids) if name in SENDING else 0
    if not ids:
        click.echo("there are none")
        return
    if selection is not None:
        question = f"{name.capitalize()} {counted(len(ids), 'message')}?"
        agree(question, agreed=yes, option="--yes")
    if twice:
        agree(_TWICE.format(counted(twice, "message")), agreed=yes, option="--yes")
    with _carrying(read, name, twice=bool(twice)) as carry:
        verdicts = _carry_all(carry, ids)
    _print(verdicts, name, each=selection is None)


def _all_of(connection: Any, selection: Selection) -> list[str]:
    return [id for chunk in stored.ids(connection, selection) for id in chunk]


def _doubtful(connection: Any, ids: Sequence[str]) -> int:
    return sum(len(operator_actions.doubtful(connection, batch)) for batch in _batches(ids))


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


@contextmanager
def _carrying(read: Settings, name: str, *, twice: bool) -> Iterator[Carry]:
    """Return what carries an operation out: the daemon where one runs, else this process."""

    def by_daemon(ids: Sequence[str]) -> Sequence[Verdict] | None:
        asked = {"ids": ids, "twice": twice}
        answer = tell(read.data, f"/messages/{name}", asked, see="queue", seconds=SECONDS)
        if answer is None:
            return None
        if answer["problem"]:
            raise click.ClickException(answer["problem"])
        return [Verdict(*verdict) for verdict in answer["verdicts"]]

    if by_daemon([]) is not None:

        def carry(ids: Sequence[str]) -> Sequence[Verdict]:
            verdicts = by_daemon(ids)
            if verdicts is None:
                raise click.ClickException("the daemon stopped: see `queue` for what it did")
            return verdicts

        yield carry
        return
    with writing(read) as store:
        yield lambda ids: store.write_now(OPERATIONS[name], [Order(ids, time.time(), twice)])[0]


def _carry_all(carry: Carry, ids: Sequence[str]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    with progress("messages", len(ids)) as went_on:
        for batch in _batches(ids):
            verdicts += carry(batch)
            went_on(len(batch))
    return verdicts


def _print(verdicts: Sequence[Verdict], name: str, *, each: bool) -> None:
    """Print what was done, and on stderr what was not; exit with 1 if anything was not."""
    done = [verdict for verdict in verdicts if verdict.done]
    if each:
        for verdict in done:
            words, _, note = verdict.words.partition("; ")
            click.echo(f"{verdict.id}  {words if name == 'dismiss' else verdict.after}")
            if note:
                click.echo(f"{verdict.id}  {note}", err=True)
    else:
        words = done[0].words.partition("; ")[0] if done else "changed"
        click.echo(f"{counted(len(done), 'message')} {words}")
    refused = [verdict for verdict in verdicts if not verdict.done]
    for verdict in refused:
        click.echo(f"{visible(verdict.id)}  left alone: {verdict.words}", err=True)
    if refused:
        sys.exit(1)


retry = _order("retry", "Their age counts anew.")
release = _order("release", "Their age counts anew.")
cancel = _order("cancel")
found = _order("found")
dismiss = _order("dismiss", "`queue` lists it no longer.")
