"""`queue replay`: send what is held for an office's address, once it takes mail again."""

from pathlib import Path
from typing import Any

import click

from relay.cli.context import Orders, server_of
from relay.cli.suppressions import email_of
from relay.cli.terminal import counted, say
from relay.config import settings
from relay.core import clock
from relay.operators.acting import replaying, system_user
from relay.store import acts
from relay.store.engine.database import Store
from relay.store.outbox import resend


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
    servers = {name: known.server for name, known in read.servers.items()}
    count, lifted, after = 0, set[str](), ""

    def alone(store: Store) -> dict[str, Any]:
        by = system_user()
        order = resend.order(address, server, servers, clock.now(), after, by.who)
        [done] = store.write_now(acts.acted, [replaying(order, by)])
        emails = [word.address for word in done.lifted]
        return {"count": len(done.ids), "lifted": emails, "after": done.after}

    with Orders(read, see="queue") as orders:
        while after is not None:
            asked = {"address": address, "server": server, "after": after}
            answer = orders.carry_out("/held/replay", asked, alone)
            count += answer["count"]
            lifted.update(answer["lifted"])
            after = answer["after"]
    for email in sorted(lifted):
        say(f"{email}  may be written to again")
    say(f"{counted(count, 'message')} queued" if count else "nothing is held for it")
