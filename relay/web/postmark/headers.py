"""The `Headers` of a message: what goes with it, and what steers Postmark instead of a field."""

import re
from typing import Any

from relay.core.header_names import is_reserved
from relay.core.text import length
from relay.web.postmark.reading import Fields, line, refused

MAX_HEADERS = 100
MAX_HEADER_NAME = 76
MAX_HEADER_VALUE = 10_000

Header = tuple[str, str]

_KEPT_ID = "x-pm-keepid"
# RFC 5322: printable ASCII without the colon.
_NAME = re.compile(r"[!-9;-~]+")
# Where a value goes on in the next line (RFC 5322, 2.2.3).
_FOLD = re.compile(r"\r?\n[ \t]+")
# What mail libraries hand on of a mail that they have built already.
_DROPPED = {"mime-version", "content-transfer-encoding"}

# Headers that mean what a field means; behind the last one stands a name of Metadata.
_STEERING = {
    "x-pm-tag": "Tag",
    "x-pm-message-stream": "MessageStream",
    "x-pm-trackopens": "TrackOpens",
    "x-pm-tracklinks": "TrackLinks",
}
_METADATA = "x-pm-metadata-"


def read_headers(message: Fields) -> tuple[Header, ...]:
    """Read a message's `Headers`, without empty ones; raise PostmarkError.

    A Message-ID counts only beside `X-PM-KeepID: true`; without it the provider would write its
    own over it, so it is left out, as mail libraries send one unasked.
    """
    given = message.items("Headers")
    if len(given) > MAX_HEADERS:
        raise refused(f"A message may have {MAX_HEADERS} headers at most.")
    headers = [_header(value) for value in given]
    keeps = any(name.lower() == _KEPT_ID and value.lower() == "true" for name, value in headers)
    dropped = _DROPPED if keeps else {*_DROPPED, "message-id"}
    return tuple((name, value) for name, value in headers if value and name.lower() not in dropped)


def _header(value: Any) -> Header:
    fields = Fields(value, "Headers")
    name, content = fields.text("Name") or "", line(_FOLD.sub(" ", fields.text("Value") or ""))
    if not _NAME.fullmatch(name) or len(name) > MAX_HEADER_NAME:
        raise refused(
            f"A header's 'Name' has 1 to {MAX_HEADER_NAME} characters, no blanks or colons."
        )
    if is_reserved(name) and name.lower() not in _DROPPED:
        raise refused(f"Header '{name}' not allowed.")
    if content is None or length(content) > MAX_HEADER_VALUE:
        words = f"is a single line of at most {MAX_HEADER_VALUE} characters."
        raise refused(f"The value of the header '{name}' {words}")
    return name, content


def is_steering(name: str) -> bool:
    """Return whether a header is meant for Postmark, in a field's place."""
    return name.lower() in _STEERING or name.lower().startswith(_METADATA)


def with_steering(message: Fields, headers: tuple[Header, ...]) -> Fields:
    """Return a message's fields, and what headers say of those that it leaves empty."""
    labels = dict(message.object("Metadata") or {})
    known = {name.lower() for name in labels}
    said: dict[str, Any] = {"Metadata": labels}
    for name, value in headers:
        field, label = _STEERING.get(name.lower()), name[len(_METADATA) :]
        if field is not None and message.raw(field) in (None, ""):
            said.setdefault(field, value)
        elif name.lower().startswith(_METADATA) and label.lower() not in known:
            labels[label] = value
    return message.changed(said)
