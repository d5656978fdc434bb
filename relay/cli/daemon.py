"""`reload`, `pause` and `resume`: what the running daemon is told."""

from pathlib import Path
from typing import Any

import click

from relay.cli.context import Orders, reading, server_of
from relay.cli.control_client import ask, running
from relay.cli.terminal import say
from relay.config import settings
from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.core.text import nearest
from relay.delivery.pauses import pausing, resuming
from relay.operators.acting import system_user
from relay.store import acts
from relay.store import installation as stored
from relay.store.acts import Acted
from relay.store.cluster.membership import unheard
from relay.store.engine.database import Store


@click.command()
@click.pass_obj
def reload(path: Path) -> None:
    """Have the running daemon read its settings again; say what is wrong with them."""
    problem = running(ask(settings.load(path).data, "POST", "/reload"))["problem"]
    if problem:
        raise ConfigurationError(problem)
    say("settings read")


@click.command()
@click.argument("server")
@click.pass_obj
def pause(path: Path, server: str) -> None:
    """Attempt no mail of SERVER until it is resumed, also after a restart; store all of it.

    Mail of the servers that deliver through it waits too.
    """
    read = settings.load(path)
    name = server_of(read, server).name
    _order(read, "/pause", name, pausing(name, system_user()))
    say(f"{name}  paused")


@click.command()
@click.argument("server")
@click.pass_obj
def resume(path: Path, server: str) -> None:
    """Let SERVER's mail be attempted again, at once."""
    name = server.lower()
    with reading(path) as (read, store):
        pauses = store.read_now(stored.paused_servers)
    if name not in pauses:
        raise click.ClickException(f"{server} is not paused{nearest(name, pauses)}")
    _order(read, "/resume", name, resuming(name, system_user()))
    say(f"{name}  resumed")


def _order(read: Settings, path: str, server: str, order: Acted) -> None:
    def told(store: Store) -> dict[str, Any]:
        store.write_now(acts.acted, [order])
        return {"unheard": [one.name for one in unheard(store, "pauses")]}

    with Orders(read, see="status") as orders:
        answer = orders.carry_out(path, {"server": server}, told)
    for name in answer["unheard"]:
        say(f"{name} has not heard of it yet: see `status`", err=True)
