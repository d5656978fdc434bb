"""The index of words follows what is stored: who leads adds to it, between others' work."""

import asyncio
import time
from collections.abc import Callable

import structlog

from relay.core import clock
from relay.core.errors import RelayError
from relay.store.engine.database import Store
from relay.store.queries.search import first_id
from relay.store.words import index

PAUSE_SECONDS = 1.0
# After a commit of its own it pauses for so many times as long: others' come first. Where a commit
# takes so long, others wait to be written.
RESPITE = 4
LONG_SECONDS = 0.05
# How often it looks for what was stored late, by its id, and how far back.
AGAIN_SECONDS, BACK_SECONDS = 3600.0, 7200.0

log = structlog.get_logger()


async def keep(store: Store, is_leader: Callable[[], bool]) -> None:
    """Index what is stored, for ever, while it leads; what cannot be done now is done later."""
    again_at = 0.0
    while True:
        pause = PAUSE_SECONDS
        try:
            if is_leader():
                pause = await step(store)
                if clock.now() >= again_at:
                    again_at = clock.now() + AGAIN_SECONDS
                    await look_again(store)
        except RelayError as error:
            log.warning("chore.undone", error=type(error).__name__)
        await asyncio.sleep(pause)


async def step(store: Store) -> float:
    """Do a part of what there is to do; return for how long to pause."""
    now = clock.now()
    if not await store.read(index.is_behind, now):
        return PAUSE_SECONDS
    begun_at = time.monotonic()
    count = await store.write(index.follow, now)
    if count < index.CHUNK:
        await store.write(index.go_back, None)
        await store.write(index.purge, now)
    took = time.monotonic() - begun_at
    return RESPITE * took if took < LONG_SECONDS else PAUSE_SECONDS


async def look_again(store: Store) -> None:
    """Index what was stored in the last hours later than its id says."""
    after: str | None = first_id(clock.now() - BACK_SECONDS)
    while after is not None:
        after = await store.write(index.look_again, after)
        await asyncio.sleep(LONG_SECONDS)
