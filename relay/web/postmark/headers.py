"""Mail headers that a caller sets: which names it may use, and what may stand in their values."""

import re
from typing import Any

from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.reading import Fields, is_line, units

MAX_HEADERS = 100
MAX_NAME = 76
MAX_VALUE = 10_000

KEPT_ID = "x-pm-keepid"

# RFC 5322: printable ASCII without the colon.
_NAME = re.compile(r"[!-9;-~]+")
# These have fields of their own, or are the relay's and the provider's to write.
_RESERVED = re.compile(
    r"from|to|cc|bcc|sender|reply-to|resent-.*|subject|date|content-.*|mime-.*|dkim-.*|received"
    r"|return-path|x-relay-message-id",
    re.IGNORECASE,
)


def read_headers(message: Fields) -> tuple[tuple[str, str], ...]:
    """Read a message's `Headers`; raise PostmarkError.

    A Message-ID counts only beside `X-PM-KeepID: true`; without it the provider would write its
    own over it, so it is left out, as mail libraries send one unasked.
    """
    given = message.items("Headers")
    if len(given) > MAX_HEADERS:
        raise _refused(f"A message may have {MAX_HEADERS} headers at most.")
    headers = [_header(value) for value in given]
    keeps = any(name.lower() == KEPT_ID and value.lower() == "true" for name, value in headers)
    return tuple(
        (name, value)
        for name, value in headers
        if value and (keeps or name.lower() != "message-id")
    )


def _header(value: Any) -> tuple[str, str]:
    fields = Fields(value, "Headers")
    name, content = fields.text("Name") or "", (fields.text("Value") or "").strip()
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise _refused(f"A header's 'Name' has 1 to {MAX_NAME} characters, no blanks or colons.")
    if _RESERVED.fullmatch(name):
        raise _refused(f"The header '{name}' may not be set.")
    if not is_line(content) or units(content) > MAX_VALUE:
        words = f"is a single line of at most {MAX_VALUE} characters"
        raise _refused(f"The value of the header '{name}' {words}, without control characters.")
    return name, content


def _refused(words: str) -> PostmarkError:
    return PostmarkError(300, words)
