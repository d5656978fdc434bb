"""`acts`: who did what, when, by which way, and from where."""

from collections.abc import Iterator
from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.terminal import print_page, say
from relay.core.times import shown
from relay.operators import exports
from relay.store import acts as stored
from relay.store.acts import Act, Wanted


@click.command()
@click.argument("word", default="")
@click.option("--limit", default=50, show_default=True)
@click.option("--below", type=int, help="Only what comes after: the next page.")
@click.option(
    "--export",
    "form",
    type=click.Choice([*exports.FORMS]),
    help="All of them, oldest first, as CSV or as lines of JSON.",
)
@click.pass_obj
def acts(path: Path, word: str, limit: int, below: int | None, form: str | None) -> None:
    """List what people did, newest first; only what WORD did, was, or was done to.

    WORD is a person's name, a key's id, a verb, a message's id, a server.
    """
    with reading(path) as (_, store):
        if form is not None:
            store.read_now(lambda connection: _export(stored.everything(connection), word, form))
            return
        page = store.read_now(stored.page, Wanted(word, below=below), limit)
    print_page(
        page.rows, None if page.below is None else str(page.below), lambda row: _line(row[1])
    )


def _line(act: Act) -> str:
    who = f"{act.by.who} ({act.by.way})"
    origin = f" from {act.by.origin}" if act.by.origin else ""
    changed = " -> ".join(part for part in (act.before, act.after) if part)
    return f"{shown(act.at)}  {who:24} {act.verb:16} {act.target}  {changed}{origin}".rstrip()


def _export(done: Iterator[Act], word: str, form: str) -> None:
    wanted = (act for act in done if word in ("", act.by.who, act.verb, act.target))
    for line in exports.lines(exports.ACT, map(exports.act_row, wanted), form):
        say(line)
