"""The index: an own table of each engine, filled soon after messages are stored, by who leads.

To fill it with every message's commit would slow acceptance. So it is complete between two ids,
which are kept with it: what is younger follows within seconds, what an older Relay stored is added
from the newest backwards. Whoever looks for words looks through the newest messages themselves.

In SQLite it is a table of FTS5, whose rows are numbered as ids sort: the newest are found first. In
PostgreSQL it is a table of tsvectors. Both hold the same words, which are made here.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection, Text, bindparam, select, text

from relay.core import clock
from relay.core.words import words
from relay.store import values
from relay.store.engine.expressions import is_listed, lock
from relay.store.engine.writer import one_by_one
from relay.store.queries.search import first_id
from relay.store.schema import IS_MAIL, messages
from relay.store.words import texts
from relay.store.words.texts import FoundMessage, Said

# Letters of the places in which a word stands, as PostgreSQL calls them.
LETTERS = "ABCD"
WEIGHTS = dict(zip(Said._fields, LETTERS, strict=True))

# What is read of some messages.
_SOME = texts.query().where(IS_MAIL, is_listed(messages.c.id, bindparam("ids", type_=Text)))

# How many messages one commit adds: others' wait behind it.
CHUNK = 200
# What is so young may still be being stored.
SETTLED_SECONDS = 2.0
# Where two messages would have one number, the second has one of the next.
NUMBERS = 64

# The names of values: between which ids it is complete, and since when words are to be purged.
VALUES = REACH, FORGOTTEN, PURGING = "words", "words_forgotten", "words_purging"
# For how long words of what was cleared may stay in SQLite's file, unless they are to go at once.
FORGOTTEN_SECONDS = 86400.0
# How much of the index one commit purges, in pages.
PURGED_PAGES = 200


class Reach(NamedTuple):
    """The ids between which the index is complete; `above` is "" once it goes back to the first."""

    above: str
    upto: str


def reach(connection: Connection) -> Reach | None:
    """Return how far the index reaches; None where it was never filled."""
    value = values.find(connection, REACH)
    return None if value is None else Reach(*json.loads(value))


def is_behind(connection: Connection, now: float) -> bool:
    """Return whether there is anything to add, or to purge."""
    known = reach(connection)
    if known is None or known.above:
        return True
    settled = messages.c.id < first_id(now - SETTLED_SECONDS)
    young = select(messages.c.id).where(messages.c.id > known.upto, settled).limit(1)
    if connection.execute(young).first() is not None:
        return True
    return _is_to_purge(connection, now) or values.find(connection, PURGING) is not None


@one_by_one
def follow(connection: Connection, now: float) -> int:
    """Add some of the messages that were stored since; count them."""
    lock(connection, REACH)
    known = reach(connection)
    if known is None:
        start = first_id(now - SETTLED_SECONDS)
        known = Reach(start, start)
    settled = messages.c.id < first_id(now - SETTLED_SECONDS)
    query = select(messages.c.id).where(messages.c.id > known.upto, settled)
    ids = connection.execute(query.order_by(messages.c.id).limit(CHUNK)).scalars().all()
    _add(connection, ids)
    keep(connection, Reach(known.above, ids[-1] if ids else known.upto))
    return len(ids)


@one_by_one
def go_back(connection: Connection, _: None) -> int:
    """Add some of the messages that are older than all that are indexed; count them."""
    lock(connection, REACH)
    known = reach(connection)
    if known is None or not known.above:
        return 0
    query = select(messages.c.id).where(messages.c.id < known.above)
    ids = connection.execute(query.order_by(messages.c.id.desc()).limit(CHUNK)).scalars().all()
    _add(connection, ids[::-1])
    keep(connection, Reach(ids[-1] if len(ids) == CHUNK else "", known.upto))
    return len(ids)


@one_by_one
def look_again(connection: Connection, after: str) -> str | None:
    """Add what was stored later than its id says, by a clock that is behind; return where it is.

    after: the id behind which to go on; None at the end of what is indexed.
    """
    lock(connection, REACH)
    known = reach(connection)
    if known is None:
        return None
    within = (messages.c.id > max(after, known.above), messages.c.id <= known.upto)
    query = select(messages.c.id).where(*within).order_by(messages.c.id).limit(CHUNK * 10)
    ids = connection.execute(query).scalars().all()
    _add(connection, ids)
    return ids[-1] if ids else None


def keep(connection: Connection, new: Reach) -> None:
    """Keep how far the index reaches."""
    if new != reach(connection):
        values.put(connection, REACH, json.dumps(new))


def renew(connection: Connection, ids: Sequence[str]) -> None:
    """Index messages anew that say something else now, in the commit that changes them."""
    forget(connection, ids)
    known = reach(connection)
    if known is not None:
        _add(connection, sorted(id for id in ids if known.above <= id <= known.upto))


def forget(connection: Connection, ids: Sequence[str]) -> None:
    """Take messages out of the index, in the commit that clears them.

    No search finds them by their words any more. In SQLite's file a word of theirs may stand a
    while longer, by itself, in the index's older parts: `purge`, which the daemon calls, rewrites
    these a day later, or within seconds after `hurry`. No whole address ever stands there: it is
    several words. In PostgreSQL they are gone as soon as VACUUM has seen the table, as every other
    row that was deleted.
    """
    lock(connection, REACH)
    if connection.dialect.name == "postgresql":
        gone = text("DELETE FROM words WHERE message = ANY(:ids)")
        connection.execute(gone, {"ids": list(ids)})
        return
    gone = text("DELETE FROM words WHERE rowid BETWEEN :first AND :last AND message = :id")
    first = {id: number(id) for id in ids}
    rows = [{"id": id, "first": first[id], "last": first[id] + NUMBERS} for id in ids]
    if rows and connection.execute(gone, rows).rowcount:
        _note_forgotten(connection, clock.now())


def hurry(connection: Connection) -> None:
    """Have what was forgotten purged at once."""
    if connection.dialect.name != "postgresql":
        _note_forgotten(connection, 0.0)


def _note_forgotten(connection: Connection, at: float) -> None:
    """Keep since when words are forgotten that still stand in the file."""
    since = values.find(connection, FORGOTTEN)
    if since is None or at < float(since):
        values.put(connection, FORGOTTEN, str(at))


@one_by_one
def purge(connection: Connection, now: float) -> bool:
    """Rewrite a part of SQLite's index, so that words of what was cleared are gone from its file.

    Return whether there is more to rewrite.
    """
    if connection.dialect.name == "postgresql":
        return False
    begins = _is_to_purge(connection, now)
    if begins:
        # Whatever is forgotten from here on is forgotten for the next time.
        values.remove(connection, FORGOTTEN)
        values.put(connection, PURGING, "")
    elif values.find(connection, PURGING) is None:
        return False
    before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    # Less than none is the word for: all parts into one, beginning now.
    pages = -PURGED_PAGES if begins else PURGED_PAGES
    connection.exec_driver_sql(f"INSERT INTO words(words, rank) VALUES('merge', {pages:d})")
    after = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    if after - before >= 2:
        return True
    values.remove(connection, PURGING)
    return False


def _is_to_purge(connection: Connection, now: float) -> bool:
    since = values.find(connection, FORGOTTEN)
    return since is not None and float(since) < now - FORGOTTEN_SECONDS


def number(id: str) -> int:
    """Return the number of a message in SQLite's index: numbers sort as ids do, nearly all apart.

    It is the time and the counter of the id, and what of its random part has room.
    """
    return int(id[:8] + id[9:13] + id[15:18], 16) << 3 | int(id[20], 16) >> 1


@lru_cache
def label(kind: str, value: str) -> str:
    """Return the word that stands for a server or a tag as a whole."""
    return f"{kind}={'='.join(words(value))}"[:200]


def _add(connection: Connection, ids: Sequence[str]) -> None:
    """Add those messages that are not there yet; ids are sorted."""
    if not ids:
        return
    is_server = connection.dialect.name == "postgresql"
    known = _known(connection, ids[0], ids[-1])
    new = [id for id in ids if id not in known]
    found: dict[str, FoundMessage] = {}
    for start in range(0, len(new), CHUNK):
        some = {"ids": json.dumps(new[start : start + CHUNK])}
        found |= {one.id: one for one in texts.rows(connection, _SOME, some)}
    added = [found[id] for id in new if id in found]
    if not added:
        return
    if is_server:
        rows = [(one.id, vector(one)) for one in added]
        adding = "INSERT INTO words (message, said) VALUES (%s, CAST(%s AS tsvector))"
        connection.exec_driver_sql(f"{adding} ON CONFLICT DO NOTHING", rows)
        return
    taken, numbers = set(known.values()), []
    for one in added:
        place = number(one.id)
        while place in taken:
            place += 1
        taken.add(place)
        numbers.append(place)
    numbered = [
        (place, one.id, *map(" ".join, columns(one)))
        for place, one in zip(numbers, added, strict=True)
    ]
    adding = "INSERT INTO words (rowid, message, subject, recipients, senders, labels)"
    connection.exec_driver_sql(f"{adding} VALUES (?, ?, ?, ?, ?, ?)", numbered)


def _known(connection: Connection, first: str, last: str) -> dict[str, int]:
    """Return which messages are indexed between two ids, and in SQLite by which numbers."""
    if connection.dialect.name == "postgresql":
        query = text("SELECT message FROM words WHERE message BETWEEN :first AND :last")
        return dict.fromkeys(connection.execute(query, {"first": first, "last": last}).scalars(), 0)
    query = text("SELECT message, rowid FROM words WHERE rowid BETWEEN :first AND :last")
    bound = {"first": number(first), "last": number(last) + NUMBERS}
    return {row[0]: row[1] for row in connection.execute(query, bound)}


def columns(one: FoundMessage) -> list[Iterable[str]]:
    """Return the words of a message, each once in each of their places."""
    *others, labels = texts.said(one)
    labels += [label("server", one.server), label("tag", one.tag)]
    return list(map(dict.fromkeys, (*others, labels)))


def vector(one: FoundMessage) -> str:
    """Write the words of a message as PostgreSQL has them: `'bridge':1A 'doe':2B,3C`."""
    places: dict[str, list[str]] = {}
    for number_of, (weight, found) in enumerate(zip(LETTERS, columns(one), strict=True), 1):
        for word in found:
            places.setdefault(word, []).append(f"{number_of}{weight}")
    return " ".join(f"'{word}':{','.join(stands)}" for word, stands in places.items())
