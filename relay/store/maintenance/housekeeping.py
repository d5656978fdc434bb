"""What is done every few minutes: what is of no use any more is forgotten, what is old cleared."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from relay.core import clock
from relay.core.errors import RelayError
from relay.core.server import Server
from relay.store import (
    callbacks,
    canaries,
    idempotency,
    keys,
    operators,
    proofs,
    reply_addresses,
    suppressions,
    tokens,
    webhooks,
)
from relay.store.engine.database import Store
from relay.store.outbox import ledger, retention

PAUSE_SECONDS = 600

log = structlog.get_logger()


async def keep(
    store: Store, servers: Callable[[], Iterable[Server]], is_leader: Callable[[], bool]
) -> None:
    """Do the chores for ever, while it leads; one that cannot be done now is done the next time."""
    while True:
        chores = (forget, lambda store: retention.clear_old(store, servers()))
        for chore in chores if is_leader() else ():
            try:
                await chore(store)
            except RelayError as error:
                log.warning("chore.undone", error=type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)


async def forget(store: Store) -> None:
    """Drop session tokens, proofs and sessions that ended long ago, keys of requests after a day.

    Revoked keys and calls to webhooks too, old canaries, and reply addresses: who answers later
    than they are good writes to nobody.
    """
    callers, requests = (tokens, operators, keys), (idempotency, callbacks, webhooks, canaries)
    for one in (*callers, *requests, proofs, reply_addresses, suppressions, ledger):
        await store.write(one.forget, clock.now())
