"""Addresses that get no mail: because a provider said so, or an operator did. By group.

A row is the latest word on an address. One that is `lifted` says that it may be written to again:
it stays for a while, so that older news that comes late changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import structlog
from sqlalchemy import ColumnElement, Connection, Select, delete, func, or_, select

from relay.core import clock
from relay.core.addresses import Address
from relay.core.secret import Secret, keyed_digest
from relay.store.cluster import versions
from relay.store.engine.database import Store
from relay.store.engine.expressions import lock, upsert
from relay.store.engine.writer import one_by_one
from relay.store.schema import suppressions

Reason = Literal["bounced", "complained", "unsubscribed", "refused", "manual", "lifted"]

# For how long the word that an address may be written to again is kept.
LIFTED_SECONDS = 14 * 86400.0
# For how long nothing is sent to an address that the provider refused to send to.
REFUSED_SECONDS = 24 * 3600.0

# What stands for an address that was erased and gets no mail begins so.
_ERASED = "erased:"

FOR_EVER = float("inf")
NOBODY: frozenset[str] = frozenset()

log = structlog.get_logger()


class Word(NamedTuple):
    """What is said of an address from a time on; `until` None is for ever.

    message: the message that it was learned from.
    """

    server: str
    address: str
    reason: Reason
    since: float
    until: float | None = None
    message: str | None = None
    words: str = ""


class SuppressedAddress(NamedTuple):
    """A page of suppressed addresses, and what the next one starts after; None at the end."""

    rows: Sequence[Word]
    after: tuple[str, str] | None


def stand_in(secret: Secret, address: str) -> str:
    """Return what stands for an address that nobody is to read any more: only it leads there."""
    return _ERASED + keyed_digest(secret, address.lower()).hex()


def is_known(connection: Connection, server: str, address: str) -> bool:
    """Return whether anything was said of an address, of whatever time."""
    columns = suppressions.c
    query = select(columns.reason).where(columns.server == server, columns.address == address)
    return connection.execute(query).first() is not None


def note(connection: Connection, batch: Sequence[Word]) -> list[bool]:
    """Take words on addresses, in this order; return which of them changed anything."""
    changed = [_noted(connection, word) for word in batch]
    if any(changed):
        versions.bump(connection, "suppressions")
    return changed


def _noted(connection: Connection, word: Word) -> bool:
    lock(connection, f"suppression {word.server} {word.address}")
    known = connection.execute(
        select(suppressions).where(
            suppressions.c.server == word.server, suppressions.c.address == word.address
        )
    ).first()
    if known is not None and not _is_news(word, Word(*known)):
        return False
    values = {**word._asdict(), "words": word.words[:500]}
    statement = upsert(connection, suppressions).values(values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["server", "address"], set_=values)
    )
    return True


def _is_news(word: Word, known: Word) -> bool:
    """Return whether a word takes the place of what is known.

    What comes later does; of words against the address the first one stays, but for one that
    holds for longer.
    """
    since, until = known.since, known.until
    if word.reason == "lifted" or known.reason == "lifted":
        return word.since > since or (word.since == since and known.reason != "lifted")
    return until is not None and (word.until is None or word.until > until)


def active(connection: Connection, now: float) -> list[Word]:
    """Return what is known of every address that gets no mail at a time."""
    return _words(connection, select(suppressions).where(_is_active(now)))


def _words(connection: Connection, query: Select[Any]) -> list[Word]:
    return [Word(*row) for row in connection.execute(query)]


def page(
    connection: Connection,
    server: str | None,
    now: float,
    after: tuple[str, str] | None = None,
    limit: int = 50,
) -> SuppressedAddress:
    """List the addresses that get no mail, of one group or of all, in the order of the alphabet."""
    columns = suppressions.c
    query = select(suppressions).where(_is_active(now)).order_by(columns.server, columns.address)
    if server is not None:
        query = query.where(columns.server == server)
    if after is not None:
        group, address = after
        later = (columns.server == group) & (columns.address > address)
        query = query.where(or_(columns.server > group, later))
    rows = _words(connection, query.limit(limit + 1))
    last = rows[limit - 1] if len(rows) > limit else None
    return SuppressedAddress(rows[:limit], last and (last.server, last.address))


def counted(connection: Connection, now: float) -> dict[tuple[str, str], int]:
    """Count the addresses that get no mail at a time, by group and reason."""
    columns = (suppressions.c.server, suppressions.c.reason)
    query = select(*columns, func.count()).where(_is_active(now)).group_by(*columns)
    return {(group, reason): count for group, reason, count in connection.execute(query)}


def of(
    connection: Connection, server: str, addresses: Iterable[str] | None, now: float
) -> Sequence[Word]:
    """Return what is known of the addresses that get no mail of a group: of all, or of some."""
    columns = suppressions.c
    query = select(suppressions).where(_is_active(now), columns.server == server)
    if addresses is not None:
        query = query.where(columns.address.in_(list(addresses)))
    return _words(connection, query.order_by(columns.address))


def standing(
    connection: Connection, server: str, addresses: Iterable[str], now: float
) -> Sequence[str]:
    """Return those of some addresses that get no mail of a group."""
    return [row.address for row in of(connection, server, addresses, now)]


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Forget what ended, or was lifted, long before each of these times; count it."""
    columns, before = suppressions.c, now - LIFTED_SECONDS
    lifted = (columns.reason == "lifted") & (columns.since < before)
    ended = columns.until.is_not(None) & (columns.until < before)
    return connection.execute(delete(suppressions).where(or_(lifted, ended))).rowcount


