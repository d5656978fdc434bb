"""What an operator orders about messages: where it applies, where not, what it leaves behind."""

import pytest

from relay.store.engine.database import Store
from relay.store.outbox import operator_actions, unsent
from relay.store.outbox.operator_actions import APPLIES_TO, OPERATIONS, SENDING, Order, Verdict
from relay.store.outbox.unsent import Selection
from tests.support.stored import CREATED, happened, new_id, put, row, rows

STATES = (
    "queued",
    "scheduled",
    "held",
    "sending",
    "in_doubt",
    "sent",
    "failed",
    "expired",
    "cancelled",
    "suppressed",
    "screened",
    "quarantined",
)
AFTER = {"retry": "queued", "release": "queued", "cancel": "cancelled", "found": "sent"}
DONE = {
    "retry": "retried",
    "release": "released",
    "cancel": "cancelled",
    "found": "found",
    "dismiss": "dismissed",
}
NOW = CREATED + 3600


def order(
    store: Store, name: str, *ids: str, twice: bool = False, now: float = NOW
) -> list[Verdict]:
    [verdicts] = store.write_now(OPERATIONS[name], [Order(ids, now, twice)])
    return verdicts


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_order_is_done_in_its_states_and_changes_nothing_in_others(
    store: Store, name: str
) -> None:
    ids = {state: put(store, number, state) for number, state in enumerate(STATES)}
    before = {state: row(store, id) for state, id in ids.items()}
    verdicts = dict(zip(STATES, order(store, name, *ids.values(), twice=True), strict=True))
    for state, verdict in verdicts.items():
        assert (verdict.id, verdict.before) == (ids[state], state)
        if state in APPLIES_TO[name]:
            assert verdict.done
            assert row(store, ids[state])["state"] == AFTER.get(name, state)
            [(kind, words)] = happened(store, ids[state])
            assert (kind, f"it was {state}" in words) == (DONE[name], True)
        else:
            assert not verdict.done
            assert verdict.words.startswith(f"it is {state}; only what is ")
            assert row(store, ids[state]) == before[state]
            assert happened(store, ids[state]) == []


def test_the_states_of_each_order_are_those_that_make_sense() -> None:
    assert {name: set(states) for name, states in APPLIES_TO.items()} == {
        "retry": {"queued", "failed", "expired", "quarantined", "in_doubt"},
        "release": {"held", "quarantined", "in_doubt"},
        "cancel": {"queued", "scheduled", "held"},
        "found": {"in_doubt", "held", "failed", "expired", "quarantined"},
        "dismiss": {"failed", "expired", "quarantined"},
    }
    assert SENDING == ("retry", "release")


def test_what_waits_for_its_next_try_is_tried_now(store: Store) -> None:
    id = put(store, 1, "queued", due_at=99_999.0, tries=8)
    [verdict] = order(store, "retry", id)
    assert (verdict.done, verdict.after) == (True, "queued")
    changed = row(store, id)
    assert changed["due_at"] == changed["since"] == NOW
    assert changed["tries"] == 8


def test_a_message_that_is_not_there_is_named_and_the_others_are_done(store: Store) -> None:
    id = put(store, 1, "failed")
    missing, done = order(store, "retry", "nowhere", id)
    assert missing == Verdict("nowhere", "", "", "there is no such message")
    assert done.done


def test_an_order_that_names_a_message_twice_is_done_once(store: Store) -> None:
    id = put(store, 1, "failed")
    assert [verdict.done for verdict in order(store, "retry", id, id)] == [True]
    assert len(happened(store, id)) == 1


@pytest.mark.parametrize("name", SENDING)
def test_what_is_sent_again_counts_its_age_and_its_look_ups_anew(store: Store, name: str) -> None:
    id = put(store, 1, "quarantined", looks=3, absences=1, crashes=4, tries=9)
    order(store, name, id)
    found = row(store, id)
    assert (found["due_at"], found["since"]) == (NOW, NOW)
    assert (found["looks"], found["absences"]) == (0, 0)
    assert (found["crashes"], found["tries"], found["maybe_twice"]) == (4, 9, 0)


@pytest.mark.parametrize(
    ("state", "happened_before", "tried"),
    [
        ("in_doubt", [], []),
        ("in_doubt", [("absent", CREATED + 20)], [("in_doubt", CREATED + 10)]),
        ("held", [], [("in_doubt", CREATED + 10)]),
        ("held", [("absent", CREATED + 20)], [("in_doubt", CREATED + 10)]),
        ("quarantined", [("interrupted", CREATED + 10)], []),
        ("quarantined", [("absent", CREATED + 5), ("interrupted", CREATED + 10)], []),
        ("quarantined", [("restored", CREATED + 10)], []),
    ],
)
def test_what_the_provider_may_have_is_sent_again_only_on_the_operators_word(
    store: Store,
    state: str,
    happened_before: list[tuple[str, float]],
    tried: list[tuple[str, float]],
) -> None:
    id = put(store, 1, state, happened=happened_before, tried=tried)
    before = row(store, id)
    assert store.read_now(operator_actions.doubtful, [id]) == {id}
    [verdict] = order(store, "release", id)
    assert (verdict.done, "arrive twice" in verdict.words) == (False, True)
    assert row(store, id) == before
    [verdict] = order(store, "release", id, twice=True)
    assert verdict.done
    assert row(store, id)["maybe_twice"] == 1
    assert "may be delivered twice" in happened(store, id)[-1][1]


