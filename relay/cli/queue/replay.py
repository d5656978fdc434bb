"""`queue replay`: send what is held for an office's address, once it takes mail again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from relay.cli.context import server_of, writing
from relay.cli.control_client import tell
from relay.cli.suppressions import email_of
from relay.cli.terminal import counted, visible
from relay.config import settings
from relay.config.settings import Settings
from relay.store.outbox import resend

Carry = Callable[[str], dict[str, Any]]


@click.command()
@click.argument("what", metavar="SERVER|ADDRESS")
@click.pass_obj
def replay(path: Path, what: str) -> None:
    """Send what is held for an ADDRESS, or all that SERVER holds for addresses.

    The addresses may be written to again from then on; what is held because of a doubt stays.
    """
    read = settings.load(path)
    address = email_of(what) if "@" in what else ""
    server = "" if address else server_of(read, what).name
    count, lifted, after = 0, set[str](), ""
    with _carrying(read, address, server) as carry:
        while after is not None:
            answer = carry(after)
            count += answer["count"]
            lifted.update(answer["lifted"])
            after = answer["after"]
    for email in sorted(lifted):
        click.echo(f"{email}  may be written to again")
    click.echo(f"{counted(count, 'message')} queued" if count else "nothing is held for it")


@contextmanager
def _carrying(read: Settings, address: str, server: str) -> Iterator[Carry]:
    """Return what carries the order out: the daemon where one runs, or this process."""

    def by_daemon(after: str) -> dict[str, Any] | None:
        asked = {"address": address, "server": server, "after": after}
        answer = tell(read.data, "/held/replay", asked, see="queue")
        if answer is not None and answer["problem"]:
            raise click.ClickException(visible(answer["problem"]))
        return answer

    first = by_daemon("")
    if first is not None:

        def carry(after: str) -> dict[str, Any]:
            answer = by_daemon(after) if after else first
            if answer is None:
                raise click.ClickException("the daemon stopped: see `queue` for what it did")
            return answer

        yield carry
        return
    servers = {name: known.server for name, known in read.servers.items()}
    with writing(read) as store:

        def write(after: str) -> dict[str, Any]:
            order = resend.order(address, server, servers, time.time(), after)
            [done] = store.write_now(resend.replay, [order])
            lifted = [word.address for word in done.lifted]
            return {"count": done.queued, "lifted": lifted, "after": done.after}

        yield write
