"""What an installation holds about one person, by an address: found, and erased.

Finding looks at every row, some at a time, and stands in nobody's way. Erasing is one commit; after
it the database's files are freed of what they still hold of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import structlog

from relay.config.settings import Settings
from relay.core import clock
from relay.core.addresses import Address
from relay.core.logs import fingerprint
from relay.core.mentions import Mentions
from relay.core.secret import Secret
from relay.core.states import OPEN, WAITING
from relay.store import acts
from relay.store.acts import Act, By
from relay.store.engine.database import Store
from relay.store.person import erasure, files
from relay.store.person.erasure import Erased, Erasure
from relay.store.person.search import Found, NamedMessage, Search
from relay.store.suppressions import stand_in

# How often a log is emptied that others read, and with which pause.
TRIES, PAUSE_SECONDS = 20, 0.5
# Up to this size a file is written anew while mail waits: some two seconds.
REWRITTEN_BYTES = 128 * 2**20

# The places as a person knows them, and the tables that each is.
_PLACES: Mapping[str, Sequence[str]] = {
    "labels of messages": ("message_metadata",),
    "receipts": ("receipts",),
    "reply addresses": ("reply_addresses",),
    "histories of messages": ("messages", "recipients", "attempts", "events"),
    "answers to repeated requests": ("idempotency",),
    "suppressions": ("suppressions",),
    "alerts": ("alerts", "alert_reports"),
    "acts": ("acts",),
    "names of operators": ("operators",),
    "templates": ("templates", "template_versions"),
}
KEPT = ("names of operators", "templates")

log = structlog.get_logger()


class Outcome(NamedTuple):
    """What came of an order to erase; `problem` says why nothing was done.

    left: messages that are not over yet, each with its state and with why it was not cancelled; and
    what came in meanwhile.
    kept: what else names the address, by place. copies: files that hold it, or a longer one that
    ends like it. remains: whether the database's own file may, in its free space.
    """

    problem: str = ""
    cleared: int = 0
    changed: int = 0
    rows: int = 0
    left: Sequence[tuple[str, str, str]] = ()
    kept: Mapping[str, int] = {}
    copies: Sequence[str] = ()
    remains: bool = False


def counts(found: Found) -> dict[str, int]:
    """Count what was found, by place, without the places where there is nothing."""
    counted = {"messages of its own": len(found.own), "messages of others": len(found.others)}
    for place, tables in _PLACES.items():
        counted[place] = sum(len(found.rows.get(table, ())) for table in tables)
    return {place: count for place, count in counted.items() if count}


def waiting(found: Found) -> list[NamedMessage]:
    """Return the address's own messages that are not over yet."""
    return [one for one in found.own if one.is_open]


def objection(address: str, found: Found, settings: Settings, *, cancel: bool) -> str:
    """Say why an address is not erased; "" where it may be."""
    named = [place for place, one in _named(settings) if one.lower() == address]
    if named:
        return f"{address} stands in the settings ({named[0]}): take it out of them first"
    count = len(waiting(found))
    if count and not cancel:
        messages = "1 message is" if count == 1 else f"{count:,} messages are"
        return f"{messages} not over yet: nothing is erased unless what waits may be cancelled"
    return ""


def _named(settings: Settings) -> Iterator[tuple[str, str]]:
    """Return the addresses that the settings name, each with its place."""
    for known in settings.servers.values():
        server = known.server
        alone = {"sender": server.sender, "replies": server.replies, "backup": server.backup}
        alone["canary_to"] = server.canary_to
        lists = {"recipients": server.recipients or (), "senders": server.senders}
        for key, address in alone.items():
            yield from [(f"{server.name} {key}", address.email)] if address else []
        for key, patterns in lists.items():
            yield from ((f"{server.name} {key}", pattern) for pattern in patterns)
        yield from ((f"{server.name} reply_to", one.email) for one in server.reply_to)
    for one in (*settings.alerts.to, *settings.alerts.urgent_to):
        yield "alerts", one.email


