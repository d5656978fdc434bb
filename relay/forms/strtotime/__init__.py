"""Dates and times in words, as PHP's strtotime reads them: a closed part of its grammar.

What is read means what it means to PHP (https://www.php.net/datetime.formats), surprises included:

- A word for a day sets the time to midnight, so a time of day stands after it: `tomorrow 9am`.
- `next week` is Monday of next week at this time of day; `+1 week` is seven days from now.
- `+1 month` on January 31 is March 2 or 3; `first day of next month` keeps the time of day.

What PHP only makes the best of (February 30, a weekday that is not the date's, a number that is
taken for a time zone) is not read.
"""

from datetime import UTC, datetime, tzinfo

from relay.forms.strtotime.phrases import phrases
from relay.forms.strtotime.reading import Reading


def strtotime(text: str, now: float, zone: tzinfo = UTC) -> float | None:
    """Read a date and time in words; return epoch seconds, or None for what is not read.

    now: epoch seconds. zone: of dates and times that name none. Takes time in proportion to the
    text, and no fractions of seconds from it.
    """
    if not text or not text.isascii():
        return None
    reading = Reading(datetime.fromtimestamp(now, zone))
    try:
        for take, words in phrases(text.lower()):
            take(reading, *words)
        return reading.moment(now, zone)
    except (ValueError, OverflowError):
        return None
