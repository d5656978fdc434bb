"""Dates and times in words, as PHP's strtotime reads them: a closed part of its grammar.

What is read means what it means to PHP (https://www.php.net/datetime.formats), surprises included:

- A word for a day sets the time to midnight, so a time of day stands after it: `tomorrow 9am`.
- `next week` is Monday of next week at this time of day; `+1 week` is seven days from now.
- `+1 month` on January 31 is March 2 or 3; `first day of next month` keeps the time of day.

What PHP only makes the best of (February 30, a weekday that is not the date's, a number that is
taken for a time zone) is not read.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAY = {name[:length]: day for day, name in enumerate(_WEEKDAYS) for length in (3, 9)}
MONTH = {name[:length]: month for month, name in enumerate(_MONTHS, 1) for length in (3, 9)}
MONTH["sept"] = 9
SECONDS = {"sec": 1, "second": 1, "min": 60, "minute": 60, "hour": 3600}
DAYS = {"day": 1, "week": 7, "fortnight": 14}
MONTHS_IN = {"month": 1, "year": 12}
STEP = {"last": -1, "previous": -1, "this": 0, "next": 1}
# Which weekday of a month: the first, or from its end.
NTH = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1}
# In hours from UTC, all year round. What means two zones, such as IST, is not among them.
ZONES = {
    name: hours
    for hours, names in (
        (3, "eest"),
        (2, "eet cest"),
        (1, "cet west"),
        (0, "z utc gmt wet"),
        (-4, "edt"),
        (-5, "est cdt"),
        (-6, "cst mdt"),
        (-7, "mst pdt"),
        (-8, "pst akdt"),
        (-9, "akst"),
        (-10, "hst"),
    )
    for name in names.split()
}

# How a weekday is looked for: from tomorrow on, from today on, or in the week of the day.
_AFTER_TODAY, _FROM_TODAY, _IN_WEEK = range(3)


class Reading:
    """What was said so far; each method takes a phrase, its words in the phrase's own order.

    A contradiction is a ValueError or an OverflowError, as are numbers that are no date.
    """

    def __init__(self, local: datetime) -> None:
        self._local = local.replace(tzinfo=None)
        self._date: date | None = None
        self._time: timedelta | None = None
        self._has_time = False
        self._zone: tzinfo | None = None
        self._days = self._months = self._seconds = 0
        self._weekday: int | None = None
        self._search = _AFTER_TODAY
        self._edge: str | None = None
        self._workdays: int | None = None
        self._nth: tuple[int, int] | None = None

    def moment(self, now: float, zone: tzinfo) -> float:
        """Put it all together, in the order in which PHP does."""
        day = self._date or self._local.date()
        shift = self._to_weekday(day)
        if self._date and shift:
            raise ValueError("the date is another weekday")
        self._refuse_odd_company()
        day += timedelta(days=shift)
        number, months = day.day + self._days, day.month - 1 + self._months
        if self._edge:
            number, months = (1, months) if self._edge == "first" else (0, months + 1)
        first = date(day.year + months // 12, months % 12 + 1, 1)
        day = first + timedelta(days=number - 1) if self._nth is None else self._nth_of(first)
        day += timedelta(days=self._past_weekends(day))
        wall = datetime(day.year, day.month, day.day) + self._time_of_day()  # noqa: DTZ001 - below
        if wall == self._local and self._zone is None:
            return now + self._seconds  # exactly, also in the hour that a clock change repeats
        return wall.replace(tzinfo=self._zone or zone).timestamp() + self._seconds

    def _refuse_odd_company(self) -> None:
        """Refuse phrases that PHP counts in an order of its own when they stand together."""
        by_weekday = self._weekday is not None
        if self._zone and not self._date:
            raise ValueError("a zone without a date")
        if self._edge and (by_weekday or self._workdays):
            raise ValueError("an edge of the month and a weekday")
        if self._nth and (self._edge or by_weekday or self._workdays or self._days):
            raise ValueError("a weekday of the month and something else to count")
        if self._nth and self._months and self._months % 12 == 0:
            raise ValueError("a weekday of this month, a year later")
        if self._time == timedelta(hours=24) and (by_weekday or self._edge or self._nth):
            raise ValueError("a day that is counted, and the end of another")
        if self._workdays and (by_weekday or self._seconds):
            raise ValueError("working days and something else to count")

    def _time_of_day(self) -> timedelta:
        if self._date and not self._has_time:
            return timedelta()
        if self._time is None:
            return self._local - datetime.combine(self._local, time.min)
        return self._time

    def _to_weekday(self, day: date) -> int:
        """Count the days from a day to the weekday that was named."""
        if self._weekday is None:
            return 0
        current = day.isoweekday() % 7
        if self._search == _IN_WEEK:  # its first day is Monday
            return (self._weekday - 1) % 7 - (current - 1) % 7
        difference = self._weekday - current
        if self._days < 0:
            return difference % 7 if difference < 0 else difference
        return difference + 7 if difference <= -self._search else difference

    def _nth_of(self, first: date) -> date:
        """Return the weekday that was named of the month that begins so."""
        number, weekday = self._nth or (1, 0)
        if number < 0:
            last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
            return last - timedelta(days=(last.isoweekday() - weekday) % 7)
        day = first + timedelta(days=(weekday - first.isoweekday()) % 7 + 7 * (number - 1))
        if day.month != first.month:
            raise ValueError("the month has no fifth one")
        return day

    def _past_weekends(self, day: date) -> int:
        """Count the days from a day to so many working days later."""
        if self._workdays is None:
            return 0
        over = max(day.isoweekday() - 5, 0)  # a weekend counts as its Friday
        weeks, rest = divmod(self._workdays, 5)
        crosses = day.isoweekday() - over + rest > 5
        return weeks * 7 + rest + 2 * crosses - over

    def midnight(self) -> None:
        self._time, self._has_time = timedelta(), False

    def now(self) -> None:
        pass

    def noon(self) -> None:
        self._time, self._has_time = timedelta(hours=12), True

    def tomorrow(self) -> None:
        self.midnight()
        self._days = 1

    def yesterday(self) -> None:
        self.midnight()
        self._days = -1

    def weekday(self, name: str) -> None:
        self.midnight()
        self._weekday = WEEKDAY[name]
        self._search = max(self._search, _FROM_TODAY)

    def step_to_weekday(self, step: str, name: str) -> None:
        self.midnight()
        self._weekday = WEEKDAY[name]
        self._search = _FROM_TODAY if step == "this" else _AFTER_TODAY
        self._days += min(STEP[step], 0) * 7

    def step(self, step: str, unit: str) -> None:
        self._add(STEP[step], unit)
        if unit == "week":
            self._search = _IN_WEEK
            self._weekday = 1 if self._weekday is None else self._weekday

    def amount(self, sign: str | None, number: str, unit: str) -> None:
        self._add(int(f"{sign or ''}{number}"), unit)

    def _add(self, number: int, unit: str) -> None:
        self._days += number * DAYS.get(unit, 0)
        self._months += number * MONTHS_IN.get(unit, 0)
        self._seconds += number * SECONDS.get(unit, 0)

    def workdays(self, number: str) -> None:
        if self._workdays is not None or not int(number):
            raise ValueError("working days twice, or none")
        self._workdays = int(number)

    def edge_of_month(self, edge: str) -> None:
        if self._edge:
            raise ValueError("two edges")
        self._edge = edge

    def weekday_of_month(self, nth: str, name: str) -> None:
        if self._nth:
            raise ValueError("two weekdays of a month")
        self.midnight()
        self._nth = NTH[nth], WEEKDAY[name]

    def weekday_of_month_named(self, nth: str, name: str, month: str, year: str | None) -> None:
        self.weekday_of_month(nth, name)
        self.named_month(None, month, year)

    def year_month_day(self, year: str, month: str, day: str) -> None:
        if self._date:
            raise ValueError("two dates")
        self._date = date(int(year), int(month), int(day))

    def day_month_year(self, day: str, month: str, year: str) -> None:
        self.year_month_day(year, month, day)

    def month_day_year(self, month: str, day: str, year: str) -> None:
        self.year_month_day(year, month, day)

    def month_day(self, month: str, day: str) -> None:
        self.year_month_day(str(self._local.year), month, day)

    def week(self, year: str, week: str, day: str | None) -> None:
        found = date.fromisocalendar(int(year), int(week), int(day or 1))
        self.year_month_day(str(found.year), str(found.month), str(found.day))

    def named_month(self, day: str | None, month: str, year: str | None) -> None:
        self.year_month_day(year or str(self._local.year), str(MONTH[month]), day or "1")

    def month_named(self, month: str, day: str | None, year: str | None) -> None:
        self.named_month(day, month, year)

    def clock(self, hour: str, minute: str, second: str | None, zone: str | None) -> None:
        self._clock(int(hour), int(minute), int(second or 0))
        self._zone = _zone(zone) if zone else self._zone

    def half_day_clock(
        self, hour: str, minute: str | None, second: str | None, half: str, zone: str | None
    ) -> None:
        if not 1 <= int(hour) <= 12:
            raise ValueError("no hour of half a day")
        self._clock(int(hour) % 12 + 12 * (half == "p"), int(minute or 0), int(second or 0))
        self._zone = _zone(zone) if zone else self._zone

    def _clock(self, hour: int, minute: int, second: int) -> None:
        is_next_midnight = hour == 24 and not minute and not second
        if self._has_time or minute > 59 or second > 59 or (hour > 23 and not is_next_midnight):
            raise ValueError("two times, or none")
        self._time, self._has_time = timedelta(hours=hour, minutes=minute, seconds=second), True

    def basic(self, *words: str | None) -> None:
        """Take ISO 8601's basic format."""
        year, month, day, hour, minute, second, zone = words
        self.year_month_day(year or "", month or "", day or "")
        self.clock(hour or "", minute or "", second, zone)


