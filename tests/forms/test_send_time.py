"""When a message is to be sent: what PHP answered, and what is refused instead of guessed.

`schedule_answers.json` holds answers of PHP 8.2, each `strtotime($input, $base)` after
`date_default_timezone_set($zone)`; false is null there.
"""

import json
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from relay.core import clock
from relay.forms.fields import SendTime
from relay.forms.send_time import (
    MAX_LENGTH,
    PAST,
    TOO_FAR,
    UNREADABLE,
    ScheduleError,
    scheduled_time,
)
from relay.forms.strtotime import strtotime
from tests.support.generated import examples

ANSWERS = json.loads(Path(__file__).with_name("schedule_answers.json").read_text(encoding="utf-8"))
NOW = 1795274745.0  # Saturday, 2026-11-21 15:25:45 UTC
DAY = 86400

# PHP reads these; some of them as nobody means them: `+1 h` is a time zone, `1.12.26` a clock.
DECLINED = {
    *("a week", "+1.5 hours", "+1 h", "+1 hr", "+1 m", "+1 mon", "+1 sat", "+1 forthnight"),
    *("1 day ago", "-1 day ago", "++1 day", "--1 day", "first day", "first monday", "+9999 years"),
    *("mondays", "mon."),
    *("next weekday", "+0 weekdays", "-3 weekdays", "+999999999 days", "+999999999 weeks"),
    *("+2 weekdays friday", "+3 weekdays +30 hours", "+2 weekdays +3 weekdays"),
    *("first day of friday", "first day of last day of next month", "tomorrow 09:30:60"),
    *("2026-12-01 09:30 +0200 +1 day", "2026-12-01 09:30:15 +02:00 tomorrow"),
    *("tomorrow9am", "tomorrow 9.30", "T21:00", "back of 7pm"),
    *("tomorrow 09:00 UTC", "tomorrow 09:00 +02:00", "tomorrow 9am UTC"),
    *("December", "1 december, 2026", "2026-dec-01", "1 janu 2027"),
    *("31 November 2026", "02/30/2027", "2026-02-31", "2027-02-29"),
    *("monday 1 December 2026", "Mon, 01 Dec 2026 09:30:00 +0000"),
    *("12/01/26", "1.12.26", "2026-12", "2026-335"),
    *("2026-12-01 09:30 GMT+2", "2026-12-01Z"),
    *("2026-12-01 09:30 BST", "2026-12-01 09:30 MSK", "2026-12-01 09:30 JST"),
    *("2026-12-01 09:30 AEST", "2026-12-01 09:30 IST", "2026-12-01 09:30 UTC+2"),
    *("2026-12-01 09:30 GMT-05:00", "2026-12-01 EST", "2026-12-01 America/New_York"),
    *("2026-12-01 UTC", "20261201 EST", "09:30 EST 2026-12-01"),
    *("2026-12-01 09:30 EST tomorrow", "2026-12-01 09:30 (EST)", "tomorrow 09:30 EST"),
    *("tomorrow 9am America/New_York", "fifth monday of january 2027"),
    *("fifth tuesday of january 2027", "fifth wed of january 2027"),
    *("fifth thu of january 2027", "fifth monday of february 2027"),
    *("sixth monday of january 2027", "next monday of january 2027", "last day of january"),
    *("first day of december", "previous monday of january 2027"),
    *("this monday of january 2027", "first monday of january 2027 +1 day"),
    *("first monday of 2027-01", "first monday of january, 2027", "first monday of next year"),
    *("first monday january 2027", "first monday of january 2027 tomorrow"),
    *("last day of next month 24:00", "2026-12-01T9:3", "2026-12-01T9", "2026-12-01T09"),
    *("2026-12-1T9:3", "2026-12-1T9", "2026-12-1T09", "2027-1-5T9:3", "2027-1-5T9"),
    *("2027-1-5T09", "2027-01-05T9:3", "2027-01-05T9", "2027-01-05T09", "2026/12/01T9:30"),
    *("2026-12-01 24:01", "2026-12-01 24:00:01", "1 December 2026 24:01"),
    *("1 December 2026 24:00:01", "tomorrow 24:01", "tomorrow 24:00:01", "tomorrow 24:00 EST"),
    *("tomorrow 24:00Z", "2026-12-31 24:01", "2026-12-31 24:00:01", "today 24:01"),
    *("today 24:00:01", "today 24:00 EST", "today 24:00Z", "monday 24:00", "monday 24:00:00"),
    *("monday 24:01", "monday 24:00:01", "monday 24:00 EST", "monday 24:00Z", "12/25 24:01"),
    *("12/25 24:00:01", "20261201 24:01", "20261201 24:00:01", "2/29", "2/29 9am", "0/5"),
    *("0/5 9am", "12/0", "12/0 9am", "12/25 2026", "12/25/26", "12/25T9:30", "2026-W49-0"),
    *("2026-W49-0 9am", "2026-W49-8", "2026-W49-8 9am", "2027-W53-1", "2027-W53-1 9am"),
    *("20261131", "20261131 9am", "20260001", "20260001 9am", "20270229", "20270229 9am"),
}
# Digits are epoch seconds here, and a date or a time of day to PHP, or nothing.
DIGITS = {"1795900000", "1795900000.5", "3", "12"}

