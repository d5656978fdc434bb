"""`queue retry`, `release`, `cancel`, `found`, `dismiss`: messages by id, or all of a state."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from relay.cli.context import Orders, reading
from relay.cli.terminal import agree, counted, progress, say
from relay.config.settings import Settings
from relay.operators.acting import about_messages, system_user
from relay.store import acts
from relay.store.engine.database import Store
from relay.store.outbox import operator_actions
from relay.store.outbox import unsent as stored
from relay.store.outbox.operator_actions import APPLIES_TO, OPERATIONS, SENDING, Verdict
from relay.store.outbox.unsent import Selection

# Messages of one order to the daemon: its answer comes soon, and others' mail is not held up.
BATCH = 200
# A single order may wait for the store for so many seconds.
SECONDS = 120.0

_TWICE = "The provider may have taken {}: sent again, it may arrive twice. Go on?"


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
        say("there are none")
        return
    if selection is not None:
        question = f"{name.capitalize()} {counted(len(ids), 'message')}?"
        agree(question, agreed=yes, option="--yes")
    if twice:
        agree(_TWICE.format(counted(twice, "message")), agreed=yes, option="--yes")
    _print(_carry_out(read, name, ids, twice=bool(twice)), name, each=selection is None)


def _all_of(connection: Any, selection: Selection) -> list[str]:
    return [id for chunk in stored.ids(connection, selection) for id in chunk]


def _doubtful(connection: Any, ids: Sequence[str]) -> int:
    return sum(len(operator_actions.doubtful(connection, batch)) for batch in _batches(ids))


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def _carry_out(read: Settings, name: str, ids: Sequence[str], *, twice: bool) -> list[Verdict]:
    verdicts: list[Verdict] = []
    with (
        Orders(read, see="queue", seconds=SECONDS) as orders,
        progress("messages", len(ids)) as went_on,
    ):
        for batch in _batches(ids):
            asked = {"ids": batch, "twice": twice}
            answer = orders.carry_out(f"/messages/{name}", asked, partial(_alone, name, asked))
            verdicts += (Verdict(*verdict) for verdict in answer["verdicts"])
            went_on(len(batch))
    return verdicts


def _alone(name: str, asked: dict[str, Any], store: Store) -> dict[str, Any]:
    order = about_messages(name, by=system_user(), **asked)
    [verdicts] = store.write_now(acts.acted, [order])
    return {"verdicts": verdicts}


def _print(verdicts: Sequence[Verdict], name: str, *, each: bool) -> None:
    """Print what was done, and on stderr what was not; exit with 1 if anything was not."""
    done = [verdict for verdict in verdicts if verdict.done]
    if each:
        for verdict in done:
            words, _, note = verdict.words.partition("; ")
            say(f"{verdict.id}  {words if name == 'dismiss' else verdict.after}")
            if note:
                say(f"{verdict.id}  {note}", err=True)
    else:
        words = done[0].words.partition("; ")[0] if done else "changed"
        say(f"{counted(len(done), 'message')} {words}")
    refused = [verdict for verdict in verdicts if not verdict.done]
    for verdict in refused:
        say(f"{verdict.id}  left alone: {verdict.words}", err=True)
    if refused:
        sys.exit(1)


retry = _order("retry", "Their age is counted from now.")
release = _order("release", "Their age is counted from now.")
cancel = _order("cancel")
found = _order("found")
dismiss = _order("dismiss", "`queue` lists it no longer.")
