"""The phrases of a text: patterns, and what each of them says."""

import re
from collections.abc import Callable, Iterable, Iterator

from relay.forms.strtotime.reading import DAYS, MONTH, MONTHS_IN, SECONDS, STEP, WEEKDAY, Reading


def _any(*groups: Iterable[str]) -> str:
    return "|".join(name for names in groups for name in names)


_END = r"(?:(?=[ \t,]|$)|(?<=\dt))"
_DAY = r"(\d\d?)(?:st|nd|rd|th)?"
_MONTH_NAME = f"({_any(sorted(MONTH, key=len, reverse=True))})"
_WEEKDAY_NAME = f"({_any(WEEKDAY)})"
_UNIT = f"({_any(SECONDS, DAYS, MONTHS_IN)})"
_STEPS = f"({_any(STEP)})"
_ZONE = r"(?:[ \t]?(z|utc|gmt|[+-]\d\d(?::?[0-5]\d)?)$)?"

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
    (r"(\d{4})-(\d\d?)-(\d\d?)", Reading.year_month_day),
    (r"(\d{4})-(\d\d)-(\d\d)t(?=\d\d:)", Reading.year_month_day),
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
    (r"(\d\d?)(?::(\d\d)(?::(\d\d))?)?[ \t]*([ap])(?:m|\.m\.)(?!,)", Reading.half_day_clock),
    (rf"(\d{{4}})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)?{_ZONE}", Reading.basic),
)
_PATTERNS = [(re.compile(f"(?:{words}){_END}"), take) for words, take in _RULES]
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
