"""Lists to take away: as CSV for a spreadsheet, or as lines of JSON for a program."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from relay.core.times import utc
from relay.store.acts import Act

# Each form with the media type that it is sent as.
FORMS = {"csv": "text/csv", "json": "application/x-ndjson"}
ACT = ("at", "who", "way", "origin", "verb", "target", "before", "after")

# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lines(names: Sequence[str], rows: Iterable[Mapping[str, Any]], form: str) -> Iterator[str]:
    """Write rows of these columns in one of FORMS, a line at a time, without the lines' ends."""
    if form == "csv":
        yield _comma_separated(names)
    for row in rows:
        values = [row[name] for name in names]
        if form == "csv":
            yield _comma_separated([_cell(value) for value in values])
        else:
            yield json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)


def text(names: Sequence[str], rows: Iterable[Mapping[str, Any]], form: str) -> str:
    """Write the same as one text."""
    return "".join(f"{line}\n" for line in lines(names, rows, form))


def act_row(act: Act) -> dict[str, Any]:
    """Return an act as a row of ACT, its time as ISO 8601 in UTC."""
    at = utc(act.at).isoformat(timespec="seconds")
    changed = {"verb": act.verb, "target": act.target, "before": act.before, "after": act.after}
    return {"at": at, **act.by._asdict(), **changed}


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _comma_separated(values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
