"""Times: epoch seconds inside, ISO 8601 in UTC for people."""

from datetime import UTC, datetime


def utc(seconds: float) -> datetime:
    """Return the moment of epoch seconds, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def shown(seconds: float) -> str:
    """Write a moment for a person: `2026-11-21 08:15:00Z`."""
    return utc(seconds).strftime("%Y-%m-%d %H:%M:%SZ")


def age(seconds: float) -> str:
    """Write a duration shortly: `12s`, `5m`, `3h`, `2d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(max(seconds, 0))}s"
