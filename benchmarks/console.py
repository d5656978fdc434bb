"""How long the console's searches and numbers take in a store of a million messages, or of ten.

The store is made at once, with an index of words: of two years, of fifty servers, in every state,
with subjects of common and rare words. Each kind of search is made with many different values. And
what the index takes from acceptance: daemons with and without it, in turn, under the same load.

Run it from the project's root: .venv/bin/python -m benchmarks.console
"""

import asyncio
import platform
import random
import sqlite3
import statistics
import time
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import click
import psycopg
from sqlalchemy import insert

from benchmarks import serving
from benchmarks.load import load
from relay.core.ids import reference_number
from relay.core.states import State
from relay.operators.query import parse
from relay.store.engine.database import Connection, Store
from relay.store.engine.writer import one_by_one
from relay.store.outbox.ledger import day
from relay.store.queries import statistics as numbers
from relay.store.queries import word_search
from relay.store.queries.search import first_id
from relay.store.schema import ledger, messages, minutes, receipts
from relay.store.words import index, texts
from relay.store.words.texts import FoundMessage
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import running_server

SECONDS = 2 * 365 * 86400.0
SERVERS = [f"office{number:02}" for number in range(50)]
# What of a thousand messages is in each state; the newest that are not sent yet come to these.
STATES = {
    State.SENT: 964.5,
    State.SCREENED: 15,
    State.FAILED: 10,
    State.SUPPRESSED: 4,
    State.CANCELLED: 3,
    State.EXPIRED: 3,
    State.HELD: 0.3,
    State.QUARANTINED: 0.1,
    State.IN_DOUBT: 0.1,
}
WAITING = 2000
BATCH = 10_000
# More than this are copies of so many.
COPIED = 1_000_000
PAGE = 50
DOCUMENT = '{"sender":["relay@example.gov",""],"to":[["desk@example.gov",""]],"text":"Hello."}'
MESSAGES = ["id", "server", "state", "created_at", "due_at", "since", "fence", "attempts", "tries"]
MESSAGES += ["kind", "size", "key", "delivery", "words", "writer"]
CONTENTS = ["id", "recipients", "subject", "sender", "tag", "document"]
WORDS = ["rowid", "message", "subject", "recipients", "senders", "labels"]


class Vocabulary:
    """Words as a language has them: few common ones, many rare ones."""

    def __init__(self, chance: random.Random) -> None:
        syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "er", "in")]
        made = {
            "".join(chance.choices(syllables, k=chance.choice((2, 3, 3, 4)))) for _ in range(40_000)
        }
        self.words = sorted(made)[:20_000]
        chance.shuffle(self.words)
        self._weights = list(accumulate(1 / (rank + 10) for rank in range(len(self.words))))

    def some(self, chance: random.Random, count: int) -> list[str]:
        """Return words by chance."""
        total, last = self._weights[-1], len(self.words) - 1
        return [
            self.words[min(bisect(self._weights, chance.random() * total), last)]
            for _ in range(count)
        ]


class Row(NamedTuple):
    """A message as it is listed, and the subject of what was screened in a document."""

    found: FoundMessage
    document: str


