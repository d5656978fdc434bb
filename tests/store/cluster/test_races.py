"""Two daemons that want the same at the same moment: one gets it, and nobody waits for ever."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from relay.core.errors import IdempotencyRunning, TokenRefused
from relay.core.states import State
from relay.store import callbacks, idempotency, installation, receipts, templates, tokens
from relay.store.engine.database import Store
from relay.store.idempotency import IdempotencyEntry
from relay.store.outbox import claims, enqueue, in_doubt, ledger
from relay.store.outbox.batching import ClaimOrder, Lane
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.in_doubt import Looking
from relay.store.outbox.references import NewReceipt
from relay.store.proofs import ProofUse
from relay.store.receipts import ReceiptOrder
from relay.store.tokens import NewToken, Spending, TokenUse
from tests.store.cluster.conftest import Open
from tests.store.cluster.test_daemons import joined
from tests.support.stored import CREATED, DOCUMENT, new_id, put, rows

pytestmark = pytest.mark.slow

Act = Callable[[Store], Any]


def at_once(stores: Sequence[Store], *acts: Act) -> list[Any]:
    """Let each store act in a thread of its own, all from the same moment; return what they got."""
    barrier, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int) -> None:
        barrier.wait()
        results[place] = acts[place](stores[place % len(stores)])

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def two(another: Open) -> list[Store]:
    stores = [another(), another()]
    for store in stores:
        joined(store)
    return stores


def message(number: int, **values: Any) -> NewMessage:
    return NewMessage(
        new_id(number), "contactform", State.QUEUED, CREATED, "application", DOCUMENT, **values
    )


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_each_token_is_spent_once_by_eight_racers(another: Open) -> None:
    stores = two(another)
    count, racers = 40, 8
    stores[0].write_now(tokens.create, [NewToken(digest(n), CREATED + 999) for n in range(count)])

    def spend(racer: int) -> Act:
        # Every other one takes them from the end.
        order = list(range(count))[:: 1 if racer % 2 else -1]

        def spending(store: Store) -> list[Any]:
            uses = [Spending(TokenUse(digest(n)), new_id(racer * 1000 + n), CREATED) for n in order]
            return [store.write_now(tokens.spend, uses[start:][:10]) for start in (0, 10, 20, 30)]

        return spending

    found = at_once(stores, *(spend(racer) for racer in range(racers)))
    won = [one for results in found for some in results for one in some if one is None]
    lost = [one for results in found for some in results for one in some if one is not None]
    assert (len(won), len(lost)) == (count, count * (racers - 1))
    assert all(isinstance(one, TokenRefused) for one in lost)


def test_each_proof_is_spent_once_by_eight_racers(another: Open) -> None:
    stores = two(another)
    count, racers = 40, 8

    def spend(racer: int) -> Act:
        order = list(range(count))[:: 1 if racer % 2 else -1]

        def spending(store: Store) -> list[Any]:
            new = [message(racer * 1000 + n, proof=ProofUse(digest(n), 0.0)) for n in order]
            return [store.write_now(enqueue.add, new[start:][:10]) for start in (0, 10, 20, 30)]

        return spending

    found = at_once(stores, *(spend(racer) for racer in range(racers)))
    won = [one for results in found for some in results for one in some if one is None]
    lost = [one for results in found for some in results for one in some if one is not None]
    assert (len(won), len(lost)) == (count, count * (racers - 1))
    assert {one.reason for one in lost} == {"proof_used"}
    assert rows(stores[0], "SELECT count(*) AS n FROM messages") == [{"n": count}]
    assert rows(stores[0], "SELECT count(DISTINCT message) AS n FROM proofs") == [{"n": count}]


def test_a_request_that_two_daemons_get_at_once_is_stored_by_one(another: Open) -> None:
    stores = two(another)
    for attempt in range(20):

        def add(racer: int, attempt: int = attempt) -> Act:
            new = message(attempt * 10 + racer)
            entry = IdempotencyEntry(digest(attempt), digest(9), CREATED + 99, CREATED, [new])
            return lambda store: store.write_now(idempotency.add, [entry])[0]

        results = at_once(stores, add(1), add(2), add(3), add(4))
        assert sorted(map(type, results), key=str) == sorted(
            [type(None), *[IdempotencyRunning] * 3], key=str
        )
    assert rows(stores[0], "SELECT count(*) AS n FROM messages") == [{"n": 20}]


def test_one_whose_token_is_gone_leaves_its_request_free(another: Open) -> None:
    [store, _] = two(another)
    refused = message(1, token=TokenUse(digest(5)))
    entry = IdempotencyEntry(digest(1), digest(9), CREATED + 99, CREATED, [refused])
    [result] = store.write_now(idempotency.add, [entry])
    assert isinstance(result, TokenRefused)
    assert store.read_now(idempotency.find, digest(1), CREATED) is None


def test_what_a_provider_tells_two_daemons_at_once_is_new_to_one(another: Open) -> None:
    stores = two(another)
    for number in range(20):

        def hear(store: Store, number: int = number) -> Any:
            def told(connection: Connection, batch: Sequence[None]) -> list[bool]:
                return [callbacks.remember(connection, digest(number), CREATED)]

            return store.write_now(told, [None])[0]

        assert sorted(at_once(stores, *[hear] * 4)) == [False, False, False, True]


def test_two_daemons_claim_each_message_once(another: Open) -> None:
    stores = two(another)
    for number in range(200):
        put(stores[number % 2], number, State.QUEUED)
    lane = Lane("contactform", "mailbox", "mailbox", 5, 4, 120.0)
    order = ClaimOrder(CREATED + 60, 4, {"contactform": [lane]})

    def claim(store: Store) -> list[str]:
        mine: list[str] = []
        while True:
            [found] = store.write_now(claims.claim, [order])
            mine += [one.id for call in found.calls for one in call.messages]
            # Nothing there, or what is there is another's at this moment.
            if not found.calls and not store.read_now(claims.next_due, ["contactform"]):
                return mine

    taken = at_once(stores, *[claim] * 4)
    assert sorted(one for some in taken for one in some) == [new_id(n) for n in range(200)]


def test_the_daemon_that_accepted_goes_first_and_then_it_is_anybodys(another: Open) -> None:
    mine, other = two(another)
    id = put(mine, 1, State.QUEUED)
    lane = Lane("contactform", "mailbox", "mailbox", 5, 4, 120.0)

    def claimed(store: Store, now: float) -> list[str]:
        [found] = store.write_now(claims.claim, [ClaimOrder(now, 4, {"contactform": [lane]})])
        return [one.id for call in found.calls for one in call.messages]

    later = CREATED + claims.OWNED_SECONDS
    assert other.read_now(claims.next_due, ["contactform"]) == {"contactform": later}
    assert mine.read_now(claims.next_due, ["contactform"]) == {"contactform": CREATED}
    assert claimed(other, later - 0.1) == []
    assert claimed(other, later) == [id]
    second = put(mine, 2, State.QUEUED)
    assert claimed(mine, CREATED) == [second]


def test_a_claim_holds_no_more_than_its_calls_can_take(another: Open) -> None:
    mine, other = two(another)
    for number in range(30):
        put(mine, number, State.QUEUED)
    lane = Lane("contactform", "mailbox", "mailbox", 5, 2, 120.0)
    order = ClaimOrder(CREATED + 60, 2, {"contactform": [lane]})
    with mine._writing.connect() as connection, connection.begin():
        [first] = claims.claim(connection, [order])
        [second] = other.write_now(claims.claim, [order])  # while the first one is open
    held = [[one.id for call in some.calls for one in call.messages] for some in (first, second)]
    assert [len(ids) for ids in held] == [10, 10]
    assert not set(held[0]) & set(held[1])


def test_two_daemons_look_each_doubt_up_once(another: Open) -> None:
    stores = two(another)
    for number in range(150):
        put(stores[0], number, State.IN_DOUBT, delivery="postmark")
    looking = Looking(CREATED + 60, 3600.0, [("contactform", "postmark")])

    def look(store: Store) -> list[str]:
        mine: list[str] = []
        while found := store.write_now(in_doubt.take, [looking])[0]:
            mine += [one.id for one in found]
        return mine

    taken = [one for some in at_once(stores, *[look] * 4) for one in some]
    assert sorted(taken) == [new_id(n) for n in range(150)]


def test_daemons_that_count_in_opposite_order_do_not_wait_for_each_other(another: Open) -> None:
    stores = two(another)
    servers = [f"server{number}" for number in range(10)]

    def count(names: Sequence[str]) -> Act:
        def counting(store: Store) -> None:
            def some(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
                for name in names:
                    ledger.record(connection, [(name, CREATED, ("accepted",))])
                return batch

            for _ in range(150):
                store.write_now(some, [None])

        return counting

    at_once(stores, count(servers), count(servers[::-1]))
    total = rows(stores[0], "SELECT sum(accepted) AS n, count(*) AS rows FROM ledger")
    assert [(int(one["n"]), one["rows"]) for one in total] == [(3000, 20)]


def test_servers_and_templates_get_numbers_of_their_own(another: Open) -> None:
    stores = two(another)

    def number(name: str) -> Act:
        return lambda store: store.write_now(installation.number, [[name]])[0][name]

    numbers = at_once(stores, *(number(f"server{n}") for n in range(8)))
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + 8))

    def template(connection: Connection) -> int:
        id = templates.next_number(connection)
        values = {"alias": None, "type": "Standard", "subject": "", "html": None, "text": ""}
        more = {"layout": None, "active": True, "edited_at": 0.0, "edited_by": "operator"}
        made = templates.StoredTemplate(server="a", id=id, version=1, name="", **values, **more)  # type: ignore[arg-type]
        templates.add(connection, made)
        return id

    made = at_once(stores, *[lambda store: store.write_now(templates.change, [template])[0]] * 8)
    assert len(set(made)) == 8


def test_a_writer_gets_one_receipt_and_no_more_than_the_limit(another: Open) -> None:
    stores = two(another)
    for number in range(6):
        stores[0].write_now(
            enqueue.add, [message(number, receipt=NewReceipt(f"REF{number}", "ann@example.com"))]
        )

    def write(number: int, racer: int) -> Act:
        mail = message(100 + number * 10 + racer)
        order = ReceiptOrder(
            new_id(number), State.QUEUED, CREATED, mail, "told", per_hour=3, per_day=9
        )
        return lambda store: store.write_now(receipts.write, [order])[0]

    results = at_once(stores, *(write(n, racer) for n in range(6) for racer in (1, 2)))
    assert sorted(results) == ["omitted"] * 3 + ["open"] * 6 + ["written"] * 3
