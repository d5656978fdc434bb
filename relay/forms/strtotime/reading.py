"""What phrases say together: a date, a time of day, and steps from there."""

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

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
        day = date(day.year + months // 12, months % 12 + 1, 1) + timedelta(days=number - 1)
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

    def year_month_day(self, year: str, month: str, day: str) -> None:
        if self._date:
            raise ValueError("two dates")
        self._date = date(int(year), int(month), int(day))

    def day_month_year(self, day: str, month: str, year: str) -> None:
        self.year_month_day(year, month, day)

    def month_day_year(self, month: str, day: str, year: str) -> None:
        self.year_month_day(year, month, day)

    def named_month(self, day: str | None, month: str, year: str | None) -> None:
        self.year_month_day(year or str(self._local.year), str(MONTH[month]), day or "1")

    def month_named(self, month: str, day: str | None, year: str | None) -> None:
        self.named_month(day, month, year)

    def clock(self, hour: str, minute: str, second: str | None, zone: str | None) -> None:
        self._clock(int(hour), int(minute), int(second or 0))
        self._zone = _zone(zone) if zone else self._zone

    def half_day_clock(self, hour: str, minute: str | None, second: str | None, half: str) -> None:
        if not 1 <= int(hour) <= 12:
            raise ValueError("no hour of half a day")
        self._clock(int(hour) % 12 + 12 * (half == "p"), int(minute or 0), int(second or 0))

    def _clock(self, hour: int, minute: int, second: int) -> None:
        if self._has_time or minute > 59 or second > 59 or hour > 23:
            raise ValueError("two times, or none")
        self._time, self._has_time = timedelta(hours=hour, minutes=minute, seconds=second), True

    def basic(self, *words: str | None) -> None:
        """Take ISO 8601's basic format."""
        year, month, day, hour, minute, second, zone = words
        self.year_month_day(year or "", month or "", day or "")
        self.clock(hour or "", minute or "", second, zone)


def _zone(written: str) -> tzinfo:
    if written[0] not in "+-":
        return UTC
    digits = written[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if written[0] == "-" else offset)
