"""The page that a form without JavaScript comes back to: found by its name, told what became of it.

Its name is a field, `return_to`; its URL stands in the server's settings, never in the request. It
is looked for in the bytes, so that a visitor whose form cannot be read comes back too.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit, urlunsplit

from relay.core.errors import (
    AuthenticationFailed,
    InvalidSubmission,
    SubmissionError,
    TokenRefused,
    TooManyRequests,
    Unavailable,
    VerificationFailed,
)
from relay.web import bodies

FIELD = "return_to"
MAX_NAME = 200
# Where a page is looked for: in front of the files, as forms send a field that stands before them.
SOUGHT_BYTES = 2**18

_URLENCODED = re.compile(rb"(?:^|&)(?:email(?:\[|%5B))?return_to(?:\]|%5D)?=([^&]*)")
# The part of that name: what else its headers say is short, so that a search is one pass.
_MULTIPART = re.compile(
    rb'name="?(?:email\[)?return_to\]?"?[^\r\n]{0,99}(?:\r?\n[^\r\n]{1,99}){0,3}'
    rb"\r?\n\r?\n([^\r\n]*)"
)
_PATTERNS = {bodies.URLENCODED: _URLENCODED, bodies.MULTIPART: _MULTIPART}

# What a page is told of an error; docs/forms/web-page.md says what a page can say of each.
REASONS = {
    "attachments": "file",
    "too_large": "too_large",
    "origin": "origin",
    "refused": "refused",
}
KINDS: dict[type[SubmissionError], str] = {
    AuthenticationFailed: "key",
    TokenRefused: "token",
    VerificationFailed: "verification",
    TooManyRequests: "too_many",
    Unavailable: "unavailable",
}
ADDRESSES = frozenset({"from_address", "reply_to", "to_address", "cc", "bcc"})


def may_be_named(content_type: str) -> bool:
    """Whether a body of this type can name a page: only forms do."""
    return bodies.media_of(content_type) in _PATTERNS


def named_in(content_type: str, body: bytes, pages: Mapping[str, str]) -> str | None:
    """Find the URL of the page that a body names, whether or not the body can be read."""
    pattern = _PATTERNS.get(bodies.media_of(content_type))
    found = pattern.search(body, 0, SOUGHT_BYTES) if pattern and pages else None
    if found is None:
        return None
    name = found[1][:MAX_NAME].decode("utf-8", "replace")
    return pages.get(unquote_plus(name) if pattern is _URLENCODED else name)


def reason(error: BaseException | None) -> str:
    """Return the one word that says to a page why a form was not taken."""
    if not isinstance(error, SubmissionError):
        return "broken"
    known = next((KINDS[kind] for kind in type(error).__mro__ if kind in KINDS), None)
    if known is not None:
        return known
    if isinstance(error, InvalidSubmission) and error.reason == "invalid":
        return "address" if ADDRESSES & error.fields.keys() else "field"
    return REASONS.get(error.reason, "form")


def with_result(url: str, result: str, **more: str) -> str:
    """Add what became of a form to the URL of its page; what is empty is left out."""
    parts = urlsplit(url)
    told = {"relay": result, **{f"relay_{name}": value for name, value in more.items() if value}}
    query = [*parse_qsl(parts.query, keep_blank_values=True), *told.items()]
    return urlunsplit(parts._replace(query=urlencode(query)))
