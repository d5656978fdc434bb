"""The watch on canaries: makes them when they are due, and sees whether they arrive.

The daemon that leads does it. What is known of each server's last canary is stored, so that a
restart makes none before its time, and no second one.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from relay.core import clock
from relay.core.errors import Unavailable
from relay.core.ids import message_id
from relay.core.logs import trace
from relay.core.message import Absent, Confirmation
from relay.core.server import Server
from relay.delivery.in_doubt import looked_up
from relay.delivery.in_doubt_policy import Untraceable
from relay.hooks.chain import Chain
from relay.intake.message_builder import MessageBuilder
from relay.intake.outbox import Guard, Outbox
from relay.notifications.alerts.event_counts import publishable
from relay.notifications.canaries import form
from relay.notifications.canaries.arrival import Standing, standing
from relay.notifications.canaries.form import has_canaries
from relay.store import canaries as stored
from relay.store.canaries import Canary, Ending, NewCanary, Seen
from relay.store.engine.database import Store
from relay.store.queries import listing
from relay.store.queries.listing import StoredMessage

# How often the endless loop looks.
LOOK_SECONDS = 5.0
# A canary that is not there after this, or when the next one is due, is missing.
PATIENCE_SECONDS = 1800.0
# By so much daemons' clocks may differ.
CLOCK_SECONDS = 60.0
# From one look-up of a canary at its provider to the next; and look-ups at a time.
LOOK_UP_SECONDS = 60.0
THREADS = 2

# The delivery that tells nothing later: what it took is there.
MAILBOX = "mailbox"

log = structlog.get_logger()


@dataclass(eq=False, repr=False)
class Canaries:
    """Makes the canaries of one installation and watches them.

    `look` is one pass, `run` the endless loop around it; nothing starts before one of them is
    called. paused: names the servers that an operator paused. settled: called with how many
    messages wait for an attempt no more.
    """

    store: Store
    chains: Callable[[], Mapping[str, Chain]]
    builder: MessageBuilder
    outbox: Outbox
    paused: Callable[[], Collection[str]]
    is_leader: Callable[[], bool]
    settled: Callable[[int], None]

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "canary")
        self._looked_up: dict[str, float] = {}  # when each server's last one was
        self._began_at = clock.now()

    def close(self) -> None:
        """Wait for no look-up any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except Unavailable:
                pass  # the store has logged it
            except Exception as error:  # noqa: BLE001 - the loop outlives a store that fails
                log.error("canaries.unwatched", **trace(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: float | None = None) -> None:
        """See how all canaries do at `now`, and make those that are due."""
        if not self.is_leader():
            return
        now = clock.now() if now is None else now
        chains = self.chains()
        paused = self.paused()
        wanted = {name: one for name, one in chains.items() if has_canaries(one, chains, paused)}
        known = await self.store.read(stored.read)
        if gone := known.keys() - wanted.keys():
            self.settled(await self.store.write(stored.end, Ending(gone, now)))
        await asyncio.gather(
            *(self._tend(one, known.get(name), now) for name, one in wanted.items())
        )

    async def _tend(self, chain: Chain, last: Canary | None, now: float) -> None:
        """See how a server's last canary does, and make the next one if it is due.

        While one waits to be sent there is no other: there would be a heap of them.
        """
        server, waits = chain.server, False
        if last is not None and last.is_awaited:
            found = await self.store.read(listing.find, last.message)
            stands = standing(found)
            if found is not None and stands.is_taken:
                stands = await self._taken(chain, found, now)
            last, waits = await self._judged(last, stands, server, now), stands.waits
        if last is None or (not waits and _is_over(last, server, now)):
            await self._make(chain, last, now)

    async def _taken(self, chain: Chain, found: StoredMessage, now: float) -> Standing:
        """Return how a canary stands that the provider took.

        Providers tell what became of it, or can be asked; of the others nothing more is known.
        """
        group, plugin = self.chains()[chain.server.group], found.row.delivery or ""
        is_there = Standing(found.row.due_at)
        if plugin == MAILBOX:
            return is_there
        tells = chain.server.webhook_digests or group.server.webhook_digests
        if tells and plugin == group.deliver_plugins[0]:
            words = "the provider took it, and has told nothing since"
            return Standing(is_taken=True, words=words)
        pending = Standing(is_taken=True)
        if now - self._looked_up.get(found.row.server, 0.0) < LOOK_UP_SECONDS:
            return pending
        self._looked_up[found.row.server] = now
        id, document = found.row.id, found.content.document
        _, answer = await looked_up(self._pool, group, plugin, id, document)
        if answer is None or isinstance(answer, Confirmation | Untraceable):
            return is_there
        if isinstance(answer, Absent):
            return pending._replace(words="the provider took it, and does not have it")
        return pending._replace(words=f"the provider took it, and cannot be asked: {answer}")

    async def _judged(self, last: Canary, stands: Standing, server: Server, now: float) -> Canary:
        """Note what is known of a canary by now; return it as it is then."""
        patience = min(server.canary_seconds, PATIENCE_SECONDS)
        # While no daemon ran nobody could be told of it.
        waited = now - max(last.made_at, self._began_at)
        judged = last
        if stands.arrived_at is not None:
            took = max(stands.arrived_at - last.made_at, 0.0)
            judged = Canary(
                *(last.server, last.message, last.made_at),
                is_awaited=False,
                arrived_at=stands.arrived_at,
                took=took,
            )
        elif stands.is_over or waited >= patience:
            since = last.made_at if last.missing_since is None else last.missing_since
            judged = last._replace(
                is_awaited=not stands.is_over,
                missing_since=since,
                reason=_reason(last.message, stands.words) or last.reason,
            )
        if judged != last and await self.store.write(stored.note, Seen(judged, last)):
            _log(judged, last)
        return judged

    async def _make(self, chain: Chain, last: Canary | None, now: float) -> None:
        """Make a canary and store it; where none can be made, that is what is missing."""
        server, id = chain.server, message_id()
        canary = Canary(server.name, id, now, is_awaited=True)
        if last is not None:
            canary = last._replace(message=id, made_at=now, is_awaited=True)
        self._looked_up.pop(server.name, None)
        guard = Guard(
            stored.begin,
            lambda rows: NewCanary(canary, last, rows),
            lambda is_stored, row: is_stored,
        )
        try:
            made = await form.canary(self.builder, chain, id, now)
            if await self.outbox.put([made], guard=guard, is_own=True):
                log.info("canary.made", id=id, server=server.name)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises
            words = publishable(form.why(error))
            since = now if canary.missing_since is None else canary.missing_since
            unmade = canary._replace(
                message="", is_awaited=False, missing_since=since, reason=words
            )
            if await self.store.write(stored.begin, NewCanary(unmade, last)):
                log.error("canary.unmade", server=server.name, reason=words)


def _is_over(last: Canary, server: Server, now: float) -> bool:
    """Return whether the next canary is due; also where the clock was set back meanwhile."""
    return not -CLOCK_SECONDS <= now - last.made_at < server.canary_seconds


def _reason(id: str, words: str) -> str:
    """Say why a canary is missing, and which; "" where that is not known."""
    return f"{publishable(words)}; its id is {id}" if words else ""


def _log(now: Canary, before: Canary) -> None:
    known = {"id": now.message, "server": now.server}
    if now.missing_since is None:
        log.info("canary.arrived", **known, seconds=round(now.took or 0.0, 1))
    elif before.missing_since is None:
        log.warning("canary.missing", **known, reason=now.reason)