def _is_active(now: float) -> ColumnElement[bool]:
    columns = suppressions.c
    return (columns.reason != "lifted") & or_(columns.until.is_(None), columns.until > now)


class Suppressions:
    """Knows who gets no mail. All writing goes through here, so that memory and store agree.

    now: in epoch seconds. The store is open. secret: what erased addresses are hashed with.
    """

    def __init__(self, store: Store, now: float, secret: Secret) -> None:
        self._store = store
        self._secret = secret
        self._until: dict[str, dict[str, float]] = {}
        self._know(store.read_now(active, now))

    async def read_again(self) -> None:
        """Know what is stored: another daemon changed it."""
        self._know(await self._store.read(active, clock.now()))

    def of(self, group: str) -> bool:
        """Return whether anybody at all may be suppressed in a group."""
        return bool(self._until.get(group))

    def among(self, addresses: Iterable[Address], group: str, now: float) -> frozenset[str]:
        """Return those of some addresses, in lower case, that get no mail of a group."""
        known = self._until.get(group)
        if not known:
            return NOBODY
        emails = (address.email.lower() for address in addresses)
        return frozenset(
            email for email in emails if known.get(self._known_as(group, email), 0.0) > now
        )

    async def about(self, group: str, emails: Sequence[str] | None, now: float) -> Sequence[Word]:
        """Return what is known of addresses that get no mail of a group: of some, or of all.

        Of some, each is called as it was asked for; of all, those that were erased are left out.
        """
        if emails is None:
            rows = await self._store.read(of, group, None, now)
            return [row for row in rows if not row.address.startswith(_ERASED)]
        asked = {self._known_as(group, email): email for email in emails}
        rows = await self._store.read(of, group, asked, now)
        return [row._replace(address=asked[row.address]) for row in rows]

    def known(self, word: Word) -> Word:
        """Return a word on an address as it is to be stored: on what stands for it, if it does."""
        return word._replace(address=self._known_as(word.server, word.address))

    def _known_as(self, group: str, email: str) -> str:
        """Return an address, or what stands for it."""
        known = self._until.get(group, {})
        if email in known or not known:
            return email
        erased = stand_in(self._secret, email)
        return erased if erased in known else email

    async def note(self, words: Sequence[Word]) -> list[bool]:
        """Store words on addresses; return which of them changed anything."""
        words = [self.known(word) for word in words]
        changed = [await self._store.write(note, word) for word in words]
        self.learn(word for word, new in zip(words, changed, strict=True) if new)
        return changed

    async def refuse(self, group: str, addresses: Iterable[str], message: str, now: float) -> None:
        """Send nothing for a day to addresses that the provider refused to send a message to."""
        until, said = now + REFUSED_SECONDS, "the provider sends nothing to it"
        words = [
            Word(group, address.lower(), "refused", now, until, message, said)
            for address in addresses
        ]
        await self.note(words)

    def learn(self, words: Iterable[Word]) -> None:
        """Take in what was stored: words that changed something."""
        for word in words:
            if word.reason == "lifted":
                self._until.get(word.server, {}).pop(word.address, None)
                log.info("address.lifted", group=word.server)
            else:
                self._set(word.server, word.address, word.until)
                log.warning(
                    "address.suppressed",
                    group=word.server,
                    reason=word.reason,
                    domain=Address(word.address).domain if "@" in word.address else "",
                    message=word.message,
                )

    def _know(self, words: Iterable[Word]) -> None:
        self._until = {}
        for word in words:
            self._set(word.server, word.address, word.until)

    def _set(self, group: str, address: str, until: float | None) -> None:
        self._until.setdefault(group, {})[address] = FOR_EVER if until is None else until
