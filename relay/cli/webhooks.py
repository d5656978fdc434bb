"""`webhooks`: who is called when something happens to a message, and what comes of it."""

from pathlib import Path

import click

from relay.cli.context import Orders, reading
from relay.cli.terminal import counted, paged, print_page, say
from relay.config import settings
from relay.config.settings import Settings
from relay.config.webhooks import Target
from relay.core.text import nearest
from relay.core.times import shown
from relay.operators.acting import firing, switching_on, system_user
from relay.store import acts
from relay.store import webhooks as stored
from relay.store.acts import Acted
from relay.store.webhooks import Call, Counts, TargetState


@click.group(invoke_without_command=True)
@click.pass_context
def webhooks(context: click.Context) -> None:
    """List who is called, whether that works, and how many calls wait."""
    if context.invoked_subcommand is not None:
        return
    with reading(context.obj) as (read, store):
        states = store.read_now(stored.targets)
        counts = store.read_now(stored.counts)
    for name, target in read.targets.items():
        say(_line(target, states.get(name, TargetState()), counts.get(name, Counts())))
    if not read.targets:
        say(f"{read.path.name} has no [webhooks]: nobody is called")


@webhooks.command()
@click.argument("name")
@paged(50)
@click.pass_obj
def calls(path: Path, name: str, limit: int, below: str | None) -> None:
    """List the calls to NAME, newest first: of the last days, or waiting."""
    with reading(path) as (read, store):
        _known(read, name)
        rows = store.read_now(stored.page, name, below, limit + 1)
    more = rows[limit - 1].id if len(rows) > limit else None
    print_page(rows[:limit], more, _call_line)


@webhooks.command()
@click.argument("id")
@click.pass_obj
def fire(path: Path, id: str) -> None:
    """Make the call ID again, under the same id, whatever came of it."""
    with Orders(settings.load(path), see="webhooks") as orders:
        order = firing(id, system_user())
        answer = orders.carry_out(
            "/webhooks/fire",
            {"id": id},
            lambda store: {"target": store.write_now(acts.acted, [order])[0]},
        )
    if not answer["target"]:
        raise click.ClickException(f"no call {id}: `webhooks calls NAME` lists them")
    say(f"{id}  is made again, to {answer['target']}")


@webhooks.command()
@click.argument("name")
@click.pass_obj
def on(path: Path, name: str) -> None:
    """Let NAME be called again, with all that waits for it."""
    read = settings.load(path)
    _known(read, name)
    order: Acted = switching_on(name, system_user())
    with Orders(read, see="webhooks") as orders:
        orders.carry_out(
            "/webhooks/on", {"name": name}, lambda store: store.write_now(acts.acted, [order])
        )
    say(f"{name}  is called")


def _known(read: Settings, name: str) -> Target:
    if name not in read.targets:
        close = nearest(name, read.targets)
        raise click.ClickException(f"{read.path.name}: no webhook {name}{close}")
    return read.targets[name]


def _line(target: Target, state: TargetState, counts: Counts) -> str:
    how = "on"
    if state.off_since is not None:
        how = f"off since {shown(state.off_since)}: `webhooks on {target.name}`"
    elif state.failing_since is not None:
        how = f"fails since {shown(state.failing_since)}"
    taken = "nothing taken" if counts.taken_at is None else f"taken {shown(counts.taken_at)}"
    since = "" if counts.oldest is None else f" since {shown(counts.oldest)}"
    waiting = f"{counted(counts.waiting, 'call')} waiting{since}"
    return f"{target.name:16}  {target.host}  {how}  {waiting}  {taken}"


def _call_line(call: Call) -> str:
    if call.taken_at is not None:
        became = f"taken {shown(call.taken_at)}"
    elif call.due_at is not None:
        became = f"waits until {shown(call.due_at)}"
    else:
        became = "given up"
    tries = counted(call.tries, "call")
    said = f"  {call.answer}" if call.answer else ""
    about = call.message or "-"
    return f"{call.id}  {shown(call.since)}  {call.kind:20}  {about}  {became}  {tries}{said}"