WORDS = (
    "now today midnight noon tomorrow yesterday next last this first day of week month monday fri "
    "december dec 1 31 1st 2026 2027 9am 9:30 24:00 pm + - +5 -3 minutes hours weekdays years , . "
    "/ : T Z UTC +02:00 @ 2026-12-01 12/01/2026 999999999 in at ago"
)


def zone_of(name: str) -> Any:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        pytest.skip("no zone database on this machine")


def outcome(value: Any, now: float = NOW, zone: Any = UTC) -> float | str:
    """The time, or the words of the refusal."""
    try:
        return scheduled_time(value, now, zone)
    except ScheduleError as error:
        return str(error)


def expected(answer: float | None, now: float) -> float | str:
    if answer is None:
        return UNREADABLE
    if answer < now:
        return PAST
    return TOO_FAR if answer > now + 400 * DAY else answer


@pytest.mark.parametrize(
    "case", ANSWERS, ids=lambda case: f"{case['input']}-{case['base']}-{case['zone']}"
)
def test_words_mean_what_they_mean_to_php(case: dict[str, Any]) -> None:
    text, base, zone = case["input"], case["base"], zone_of(case["zone"])
    if text in DIGITS:
        assert outcome(text, base) == expected(float(text), base)
        return
    answer = None if text in DECLINED else case["answer"]
    at = outcome(text, base, zone)
    assert (math.floor(at) if isinstance(at, float) else at) == expected(answer, base)
    if not text.startswith("@"):
        assert strtotime(text.strip(), base, zone) == answer


def test_what_php_reads_and_we_do_not_is_listed_and_nothing_else() -> None:
    read = {case["input"] for case in ANSWERS if case["answer"] is not None}
    assert read >= DECLINED
    assert len({case["input"] for case in ANSWERS} - DECLINED) >= 120


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (1795900000, 1795900000),
        (1795900000.5, 1795900000.5),
        ("1795900000", 1795900000),
        (" 1795900000\n", 1795900000),
        ("@1795900000", 1795900000),
        ("1795900000.25", 1795900000.25),
        (NOW, NOW),
        (NOW + 400 * DAY, NOW + 400 * DAY),
    ],
    ids=repr,
)
def test_numbers_are_epoch_seconds(value: str | float, at: float) -> None:
    assert scheduled_time(value, NOW) == at


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, [], {}, b"tomorrow", math.nan, math.inf, -math.inf, 10**400),
        *("", "   ", "nan", "inf", "1e10", "0x10", "1_795_900_000", "@", "-", "1795900000.", "१"),
        *("\u0661 day", "tomorrow\x00", "tomorrow\n9am", "tomorrow\u20099am", "\u212aaturday"),
        "9" * (MAX_LENGTH + 1),
        "tomorrow" + " " * MAX_LENGTH,
        "in 5 minutes",
    ],
    ids=repr,
)
def test_what_is_no_time_cannot_be_evaluated(value: Any) -> None:
    assert outcome(value) == UNREADABLE == "Could not evaluate scheduled date."


@pytest.mark.parametrize(
    "value",
    [0, -1, "-1", "@-1", int(NOW) - 1, "yesterday", "today", "-5 minutes", "last friday"],
    ids=repr,
)
def test_what_is_over_is_in_the_past(value: Any) -> None:
    assert outcome(value) == PAST == "Scheduled date is in the past."


