"""What is counted as it happens: each thing once, on its day, whoever makes it happen."""

from typing import Any

import pytest

from relay.core.states import State
from relay.store.engine.database import Store
from relay.store.maintenance.audit import audit
from relay.store.outbox import in_doubt, ledger, outcomes, screened
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.in_doubt import Decision, Doubt, LateAnswer
from relay.store.outbox.operator_actions import OPERATIONS, Order
from relay.store.outbox.outcomes import AttemptOutcome, Claimed
from relay.store.outbox.screened import Release
from tests.support.stored import CREATED, DOCUMENT, new_id, put, rows

DAY = 86400.0
NEXT = CREATED + DAY
COUNTS = ("accepted", "screened", "sent", "failed")


def counted(store: Store) -> dict[str, dict[str, int]]:
    """What was counted by day, without what was not."""
    found: dict[str, dict[str, int]] = {}
    for one in rows(store, "SELECT * FROM ledger"):
        counts = {name: one[name] for name in (*COUNTS, "released") if one[name]}
        found.setdefault(one["day"], {}).update(counts)
    return found


def by_minute(store: Store) -> dict[int, dict[str, int]]:
    names = (*COUNTS, "deferred")
    return {
        one["minute"]: {name: one[name] for name in names if one[name]}
        for one in rows(store, "SELECT * FROM minutes")
    }


FIRST, SECOND = ledger.day(CREATED), ledger.day(NEXT)


def attempted(store: Store, id: str, state: str, at: float = NEXT, **more: Any) -> bool:
    claimed = Claimed(id, "contactform", 0, CREATED, 0, 0)
    outcome = AttemptOutcome(
        claimed, State(state), at, True, "postmark", state, "", at - 1, at, **more
    )
    [[counts]] = store.write_now(outcomes.settle, [[outcome]])
    return counts


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ("sent", {"sent": 1}),
        ("failed", {"failed": 1}),
        ("expired", {"failed": 1}),
        ("quarantined", {"failed": 1}),
        ("suppressed", {"failed": 1}),
        ("held", {}),
        ("in_doubt", {}),
    ],
)
def test_an_outcome_counts_on_the_day_on_which_it_came(
    store: Store, state: str, counts: dict[str, int]
) -> None:
    id = put(store, 1, "sending")
    assert attempted(store, id, state)
    expected = {FIRST: {"accepted": 1}} | ({SECOND: counts} if counts else {})
    assert counted(store) == expected
    # One that comes too late changes nothing.
    assert not attempted(store, id, state)
    assert counted(store) == expected
    assert by_minute(store).get(int(NEXT // 60), {}) == counts


def test_an_attempt_that_is_to_be_made_again_counts_by_minute_alone(store: Store) -> None:
    id = put(store, 1, "sending")
    assert attempted(store, id, "queued")
    assert by_minute(store)[int(NEXT // 60)] == {"deferred": 1}
    assert counted(store) == {FIRST: {"accepted": 1}}


def test_what_failed_and_is_found_counts_as_both(store: Store) -> None:
    id = put(store, 1, "sending")
    attempted(store, id, "failed", at=CREATED + 5)
    store.write_now(OPERATIONS["found"], [Order([id], NEXT), Order([id], NEXT)])
    assert counted(store) == {FIRST: {"accepted": 1, "failed": 1}, SECOND: {"sent": 1}}
    assert store.read_now(audit).faults == []


@pytest.mark.parametrize("name", ["retry", "release", "cancel", "dismiss"])
def test_other_orders_count_nothing(store: Store, name: str) -> None:
    state = {"release": "held", "cancel": "queued"}.get(name, "quarantined")
    id = put(store, 1, state)
    before = counted(store)
    [[verdict]] = store.write_now(OPERATIONS[name], [Order([id], NEXT)])
    assert verdict.done
    assert counted(store) == before


@pytest.mark.parametrize(
    ("state", "counts"),
    [("sent", {"sent": 1}), ("expired", {"failed": 1}), ("quarantined", {"failed": 1})],
)
def test_what_is_decided_of_a_doubt_counts(
    store: Store, state: str, counts: dict[str, int]
) -> None:
    id = put(store, 1, "in_doubt")
    doubt = Doubt(id, "contactform", 0, CREATED, CREATED, 0, 0, 0, False, None)
    decision = Decision(doubt, NEXT, State(state), NEXT, 1, 0, False, None, "", ())
    assert store.write_now(in_doubt.decide, [decision]) == [True]
    assert store.write_now(in_doubt.decide, [decision]) == [False]
    assert counted(store)[SECOND] == counts


def test_word_that_comes_late_counts_once(store: Store) -> None:
    id = put(store, 1, "in_doubt")
    answer = LateAnswer(id, NEXT, "1", "postmark")
    assert store.write_now(in_doubt.answered_late, [answer, answer]) == ["in_doubt", ""]
    assert counted(store) == {FIRST: {"accepted": 1}, SECOND: {"sent": 1}}


@pytest.mark.parametrize(
    ("state", "kept", "released"),
    [
        ("screened", {"screened": 1}, {"accepted": 1, "released": 1}),
        ("quarantined", {"accepted": 1, "failed": 1}, {"accepted": 1, "failed": 1}),
    ],
)
def test_what_was_kept_back_counts_as_accepted_once_it_is_released(
    store: Store, state: str, kept: dict[str, int], released: dict[str, int]
) -> None:
    id = put(store, 1, state, kind="form" if state == "quarantined" else "plain")
    assert counted(store) == {FIRST: kept}
    message = NewMessage(id, "contactform", State.QUEUED, CREATED, "application", DOCUMENT)
    assert store.write_now(screened.release, [Release(message, NEXT)]) == [True]
    assert counted(store) == {FIRST: released}
    assert by_minute(store)[int(CREATED // 60)] == {
        name: count for name, count in released.items() if name != "released"
    }
    assert store.read_now(audit).faults == []


def test_days_on_which_nothing_came_in_are_not_audited(store: Store) -> None:
    attempted(store, put(store, 1, "sending"), "sent")
    found = store.read_now(audit)
    assert [place.day for place in found.balances] == [FIRST]


def test_minutes_are_forgotten_after_three_hours_and_days_are_not(store: Store) -> None:
    put(store, 1, "sending")
    attempted(store, new_id(1), "sent", at=CREATED + 3 * 3600)
    assert store.write_now(ledger.forget, [CREATED + 3 * 3600]) == [0]
    assert store.write_now(ledger.forget, [CREATED + 3 * 3600 + 60]) == [1]
    assert list(by_minute(store)) == [int((CREATED + 3 * 3600) // 60)]
    assert counted(store)[FIRST] == {"accepted": 1, "sent": 1}
