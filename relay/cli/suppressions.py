"""`suppressions`: the addresses that get no mail, and what an operator changes about them."""

from pathlib import Path
from typing import Any

import click

from relay.cli.context import Orders, reading, server_of
from relay.cli.terminal import counted, print_page, say
from relay.config import settings
from relay.config.keys import hashing_secret
from relay.core import addresses, clock
from relay.core.times import shown
from relay.operators.acting import suppressing, system_user
from relay.store import acts
from relay.store import suppressions as stored
from relay.store.engine.database import Store
from relay.store.outbox import resend
from relay.store.suppressions import Reason, Word


@click.group(invoke_without_command=True)
@click.option("--server", help="Only those of this server's group.")
@click.option("--limit", default=50, show_default=True)
@click.option(
    "--below", nargs=2, metavar="GROUP ADDRESS", help="Only what comes after: the next page."
)
@click.pass_context
def suppressions(
    context: click.Context, server: str | None, limit: int, below: tuple[str, str] | None
) -> None:
    """List the addresses that get no mail, by the group whose provider said so."""
    if context.invoked_subcommand is not None:
        return
    with reading(context.obj) as (read, store):
        group = None if server is None else server_of(read, server).group
        page = store.read_now(stored.page, group, clock.now(), below, limit)
    print_page(page.rows, page.after and " ".join(page.after), _line)


def _line(row: Any) -> str:
    until = f"until {shown(row.until)}" if row.until is not None else ""
    words = " ".join(part for part in (until, row.words) if part)
    reason, since = f"{row.reason:12}", shown(row.since)
    return f"{row.server:16}  {row.address}  {reason}  {since}  {words}".rstrip()


@suppressions.command()
@click.argument("server")
@click.argument("address")
@click.option("--words", default="", help="Why, for the list.")
@click.pass_obj
def add(path: Path, server: str, address: str, words: str) -> None:
    """Send nothing to ADDRESS any more from SERVER's group."""
    group, email = _noted(path, server, address, "manual", words or "by the operator")
    say(f"{email}  suppressed for {group}")


@suppressions.command()
@click.argument("server")
@click.argument("address")
@click.pass_obj
def lift(path: Path, server: str, address: str) -> None:
    """Let SERVER's group send to ADDRESS again. Mail held for it waits for `queue replay`."""
    group, email = _noted(path, server, address, "lifted", "by the operator")
    say(f"{email}  lifted for {group}")
    with reading(path) as (_, store):
        count = store.read_now(resend.count, email)
    if count:
        say(f"{counted(count, 'message')} held for it: `queue replay {email}`", err=True)


def _noted(path: Path, server: str, address: str, reason: Reason, words: str) -> tuple[str, str]:
    """Have the daemon write it down, or do so; return the group and the address as written."""
    read = settings.load(path)
    group, email = server_of(read, server).group, email_of(address)
    secret = hashing_secret(read.data, read.secret)
    named = [email, stored.stand_in(secret, email)]
    with reading(path) as (_, store):
        stands = store.read_now(stored.standing, group, named, clock.now())
    if bool(stands) == (reason != "lifted"):
        raise click.ClickException(f"{email} is {'' if stands else 'not '}suppressed for {group}")
    asked = {"server": group, "address": email, "reason": reason, "words": words}
    word = Word(group, email, reason, clock.now(), words=words)

    def alone(store: Store) -> None:
        order = suppressing(word, system_user(), secret)
        known = word._replace(address=stands[0]) if stands else word
        store.write_now(acts.acted, [order._replace(argument=known)])

    with Orders(read, see="suppressions") as orders:
        orders.carry_out("/suppressions", asked, alone)
    return group, email


def email_of(address: str) -> str:
    """Return an address as it is compared; end the command for one that is none."""
    try:
        return addresses.bare(address).email.lower()
    except ValueError as error:
        raise click.ClickException(f"{address}: {error}") from None