@pytest.mark.parametrize(
    "value", [NOW + 400 * DAY + 1, "+401 days", 10**30, "9" * 40, 1795900000000, "December 2099"]
)
def test_more_than_400_days_ahead_is_too_far(value: Any) -> None:
    assert outcome(value) == TOO_FAR
    assert TOO_FAR == "Emails can only be scheduled up to 400 days in advance."


def test_a_text_of_over_64_characters_is_not_read() -> None:
    assert scheduled_time("+5 minutes".ljust(64), NOW) == NOW + 300
    assert outcome("+5 minutes".ljust(65)) == UNREADABLE


def test_the_running_second_is_not_in_the_past() -> None:
    assert scheduled_time("now", NOW + 0.75) == NOW + 0.75
    assert scheduled_time(NOW, NOW + 0.75) == NOW
    assert outcome(NOW - 1, NOW + 0.75) == PAST


def test_a_date_without_a_zone_is_in_the_installation_s_own() -> None:
    east = timezone(timedelta(hours=2))
    assert scheduled_time("2026-12-01T09:30", NOW, east) == strtotime("2026-12-01T07:30Z", NOW)
    assert scheduled_time("2026-12-01T09:30Z", NOW, east) == strtotime("2026-12-01T09:30Z", NOW)
    assert scheduled_time("2026-12-01", NOW, east) == strtotime("2026-11-30 22:00", NOW)
    assert scheduled_time("tomorrow", NOW, east) == strtotime("today 22:00", NOW)


def test_nine_tomorrow_is_nine_on_the_wall_across_a_clock_change() -> None:
    new_york = zone_of("America/New_York")
    for eve in (
        datetime(2026, 10, 31, 15, tzinfo=new_york),
        datetime(2027, 3, 13, 15, tzinfo=new_york),
    ):
        at = datetime.fromtimestamp(
            scheduled_time("tomorrow 9am", eve.timestamp(), new_york), new_york
        )
        assert (at.day, at.hour, at.minute) == ((eve + timedelta(days=1)).day, 9, 0)


@pytest.mark.parametrize("minute", range(-90, 150, 10))
def test_hours_and_minutes_take_as_long_as_they_say_in_every_hour_of_a_clock_change(
    minute: int,
) -> None:
    new_york = zone_of("America/New_York")
    for change in (1793512800, 1805007600):
        now = change + minute * 60 + 0.5
        assert scheduled_time("now", now, new_york) == now
        assert scheduled_time("+5 minutes", now, new_york) == now + 300
        assert scheduled_time("+24 hours", now, new_york) == now + DAY


@examples(500)
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(WORDS.split()), max_size=9).map(" ".join)
    | st.lists(st.sampled_from(WORDS.split()), max_size=9).map("".join)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none(),
    st.floats(0, 4e9),
)
def test_every_input_is_a_time_ahead_or_refused(value: Any, now: float) -> None:
    at = outcome(value, now)
    if isinstance(at, str):
        assert at in {UNREADABLE, PAST, TOO_FAR}
    else:
        assert math.floor(now) <= at <= now + 400 * DAY


@pytest.mark.parametrize(
    "text",
    [*("1 ", "+ ", "now ", "- ", "next ", "9:00 ", "1 dec ", "\t", "dec ", "1,", "9" * 30), "+\t"],
)
def test_time_grows_with_the_text_and_not_with_its_square(text: str) -> None:
    def seconds(count: int) -> float:
        begun = time.perf_counter()
        strtotime(text * count + "x", NOW)
        return time.perf_counter() - begun

    assert min(seconds(20000) for _ in range(2)) < 1.0


@pytest.fixture
def late() -> Iterator[float]:
    """This machine's clock is five minutes behind the one that all daemons share."""
    clock.follow(300)
    yield time.time() + 300
    clock.follow(0)


@pytest.mark.parametrize("seconds", [-290, -60, -2])
def test_what_is_past_for_all_daemons_is_past(late: float, seconds: int) -> None:
    with pytest.raises(ValidationError, match="in the past"):
        SendTime().deserialize(str(late + seconds))


@pytest.mark.parametrize("seconds", [10, 60, 290, 400])
def test_what_is_to_come_for_all_daemons_is_scheduled(late: float, seconds: int) -> None:
    assert SendTime().deserialize(str(late + seconds)) == pytest.approx(late + seconds)


def test_words_count_from_the_time_of_all_daemons(late: float) -> None:
    assert SendTime().deserialize("+1 hour") == pytest.approx(late + 3600, abs=2)
