"""Looking for messages of any state and age by words, and by what else is known of them.

Newest first. Words are asked of their index, and looked for in the newest messages, which are not
in it yet. Whatever is found is compared with what is asked, as it stands in its row. No search goes
through all messages: one that has looked at so many says how far it came, and where the next one
goes on.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    select,
    text,
)

from relay.core.ids import as_reference, timestamp
from relay.core.states import State
from relay.store.outbox import references
from relay.store.queries.search import first_id
from relay.store.schema import (
    ASIDE,
    IS_ACCEPTED,
    IS_ASIDE,
    IS_MAIL,
    IS_UNDECIDED,
    IS_UNSENT,
    messages,
)
from relay.store.words import index, texts
from relay.store.words.texts import FoundMessage, Said

# How many messages one search looks at, of a list and of what the index of words has, and how many
# of these it reads whole.
SPAN = 20_000
CANDIDATES = 5_000
READ = 1_000
# How many of the newest are looked through, where they are not in the index yet.
YOUNG = 2_000
# How many of a state are read whole before the index is asked.
FEW = 500
# Of PostgreSQL's index, which has no order: more than this makes a word a common one.
RARE = 50_000

_CHUNKS = (100, 400, 1000)

_BETWEEN_ADDRESSES = re.compile(r"[\s,;:<>()\[\]\"']+")

# Above all ids.
NEVER = "~"
# No message has this for its id.
NOBODYS = "-"

Conditions = Sequence[ColumnElement[bool] | TextClause]
Matching = Mapping[str, Sequence[str]]


class Term(NamedTuple):
    """Words that stand beside each other, in one of these places of a message.

    is_prefix: the last one may go on. whole: an address that stands there as it is, in lower case.
    reference: what it is if it is a reference number.
    """

    words: tuple[str, ...]
    places: tuple[str, ...] = Said._fields
    is_prefix: bool = False
    whole: str = ""
    reference: str = ""


class Wanted(NamedTuple):
    """What is looked for; None and nothing are anything.

    id: the beginning of one. since, before: epoch seconds.
    """

    terms: Sequence[Term] = ()
    servers: Collection[str] = ()
    states: Collection[State] = ()
    tag: str = ""
    since: float | None = None
    before: float | None = None
    id: str = ""
    reference: str = ""


# From a time on, or from the first message on, and up to a time.
Gap = tuple[float | None, float]


class Found(NamedTuple):
    """What was found, newest first.

    below: the id below which the next search goes on; None at the end. searched_to: where this is
    not a full page, down to which time was searched: older ones may be there. unindexed: times
    between which messages are not in the index yet, and were not found by it.
    """

    rows: Sequence[FoundMessage]
    below: str | None
    searched_to: float | None = None
    unindexed: Sequence[Gap] = ()


class _Ids(NamedTuple):
    """Ids of messages that may be meant, newest first.

    bound: the id down to which these are all; "" if down to the first.
    """

    ids: Sequence[str]
    bound: str = ""


def find(connection: Connection, wanted: Wanted, below: str | None, limit: int) -> Found:
    """Return a page of what is looked for, below an id."""
    named = _named(connection, wanted, below)
    if named is not None:
        return Found(named[:limit], None)
    if not wanted.terms and not wanted.tag:
        listed = _listed(connection, wanted, below, limit + 1)
        return _page(list(_read(connection, listed.ids, wanted)), listed.bound, limit)
    if wanted.states and State.SENT not in wanted.states:
        listed = _listed(connection, wanted, below, FEW)
        if len(listed.ids) < FEW and not listed.bound:
            return _page(list(_read(connection, listed.ids, wanted)), "", limit)
    return _by_words(connection, wanted, below, limit)


def _page(rows: list[FoundMessage], bound: str, limit: int) -> Found:
    """Make a page of rows that are all there are down to a bound."""
    if len(rows) > limit:
        return Found(rows[:limit], rows[limit - 1].id)
    return Found(rows, bound or None, timestamp(bound) if bound else None)


def _named(connection: Connection, wanted: Wanted, below: str | None) -> list[FoundMessage] | None:
    """Return the messages that an id or a reference names; None where it is not asked by one."""
    ids = [wanted.id] if wanted.id else []
    if wanted.reference:
        reference = as_reference(wanted.reference) or ""
        ids.append(references.find(connection, reference) or NOBODYS)
    terms = []
    for term in wanted.terms:
        id = references.find(connection, term.reference) if term.reference else None
        if id:
            ids.append(id)
        else:
            terms.append(term)
    if not ids:
        return None
    named = [column for id in ids for column in (messages.c.id >= id, messages.c.id < id + "g")]
    query = select(messages.c.id).where(*named, *_bounds(wanted, below))
    found = connection.execute(query.order_by(messages.c.id.desc()).limit(FEW)).scalars().all()
    return list(_read(connection, found, wanted._replace(terms=terms)))


# Lists without words: each of one index, in its order.


def _listed(connection: Connection, wanted: Wanted, below: str | None, limit: int) -> _Ids:
    """Return the newest messages of some states and servers."""
    found = [
        _newest(connection, [*source, *_bounds(wanted, below)], matching, limit)
        for source, matching in _sources(wanted)
    ]
    bound = max((one.bound for one in found), default="")
    ids = {id for one in found for id in one.ids if id >= bound}
    return _Ids(sorted(ids, reverse=True)[:limit], bound if len(ids) < limit else "")


def _sources(wanted: Wanted) -> Iterator[tuple[Conditions, Matching]]:
    """Return what to look through: what has an index of its own, and what is true of the wanted."""
    column = messages.c
    servers = sorted(wanted.servers)
    of_server: Matching = {"server": servers} if servers else {}
    if not wanted.states and not servers:
        yield [], {}
    for server in servers:
        if not wanted.states:
            yield [IS_ACCEPTED, column.server == server], {}
        elif State.SENT in wanted.states:
            yield [IS_ACCEPTED, column.server == server], {"state": [State.SENT]}
    if State.SENT in wanted.states and not servers:
        yield [], {"state": [State.SENT]}
    if State.QUEUED in wanted.states:
        yield [IS_UNSENT], {"state": [State.QUEUED], **of_server}
    if State.SENDING in wanted.states:
        # Few are, and their index has no order of ids.
        sending = select(column.id).where(IS_UNDECIDED).order_by(column.due_at).limit(SPAN)
        yield [column.id.in_(sending)], {"state": [State.SENDING], **of_server}
    # What was screened is no server's mail, but it is listed beside it.
    aside = wanted.states or ((State.SCREENED,) if servers else ())
    for state in ASIDE:
        if state in aside:
            yield [IS_ASIDE, column.state == state], of_server


def _newest(connection: Connection, source: Conditions, matching: Matching, limit: int) -> _Ids:
    """Return the newest of a source that match; it looks at SPAN of it."""
    query = select(messages.c.id, messages.c.server, messages.c.state).where(*source)
    query = query.order_by(messages.c.id.desc())
    ids: Sequence[str] = ()
    # As a rule the newest match.
    for span in (4 * limit, 40 * limit, SPAN) if matching else (limit,):
        newest = query.limit(span).subquery()
        conditions = (newest.c[name].in_(values) for name, values in matching.items())
        some = select(newest.c.id).where(*conditions).order_by(newest.c.id.desc()).limit(limit)
        ids = connection.execute(some).scalars().all()
        if len(ids) == limit or not matching:
            return _Ids(ids)
    last = connection.execute(query.offset(SPAN - 1).limit(1)).scalar()
    return _Ids(ids, last or "")


def _bounds(wanted: Wanted, below: str | None) -> Conditions:
    after, upto = _span(wanted, below)
    bounds: Conditions = [IS_MAIL, messages.c.id >= after] if after else [IS_MAIL]
    return [*bounds, messages.c.id < upto] if upto else bounds


def _span(wanted: Wanted, below: str | None) -> tuple[str, str]:
    """Return the id at which it ends and the one below which it begins; "" for none."""
    after = "" if wanted.since is None else first_id(wanted.since)
    ends = [first_id(wanted.before)] if wanted.before is not None else []
    return after, min([*ends, *([below] if below else [])], default="")


# Words: the newest messages, then the index.


def _by_words(connection: Connection, wanted: Wanted, below: str | None, limit: int) -> Found:
    """Find by words: in what is too young to be in the index, then by the index."""
    after, upto = _span(wanted, below)
    reach = index.reach(connection) or index.Reach(NEVER, "")
    younger = [messages.c.id > reach.upto, *_bounds(wanted, below)]
    young = _newest(connection, younger, {}, YOUNG)
    matched = list(_read(connection, young.ids, wanted))
    last = young.ids[-1] if len(young.ids) == YOUNG else ""
    if len(matched) > limit or reach.above == NEVER:
        return _page(matched, last, limit)
    gaps: list[Gap] = [(timestamp(reach.upto), timestamp(last))] if last else []
    bound, looked_at, read = "", 0, 0
    end = f"{reach.upto}{NEVER}"
    for chunk in _indexed(connection, wanted, after, min(upto or end, end)):
        kept = _of_states(connection, chunk.ids, wanted)
        matched += _read(connection, kept, wanted)
        looked_at, read, bound = looked_at + len(chunk.ids), read + len(kept), chunk.bound
        if len(matched) > limit or looked_at >= CANDIDATES or read >= READ:
            break
    found = _page(matched, bound, limit)
    if found.below is None and after < reach.above:
        gaps.append((wanted.since, timestamp(reach.above)))
    return found._replace(unindexed=gaps)


def _of_states(connection: Connection, ids: Sequence[str], wanted: Wanted) -> Sequence[str]:
    if not wanted.states or not ids:
        return ids
    # By the narrowest index that has all of them.
    indexed = [] if {State.SENT, State.SCREENED} & set(wanted.states) else [IS_UNSENT]
    if set(wanted.states) <= set(ASIDE):
        indexed = [IS_ASIDE]
    chosen = (messages.c.id.in_(ids), messages.c.state.in_(sorted(wanted.states)))
    query = select(messages.c.id).where(*indexed, *chosen).order_by(messages.c.id.desc())
    return connection.execute(query).scalars().all()


def _indexed(connection: Connection, wanted: Wanted, after: str, upto: str) -> Iterator[_Ids]:
    """Return what the index has of the words, newest first, a chunk at a time.

    The bound of each chunk is "" where it is the last one.
    """
    if connection.dialect.name == "postgresql":
        yield from _on_postgresql(connection, wanted, after, upto)
    else:
        yield from _on_sqlite(connection, wanted, after, upto)


def _on_sqlite(connection: Connection, wanted: Wanted, after: str, upto: str) -> Iterator[_Ids]:
    first = index.number(_filled(after, "0")) if after else 0
    last = index.number(_filled(upto, "f")) + index.NUMBERS
    query = text(
        "SELECT message FROM words WHERE words MATCH :asked AND rowid BETWEEN :first AND :last"
        " ORDER BY rowid DESC"
    )
    bound = {"asked": _for_sqlite(wanted), "first": first, "last": last}
    result = connection.execute(query, bound)
    try:
        rows = (row[0] for row in result)
        ids = (id for id in rows if after <= id < upto)
        yield from _chunks(ids)
    finally:
        result.close()


def _chunks(ids: Iterator[str]) -> Iterator[_Ids]:
    sizes = iter(_CHUNKS)
    size = next(sizes)
    while True:
        some = list(islice(ids, size))
        yield _Ids(some, some[-1] if len(some) == size else "")
        if len(some) < size:
            return
        size = next(sizes, size)


def _filled(start: str, digit: str) -> str:
    """Make a whole id of the beginning of one."""
    template = "00000000-0000-7000-8000-000000000000".replace("0", digit)
    start = start.rstrip(NEVER)
    return start + template[len(start) :]


def _on_postgresql(connection: Connection, wanted: Wanted, after: str, upto: str) -> Iterator[_Ids]:
    """Look through the newest SPAN; a word that is rare there is asked of the index."""
    asked = {"asked": _for_postgresql(wanted), "after": after, "upto": upto, "span": SPAN}
    last = connection.execute(
        text(
            "SELECT message FROM words WHERE message >= :after AND message < :upto"
            " ORDER BY message DESC OFFSET :span - 1 LIMIT 1"
        ),
        asked,
    ).scalar()
    newest = text(
        "SELECT message FROM words WHERE message >= :last AND message < :upto"
        " AND said @@ CAST(:asked AS tsquery) ORDER BY message DESC"
    )
    ids = connection.execute(newest, {**asked, "last": last or after}).scalars().all()
    for chunk in _chunks(iter(ids)):
        yield chunk if chunk.bound or last is None else _Ids(chunk.ids, last)
    if last is None:
        return
    # By the index alone: whatever else the planner thinks of reads the whole table.
    for kind in ("seqscan", "indexscan", "indexonlyscan"):
        connection.exec_driver_sql(f"SET LOCAL enable_{kind} = off")
    older = text(
        "SELECT message FROM (SELECT message FROM words WHERE said @@ CAST(:asked AS tsquery)"
        " LIMIT :rare + 1) AS found"
    )
    found = connection.execute(older, {**asked, "rare": RARE}).scalars().all()
    for kind in ("seqscan", "indexscan", "indexonlyscan"):
        connection.exec_driver_sql(f"SET LOCAL enable_{kind} = on")
    if len(found) <= RARE:
        yield from _chunks(iter(sorted((id for id in found if after <= id < last), reverse=True)))
    elif last > after:
        yield from _on_postgresql(connection, wanted, after, last)


def _for_sqlite(wanted: Wanted) -> str:
    """Write what is asked in the language of FTS5."""
    asked = []
    for places, word, is_prefix in _asked(wanted):
        where = "" if places == Said._fields else f"{{{' '.join(places)}}} : "
        asked.append(f'{where}"{word}"{" *" if is_prefix else ""}')
    return " AND ".join(f"({one})" for one in asked)


def _for_postgresql(wanted: Wanted) -> str:
    """Write what is asked as a tsquery."""
    asked = []
    for places, word, is_prefix in _asked(wanted):
        where = "".join(index.WEIGHTS[place] for place in places)
        asked.append(f"'{word}':{'*' if is_prefix else ''}{where}")
    return " & ".join(asked)


def _asked(wanted: Wanted) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Return each word that must be there, in which places, and whether it may go on."""
    for term in wanted.terms:
        for place, word in enumerate(term.words, 1):
            yield term.places, word, term.is_prefix and place == len(term.words)
    if wanted.tag:
        yield ("labels",), index.label("tag", wanted.tag), False
    if len(wanted.servers) == 1:
        yield ("labels",), index.label("server", next(iter(wanted.servers))), False


