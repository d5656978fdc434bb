"""`queue readdress`: send a message again, to another address."""

from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.control_client import running, tell
from relay.cli.suppressions import email_of
from relay.cli.terminal import agree, say
from relay.core.states import State
from relay.store.queries import listing

_TWICE = "It was sent; {} gets it besides. Go on?"


@click.command()
@click.argument("id")
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def readdress(path: Path, id: str, address: str, *, yes: bool) -> None:
    """Send message ID again, to ADDRESS alone: a mistyped address was mended, an office moved.

    It is a message of its own; ID is over, if it was not before.
    """
    email = email_of(address)
    with reading(path) as (read, store):
        found = store.read_now(listing.find, id)
    if found is not None and found.row.state == State.SENT:
        agree(_TWICE.format(email), agreed=yes, option="--yes")
    asked = {"id": id, "address": email}
    answer = running(
        tell(read.data, "/messages/readdress", asked, see="queue"), ": its plugins are needed"
    )
    say(f"{answer['id']}  queued, to {email}")