@pytest.mark.parametrize(
    ("state", "happened_before", "tried"),
    [
        ("failed", [], [("failed", CREATED + 10)]),
        ("quarantined", [("absent", CREATED + 20)], [("in_doubt", CREATED + 10)]),
        ("expired", [("interrupted", CREATED + 1), ("absent", CREATED + 2)], []),
    ],
)
def test_what_the_provider_certainly_does_not_have_is_sent_again_without_a_flag(
    store: Store,
    state: str,
    happened_before: list[tuple[str, float]],
    tried: list[tuple[str, float]],
) -> None:
    id = put(store, 1, state, happened=happened_before, tried=tried)
    assert store.read_now(operator_actions.doubtful, [id]) == set()
    [verdict] = order(store, "retry", id)
    assert verdict.done
    assert row(store, id)["maybe_twice"] == 0


@pytest.mark.parametrize("name", SENDING)
def test_what_was_cleared_cannot_be_sent_again(store: Store, name: str) -> None:
    id = put(store, 1, "quarantined", cleared_at=CREATED)
    [verdict] = order(store, name, id, twice=True)
    assert (verdict.done, verdict.words) == (
        False,
        "its contents were cleared on 2026-09-21 14:13:20Z",
    )
    assert row(store, id)["state"] == "quarantined"


def test_what_is_dismissed_leaves_the_list_until_it_is_retried(store: Store) -> None:
    ids = [put(store, number, "failed") for number in range(3)]

    def listed(**values: bool) -> list[str]:
        page = store.read_now(unsent.page, Selection("failed", **values), None, 10)
        return [one.id for one in page.rows]

    [verdict] = order(store, "dismiss", ids[1])
    assert (verdict.done, verdict.after) == (True, "failed")
    assert listed() == [ids[2], ids[0]]
    assert listed(dismissed=True) == ids[::-1]
    [again] = order(store, "dismiss", ids[1])
    assert (again.done, again.words) == (False, "it was dismissed before")
    order(store, "retry", ids[1])
    assert row(store, ids[1])["state"] == "queued"
    store.write_now(
        lambda connection, batch: [
            connection.exec_driver_sql("UPDATE messages SET state = 'failed'") for _ in batch
        ],
        [None],
    )
    assert listed() == ids[::-1]


def test_the_list_has_every_open_state_and_is_picked_by_state_and_server(store: Store) -> None:
    for number, state in enumerate(STATES):
        put(store, number, state, server="a" if number % 2 else "b")

    def listed(selection: Selection) -> set[str]:
        return {one.state for one in store.read_now(unsent.page, selection, None, 50).rows}

    everything = set(STATES) - {"sent", "screened", "cancelled", "suppressed"}
    assert listed(Selection()) == everything
    assert listed(Selection(server="a")) | listed(Selection(server="b")) == everything
    assert listed(Selection(server="a")) & listed(Selection(server="b")) == set()
    for state in (*unsent.OPEN_STATES, *unsent.CLOSED_STATES):
        assert listed(Selection(state)) == {state}
    assert listed(Selection("held", "nowhere")) == set()


def test_the_list_is_paged_by_key_and_its_ids_come_in_chunks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [put(store, number, "failed") for number in range(7)]
    monkeypatch.setattr(unsent, "CHUNK", 3)
    chunks = store.read_now(lambda connection: list(unsent.ids(connection, Selection("failed"))))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert [id for chunk in chunks for id in chunk] == ids[::-1]
    first = store.read_now(unsent.page, Selection(), None, 4)
    second = store.read_now(unsent.page, Selection(), first.below, 4)
    assert [one.id for page in (first, second) for one in page.rows] == ids[::-1]
    assert second.below is None


@pytest.mark.sqlite
def test_the_list_reads_an_index_and_sorts_nothing(store: Store) -> None:
    from sqlalchemy.dialects import sqlite

    query = unsent._selected(unsent.select(unsent.messages), Selection())
    sql = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    plan = " ".join(one["detail"] for one in rows(store, f"EXPLAIN QUERY PLAN {sql}"))
    assert "USING INDEX messages_unsent" in plan
    assert plan.count("TEMP B-TREE") == 0


def test_servers_with_waiting_mail_are_found_whatever_the_settings_say(store: Store) -> None:
    put(store, 1, "queued", server="gone")
    put(store, 2, "queued", server="tried", tries=3)
    put(store, 3, "sent", server="done")
    put(store, 4, "scheduled", server="later")
    assert store.read_now(unsent.waiting_servers) == {"gone", "tried", "later"}


def test_ids_of_tests_sort_as_real_ones(store: Store) -> None:
    assert new_id(1, CREATED) < new_id(2, CREATED) < new_id(1, CREATED + 1)
