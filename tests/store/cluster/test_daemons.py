"""Who lives, who lapsed, and what becomes of what a lapsed daemon was sending."""

from typing import Any

import pytest
from sqlalchemy import Connection, update

from relay.core.states import State
from relay.store.cluster import daemons
from relay.store.cluster.daemons import Heartbeat, Registration
from relay.store.engine.database import Store
from relay.store.outbox import claims, recovery
from relay.store.outbox.batching import ClaimOrder, Lane
from relay.store.outbox.recovery import Interruption
from relay.store.schema import daemons as table
from tests.store.cluster.conftest import Open
from tests.support.stored import CREATED, put, row

HEARD = {"pauses": 3}


def joined(store: Store) -> int:
    number = in_store(store, daemons.join, Registration("web1", 7, "1.0", "digest"))
    store.identity.number = number
    return number


def in_store(store: Store, operation: Any, *arguments: Any) -> Any:
    with store._writing.connect() as connection, connection.begin():
        return operation(connection, *arguments)


def beat(store: Store, number: int) -> bool:
    word = Heartbeat(number, "127.0.0.1:8025", "digest", 0.5, HEARD, [])
    return bool(in_store(store, daemons.beat, word))


def silence(store: Store, number: int, seconds: float) -> None:
    """Let it be so long since a daemon was heard of."""

    def older(connection: Connection) -> None:
        was = table.c.heartbeat_at - seconds
        connection.execute(update(table).where(table.c.id == number).values(heartbeat_at=was))

    in_store(store, older)


def test_a_daemon_that_says_nothing_for_long_lapsed_and_its_word_counts_no_more(
    another: Open,
) -> None:
    first, second = another(), another()
    silent, living = joined(first), joined(second)
    assert silent != living
    assert beat(first, silent)
    silence(first, silent, daemons.LAPSED_SECONDS - 5)
    assert in_store(second, daemons.end_lapsed) == []
    silence(first, silent, 6)
    assert in_store(second, daemons.end_lapsed) == [silent]
    assert in_store(second, daemons.end_lapsed) == []
    assert not beat(first, silent)
    assert beat(second, living)
    listed = second.read_now(daemons.members)
    assert [(one.id, one.is_living) for one in listed] == [(silent, False), (living, True)]
    assert listed[0].age == pytest.approx(daemons.LAPSED_SECONDS + 1, abs=2)
    assert listed[1].heard == HEARD
    assert listed[1].name == f"daemon {living} on web1"


def test_one_that_lapsed_is_listed_for_a_day_and_one_that_left_is_not(another: Open) -> None:
    store = another()
    gone, left = joined(store), joined(store)
    in_store(store, daemons.leave, left)
    silence(store, gone, 40)
    in_store(store, daemons.end_lapsed)
    in_store(store, daemons.forget)
    assert [one.id for one in store.read_now(daemons.members)] == [gone]

    def yesterday(connection: Connection) -> None:
        connection.execute(update(table).values(ended_at=table.c.ended_at - 90_000))

    in_store(store, yesterday)
    in_store(store, daemons.forget)
    assert store.read_now(daemons.members) == []
    assert joined(store) > left  # a number is never another's


def test_what_a_lapsed_daemon_was_sending_is_in_doubt_and_what_others_send_is_not(
    another: Open,
) -> None:
    first, second = another(), another()
    silent, living = joined(first), joined(second)
    theirs = put(first, 1, State.QUEUED)
    assert claimed(first, CREATED + 60) == [(silent, theirs)]
    ours = put(second, 2, State.QUEUED)
    assert claimed(second, CREATED + 60) == [(living, ours)]
    interruption = Interruption(CREATED + 70, {})
    assert not second.read_now(recovery.any_interrupted)
    assert second.write_now(recovery.interrupted, [interruption]) == [0]
    silence(first, silent, 40)
    in_store(second, daemons.end_lapsed)
    assert second.read_now(recovery.any_interrupted)
    assert second.write_now(recovery.interrupted, [interruption]) == [1]
    assert second.write_now(recovery.interrupted, [interruption]) == [0]
    sending = {one.id: one.sending for one in second.read_now(daemons.members)}
    assert sending == {silent: 0, living: 1}
    states = [row(second, id)["state"] for id in (theirs, ours)]
    assert states == [State.IN_DOUBT, State.SENDING]


def claimed(store: Store, now: float) -> list[tuple[int, str]]:
    """Claim what is due; return under which number, and what."""
    lane = Lane("contactform", "mailbox", "mailbox", 10, 4, 120.0)
    [found] = store.write_now(claims.claim, [ClaimOrder(now, 4, {"contactform": [lane]})])
    return [(call.daemon, one.id) for call in found.calls for one in call.messages]


def test_those_that_have_not_heard_of_a_change_are_named(another: Open) -> None:
    store = another()
    number = joined(store)
    beat(store, number)
    assert store.read_now(daemons.deaf, "pauses", 3) == []
    assert [one.id for one in store.read_now(daemons.deaf, "pauses", 4)] == [number]
    assert [one.id for one in store.read_now(daemons.deaf, "suppressions", 1)] == [number]
