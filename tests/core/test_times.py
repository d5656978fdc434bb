"""Times as people read them."""

import pytest

from relay.core.times import age, shown, utc


def test_a_moment_is_shown_in_utc() -> None:
    assert shown(1795248900.75) == "2026-11-21 08:15:00Z"
    assert utc(0).isoformat() == "1970-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (86399, "23h"),
        (86400, "1d"),
        (1e6, "11d"),
    ],
)
def test_an_age_is_short_and_never_rounded_up(seconds: float, written: str) -> None:
    assert age(seconds) == written
