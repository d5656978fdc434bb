"""When to try again: the ladder, its jitter, the provider's wish, and when it is too late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.delivery.retry import next_attempt, next_look, too_old
from tests.support.generated import examples

LADDER = (15, 60, 300, 900, 1800, 3600, 7200, 14400)


@pytest.mark.parametrize(
    ("tries", "seconds"),
    [(0, 15), (1, 15), (2, 60), (3, 300), (4, 900), (7, 7200), (8, 14400), (9, 14400), (99, 14400)],
)
def test_each_try_takes_the_next_step_and_the_last_step_holds(tries: int, seconds: int) -> None:
    assert next_attempt(1000, tries, LADDER, random=0.5) == 1000 + seconds


@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.8), (0.5, 1.0), (0.999999, 1.2)])
def test_a_delay_is_spread_over_a_fifth_to_either_side(random: float, factor: float) -> None:
    assert next_attempt(0, 2, LADDER, random) == pytest.approx(60 * factor, abs=0.01)


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 15), (0, 15), (3, 15), (15, 15), (40.5, 40.5), (86400, 86400)]
)
def test_the_provider_may_ask_for_longer_and_never_for_less(
    asked: float | None, seconds: float
) -> None:
    assert next_attempt(0, 1, LADDER, 0.5, retry_after=asked) == seconds


@pytest.mark.parametrize(("age", "late"), [(0, False), (100, False), (100.5, True), (-50, False)])
def test_a_message_is_too_old_after_its_age_and_not_at_it(age: float, late: bool) -> None:
    assert too_old(now=1000 + age, created_at=1000, max_age=100) is late


@examples(200)
@given(
    st.integers(0, 1000),
    st.lists(st.floats(1, 1e6), min_size=1, max_size=10),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e6),
)
def test_the_next_attempt_is_never_before_the_step_nor_the_wish(
    tries: int, ladder: list[float], random: float, asked: float | None
) -> None:
    at = next_attempt(0, tries, ladder, random, asked)
    step = ladder[min(max(tries, 1), len(ladder)) - 1]
    assert at >= max(step * 0.8, asked or 0) - 1e-6
    assert at <= max(step * 1.2, asked or 0) + 1e-6


@pytest.mark.parametrize(
    ("looks", "seconds"), [(0, 120), (1, 480), (2, 1200), (3, 1800), (4, 1800), (99, 1800)]
)
def test_looks_are_as_far_apart_as_the_list_has_them_and_its_last_value_holds(
    looks: int, seconds: float
) -> None:
    assert next_look(1000, looks, (120, 600, 1800)) == 1000 + seconds


@pytest.mark.parametrize(
    ("settle", "gaps"), [((5,), [5, 5, 5]), ((5, 5), [5, 5, 5]), ((9, 4), [9, 4, 4])]
)
def test_two_looks_are_never_at_once(settle: tuple[float, ...], gaps: list[float]) -> None:
    assert [next_look(0, looks, settle) for looks in range(3)] == gaps
