"""When a message is to be sent: epoch seconds, ISO 8601, or words as PHP's strtotime reads them."""

import math
import re
from datetime import UTC, tzinfo

from relay.forms.strtotime import strtotime

MAX_LENGTH = 64
MAX_DAYS = 400

UNREADABLE = "Could not evaluate scheduled date."
PAST = "Scheduled date is in the past."
TOO_FAR = f"Emails can only be scheduled up to {MAX_DAYS} days in advance."

# Eight digits are a day, 20261201: as epoch seconds they were over in 1973.
_EPOCH = re.compile(r"(?![0-9]{8}\Z)@?(-?[0-9]+(?:\.[0-9]+)?)")


class ScheduleError(ValueError):
    """A time that nothing can be scheduled for; the words are for who asked."""


def scheduled_time(value: str | float, now: float, zone: tzinfo = UTC) -> float:
    """Read the time that a message is to be sent at; return epoch seconds.

    value: epoch seconds (a number, its digits, or `@` and its digits), or what strtotime reads.
    now: epoch seconds; the second that runs at `now` is not past.
    zone: of every date and time of day that names no zone of its own.
    Raises ScheduleError: not readable, over MAX_LENGTH characters, past, or over MAX_DAYS away.
    """
    at = _read(value, now, zone)
    if at is None:
        raise ScheduleError(UNREADABLE)
    if at < math.floor(now):
        raise ScheduleError(PAST)
    if at > now + MAX_DAYS * 86400:
        raise ScheduleError(TOO_FAR)
    return at


def _read(value: object, now: float, zone: tzinfo) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _number(value)
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        return None
    text = value.strip(" \t\r\n\u00a0\u202f")
    if epoch := _EPOCH.fullmatch(text):
        return _number(epoch[1])
    return strtotime(text, now, zone)


def _number(value: str | float) -> float | None:
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None
