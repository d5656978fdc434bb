"""The index is made by whoever leads, in pieces, beside others' work."""

import asyncio

import pytest

from relay.core import clock
from relay.core.states import State
from relay.store.engine.database import Store
from relay.store.maintenance import indexing
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.words import index
from tests.support.stored import DOCUMENT, new_id, rows


def put(store: Store, *numbers: int, ago: float = 3600) -> None:
    at = clock.now() - ago
    for number in numbers:
        new = NewMessage(new_id(number, at), "permits", State.SENT, at, "key", DOCUMENT)
        store.write_now(enqueue.add, [new])


def count(store: Store) -> int:
    [row] = rows(store, "SELECT count(*) AS count FROM words")
    return int(row["count"])


@pytest.mark.gen_test
async def test_it_goes_on_until_everything_is_indexed_and_pauses_between(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "CHUNK", 2)
    put(store, 1, 2, 3, 4, 5)
    pauses = [await indexing.step(store)]
    assert 0 < count(store) < 5
    while await store.read(index.is_behind, clock.now()):
        pauses.append(await indexing.step(store))
    assert count(store) == 5
    assert all(0 < pause <= indexing.PAUSE_SECONDS for pause in pauses)
    monkeypatch.setattr(index, "SETTLED_SECONDS", -5)
    put(store, 6, ago=-1)
    while await store.read(index.is_behind, clock.now()):
        await indexing.step(store)
    assert count(store) == 6
    put(store, 7, ago=120)
    assert await indexing.step(store) == indexing.PAUSE_SECONDS
    await indexing.look_again(store)
    assert count(store) == 7


@pytest.mark.gen_test
async def test_who_does_not_lead_indexes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "PAUSE_SECONDS", 0.001)
    put(store, 1)
    leads: list[bool] = []
    indexed = asyncio.Event()
    real = indexing.look_again

    async def look_again(store: Store) -> None:
        await real(store)
        indexed.set()

    monkeypatch.setattr(indexing, "look_again", look_again)

    def is_leader() -> bool:
        leads.append(len(leads) >= 5)
        return leads[-1]

    keeping = asyncio.create_task(indexing.keep(store, is_leader))
    async with asyncio.timeout(10):
        while len(leads) <= 5:
            assert count(store) == 0
            await asyncio.sleep(0)
        await indexed.wait()
    keeping.cancel()
    assert count(store) == 1
