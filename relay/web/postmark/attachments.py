"""Attachments as Postmark's clients send them: named, typed, their content in base64."""

import re
from typing import Any

from relay.core.file_types import is_forbidden
from relay.core.message import Attachment
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.reading import Fields, is_line

MAX_NAME = 255
UNTYPED = "application/octet-stream"

_BLANKS = re.compile(r"[ \t\r\n]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_MEDIA = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+/[!#-'*+\-.0-9A-Z^-z|~]+ *(;.*)?")


def read_attachments(message: Fields) -> tuple[Attachment, ...]:
    """Read a message's `Attachments`; raise PostmarkError."""
    return tuple(_attachment(value) for value in message.items("Attachments"))


def _attachment(value: Any) -> Attachment:
    fields = Fields(value, "Attachments")
    name = fields.text("Name") or ""
    if not name.strip() or len(name) > MAX_NAME or not is_line(name):
        raise _refused(f"An attachment's 'Name' is a single line of 1 to {MAX_NAME} characters.")
    if is_forbidden(name):
        raise PostmarkError(411, "Attachment file type not allowed.")
    media = (fields.text("ContentType") or "").strip() or UNTYPED
    if not is_line(media) or not _MEDIA.fullmatch(media):
        raise _refused("An attachment's 'ContentType' is not a media type.")
    return Attachment(name, media, _base64(fields.text("Content")), _content_id(fields))


def _base64(text: str | None) -> str:
    """Take line breaks out of base64 that is complete; raise PostmarkError."""
    content = _BLANKS.sub("", text) if text is not None else "="
    if len(content) % 4 or not _BASE64.fullmatch(content):
        raise _refused("An attachment's 'Content' is not base64.")
    return content


def _content_id(fields: Fields) -> str | None:
    """Return how the HTML part refers to an attachment; None for one that stands apart."""
    given = (fields.text("ContentID") or "").strip().removeprefix("cid:")
    if not is_line(given) or len(given) > MAX_NAME:
        raise _refused(f"An attachment's 'ContentID' has more than {MAX_NAME} characters.")
    return f"cid:{given}" if given else None


def _refused(words: str) -> PostmarkError:
    return PostmarkError(300, words)
