"""The breaker: when it opens, how it probes, and how it comes back."""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.delivery.breaker import Breaker
from tests.support.generated import examples

SENDERS = 4


def opened(senders: int = SENDERS, now: float = 0) -> Breaker:
    breaker = Breaker(senders)
    call(breaker, now, fails=True, at_once=True)
    assert breaker.is_open
    return breaker


def call(breaker: Breaker, now: float, *, fails: bool = False, **why: float | None) -> None:
    breaker.started(now)
    if fails:
        breaker.failed(now, **why)  # type: ignore[arg-type]
    else:
        breaker.succeeded(now)


def test_a_new_breaker_is_closed_and_allows_every_sender() -> None:
    breaker = Breaker(SENDERS)
    assert not breaker.is_open
    assert breaker.next_probe is None
    assert [breaker.allowed(0, running) for running in (0, 1, 4, 5)] == [4, 3, 0, 0]


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    breaker = Breaker(SENDERS)
    for _ in range(4):
        call(breaker, 0, fails=True)
    assert not breaker.is_open
    call(breaker, 0)
    for _ in range(4):
        call(breaker, 0, fails=True)
    assert not breaker.is_open
    call(breaker, 0, fails=True)
    assert breaker.is_open
    assert breaker.allowed(9.9, 0) == 0


def test_ten_failures_of_the_last_twenty_open_it() -> None:
    breaker = Breaker(SENDERS)
    for _ in range(9):
        call(breaker, 0)
        call(breaker, 0, fails=True)
    assert not breaker.is_open
    call(breaker, 0, fails=True)
    assert breaker.is_open


def test_failures_older_than_the_last_twenty_calls_are_forgotten() -> None:
    breaker = Breaker(SENDERS)
    for _ in range(50):
        for fails in (True, False, False):
            call(breaker, 0, fails=fails)
            assert not breaker.is_open


def test_failures_before_it_closed_do_not_open_it_again() -> None:
    breaker = Breaker(SENDERS)
    for _ in range(8):
        call(breaker, 0)
        call(breaker, 0, fails=True)
    call(breaker, 0, fails=True, at_once=True)
    call(breaker, 10)
    for _ in range(4):
        call(breaker, 11, fails=True)
    assert not breaker.is_open


def test_refused_credentials_open_it_at_once() -> None:
    breaker = Breaker(SENDERS)
    call(breaker, 0)
    call(breaker, 0, fails=True, at_once=True)
    assert breaker.is_open
    assert breaker.next_probe == 10


def test_one_probe_runs_when_the_wait_is_over_and_each_failed_one_doubles_it() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(8):
        at = breaker.next_probe
        assert at is not None
        waits.append(at - now)
        assert breaker.allowed(at - 0.1, 0) == 0
        assert breaker.allowed(at, 0) == 1
        breaker.started(at)
        assert breaker.next_probe is None
        assert breaker.allowed(at + 1000, 1) == 0
        breaker.failed(at)
        now = at
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_after_a_probe_that_succeeds_the_limit_grows_by_one_for_each_full_cohort() -> None:
    breaker = opened()
    call(breaker, 10)
    assert not breaker.is_open
    limits = []
    for _ in range(10):
        limits.append(breaker.allowed(11, 0))
        call(breaker, 11)
    assert limits == [1, 2, 2, 3, 3, 3, 4, 4, 4, 4]
    assert breaker.allowed(12, 3) == 1


def test_a_failure_begins_the_cohort_again() -> None:
    breaker = opened()
    for fails in (False, False, False, True, False):
        call(breaker, 10, fails=fails)
    assert breaker.allowed(10, 0) == 2
    call(breaker, 10)
    assert breaker.allowed(10, 0) == 3


def test_after_it_closed_failures_count_from_nothing_and_the_wait_is_short_again() -> None:
    breaker = opened()
    call(breaker, 10, fails=True)
    call(breaker, 30)
    for _ in range(4):
        call(breaker, 31, fails=True)
    assert not breaker.is_open
    call(breaker, 31, fails=True)
    assert breaker.next_probe == 41


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        *[(None, 10), (0, 10), (-5, 10), (9, 10), (60, 60), (3600, 3600), (86400, 3600)],
        *[(math.inf, 3600), (-math.inf, 10), (math.nan, 10)],
    ],
)
def test_the_provider_may_ask_for_a_longer_wait_of_up_to_an_hour(
    asked: float | None, wait: float
) -> None:
    breaker = Breaker(SENDERS)
    call(breaker, 100, fails=True, at_once=True, retry_after=asked)
    assert breaker.next_probe == 100 + wait


def test_what_the_provider_asked_for_is_not_doubled() -> None:
    breaker = Breaker(SENDERS)
    call(breaker, 0, fails=True, at_once=True, retry_after=1000)
    call(breaker, 1000, fails=True)
    assert breaker.next_probe == 1020


def test_a_wish_for_later_alone_opens_nothing() -> None:
    breaker = Breaker(SENDERS)
    call(breaker, 0, fails=True, retry_after=100)
    assert not breaker.is_open
    assert breaker.allowed(0, 0) == SENDERS


