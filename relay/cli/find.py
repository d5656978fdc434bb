"""`find`: which messages a person means, whatever became of them."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.terminal import paged, print_page, say
from relay.core import clock
from relay.core.times import shown, utc
from relay.operators import query
from relay.store.queries import word_search
from relay.store.queries.word_search import Found, Wanted
from relay.store.words.texts import FoundMessage

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@click.command()
@click.argument("words", nargs=-1, required=True)
@paged(limit=50)
@click.pass_obj
def find(path: Path, words: tuple[str, ...], limit: int, below: str | None) -> None:
    """List messages of any state that all WORDS fit, newest first.

    A word stands in the writer's address, a recipient's, the subject, the tag or the server's name,
    or is the reference; wor* is the beginning of one, "two words" stand beside each other. Or it is
    a day: 2026-11-28, today, yesterday (UTC). Or one of to: from: subject: server: state: tag:
    before: after: id: reference: with what is looked for behind it.
    """
    wanted = _wanted(words, clock.now())
    with reading(path) as (_, store):
        found = store.read_now(word_search.find, wanted, below, limit)
    print_page(found.rows, found.below, _line)
    for line in _notes(found, below):
        say(line, err=True)


def _wanted(given: Sequence[str], now: float) -> Wanted:
    """Read what is looked for; raise UsageError for what cannot be understood."""
    days = {word: day for word in given if (day := _day(word, now)) is not None}
    others = " ".join(_quoted(word) for word in given if word not in days)
    wanted, problems = query.parse(others, UTC, now)
    if problems:
        raise click.UsageError("; ".join(problems))
    if days:
        last = max(days.values()) + timedelta(days=1)
        wanted = wanted._replace(since=min(days.values()).timestamp(), before=last.timestamp())
    return wanted


def _quoted(word: str) -> str:
    """Quote again what the shell gives as one word because it was quoted."""
    if '"' in word or not re.search(r"\s", word):
        return word
    name, colon, value = word.rpartition(":")
    return f'{name}{colon}"{value}"'


def _day(word: str, now: float) -> datetime | None:
    today = utc(now).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    if _DAY.fullmatch(word):
        try:
            return datetime.fromisoformat(word).replace(tzinfo=UTC)
        except ValueError:
            return None
    return named.get(word.casefold())


def _notes(found: Found, below: str | None) -> Iterator[str]:
    if not found.rows and found.below is None:
        yield "nothing found" if below is None else "nothing more found"
    if found.searched_to is not None:
        yield f"searched back to {shown(found.searched_to)}"
    for since, until in found.unindexed:
        span = f"before {shown(until)}" if since is None else f"{shown(since)} to {shown(until)}"
        yield f"not indexed yet: {span}"


def _line(one: FoundMessage) -> str:
    subject = " ".join(one.subject.split())
    named, writer = one.reference or one.id, one.writer or "-"
    head = f"{shown(one.created_at)}  {one.state:11}  {one.server:16}  {named}"
    return f"{head}  {writer}  {subject}".rstrip()