# What is found, compared with what is asked.


def _read(connection: Connection, ids: Sequence[str], wanted: Wanted) -> Iterator[FoundMessage]:
    """Read messages, newest first, and return those that are meant."""
    for start in range(0, len(ids), 500):
        some = texts.query().where(messages.c.id.in_(ids[start : start + 500]))
        for one in texts.rows(connection, some.order_by(messages.c.id.desc())):
            if _is_meant(one, wanted):
                yield one


def _is_meant(one: FoundMessage, wanted: Wanted) -> bool:
    if wanted.servers and one.server not in wanted.servers:
        return False
    if wanted.states and one.state not in wanted.states:
        return False
    if wanted.tag and one.tag.casefold() != wanted.tag.casefold():
        return False
    if not wanted.terms:
        return True
    said = texts.said(one)
    return all(_stands(term, one, said) for term in wanted.terms)


def _stands(term: Term, one: FoundMessage, said: Said) -> bool:
    """Return whether a term stands in one of its places."""
    looked_for = f" {' '.join(term.words)}{'' if term.is_prefix else ' '}"
    places = [one for one in term.places if looked_for in f" {' '.join(getattr(said, one))} "]
    if not term.whole:
        return bool(places)
    said_there = {
        "subject": one.subject,
        "recipients": one.recipients,
        "senders": f"{one.sender} {one.writer}",
        "labels": one.tag,
    }
    texts_there = " ".join(said_there[place] for place in places).casefold()
    return term.whole in _BETWEEN_ADDRESSES.split(texts_there)
