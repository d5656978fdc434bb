"""What is told when: once, then less and less often, and once more when it is over."""

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from relay.config import alerts as alert_terms
from relay.notifications.alerts.event_counts import EventCount
from relay.notifications.alerts.rules import AlertDue, Condition, decide
from relay.store.alerts import Alert, AlertKey
from tests.support.generated import examples

TERMS = alert_terms.read(None, {}, "[alerts]")
FAILED, KEYS = AlertKey("failed", "registry"), AlertKey("keys", "registry")
BREAKER = AlertKey("breaker", "registry", "postmark")
WAITING, LONG = AlertKey("waiting", "registry"), AlertKey("waiting_long", "registry")
SILENCE = AlertKey("silence", "registry")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Story:
    """Looks one after the other; what was told is told, and nothing is lost between two looks."""

    def __init__(self) -> None:
        self.alerts: dict[AlertKey, Alert] = {}

    def look(
        self, now: float, *happened: AlertKey, lasting: Iterable[AlertKey] = (), able: bool = True
    ) -> list[AlertDue]:
        seen: dict[AlertKey, EventCount] = {}
        for key in happened:
            seen.setdefault(key, EventCount()).add("why", f"id-{now:.0f}", "said so")
        conditions = [Condition(key, now) for key in lasting]
        judged = decide(self.alerts.values(), seen, conditions, TERMS, now)
        self.alerts = dict(judged.alerts)
        if able:
            self.alerts |= {one.told.key: one.told for one in judged.due}
        return list(judged.due)


def counts(told: Sequence[AlertDue]) -> list[tuple[str, int, bool]]:
    return [(one.alert.key.kind, one.alert.untold, one.over) for one in told]


def test_the_first_is_told_at_once_and_the_next_ones_together_after_a_quarter_of_an_hour() -> None:
    story = Story()
    assert counts(story.look(0, FAILED)) == [("failed", 1, False)]
    assert story.look(15, FAILED, FAILED) == []
    assert story.look(14 * MINUTE) == []
    [told] = story.look(15 * MINUTE)
    assert counts([told]) == [("failed", 2, False)]
    assert (told.alert.count, told.alert.ids) == (3, ("id-15", "id-15"))


def test_what_goes_on_is_told_more_and_more_rarely() -> None:
    story, at = Story(), []
    for minute in range(3 * 24 * 60):
        if story.look(minute * MINUTE, FAILED):
            at.append(minute)
    assert at == [0, 15, 75, 315, 315 + 1440, 315 + 2880]


def test_nothing_new_is_nothing_to_tell_and_after_a_while_all_begins_again() -> None:
    story = Story()
    story.look(0, FAILED)
    assert [story.look(minute * MINUTE) for minute in range(1, 15)] == [[]] * 14
    assert story.look(15 * MINUTE) == []
    assert story.alerts == {}
    assert counts(story.look(16 * MINUTE, FAILED)) == [("failed", 1, False)]


def test_a_few_wrong_keys_are_nobodys_business_and_many_are() -> None:
    story = Story()
    assert story.look(0, *[KEYS] * 4) == []
    assert story.look(15 * MINUTE) == []
    assert story.alerts == {}
    assert story.look(16 * MINUTE, *[KEYS] * 4) == []
    assert counts(story.look(17 * MINUTE, KEYS)) == [("keys", 5, False)]


def test_what_lasts_is_told_once_then_rarely_and_its_end_when_it_stayed_over() -> None:
    story = Story()
    assert counts(story.look(0, lasting=[BREAKER])) == [("breaker", 1, False)]
    assert story.look(5 * MINUTE, lasting=[BREAKER]) == []
    assert len(story.look(15 * MINUTE, lasting=[BREAKER])) == 1
    assert story.look(20 * MINUTE) == []
    [end] = story.look(25 * MINUTE)
    assert (end.over, end.alert.over_at) == (True, 20 * MINUTE)
    assert story.look(26 * MINUTE) == []
    story.look(25 * MINUTE + HOUR)
    assert story.alerts == {}


def test_a_provider_that_comes_and_goes_is_told_once_in_a_while() -> None:
    story, told = Story(), []
    for minute in range(120):
        lasting = [BREAKER] if minute % 8 < 2 else []
        told += [(minute, one.over) for one in story.look(minute * MINUTE, lasting=lasting)]
    assert told == [(0, False), (7, True), (24, False), (31, True), (96, False), (103, True)]