def made(count: int, copies: int, vocabulary: Vocabulary, now: float) -> Iterator[Row]:
    """Make the last part of the messages, the oldest of them first."""
    chance = random.Random(1)  # noqa: S311
    states, weights = list(STATES), list(accumulate(STATES.values()))
    servers = list(accumulate(1 / (rank + 2) for rank in range(len(SERVERS))))
    step = (SECONDS - 60) / count
    for number in range(count - count // copies, count):
        at = round(now - SECONDS + number * step, 3)
        id = f"{int(at * 1000):012x}"
        id = f"{id[:8]}-{id[8:]}-7{number % 4096:03x}-8{chance.getrandbits(60):015x}"
        id = f"{id[:23]}-{id[23:]}"
        server = SERVERS[bisect(servers, chance.random() * servers[-1])]
        state = states[bisect(weights, chance.random() * weights[-1])]
        if number >= count - WAITING:
            state = State.SCHEDULED if number % 8 == 0 else State.QUEUED
        said = vocabulary.some(chance, 5)
        subject = f"Contact form: {' '.join(said)}" if chance.random() < 0.3 else " ".join(said)
        first, last = (
            vocabulary.words[chance.randrange(2000)],
            vocabulary.words[-chance.randrange(1, 9000)],
        )
        writer = f"{first}.{last}{chance.randrange(max(count // 5, 1))}@example.com"
        document = DOCUMENT
        if state == State.SCREENED:
            document = f'{{"fields":{{"subject":"{subject}","from_address":"{writer}"}}}}'
        recipients = (
            "" if state == State.SCREENED else f"desk{chance.randrange(4)}@{server}.example.gov"
        )
        words = "250 taken" if state == State.SENT else "550 no such mailbox"
        sender = "" if state == State.SCREENED else "relay@example.gov"
        tag = ("", "form", "letter", "receipt")[number % 4]
        yield Row(
            FoundMessage(
                id, at, state, server, "", sender, writer, recipients, subject, words, tag
            ),
            document,
        )


def rows_of(row: Row) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return what stands in `messages` and `contents`."""
    one = row.found
    screened = one.state == State.SCREENED
    at, tries = (
        one.created_at,
        0 if one.state in (State.QUEUED, State.SCHEDULED, State.SCREENED) else 1,
    )
    head = (one.id, one.server, one.state.value, at, at + 1, at, tries, tries, tries, "plain")
    message = (
        *head,
        len(row.document),
        "key",
        "postmark",
        one.words,
        "" if screened else one.writer,
    )
    content = (
        one.id,
        one.recipients,
        "" if screened else one.subject,
        one.sender,
        one.tag,
        row.document,
    )
    return message, content


def batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Cut the messages into those of one commit."""
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def fill_sqlite(path: Path, rows: Iterator[Row], copies: int) -> str:
    """Put messages into a file; return the last one's id.

    copies: how often they are there, each time somewhat earlier: to copy them takes a tenth of the
    time of making them.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        pragmas = (
            "journal_mode=OFF",
            "synchronous=OFF",
            "cache_size=-1000000",
            "temp_store=MEMORY",
        )
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        tables = {"messages": MESSAGES, "contents": CONTENTS, "words": WORDS}
        for table, names in tables.items():
            columns = ", ".join(names).replace("rowid", "number")
            connection.execute(f"CREATE TEMP TABLE made_{table} (at, {columns})")
        last = ""
        for batch in batches(rows):
            connection.execute("BEGIN")
            for table, names in tables.items():
                marks = ", ".join("?" * (len(names) + 1))
                adding = f"INSERT INTO made_{table} VALUES ({marks})"  # noqa: S608
                connection.executemany(adding, [_made(table, row) for row in batch])
            connection.execute("COMMIT")
            last = batch[-1].found.id if batch else last
        for copy in range(copies - 1, -1, -1):
            earlier = int(copy * SECONDS * 1000 / copies)
            connection.create_function("earlier", 0, lambda by=earlier: by)
            connection.execute("BEGIN")
            for table, names in tables.items():
                chosen = ", ".join(_COPIED.get(name, name) for name in names)
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(names)})"  # noqa: S608
                    f" SELECT {chosen} FROM made_{table} ORDER BY at"
                )
            connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
    return last


# How what differs between the copies is made, in SQLite's words.
_ID = "printf('%08x-%04x', (at - earlier()) >> 16, (at - earlier()) & 65535) || substr({}, 14)"
_COPIED = {
    "id": _ID.format("id"),
    "message": _ID.format("message"),
    "rowid": "number - (earlier() << 15)",
    "state": "iif(earlier() AND state IN ('queued', 'scheduled'), 'sent', state)",
    **{name: f"{name} - earlier() / 1000.0" for name in ("created_at", "due_at", "since")},
}


def _made(table: str, row: Row) -> tuple[Any, ...]:
    message, content = rows_of(row)
    at = round(row.found.created_at * 1000)
    if table == "words":
        said = (" ".join(words) for words in index.columns(row.found).values())
        return (at, index.number(row.found.id), row.found.id, *said)
    return (at, *(message if table == "messages" else content))


def fill_postgresql(url: str, rows: Iterator[Row]) -> str:
    """Put messages into a database; return the last one's id."""
    last = ""
    with psycopg.connect(url, autocommit=True) as connection:
        for batch in batches(rows):
            stored = [rows_of(row) for row in batch]
            said = [(row.found.id, index.vector(row.found)) for row in batch]
            for table, names, values_of in (
                ("messages", MESSAGES, [message for message, _ in stored]),
                ("contents", CONTENTS, [content for _, content in stored]),
                ("words", ["message", "said"], said),
            ):
                copying = f"COPY {table} ({', '.join(names)}) FROM STDIN"
                with connection.cursor() as cursor, cursor.copy(copying) as copy:
                    for one in values_of:
                        copy.write_row(one)
            last = batch[-1].found.id if batch else last
        connection.execute("VACUUM ANALYZE")
    return last


def opened(url: str, folder: Path) -> Store:
    """Open a store that no daemon serves."""
    store = Store(url, folder)
    store.open(to_serve=False)
    return store


def fill(url: str, folder: Path, count: int, vocabulary: Vocabulary, now: float) -> None:
    """Make a store of so many messages."""
    opened(url, folder).close()
    if url.startswith("sqlite"):
        copies = max(count // COPIED, 1)
        last = fill_sqlite(folder / "relay.db", made(count, copies, vocabulary, now), copies)
    else:
        last = fill_postgresql(url, made(count, 1, vocabulary, now))
    store = opened(url, folder)
    store.write_now(finish, [last])
    store.close()


@one_by_one
def finish(connection: Connection, last: str) -> None:
    """Say that all is indexed, refer to some, and count by day and minute."""
    index.keep(connection, index.Reach("", last))
    told = [
        {"message": one.id, "reference": reference_number(), "address": "", "mailbox": ""}
        for one in samples(connection)
    ]
    connection.execute(insert(receipts), told)
    now = time.time()
    days = [day(now - back * 86400) for back in range(int(SECONDS // 86400))]
    counts = {"accepted": 9, "screened": 1, "sent": 8, "failed": 1}
    places = [{"server": server, "day": on, **counts} for server in SERVERS for on in days]
    connection.execute(insert(ledger), places)
    last = int(now // 60)
    by_minute = [
        {"server": server, "minute": last - back, **counts}
        for server in SERVERS
        for back in range(180)
    ]
    connection.execute(insert(minutes), by_minute)


def samples(connection: Connection) -> list[FoundMessage]:
    """Return some of the messages, of any time."""
    now, found = time.time(), []
    for number in range(500):
        at = first_id(now - SECONDS + number / 500 * SECONDS)
        query = texts.query().where(messages.c.id >= at).order_by(messages.c.id).limit(1)
        found += texts.rows(connection, query)
    return found


class Asked(NamedTuple):
    """A kind of question, and each time another one of it."""

    kind: str
    ask: Callable[[Connection], Any]


def questions(vocabulary: Vocabulary, rows: Sequence[FoundMessage], now: float) -> Iterator[Asked]:
    """Return some of each kind; rows: some messages that are there."""
    chance = random.Random(2)  # noqa: S311
    common, middle = vocabulary.words[:40], vocabulary.words[4000:14000]

    def found(asked: str, below: str | None = None) -> Callable[[Connection], Any]:
        wanted = parse(asked, now=now).wanted
        return lambda connection: word_search.find(connection, wanted, below, PAGE)

    for number in range(40):
        row = rows[chance.randrange(len(rows))]
        server, subject = row.server, row.subject.split()
        address, on = row.writer, day(now - chance.random() * SECONDS)
        rare = address.partition("@")[0].partition(".")[2]
        yield Asked("the list, unfiltered", found(""))
        yield Asked("the list, any page", found("", row.id))
        yield Asked("a server's list", found(f"server:{SERVERS[number]}"))
        yield Asked("a state's list", found(f"state:{list(State)[number % 12]}"))
        yield Asked("a server's failed", found(f"state:failed server:{SERVERS[number]}"))
        yield Asked("common word", found(common[number]))
        yield Asked("common word, any page", found(common[number], row.id))
        yield Asked("middling word", found(chance.choice(middle)))
        yield Asked("rare word", found(rare))
        yield Asked("two common words", found(" ".join(chance.sample(common, 2))))
        yield Asked("common and middling word", found(f"{chance.choice(middle)} {common[number]}"))
        yield Asked(
            "two rare words apart", found(f"{rare} {rows[number].writer.partition('@')[0]}")
        )
        yield Asked("phrase", found(f'"{subject[-2]} {subject[-1]}"'))
        yield Asked("phrase of common words", found(f'"{" ".join(chance.sample(common[:20], 2))}"'))
        yield Asked("whole address", found(address))
        yield Asked("to:", found(f"to:desk{number % 4}@{server}.example.gov"))
        yield Asked("from:", found(f"from:{rare}"))
        yield Asked("prefix, 4 letters", found(f"{chance.choice(middle)[:4]}*"))
        yield Asked("prefix, 3 letters", found(f"{chance.choice(middle)[:3]}*"))
        yield Asked("server and word", found(f"server:{SERVERS[number]} {chance.choice(middle)}"))
        yield Asked(
            "server and common word", found(f"server:{SERVERS[49 - number]} {common[number]}")
        )
        yield Asked("failed and word", found(f"state:failed {chance.choice(middle)}"))
        yield Asked("failed and common word", found(f"state:failed {common[number]}"))
        yield Asked("sent and word", found(f"state:sent {chance.choice(middle)}"))
        yield Asked("screened and word", found(f"state:screened {common[number]}"))
        yield Asked("queued and word", found(f"state:queued {common[number]}"))
        yield Asked("tag and word", found(f"tag:letter {chance.choice(middle)}"))
        yield Asked("before: and word", found(f"before:{on} {common[number]}"))
        week = f"after:{day(row.created_at)} before:{day(row.created_at + 7 * 86400)}"
        yield Asked("a week and word", found(f"{week} {subject[-1]}"))
        yield Asked("id:", found(f"id:{row.id}"))
        yield Asked("beginning of an id", found(f"id:{row.id[:13]}"))
        yield Asked("reference:", found(f"reference:{row.reference}"))
        yield Asked("no hit", found(f"qqq{number}"))
        yield Asked("no hit beside a common word", found(f"{common[number]} qqq{number}"))
        yield Asked(
            "numbers of 14 days", lambda connection: numbers.days(connection, day(now - 14 * 86400))
        )
        yield Asked("numbers of the hour", lambda connection: numbers.last_hour(connection, now))
        yield Asked("what waits", lambda connection: numbers.waiting(connection, SERVERS))
        yield Asked("what is to do", numbers.undecided)


def measure(store: Store, asked: Iterator[Asked]) -> None:
    """Print the median and the 95th percentile of each kind, in milliseconds."""
    times: dict[str, list[float]] = {}

    def ask_all(connection: Connection) -> None:
        for kind, ask in asked:
            begun_at = time.perf_counter()
            ask(connection)
            times.setdefault(kind, []).append((time.perf_counter() - begun_at) * 1000)

    store.read_now(ask_all)
    every = sorted(one for several in times.values() for one in several)
    for kind, several in times.items():
        ordered = sorted(several)
        high = ordered[int(0.95 * len(ordered))]
        click.echo(f"{kind:28} {statistics.median(ordered):8.1f} ms {high:8.1f} ms")
    within = bisect(every, 100) / len(every)
    click.echo(f"{within:.1%} within 100 ms, 95 % within {every[int(0.95 * len(every))]:.0f} ms")


def accepted(callers: int, seconds: float, *, is_indexed: bool) -> float:
    """Return how many forms a second a daemon takes."""
    with serving.folder() as folder:
        url = f"sqlite:///{folder / 'relay.db'}"
        store = Store(url, folder)
        store.open()
        if not is_indexed:  # it has nothing to do
            store.write_now(one_by_one(index.keep), [index.Reach("", "~")])
        store.close()
        environment = {"BENCHMARK_KEY": serving.KEY, "DATABASE": url}
        with Daemon(folder, serving.DATABASE + serving.settings(None), environment) as daemon:
            port = int(daemon.url.rpartition(":")[2])
            rate, _ = asyncio.run(load(port, serving.form(), callers, seconds))
    return rate


@click.command()
@click.option("--messages", "count", default=1_000_000, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the file there, or use it.")
@click.option("--postgresql", is_flag=True, help="In a server's database, not in a file.")
@click.option("--rounds", default=3, show_default=True, help="Of acceptance; 0 for none.")
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--callers", default=64, show_default=True)
def main(
    count: int, folder: Path | None, postgresql: bool, rounds: int, seconds: float, callers: int
) -> None:
    """Print how long each kind of question takes, and what the index takes from acceptance."""
    vocabulary, now = Vocabulary(random.Random(0)), time.time()  # noqa: S311
    with ExitStack() as closing_them:
        path = folder.resolve() if folder else closing_them.enter_context(serving.folder())
        url = f"sqlite:///{path / 'relay.db'}"
        if postgresql:
            url = closing_them.enter_context(running_server()).url
        if not (path / "relay.db").exists():
            begun_at = time.monotonic()
            fill(url, path, count, vocabulary, now)
            click.echo(f"{count:,} messages made in {time.monotonic() - begun_at:.0f} s")
        where = "PostgreSQL"
        if not postgresql:
            size = (path / "relay.db").stat().st_size / 1e9
            where = f"SQLite {sqlite3.sqlite_version}, {size:.1f} GB"
        store = opened(url, path)
        measure(store, questions(vocabulary, store.read_now(samples), now))
        click.echo(f"{where}, Python {platform.python_version()}; median and 95th percentile")
        store.close()
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for is_indexed, several in rates.items():
            several.append(accepted(callers, seconds, is_indexed=is_indexed))
    if rounds:
        without, with_index = (statistics.median(several) for several in rates.values())
        click.echo(
            f"accepted: {with_index:.0f}/s, {with_index / without:.3f} of that without index"
        )


if __name__ == "__main__":
    main()