def _zone(written: str) -> tzinfo:
    if written in ZONES:
        return timezone(timedelta(hours=ZONES[written]))
    if written[0] not in "+-":
        return _named_zone(written)
    digits = written[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if written[0] == "-" else offset)


def _named_zone(written: str) -> tzinfo:
    """Find a zone of the machine's database by its name in lower case; raise ValueError."""
    name = _zone_names().get(written)
    if name is None:
        raise ValueError("no such zone")
    return ZoneInfo(name)


@cache
def _zone_names() -> Mapping[str, str]:
    return {name.lower(): name for name in available_timezones()}


def _any(*groups: Iterable[str]) -> str:
    return "|".join(name for names in groups for name in names)


_END = r"(?:(?=[ \t,]|$)|(?<=\dt))"
_DAY = r"(\d\d?)(?:st|nd|rd|th)?"
_MONTH_NAME = f"({_any(sorted(MONTH, key=len, reverse=True))})"
_WEEKDAY_NAME = f"({_any(WEEKDAY)})"
_NTH_WEEKDAY = rf"({_any(NTH)})[ \t]+{_WEEKDAY_NAME}[ \t]+of"
_UNIT = f"({_any(SECONDS, DAYS, MONTHS_IN)})"
_STEPS = f"({_any(STEP)})"
_AREA = r"[a-z]{3,}(?:/[a-z]+(?:[_-][a-z]+)*){1,2}"  # America/Port-au-Prince
_ZONE = rf"(?:[ \t]?({_any(ZONES)}|{_AREA}|[+-]\d\d(?::?[0-5]\d)?)$)?"

