"""`pause` and `resume`: a server whose mail is stored and not attempted, until it goes on."""

import time
from pathlib import Path

import click

from relay.cli.context import reading, server_of, writing
from relay.cli.control_client import tell
from relay.cli.terminal import visible
from relay.config import settings
from relay.config.settings import Settings
from relay.core.text import nearest
from relay.store import installation as stored


@click.command()
@click.argument("server")
@click.pass_obj
def pause(path: Path, server: str) -> None:
    """Attempt no mail of SERVER until it is resumed, also after a restart; store all of it.

    Mail of the servers that deliver through it waits too.
    """
    read = settings.load(path)
    name = server_of(read, server).name
    if not _told(read, "/pause", name):
        with writing(read) as store:
            store.write_now(stored.pause, [(name, time.time())])
    click.echo(f"{name}  paused")


@click.command()
@click.argument("server")
@click.pass_obj
def resume(path: Path, server: str) -> None:
    """Let SERVER's mail be attempted again, at once."""
    name = server.lower()
    with reading(path) as (read, store):
        pauses = store.read_now(stored.paused_servers)
    if name not in pauses:
        raise click.ClickException(f"{visible(server)} is not paused{nearest(name, pauses)}")
    if not _told(read, "/resume", name):
        with writing(read) as store:
            store.write_now(stored.resume, [name])
    click.echo(f"{name}  resumed")


def _told(read: Settings, path: str, server: str) -> bool:
    """Have the daemon do it; return whether one runs."""
    answer = tell(read.data, path, {"server": server}, see="status")
    if answer is not None and answer["problem"]:
        raise click.ClickException(visible(answer["problem"]))
    return answer is not None
