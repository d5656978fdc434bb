"""The numbers of the console: read from what was counted, bounded where messages are looked at."""

import pytest
from sqlalchemy import Connection, event

from relay.store.engine.database import Store
from relay.store.engine.writer import one_by_one
from relay.store.outbox import ledger
from relay.store.outbox.operator_actions import OPERATIONS, Order
from relay.store.queries import statistics
from relay.store.queries.statistics import Counts
from tests.support.stored import CREATED, put

DAY = 86400.0


def record(store: Store, server: str, at: float, what: str, number: int = 1) -> None:
    @one_by_one
    def operation(connection: Connection, _: None) -> None:
        ledger.record(connection, [(server, at, (what,))], number)

    store.write_now(operation, [None])


def test_days_are_counted_by_server_from_a_day_on(store: Store) -> None:
    for on in range(3):
        at = CREATED + on * DAY
        record(store, "permits", at, "accepted", 3)
        record(store, "permits", at, "sent", 2)
        record(store, "permits", at + 1, "failed")
    record(store, "roads", CREATED + 2 * DAY, "screened")
    second, third = (ledger.day(CREATED + on * DAY) for on in (1, 2))
    each = Counts(accepted=3, sent=2, failed=1)
    expected = {"permits": {second: each, third: each}, "roads": {third: Counts(screened=1)}}
    assert store.read_now(statistics.days, second) == expected
    assert store.read_now(statistics.today, CREATED + 2 * DAY) == {
        server: days[third] for server, days in expected.items()
    }
    assert store.read_now(statistics.today, CREATED + 3 * DAY) == {}


def test_the_last_hour_has_sixty_minutes_the_last_one_is_this(store: Store) -> None:
    now = CREATED // 60 * 60 + 30
    for minutes_ago, number in ((0, 1), (1, 2), (59, 3), (60, 4), (-1, 5)):
        record(store, "permits", now - 60 * minutes_ago, "accepted", number)
    record(store, "permits", now, "deferred", 7)
    hour = store.read_now(statistics.last_hour, now)["permits"]
    assert hour.accepted == [3, *[0] * 57, 2, 1]
    assert hour.deferred == [*[0] * 59, 7]
    assert hour.sent == hour.failed == hour.screened == [0] * 60


def test_what_waits_is_counted_by_server_and_state(store: Store) -> None:
    states = ("queued", "queued", "scheduled", "held", "in_doubt", "sending", "sent", "failed")
    for number, state in enumerate(states):
        put(store, number, state, server="permits")
    put(store, 50, "queued", server="permits", tries=3)
    put(store, 51, "scheduled", server="roads", tries=1)
    assert store.read_now(statistics.waiting, ["permits", "roads", "parks"]) == {
        "permits": {"queued": 3, "scheduled": 1, "held": 1, "in_doubt": 1, "sending": 1},
        "roads": {"scheduled": 1},
    }


def test_what_a_person_has_to_decide_is_counted_until_it_is_dismissed(store: Store) -> None:
    states = ("held", "in_doubt", "failed", "expired", "quarantined", "suppressed", "cancelled")
    ids = {state: put(store, number, state) for number, state in enumerate(states)}
    decided = dict.fromkeys(states[:5], 1)
    assert store.read_now(statistics.undecided) == {"contactform": decided}
    dismissed = [ids["failed"], ids["quarantined"]]
    store.write_now(OPERATIONS["dismiss"], [Order(dismissed, CREATED)])
    store.write_now(OPERATIONS["retry"], [Order([ids["expired"]], CREATED)])
    assert store.read_now(statistics.undecided) == {"contactform": {"held": 1, "in_doubt": 1}}


def test_no_more_is_counted_than_somebody_has_to_know(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST_COUNTED", 2)
    for number in range(3):
        put(store, number, "queued")
        put(store, 10 + number, "held")
    found = {"contactform": {"queued": 2, "held": 2}}
    assert store.read_now(statistics.waiting, ["contactform"]) == found
    assert store.read_now(statistics.undecided) == {"contactform": {"held": 2}}


def test_of_many_servers_each_is_counted_up_to_the_most(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST_COUNTED", 2)
    for number in range(3):
        put(store, number, "queued", server="permits")
        put(store, 10 + number, "queued", server="roads", tries=1)
    put(store, 20, "queued", server="parks")
    servers = ["permits", "roads", "parks", 'a"quote']
    assert store.read_now(statistics.waiting, servers) == {
        "permits": {"queued": 2},
        "roads": {"queued": 2},
        "parks": {"queued": 1},
    }


def test_the_oldest_that_waits_is_known_of_each_server(store: Store) -> None:
    put(store, 1, "queued", server="permits")
    put(store, 2, "queued", server="permits", tries=3, since=CREATED - 30)
    put(store, 3, "scheduled", server="roads", due_at=CREATED + DAY)
    put(store, 4, "in_doubt", server="parks")
    put(store, 5, "sent", server="libraries")
    put(store, 6, "queued", server="of_others")
    servers = ["permits", "roads", "parks", "libraries"]
    found = store.read_now(statistics.oldest_waiting, servers, CREATED + 60)
    assert found == {"permits": CREATED - 30, "parks": CREATED}
    late = store.read_now(statistics.oldest_waiting, servers, CREATED + 2 * DAY)
    assert late.keys() == {"permits", "roads", "parks"}
    assert store.read_now(statistics.oldest_waiting, [], CREATED) == {}


@pytest.mark.sqlite
def test_the_oldest_is_found_by_the_indexes_alone(store: Store) -> None:
    plans: list[str] = []

    def explained(connection: Connection) -> None:
        def explain(
            connection: Connection,
            cursor: object,
            statement: str,
            parameters: object,
            *rest: object,
        ) -> None:
            if statement.startswith("SELECT"):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans.extend(row.detail for row in rows)

        event.listen(connection, "before_cursor_execute", explain)
        statistics.oldest_waiting(connection, ["permits", "roads"], CREATED)

    store.read_now(explained)
    assert any("messages_new (server=?" in plan for plan in plans)
    assert any("messages_retried (server=?" in plan for plan in plans)
    assert "SCAN messages" not in plans