def test_an_end_that_could_not_be_told_is_told_when_it_can() -> None:
    story = Story()
    story.look(0, lasting=[BREAKER], able=False)
    assert [len(story.look(minute * MINUTE, able=False)) for minute in (10, 15, 600)] == [0, 1, 1]
    assert counts(story.look(11 * HOUR)) == [("breaker", 1, True)]
    story.look(12 * HOUR)
    assert story.alerts == {}


def test_the_end_of_silence_is_told_at_once() -> None:
    story = Story()
    story.look(0, lasting=[SILENCE])
    assert counts(story.look(15)) == [("silence", 0, True)]


def test_of_mail_that_waits_too_long_only_the_worse_is_told() -> None:
    story = Story()
    assert counts(story.look(0, lasting=[WAITING])) == [("waiting", 1, False)]
    assert counts(story.look(HOUR, lasting=[WAITING, LONG])) == [("waiting_long", 1, False)]
    assert counts(story.look(2 * HOUR, lasting=[WAITING, LONG])) == [("waiting_long", 0, False)]
    assert story.look(2 * HOUR + 1) == []
    assert counts(story.look(2 * HOUR + 6 * MINUTE)) == [("waiting_long", 0, True)]
    assert WAITING not in story.alerts


def test_what_would_soon_make_a_mail_of_its_own_is_told_with_another_one() -> None:
    story = Story()
    story.look(0, lasting=[BREAKER])
    assert story.look(7 * MINUTE, lasting=[BREAKER]) == []
    assert counts(story.look(8 * MINUTE, FAILED, lasting=[BREAKER])) == [
        ("breaker", 0, False),
        ("failed", 1, False),
    ]
    assert story.look(15 * MINUTE, lasting=[BREAKER]) == []


def test_what_was_quiet_for_four_hours_is_told_at_once_however_often_it_was_told() -> None:
    story = Story()
    for minute in range(6 * 60):
        story.look(minute * MINUTE, FAILED)
    assert story.look(9 * HOUR, FAILED) == []
    story.look(13 * HOUR)
    assert story.alerts[FAILED].untold
    story = Story()
    for minute in (0, 15, 75, 315):
        story.look(minute * MINUTE, FAILED)
    assert story.look(315 * MINUTE + 4 * HOUR) == []
    assert counts(story.look(10 * HOUR, FAILED)) == [("failed", 1, False)]


def test_silence_is_told_again_only_after_the_longest_pause() -> None:
    story, at = Story(), []
    for minute in range(0, 2 * 24 * 60 + 1, 15):
        if story.look(minute * MINUTE, lasting=[SILENCE]):
            at.append(minute)
    assert at == [0, 1440, 2880]


def test_what_cannot_be_told_is_told_later_with_all_that_came_meanwhile() -> None:
    story = Story()
    assert counts(story.look(0, FAILED, able=False)) == [("failed", 1, False)]
    assert counts(story.look(HOUR, FAILED, able=False)) == [("failed", 2, False)]
    [told] = story.look(2 * DAY)
    assert (told.alert.untold, told.alert.since, told.alert.last_at) == (2, 0, HOUR)
    assert story.look(2 * DAY + 1) == []


LOOKS = st.lists(
    st.tuples(
        st.floats(1, 5 * HOUR),
        st.lists(st.sampled_from([FAILED, AlertKey("bounced", "registry")]), max_size=3),
        st.sets(st.sampled_from([BREAKER, WAITING, SILENCE])),
        st.booleans(),
    ),
    max_size=60,
)


@examples(150)
@given(LOOKS)
def test_nothing_is_told_twice_within_half_its_pause_and_nothing_is_forgotten(
    looks: list[tuple[float, list[AlertKey], set[AlertKey], bool]],
) -> None:
    story, now, last = Story(), 0.0, dict[AlertKey, float]()
    happened, told = 0, 0
    for step, keys, lasting, able in looks:
        now += step
        happened += len(keys)
        for one in story.look(now, *keys, lasting=lasting, able=able):
            if not able:
                continue
            told += one.alert.untold if not one.alert.key.plugin and one.alert.reasons else 0
            if not one.over:
                key = one.alert.key
                assert now - last.get(key, -HOUR) >= 7.5 * MINUTE
                last[key] = now
    told += sum(one.alert.untold for one in story.look(now + 10 * DAY) if one.alert.reasons)
    assert told == happened
