"""Finding all that is stored about an address: some rows at a time, through all tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, and_, func, or_, select, tuple_

from relay.core.mentions import Mentions
from relay.core.states import OPEN, State
from relay.store.person import places
from relay.store.schema import CANARIES, contents, messages, receipts, reply_addresses

# How many rows one look goes through, and how many of those that may be megabytes.
CHUNK, LARGE_CHUNK = 5000, 500
BATCH = 500

T = TypeVar("T")


class Row(NamedTuple):
    """A row that names an address, by its key; and the message that it belongs to, if any."""

    key: tuple[Any, ...]
    message: str | None


class NamedMessage(NamedTuple):
    """A message that an address has to do with.

    is_own: whether the address wrote, sent or gets it; else it is named in its words alone.
    """

    id: str
    server: str
    state: State
    created_at: float
    is_own: bool

    @property
    def is_open(self) -> bool:
        """Whether it is not over yet: it may be sent."""
        return self.state in OPEN


@dataclass
class Found:
    """What is stored about an address.

    messages: those whose contents name it, oldest first. rows: all rows that name it, by table.
    mailbox: other addresses of the same mailbox, such as one with a `+`.
    """

    messages: list[NamedMessage] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    mailbox: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def own(self) -> list[NamedMessage]:
        """The messages that are the address's own."""
        return [one for one in self.messages if one.is_own]

    @property
    def others(self) -> list[NamedMessage]:
        """The messages of others that name it."""
        return [one for one in self.messages if not one.is_own]


class Search:
    """Looks for an address; `found` is complete when `look` says that it was the last one."""

    def __init__(self, mentions: Mentions) -> None:
        self.mentions = mentions
        self.found = Found()
        self._named: dict[str, bool] = {}
        self._tables = iter(places.COLUMNS)
        self._table: Table | None = next(self._tables)
        self._after: Any = None

    def look(self, connection: Connection) -> int | None:
        """Look through some rows; return how many messages these were, None when all were."""
        if self._table is None:
            self._add_messages(connection)
            return None
        table = self._table
        first = places.key(table)[0]
        later = [] if self._after is None else [first > self._after]
        chunk = LARGE_CHUNK if table is contents else CHUNK
        some = select(first).where(*later).order_by(first).limit(chunk).subquery()
        # Some keys are bytes, of which not every PostgreSQL knows the greatest.
        last = select(some.c[0], func.count().over()).order_by(some.c[0].desc()).limit(1)
        row = connection.execute(last).first()
        if row is None:
            self._table, self._after = next(self._tables, None), None
            return 0
        upto, count = row
        self._take(connection, table, and_(*later, first <= upto))
        self._after = upto
        return int(count) if table is contents else 0

    def _take(self, connection: Connection, table: Table, within: ColumnElement[bool]) -> None:
        """Take note of those of some rows that name the address."""
        names, of = places.COLUMNS[table], places.message_column(table)
        query = select(table).where(within, or_(*(self._may_be_in(table.c[one]) for one in names)))
        if of is not None:
            # Whoever gets Relay's own canaries was chosen by an operator.
            query = query.where(or_(of.is_(None), of.not_in(CANARIES)))
        for row in connection.execute(query, execution_options={"yield_per": 20}).mappings():
            values = {name: places.read(row[name]) for name in names}
            if not any(map(self.mentions.are_in, values.values())):
                continue
            key = tuple(row[column.name] for column in places.key(table))
            message = None if of is None else row[of.name]
            self.found.rows.setdefault(table.name, []).append(Row(key, message))
            if message is not None:
                self._take_message(table, message, values)

    def _may_be_in(self, column: ColumnElement[str]) -> ColumnElement[bool]:
        return and_(*(column.icontains(stem) for stem in self.mentions.stems))

    def _take_message(self, table: Table, id: str, values: dict[str, Any]) -> None:
        """Take note of the message that a row belongs to, and of whether it is the person's own."""
        if table is receipts and not self.mentions.are_in(values["address"]):
            self.found.mailbox.add(values["address"].lower())
        elif table in (receipts, reply_addresses):
            self._named[id] = True
        elif table is messages:
            if self.mentions.are_in(values["writer"]):
                self._named[id] = True
        elif table is contents:
            listed = (values["recipients"].replace(" ", ","), values["sender"], values["document"])
            own = any(map(self.mentions.are_whole_in, listed))
            self._named[id] = own or self._named.get(id, False)

    def _add_messages(self, connection: Connection) -> None:
        columns = (messages.c[name] for name in NamedMessage._fields[:-1])
        query = select(*columns).order_by(messages.c.id)
        for ids in batches(sorted(self._named)):
            for id, server, state, created_at in connection.execute(
                query.where(messages.c.id.in_(ids))
            ):
                one = NamedMessage(id, server, State(state), created_at, self._named[id])
                self.found.messages.append(one)


def rows_of(table: Table, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Make the condition for the rows of these keys."""
    columns = places.key(table)
    if len(columns) == 1:
        return columns[0].in_([one for (one,) in keys])
    return tuple_(*columns).in_(keys)


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Cut a list into parts that one statement may name."""
    return (items[start : start + size] for start in range(0, len(items), size))
