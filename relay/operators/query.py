"""The language of the search: words, and `to: from: subject: server: state: tag: before: after:`.

And `id:`, `reference:`; all in any order, all of them must be true. `"..."` are words that stand
beside each other, `wor*` is a word's beginning. What has another name before its colon is a word.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from relay.core.ids import as_reference
from relay.core.states import State
from relay.core.words import words
from relay.store.queries.word_search import Term, Wanted

_PART = re.compile(r'([A-Za-z]+):(?=\s|$)|(?:([A-Za-z]+):)?(?:"([^"]*)(?:"|$)|([^\s"]+))')
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]+")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_START_OF_ID = re.compile(r"[0-9a-f]{1,8}(-[0-9a-f-]{0,27})?")

_SHORT = "needs three letters before its star"

# Where the words of each name stand.
_PLACES = {"to": "recipients", "from": "senders", "subject": "subject"}


class Query(NamedTuple):
    """What a person looks for, and a sentence for each part that cannot be understood."""

    wanted: Wanted
    problems: Sequence[str]


class _Reader:
    def __init__(self, zone: tzinfo, now: float) -> None:
        self.terms: list[Term] = []
        self.servers: list[str] = []
        self.states: list[State] = []
        self.others: dict[str, str] = {}
        self.times: dict[str, float] = {}
        self.problems: list[str] = []
        self._zone, self._now = zone, now
        self._readers: dict[str, Callable[[str, str], str]] = {
            **dict.fromkeys(_PLACES, self._words_in),
            **dict.fromkeys(("before", "after"), self._time),
            "server": self._server,
            "state": self._state,
            "tag": self._other,
            "id": self._id,
            "reference": self._reference,
        }

    def read(self, name: str, value: str) -> None:
        """Read a part of what is asked."""
        reader = self._readers.get(name.lower())
        if reader is None:
            self._free(f"{name}:{value}" if name else value)
            return
        problem = reader(name.lower(), value) if value.strip() else "is followed by nothing"
        if problem:
            self.problems.append(f"{name.lower()}: {problem}")

    def _free(self, value: str) -> None:
        if _ID.fullmatch(value.lower()):
            self.others["id"] = value.lower()
        elif not words(value):
            self.problems.append(f"{value[:50]!r} has no letters or digits")
        elif _is_short(value):
            self.problems.append(f"{value}: {_SHORT}")
        else:
            term = _term(value)
            self.terms.append(term._replace(reference=as_reference(value) or ""))

    def _words_in(self, name: str, value: str) -> str:
        if not words(value):
            return "needs letters or digits"
        if _is_short(value):
            return f"{value} {_SHORT}"
        self.terms.append(_term(value)._replace(places=(_PLACES[name],)))
        return ""

    def _server(self, name: str, value: str) -> str:
        self.servers += [one for one in value.split(",") if one]
        return ""

    def _state(self, name: str, value: str) -> str:
        for one in filter(None, value.lower().split(",")):
            known = re.sub(r"[\s-]", "_", one)
            if known not in list(State):
                return f"there is no state {one[:50]!r}; they are {', '.join(State)}"
            self.states.append(State(known))
        return ""

    def _time(self, name: str, value: str) -> str:
        at = self._moment(value)
        if at is None:
            return "is not a date, such as 2026-11-28 or 2026-11-28T08:30"
        self.times[name] = at
        return ""

    def _moment(self, value: str) -> float | None:
        """Return a moment: that at which a day begins, where no time of day is named."""
        today = datetime.fromtimestamp(self._now, self._zone)
        days = {"today": today, "yesterday": today - timedelta(days=1)}
        try:
            if value.lower() in days:
                value = days[value.lower()].strftime("%Y-%m-%d")
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=self._zone)
            return moment.timestamp()
        except (ValueError, OverflowError):
            return None

    def _other(self, name: str, value: str) -> str:
        self.others[name] = value
        return ""

    def _id(self, name: str, value: str) -> str:
        if not _START_OF_ID.fullmatch(value.lower()):
            return "is not the beginning of an id"
        return self._other(name, value.lower())

    def _reference(self, name: str, value: str) -> str:
        if as_reference(value) is None:
            return "is not a reference, such as K7M-4QX-9RD"
        return self._other(name, value)


def parse(text: str, zone: tzinfo = UTC, now: float = 0.0) -> Query:
    """Read what a person asks for; zone: that of dates without one. now: for today, yesterday."""
    reader = _Reader(zone, now)
    for bare, name, quoted, word in _PART.findall(text):
        reader.read(name or bare, quoted or word)
    wanted = Wanted(
        tuple(reader.terms),
        tuple(dict.fromkeys(reader.servers)),
        tuple(dict.fromkeys(reader.states)),
        since=reader.times.get("after"),
        before=reader.times.get("before"),
        **reader.others,
    )
    return Query(wanted, reader.problems)


def _is_short(value: str) -> bool:
    """Return whether so many words begin so that nobody looks for them."""
    return value.endswith("*") and len(words(value)[-1]) < 3


def _term(value: str) -> Term:
    whole = value.casefold() if _ADDRESS.fullmatch(value) else ""
    return Term(tuple(words(value)), is_prefix=value.endswith("*"), whole=whole)