@dataclass(eq=False, repr=False)
class Persons:
    """Finds and erases what a store holds about an address.

    secret: what the address is hashed with. erased: is called after the commit with what was done,
    so that memory holds no more of it than the store.
    """

    store: Store
    settings: Callable[[], Settings]
    secret: Secret
    erased: Callable[[Erasure, Erased], Awaitable[None]] | None = None
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def find(self, address: str) -> Found:
        """Look for an address everywhere; raise ValueError for what is none."""
        return await self._find(Mentions(address))

    async def handed_out(self, address: str, by: By) -> None:
        """Note that somebody handed out what there is about an address."""
        await self.store.write(acts.noted, handing_out(address, by, self.secret))

    async def erase(self, address: str, by: By, *, cancel: bool, is_alone: bool = False) -> Outcome:
        """Erase an address everywhere; raise ValueError for what is none.

        cancel: whether what waits may be cancelled. is_alone: whether no mail waits meanwhile, so
        that the database may be written anew however large it is.
        """
        mentions = Mentions(address)
        found = await self._find(mentions)
        problem = objection(mentions.address, found, self.settings(), cancel=cancel)
        if problem:
            return Outcome(problem)
        order = self._order(mentions, found, by, cancel=cancel)
        done: Erased = await self.store.write(erasure.erase, order)
        if self.erased is not None:
            await self.erased(order, done)
        log.warning(
            "person.erased",
            person=order.fingerprint,
            cleared=done.cleared,
            changed=done.changed,
            rows=done.rows,
        )
        left = await self._find(mentions)
        copies, remains = await self._scrubbed(mentions, is_left=bool(left), is_alone=is_alone)
        kept = {place: count for place, count in counts(left).items() if place in KEPT}
        whys = {one.id: one.words for one in done.verdicts if not one.done}
        return Outcome(
            "",
            done.cleared,
            done.changed,
            done.rows,
            [(one.id, one.state, whys.get(one.id, "")) for one in left.messages],
            kept,
            copies,
            remains,
        )

    def _order(self, mentions: Mentions, found: Found, by: By, *, cancel: bool) -> Erasure:
        address, secret = mentions.address, self.secret
        named = fingerprint(secret, Address(address))
        instead = stand_in(secret, address)
        return Erasure(mentions, found, by, clock.now(), named, instead, cancel)

    async def _find(self, mentions: Mentions) -> Found:
        search = Search(mentions)
        async with self._one_at_a_time:
            while await self.store.read(search.look) is not None:
                pass
        return search.found

    async def _scrubbed(
        self, mentions: Mentions, *, is_left: bool, is_alone: bool
    ) -> tuple[list[str], bool]:
        """Free the files of what was erased; return its copies, and whether something remains."""
        for _ in range(TRIES):
            if await self.store.scrub():
                break
            await asyncio.sleep(PAUSE_SECONDS)
        paths = await self._holding(mentions)
        own = self._own_files()
        path = self.store.path
        may_rewrite = is_alone or (path is not None and path.stat().st_size <= REWRITTEN_BYTES)
        copies = [str(path) for path in paths if path not in own]
        remains = bool(own & set(paths)) and not is_left
        if remains and may_rewrite:
            remains = not await self.store.scrub(whole=True)
        return copies, remains

    async def _holding(self, mentions: Mentions) -> list[Path]:
        path = self.store.path
        beside = [] if path is None else [*path.parent.glob(f"{path.name}*")]
        folders = [self.settings().data, *beside]
        return await asyncio.to_thread(files.holding, folders, mentions.spellings)

    def _own_files(self) -> set[Path]:
        path = self.store.path
        if path is None:
            return set()
        return {path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))}


def handing_out(address: str, by: By, secret: Secret) -> Act:
    """Return the act of handing out what there is about an address."""
    return Act(clock.now(), by, "export", fingerprint(secret, Address(address)))


def report(outcome: Outcome) -> Iterator[str]:
    """Return what came of an erasure in lines for a person."""
    cleared = "1 message" if outcome.cleared == 1 else f"{outcome.cleared:,} messages"
    yield f"erased: {cleared} cleared, {outcome.changed:,} of others changed"
    for id, state, why in outcome.left:
        if state in OPEN:
            yield f"{id}  left: it is {state}, not over yet{f' ({why})' if why else ''}"
        else:
            yield f"{id}  left: it came in meanwhile; erase again"
    for place, count in outcome.kept.items():
        yield f"left alone: {place} ({count:,}); change them yourself"
    for path in outcome.copies:
        yield f"{path} may hold it: delete that copy"
    if outcome.remains:
        words = "stop the daemon and erase again, so that the file is written anew"
        yield f"the free space of the database's file may hold it yet: {words}"


def cancelled(done: Erased) -> int:
    """Count the messages that waited for an attempt and were cancelled."""
    return sum(one.done and one.before in WAITING for one in done.verdicts)