def test_no_probe_runs_beside_calls_that_began_before_it_opened() -> None:
    breaker = Breaker(SENDERS)
    for _ in range(3):
        breaker.started(0)
    breaker.failed(1, at_once=True)
    assert breaker.allowed(11, 2) == 0
    breaker.failed(12)
    breaker.succeeded(12)
    assert breaker.is_open
    assert breaker.next_probe == 12
    assert breaker.allowed(12, 0) == 1


def test_late_failures_do_not_begin_the_wait_again() -> None:
    breaker = Breaker(SENDERS)
    for _ in range(SENDERS + 5):
        breaker.started(0)
    for now in range(SENDERS + 5):
        breaker.failed(now)
    assert breaker.next_probe == 4 + 10


def test_a_late_failure_may_still_ask_for_a_longer_wait() -> None:
    breaker = opened()
    breaker.failed(5, retry_after=100)
    assert breaker.next_probe == 105
    breaker.failed(6, retry_after=1)
    assert breaker.next_probe == 105


def test_a_probe_that_ended_without_a_word_is_made_again() -> None:
    breaker = opened()
    breaker.started(10)
    assert breaker.allowed(10, 1) == 0
    assert breaker.allowed(10, 0) == 1


def test_a_clock_that_jumps_back_lengthens_no_wait() -> None:
    breaker = opened(now=1_000_000)
    assert breaker.allowed(1_000_004, 0) == 0
    assert breaker.allowed(500, 0) == 0
    assert breaker.next_probe == 506
    assert breaker.allowed(505.9, 0) == 0
    assert breaker.allowed(506, 0) == 1
    assert breaker.allowed(3, 0) == 1


class Provider(RuleBasedStateMachine):
    """Calls that start when they may and end in any order, beside a plain account of the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(SENDERS)
        self.now = 1e6
        self.running = 0
        self.ends: list[bool] = []  # since it closed, oldest first; True: failed
        self.open = False
        self.probing = False
        self.lived = 0.0  # seconds forward since it opened or the last probe failed
        self.wait = self.asked = 0.0
        self.limit = SENDERS
        self.successes = 0

    @rule(seconds=st.sampled_from([0, 0.5, 3, 10, 40, 301, 3601]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.lived += seconds
        self.breaker.allowed(self.now, self.running)

    @rule(seconds=st.sampled_from([0.5, 60, 1e6, 1e9]))
    def the_clock_jumps_back(self, seconds: float) -> None:
        self.now -= seconds
        self.breaker.allowed(self.now, self.running)

    @rule(count=st.integers(1, SENDERS))
    def calls_start(self, count: int) -> None:
        for _ in range(min(count, self.breaker.allowed(self.now, self.running))):
            self.breaker.started(self.now)
            self.running += 1
            self.probing = self.open

    @precondition(lambda self: self.running)
    @rule()
    def a_call_succeeds(self) -> None:
        self.breaker.succeeded(self.now)
        self.running -= 1
        if self.probing:
            self.open = self.probing = False
            self.limit, self.successes, self.ends = 1, 0, []
        elif not self.open:
            self.ends.append(False)
            self._grow()

    @precondition(lambda self: self.running)
    @rule(
        at_once=st.sampled_from([False, False, False, True]), asked=st.none() | st.integers(0, 9999)
    )
    def a_call_fails(self, at_once: bool, asked: float | None) -> None:
        self.breaker.failed(self.now, at_once=at_once, retry_after=asked)
        self.running -= 1
        if self.probing:
            self._opens(min(2 * self.wait, 300))
        elif not self.open:
            self.ends.append(True)
            self.successes = 0
            if at_once or self.ends[-5:] == [True] * 5 or sum(self.ends[-20:]) >= 10:
                self._opens(10)
        if self.open and asked is not None:
            self.asked = max(self.asked, self.lived + min(asked, 3600))

    @precondition(lambda self: self.running)
    @rule()
    def a_call_ends_without_a_word(self) -> None:
        self.running -= 1
        self.probing = False

    @invariant()
    def it_is_open_when_the_rules_say_so(self) -> None:
        assert self.breaker.is_open == self.open

    @invariant()
    def it_allows_what_the_rules_allow(self) -> None:
        over = self.lived >= max(self.wait, self.asked) - 1e-6
        if not self.open:
            allowed = max(self.limit - self.running, 0)
        else:
            allowed = int(over and not self.running)
        assert self.breaker.allowed(self.now, self.running) == allowed

    @invariant()
    def it_names_a_time_to_look_again(self) -> None:
        at = self.breaker.next_probe
        if not self.open or self.probing:
            assert at is None
        assert at is None or at - self.now <= 3600

    def teardown(self) -> None:
        """Whatever happened: once the provider answers again, all senders come back."""
        while self.running:
            self.a_call_fails(False, None)
        self.now += 3601
        for _ in range(1 + sum(range(SENDERS))):
            assert self.breaker.allowed(self.now, 0) >= 1
            call(self.breaker, self.now)
        assert self.breaker.allowed(self.now, 0) == SENDERS

    def _grow(self) -> None:
        self.successes += 1
        if self.limit < SENDERS and self.successes == self.limit:
            self.limit, self.successes = self.limit + 1, 0

    def _opens(self, wait: float) -> None:
        self.open, self.probing = True, False
        self.wait, self.asked, self.lived = wait, 0.0, 0.0


TestProvider = Provider.TestCase
TestProvider.settings = examples(150)