_RULES: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"now", Reading.now),
    (r"today|midnight", Reading.midnight),
    (r"noon", Reading.noon),
    (r"tomorrow", Reading.tomorrow),
    (r"yesterday", Reading.yesterday),
    (_WEEKDAY_NAME, Reading.weekday),
    (rf"{_STEPS}[ \t]+{_WEEKDAY_NAME}", Reading.step_to_weekday),
    (rf"{_STEPS}[ \t]+{_UNIT}", Reading.step),
    (rf"([+-])?[ \t]*(\d{{1,9}})[ \t]*{_UNIT}s?", Reading.amount),
    (r"\+?[ \t]*(\d{1,4})[ \t]*weekdays?", Reading.workdays),
    (r"(first|last)[ \t]day[ \t]of", Reading.edge_of_month),
    (_NTH_WEEKDAY, Reading.weekday_of_month),
    (
        rf"{_NTH_WEEKDAY}[ \t]+{_MONTH_NAME}(?:[ \t]+(\d{{4}}))?{_END}(?![ \t,]+\d+(?:[ \t,]|$))",
        Reading.weekday_of_month_named,
    ),
    (r"(\d{4})-(\d\d?)-(\d\d?)", Reading.year_month_day),
    (r"(\d{4})-(\d\d?)-(\d\d?)t(?=\d\d?:)", Reading.year_month_day),
    (r"(\d{4})(\d\d)(\d\d)(?:t(?=\d\d?:))?", Reading.year_month_day),
    (r"(\d{4})-?w(\d\d)(?:-?([1-7]))?(?:t(?=\d\d?:))?", Reading.week),
    (r"(\d\d?)/(\d\d?)", Reading.month_day),
    (r"(\d{4})/(\d\d?)/(\d\d?)", Reading.year_month_day),
    (r"(\d\d?)/(\d\d?)/(\d{4})", Reading.month_day_year),
    (r"(\d\d?)\.(\d\d?)\.(\d{4})", Reading.day_month_year),
    (r"(\d\d?)-(\d\d?)-(\d{4})", Reading.day_month_year),
    (rf"{_DAY}[ \t-]+{_MONTH_NAME}[ \t-]+(\d{{4}})", Reading.named_month),
    (rf"{_DAY}[ \t]+{_MONTH_NAME}(){_END}(?![ \t,-]*\d)", Reading.named_month),
    (rf"{_MONTH_NAME}[ \t]+{_DAY}[ \t,]+(\d{{4}})", Reading.month_named),
    (
        rf"{_MONTH_NAME}[ \t]+{_DAY}(){_END}(?![ \t,-]*(?:[dhnrst]|\d(?!\d?:\d\d(?:[ \t,]|$))))",
        Reading.month_named,
    ),
    (rf"{_MONTH_NAME}()[ \t]+(\d{{4}})", Reading.month_named),
    (rf"(\d\d?):(\d\d)(?::(\d\d)(?:\.\d{{1,9}})?)?{_ZONE}", Reading.clock),
    (
        rf"(\d\d?)(?::(\d\d)(?::(\d\d))?)?[ \t]*([ap])(?:m|\.m\.)(?!,){_ZONE}",
        Reading.half_day_clock,
    ),
    (rf"(\d{{4}})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)?{_ZONE}", Reading.basic),
)
_PATTERNS = [(re.compile(f"(?:{words}){_END}"), take) for words, take in _RULES]
# What browsers write before AM, besides the space.
_SPACES = re.compile("[\u00a0\u202f]")
_BETWEEN = re.compile(r"[ \t]*,?[ \t]*")


def phrases(text: str) -> Iterator[tuple[Callable[..., None], tuple[str | None, ...]]]:
    """Split a text into its phrases, the longest first; a rest that is none is a ValueError."""
    at = 0
    while at < len(text):
        found = [(match, take) for words, take in _PATTERNS if (match := words.match(text, at))]
        if not found:
            raise ValueError("no phrase")
        match, take = max(found, key=lambda one: one[0].end())
        yield take, match.groups()
        between = _BETWEEN.match(text, match.end())
        at = between.end() if between else match.end()


def strtotime(text: str, now: float, zone: tzinfo = UTC) -> float | None:
    """Read a date and time in words; return epoch seconds, or None for what is not read.

    now: epoch seconds. zone: of dates and times that name none. Takes time in proportion to the
    text, and no fractions of seconds from it.
    """
    text = _SPACES.sub(" ", text)
    if not text or not text.isascii():
        return None
    reading = Reading(datetime.fromtimestamp(now, zone))
    try:
        for take, words in phrases(text.lower()):
            take(reading, *words)
        return reading.moment(now, zone)
    except (ValueError, OverflowError):
        return None
