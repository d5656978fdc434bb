"""`screened`: the submissions that were kept back, to be released or dropped.

A robot's are; and those that a plugin failed at, until it is mended.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.control_client import running, tell
from relay.cli.terminal import paged, print_page, say
from relay.config import settings
from relay.core.states import State
from relay.core.times import shown
from relay.store.outbox import screened as stored
from relay.store.outbox.operator_actions import Verdict
from relay.store.queries import listing
from relay.store.queries.listing import MessageRow
from relay.store.schema import BROKEN

# Submissions of one order to the daemon, and the seconds that one may take.
BATCH = 100
SECONDS = 120.0


@click.group(invoke_without_command=True)
@paged(limit=50)
@click.pass_context
def screened(context: click.Context, limit: int, below: str | None) -> None:
    """List what was kept back as a robot's, or because a plugin failed at it, newest first."""
    if context.invoked_subcommand is not None:
        return
    with reading(context.obj) as (_, store):
        page = store.read_now(listing.screened, below, limit)
        rates = store.read_now(stored.rates)
    print_page(
        page.rows,
        page.below,
        _line,
    )
    for rate in rates:
        share = f"{rate.released / rate.screened:.0%}"
        words = f"{rate.released} of {rate.screened} screened were released ({share})"
        say(f"{rate.server}: {words}", err=True)


def _line(row: MessageRow) -> str:
    broke = "broke: " if row.kind == BROKEN else ""
    return f"{row.id}  {shown(row.created_at)}  {row.server:16}  {broke}{row.words}"


@screened.command()
@click.argument("id")
@click.pass_obj
def show(path: Path, id: str) -> None:
    """Print the fields of one, as they were submitted, and the names of its files."""
    with reading(path) as (_, store):
        found = store.read_now(listing.find, id)
    kept = found and (found.row.state == State.SCREENED or found.row.kind == BROKEN)
    if found is None or not kept:
        raise click.ClickException(f"no submission {id} was kept back")
    if found.row.cleared_at is not None:
        raise click.ClickException(f"its fields were cleared on {shown(found.row.cleared_at)}")
    document = json.loads(found[1].document)
    # JSON leaves these as they are, and to a terminal they are commands.
    text = json.dumps(document["fields"], indent=2, ensure_ascii=False)
    say(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
    for field_name, name, _, content in document.get("files", ()):
        size = len(content) * 3 // 4
        say(f"file in {field_name}: {name}, {size} bytes", err=True)


@screened.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def release(path: Path, ids: Sequence[str]) -> None:
    """Send what was kept back: from the schema onwards, as if it came in now."""
    _order(path, "release", ids)


@screened.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def drop(path: Path, ids: Sequence[str]) -> None:
    """Clear the fields of what is a robot's indeed; it is listed no longer."""
    _order(path, "drop", ids)


def _order(path: Path, name: str, ids: Sequence[str]) -> None:
    """Have the daemon do it; print what was done, and on stderr what was not."""
    data = settings.load(path).data
    refused = 0
    for verdict in _verdicts(data, name, list(dict.fromkeys(ids))):
        if verdict.done:
            say(f"{verdict.id}  {verdict.words}")
        else:
            refused += 1
            say(f"{verdict.id}  left alone: {verdict.words}", err=True)
    if refused:
        sys.exit(1)


def _verdicts(data: Path, name: str, ids: Sequence[str]) -> Iterator[Verdict]:
    for start in range(0, len(ids), BATCH):
        asked = {"ids": ids[start : start + BATCH]}
        answer = tell(data, f"/screened/{name}", asked, see="screened", seconds=SECONDS)
        verdicts = running(answer, ": its plugins are needed")["verdicts"]
        yield from (Verdict(*verdict) for verdict in verdicts)


_CONTROLS = re.compile("[\x7f-\x9f]")
