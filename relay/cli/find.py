"""`find`: which messages a person means, whatever became of them."""

from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.terminal import paged, print_page, say
from relay.core import clock
from relay.core.times import shown
from relay.store.queries import word_search
from relay.store.queries.word_search import FoundMessage


@click.command()
@click.argument("words", nargs=-1, required=True)
@paged(limit=50)
@click.pass_obj
def find(path: Path, words: tuple[str, ...], limit: int, below: str | None) -> None:
    """List messages of any state that all WORDS fit, newest first.

    A word stands in the writer's address, a recipient's, the subject, the reference or the server's
    name; or it is a day: 2026-11-28, today, yesterday (UTC).
    """
    with reading(path) as (_, store):
        what = word_search.wanted(words, clock.now())
        page = store.read_now(word_search.find, what, below, limit)
    print_page(page.rows, page.below, _line)
    if not page.rows:
        say("nothing found" if page.below is None else "nothing found so far", err=True)


def _line(one: FoundMessage) -> str:
    subject = " ".join(one.subject.split())
    named, writer = one.reference or one.id, one.writer or "-"
    head = f"{shown(one.created_at)}  {one.state:11}  {one.server:16}  {named}"
    return f"{head}  {writer}  {subject}".rstrip()
