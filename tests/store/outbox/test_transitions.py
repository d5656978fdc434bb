"""A message's state changes only as the table says, and only for whoever has seen it as it is."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from relay.core.states import FINAL, ORDERS, TRANSITIONS, ForbiddenTransition, State
from relay.store.engine.database import Store
from relay.store.outbox import claims, in_doubt, operator_actions, outcomes, recovery
from relay.store.outbox.batching import ClaimOrder, Lane
from relay.store.outbox.in_doubt import Decision, Doubt, LateAnswer, Seen
from relay.store.outbox.operator_actions import OPERATIONS, Cancelling, Order
from relay.store.outbox.outcomes import AttemptOutcome, Claimed
from relay.store.outbox.recovery import Interruption
from relay.store.outbox.transitions import Change, change, change_each
from tests.support.generated import examples
from tests.support.stored import CREATED, happened, put, row, rows

LANE = Lane("contactform", "postmark", "postmark", 10, 10, 60.0)
NUMBERS = itertools.count()
ENDINGS = sorted(TRANSITIONS[State.SENDING])
DECISIONS = sorted(TRANSITIONS[State.IN_DOUBT])
ORDER_NAMES = sorted(OPERATIONS)


def test_a_forbidden_transition_is_refused_and_leaves_the_row_as_it_was(store: Store) -> None:
    sent, queued = put(store, 1, "sent"), put(store, 2, "queued")
    before = [row(store, sent), row(store, queued)]
    forbidden = Change((State.SENT,), State.QUEUED, {"words": "again"})
    allowed = Change((State.QUEUED,), State.SENDING)
    for attempt in (
        lambda connection, _: [change(connection, [sent], forbidden)],
        lambda connection, _: [change(connection, [sent], forbidden._replace(ordered=True))],
        lambda connection, _: change_each(connection, [(queued, allowed), (sent, forbidden)]),
    ):
        with pytest.raises(ForbiddenTransition, match="sent does not become queued"):
            store.write_now(attempt, [None])
    assert [row(store, sent), row(store, queued)] == before


def test_each_change_says_whether_it_was_made_also_beside_one_that_comes_too_late(
    store: Store,
) -> None:
    ids = [put(store, number, "queued", fence=number) for number in range(1, 4)]
    claim = Change((State.QUEUED,), State.SENDING, {}, {"fence": 1})
    changes = [(id, claim) for id in ids] + [(ids[0], claim)]
    made = store.write_now(lambda connection, _: change_each(connection, changes), [None])
    assert made == [True, False, False, False]
    assert [row(store, id)["state"] for id in ids] == ["sending", "queued", "queued"]
    both = Change((State.QUEUED, State.SENDING), State.IN_DOUBT)
    assert store.write_now(
        lambda connection, _: [change(connection, [*ids, "another"], both)], [None]
    ) == [set(ids)]


@pytest.mark.parametrize("seen_as", [{"fence": 6}, {"maybe_twice": False}, {}])
def test_word_that_a_message_is_sent_counts_for_the_message_as_it_was_seen(
    store: Store, seen_as: dict[str, Any]
) -> None:
    id = put(store, 1, "in_doubt", fence=7, maybe_twice=True)
    view = Seen(id, "contactform", "", State.IN_DOUBT, 7, True, None)._replace(**seen_as)
    [made] = store.write_now(
        lambda connection, _: [in_doubt.settle(connection, view, "its id", "told", CREATED)], [None]
    )
    assert made is (seen_as == {})
    assert row(store, id)["state"] == ("sent" if made else "in_doubt")
    assert happened(store, id) == ([("found", "told")] if made else [])


class Writers(RuleBasedStateMachine):
    """Whoever changes messages: each read them at one time, and acts later upon what it read."""

    views = Bundle("views")

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.server = f"server{next(NUMBERS)}"
        self.ids: list[str] = []
        self.was: list[dict[str, Any]] = []
        self.now = CREATED + 10.0

    @initialize(
        states=st.lists(st.sampled_from(sorted(set(State) - {State.SCREENED})), min_size=1),
        twice=st.booleans(),
    )
    def stored(self, states: list[State], twice: bool) -> None:
        made: dict[str, Any] = {"maybe_twice": twice, "since": CREATED + twice}
        made |= {"server": self.server}
        self.ids = [put(self.store, next(NUMBERS), state, **made) for state in states[:2]]

    @rule(target=views, which=st.integers(0, 1))
    def read(self, which: int) -> dict[str, Any]:
        return self._rows()[which % len(self.ids)]

    @rule(view=views, ending=st.sampled_from(ENDINGS))
    def holder_of_a_claim_records_its_outcome(self, view: dict[str, Any], ending: State) -> None:
        claimed = Claimed(view["id"], view["server"], view["fence"], CREATED, 0, view["tries"])
        outcome = AttemptOutcome(
            claimed, ending, self.now, True, "postmark", ending, "said", self.now, self.now
        )
        [[done]], changed = self._written(outcomes.settle, [outcome])
        assert changed == ({view["id"]} if done else set())
        assert not done or self._was_as(view, State.SENDING)

    @rule(view=views, decided=st.sampled_from(DECISIONS))
    def resolver_decides(self, view: dict[str, Any], decided: State) -> None:
        names = ("id", "server", "fence", "since", "due_at", "looks", "absences", "crashes")
        doubt = Doubt(*(view[name] for name in names), view["maybe_twice"], view["delivery"])
        looks = doubt.looks + 1 if decided == State.IN_DOUBT else 0
        events = (("found" if decided == State.SENT else decided, "looked"),)
        decision = Decision(
            doubt, self.now, decided, self.now, looks, 0, True, "postmark", "so", events
        )
        [done], changed = self._written(in_doubt.decide, decision)
        assert changed == ({view["id"]} if done else set())
        assert not done or self._was_as(view, State.IN_DOUBT)
        again = self._written(in_doubt.decide, decision)
        assert again == ([False], set()), "a second decision upon the same look"

    @rule(view=views)
    def provider_tells_that_it_is_sent(self, view: dict[str, Any]) -> None:
        seen = Seen(**{name: view[name] for name in Seen._fields})
        if seen.is_open:
            [done], changed = self._written(
                lambda connection, _: [in_doubt.settle(connection, seen, "", "told", self.now)]
            )
            assert changed == ({seen.id} if done else set())
            assert not done or self._was_as(view, *TRANSITIONS)

    @rule(view=views)
    def answer_comes_late(self, view: dict[str, Any]) -> None:
        answer = LateAnswer(view["id"], self.now, "its id", "postmark")
        [before], changed = self._written(in_doubt.answered_late, answer)
        assert changed == ({view["id"]} if before else set())

    @rule(view=views, name=st.sampled_from(ORDER_NAMES), twice=st.booleans())
    def operator_orders(self, view: dict[str, Any], name: str, twice: bool) -> None:
        order = Order([view["id"]], self.now, twice)
        [[verdict]], changed = self._written(OPERATIONS[name], order, ordered=True)
        assert changed == ({view["id"]} if verdict.done and name != "dismiss" else set())
        assert not verdict.done or verdict.before in operator_actions.APPLIES_TO[name]

    @rule(view=views, to=st.sampled_from(sorted(State)), ordered=st.booleans())
    def somebody_acts_upon_an_old_view(
        self,
        view: dict[str, Any],
        to: State,
        ordered: bool,
    ) -> None:
        table = ORDERS if ordered else TRANSITIONS
        wanted = Change(
            (State(view["state"]),),
            to,
            {"due_at": self.now},
            {name: view[name] for name in ("fence", "due_at")},
            ordered,
        )
        if to not in table.get(wanted.sources[0], ()):
            with pytest.raises(ForbiddenTransition):
                self._written(lambda connection, _: [change(connection, [view["id"]], wanted)])
        else:
            [done], changed = self._written(
                lambda connection, _: [change(connection, [view["id"]], wanted)], ordered=ordered
            )
            assert done == changed == ({view["id"]} if view in self.was else set())

    @rule(view=views)
    def writer_of_a_message_cancels_it(self, view: dict[str, Any]) -> None:
        asked = Cancelling(view["id"], view["server"], "application", self.now)
        [state], changed = self._written(operator_actions.cancel_scheduled, asked)
        assert changed == ({view["id"]} if state is None else set())

    @rule()
    def due_mail_is_claimed(self) -> None:
        order = ClaimOrder(self.now, 10, {self.server: [LANE]}, running={self.server: 0})
        [claimed], changed = self._written(claims.claim, order)
        taken = {one.id: one.fence for call in claimed.calls for one in call.messages}
        assert taken.keys() == changed
        fences = {one["id"]: one["fence"] for one in self._rows()}
        assert all(taken[id] == fences[id] for id in changed)

    @rule(daemon_died=st.booleans())
    def claims_end_without_a_word(self, daemon_died: bool) -> None:
        interruption = Interruption(self.now + 61.0 * (not daemon_died), {})
        operation = recovery.interrupted if daemon_died else recovery.lapsed
        [count], changed = self._written(operation, interruption)
        assert count >= len(changed)

    def _written(
        self, operation: Callable[..., Any], argument: Any = None, *, ordered: bool = False
    ) -> tuple[Any, set[str]]:
        """Run one transaction; return its result and which messages it changed.

        What it changed it may change: by itself, or by order. Nothing else changes with it.
        """
        self.now += 1.0
        self.was = self._rows()
        result = self.store.write_now(operation, [argument])
        changed = set()
        for old, new in zip(self.was, self._rows(), strict=True):
            if new == old:
                continue
            changed.add(old["id"])
            assert new["state"] in (ORDERS if ordered else TRANSITIONS)[old["state"]], (old, new)
            assert ordered or old["state"] not in FINAL
            assert new["fence"] >= old["fence"]
        return result, changed

    def _was_as(self, view: dict[str, Any], *states: State) -> bool:
        """Whether a message was in one of these states, and under the fence that was seen."""
        [was] = [one for one in self.was if one["id"] == view["id"]]
        return was["state"] in states and was["fence"] == view["fence"]

    def _rows(self) -> list[dict[str, Any]]:
        return [
            rows(self.store, "SELECT * FROM messages WHERE id = :id", id=id)[0] for id in self.ids
        ]


def test_writers_that_interleave_make_only_changes_that_are_allowed_and_theirs(
    store: Store,
) -> None:
    steps = hypothesis_settings(examples(25), stateful_step_count=30, phases=[Phase.generate])
    run_state_machine_as_test(lambda: Writers(store), settings=steps)
    assert happened(store, rows(store, "SELECT message AS id FROM events")[0]["id"])
