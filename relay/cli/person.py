"""`person`: what is stored about an address, to be seen, handed out, or erased."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from relay.cli.context import Orders, reading
from relay.cli.terminal import agree, counted, progress, say
from relay.config.keys import hashing_secret
from relay.config.settings import Settings
from relay.core import clock
from relay.core.mentions import Mentions
from relay.core.times import shown
from relay.operators import person as operators
from relay.operators.acting import system_user
from relay.operators.person import Outcome, Persons
from relay.store import acts
from relay.store.engine.database import Store
from relay.store.maintenance import audit
from relay.store.person import export
from relay.store.person.search import Found, Search

# The daemon looks at every row twice, and at its files.
SECONDS = 4 * 3600.0
# So many of the messages that are not over are named.
NAMED = 20


@click.command()
@click.argument("address")
@click.option(
    "--export",
    "target",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all of it to a new file, as JSON.",
)
@click.option("--erase", is_flag=True, help="Erase all of it.")
@click.option("--waiting", is_flag=True, help="With --erase: cancel what waits.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def person(
    path: Path, address: str, target: Path | None, *, erase: bool, waiting: bool, yes: bool
) -> None:
    """Find what is stored about ADDRESS, in whatever place; with options: export or erase it."""
    if waiting and not erase:
        raise click.UsageError("--waiting belongs to --erase")
    try:
        mentions = Mentions(address)
    except ValueError as error:
        raise click.ClickException(f"{address}: {error}") from None
    with reading(path) as (read, store):
        found = _found(store, mentions)
        _print(found)
        if target is not None:
            _write(target, store, found, mentions)
    if target is not None:
        _note(read, mentions.address)
    if erase:
        _erase(read, found, mentions, cancel=waiting, yes=yes)


def _found(store: Store, mentions: Mentions) -> Found:
    search = Search(mentions)
    with progress("messages", store.read_now(audit.size)) as went_on:
        while (step := store.read_now(search.look)) is not None:
            went_on(step)
    return search.found


def _print(found: Found) -> None:
    for place, count in operators.counts(found).items():
        say(f"{place:30} {count:>7,}")
    for other in sorted(found.mailbox):
        say(f"{other} is the same mailbox: look for it, too", err=True)
    if not found:
        say("nothing found", err=True)
    waits = operators.waiting(found)
    for one in waits[:NAMED]:
        say(f"{one.id}  {shown(one.created_at)}  {one.server:16}  {one.state}: not over yet")
    if len(waits) > NAMED:
        say(f"and {counted(len(waits) - NAMED, 'message')} more: not over yet")


def _write(target: Path, store: Store, found: Found, mentions: Mentions) -> None:
    """Write what was found to a file that its owner alone can read."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(_pieces(store, found, mentions))
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}") from None
    say(f"written to {target}")


def _pieces(store: Store, found: Found, mentions: Mentions) -> Iterator[str]:
    document = export.Document(mentions.address, clock.now())
    for section, query in export.sections(found, mentions):
        yield document.piece(section, store.read_now(query))
    yield document.end()


def _note(read: Settings, address: str) -> None:
    """Note who exported it."""

    def alone(store: Store) -> None:
        secret = hashing_secret(read.data, read.secret)
        store.write_now(acts.noted, [operators.handing_out(address, system_user(), secret)])

    with Orders(read, see="acts") as orders:
        orders.carry_out("/person/handed-out", {"address": address}, alone)


def _erase(read: Settings, found: Found, mentions: Mentions, *, cancel: bool, yes: bool) -> None:
    problem = operators.objection(mentions.address, found, read, cancel=cancel)
    if problem:
        hint = "" if cancel or not operators.waiting(found) else "; --waiting says so"
        raise click.ClickException(problem + hint)
    question = f"Erase {mentions.address}? It cannot be taken back."
    agree(question, agreed=yes, option="--yes")
    asked = {"address": mentions.address, "cancel": cancel}

    def alone(store: Store) -> dict[str, Any]:
        persons = Persons(store, lambda: read, hashing_secret(read.data, read.secret))
        erasing = persons.erase(mentions.address, system_user(), cancel=cancel, is_alone=True)
        return asyncio.run(erasing)._asdict()

    with Orders(read, see="person", seconds=SECONDS) as orders:
        answer = orders.carry_out("/person/erase", asked, alone)
    outcome = Outcome(**answer)
    if outcome.problem:
        raise click.ClickException(outcome.problem)
    for line in operators.report(outcome):
        say(line)
    if outcome.left:
        sys.exit(1)
