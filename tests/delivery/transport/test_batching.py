"""Many messages in few calls: each gets one outcome, in its place, and none is sent twice."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import DeliveryDeferred, DeliveryFailed, DeliveryInDoubt
from relay.core.message import Confirmation
from relay.delivery.transport.batching import MAX_CALLS, BatchOutcome, Parcel, in_calls
from tests.support.generated import examples

COUNT, SIZE = 5, 40

PARCELS = st.lists(st.tuples(st.sampled_from(["", "template"]), st.integers(1, 60)), max_size=30)


class Provider:
    """Takes parcels by their first bytes, but refuses whole calls with a bad one in them."""

    def __init__(self, bad: frozenset[int] = frozenset(), ends: int = 1000) -> None:
        self.bad = bad
        self.ends = ends
        self.calls: list[list[int]] = []
        self.taken: list[int] = []

    def call(self, parcels: Sequence[Parcel], seconds: float) -> Sequence[BatchOutcome] | None:
        assert 0 < seconds <= 10
        assert len({parcel.kind for parcel in parcels}) == 1
        assert len(parcels) == 1 or sum(len(one.content) + 1 for one in parcels) <= SIZE
        assert len(parcels) <= COUNT
        numbers = [int(parcel.content[:2]) for parcel in parcels]
        self.calls.append(numbers)
        if len(self.calls) > self.ends:
            raise DeliveryInDoubt("lost")
        if self.bad & set(numbers):
            return [DeliveryFailed("bad")] if len(parcels) == 1 else None
        self.taken += numbers
        return [Confirmation(str(number)) for number in numbers]


def send(provider: Provider, parcels: Sequence[tuple[str, int]]) -> list[BatchOutcome]:
    made = [
        Parcel(kind, b"%02d".ljust(length, b".") % place)
        for place, (kind, length) in enumerate(parcels)
    ]
    return in_calls(made, provider.call, count=COUNT, size=SIZE, deadline=10)


@examples(200)
@given(PARCELS, st.frozensets(st.integers(0, 29), max_size=4))
def test_every_message_but_the_bad_is_sent_once_and_has_the_outcome_of_its_place(
    parcels: list[tuple[str, int]], bad: frozenset[int]
) -> None:
    provider = Provider(bad)
    outcomes = send(provider, parcels)
    for place, outcome in enumerate(outcomes):
        expected = DeliveryFailed if place in bad else Confirmation
        assert type(outcome) is expected
        assert place in bad or outcome == Confirmation(str(place))
    assert sorted(provider.taken) == [n for n in range(len(parcels)) if n not in bad]
    assert len(provider.calls) <= MAX_CALLS


@examples(200)
@given(PARCELS, st.frozensets(st.integers(0, 29)), st.integers(0, 12))
def test_after_a_lost_answer_nothing_is_begun(
    parcels: list[tuple[str, int]], bad: frozenset[int], ends: int
) -> None:
    provider = Provider(bad, ends)
    outcomes = send(provider, parcels)
    assert len(outcomes) == len(parcels)
    assert len(provider.calls) <= ends + 1
    lost = [place for place, one in enumerate(outcomes) if type(one) is DeliveryInDoubt]
    assert sorted(lost) == (sorted(provider.calls[-1]) if len(provider.calls) > ends else [])
    for outcome in outcomes:
        if type(outcome) is DeliveryDeferred:
            assert (outcome.counted, outcome.opens_breaker) == (False, False)


def test_messages_of_a_kind_go_in_their_order_and_fill_their_calls() -> None:
    provider = Provider()
    send(provider, [("", 5)] * 7 + [("template", 5)] + [("", 39), ("", 40), ("", 41), ("", 5)])
    assert provider.calls == [[0, 1, 2, 3, 4], [5, 6], [8], [9], [10], [11], [7]]


def test_when_time_is_up_no_further_call_is_begun_and_what_was_in_none_waits() -> None:
    calls: list[int] = []

    def call(parcels: Sequence[Parcel], seconds: float) -> Sequence[BatchOutcome]:
        calls.append(len(parcels))
        return [Confirmation("taken")] * len(parcels)

    parcels = [Parcel("", b"x")] * 5
    first, second, *later = in_calls(parcels, call, count=2, size=SIZE, deadline=0)
    assert calls == [2]
    assert first == second == Confirmation("taken")
    for outcome in later:
        assert type(outcome) is DeliveryDeferred
        assert (outcome.counted, outcome.opens_breaker) == (False, False)
