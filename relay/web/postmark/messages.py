"""One message of Postmark's sending calls, read and judged as Postmark does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.addresses import NO_DOMAINS
from relay.core.errors import TemplateIncomplete
from relay.core.file_types import UNKNOWN_MEDIA, is_forbidden
from relay.core.immutable import freeze
from relay.core.message import Attachment, Message
from relay.core.text import each, length, lines, storable
from relay.intake.api_messages import MODEL_REQUIRED
from relay.intake.outbox import MAX_METADATA
from relay.web import bodies
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.handler import MEGABYTE
from relay.web.postmark.headers import is_steering, read_headers, with_steering
from relay.web.postmark.reading import Fields, line, refused, wrong_type
from relay.web.postmark.recipients import SHOWN, read_recipients, read_reply_to, read_sender

MAX_MESSAGE = 10 * MEGABYTE
MAX_BODY = 5 * MEGABYTE
MAX_SUBJECT = 2000
MAX_TAG = 1000
MAX_STREAM = 100
MAX_METADATA_NAME = 20
MAX_METADATA_VALUE = 80
MAX_FILE_NAME = 255

TRACK_LINKS = {word.lower(): word for word in ("None", "HtmlAndText", "HtmlOnly", "TextOnly")}
PARTS = ("Subject", "HtmlBody", "TextBody")

UNKNOWN_ID = "The 'TemplateId' associated with this request is not valid or was not found."
UNKNOWN_ALIAS = "The Template's 'Alias' associated with this request is not valid or was not found."

_BLANKS = re.compile(r"[ \t\r\n]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_MEDIA = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+/[!#-'*+\-.0-9A-Z^-z|~]+ *(;.*)?")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A message, and its recipients' fields as the caller wrote them."""

    message: Message
    to: str
    cc: str
    bcc: str


def read(value: Any, *, templated: bool, domains: frozenset[str] = NO_DOMAINS) -> Submitted:
    """Read one message object; raise PostmarkError.

    templated: whether it names a template and a model, instead of bringing subject and parts.
    domains: those that the caller's server names, as `addresses.parse` takes them.
    """
    fields = Fields(value)
    recipients = read_recipients(fields, domains)
    headers = read_headers(fields)
    fields = with_steering(fields, headers)
    message = Message(
        sender=read_sender(fields, domains),
        to=recipients["To"],
        cc=recipients["Cc"],
        bcc=recipients["Bcc"],
        reply_to=read_reply_to(fields, domains),
        tag=_line(fields, "Tag", MAX_TAG) or None,
        headers=tuple(header for header in headers if not is_steering(header[0])),
        track_opens=fields.flag("TrackOpens"),
        track_links=_track_links(fields),
        metadata=_metadata(fields),
        attachments=tuple(map(_attachment, fields.items("Attachments"))),
        stream=_line(fields, "MessageStream", MAX_STREAM) or None,
        **(_template(fields) if templated else _parts(fields)),
    )
    given = (fields.text(name) or "" for name in ("To", "Cc", "Bcc"))
    return Submitted(message, *given)


def check_size(value: Any) -> None:
    """Refuse one message of a batch that is larger than a single one may be."""
    if _size(value) > MAX_MESSAGE:
        raise refused(f"A message may have {MAX_MESSAGE // MEGABYTE} MB at most.")


def _size(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(len(name) + _size(member) for name, member in value.items())
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value) if isinstance(value, str) else 1


def _line(fields: Fields, name: str, longest: int) -> str:
    value = line(fields.text(name) or "")
    if value is None or length(value) > longest:
        raise refused(f"'{name}' is a single line of at most {longest} characters.")
    return value


def _parts(fields: Fields) -> dict[str, Any]:
    """Read the subject and the parts of a message without a template."""
    subject = _line(fields, "Subject", MAX_SUBJECT)
    markup, plain = (_part(fields, name) for name in ("HtmlBody", "TextBody"))
    if not markup and not plain:
        raise refused("Provide either email TextBody or HtmlBody or both.")
    return {"subject": subject or None, "html": markup, "text": plain}


def _part(fields: Fields, name: str) -> str | None:
    value = fields.text(name) or ""
    if len(value) > MAX_BODY // 2 and length(value) > MAX_BODY:
        raise refused(f"'{name}' may have {MAX_BODY // MEGABYTE} MB at most.")
    return lines(value) or None


def _template(fields: Fields) -> dict[str, Any]:
    """Read which template is to be filled, and with what."""
    if any(fields.raw(name) not in (None, "") for name in PARTS):
        raise PostmarkError(
            1123, "'Subject', 'HtmlBody' and 'TextBody' may not be given beside a template."
        )
    number, alias = fields.number("TemplateId"), fields.text("TemplateAlias")
    if not number and not alias:
        raise PostmarkError(1101, UNKNOWN_ID)
    if not number and not _ALIAS.fullmatch(alias or ""):
        raise PostmarkError(1101, UNKNOWN_ALIAS)
    model = fields.object("TemplateModel")
    if model is None and number:
        raise TemplateIncomplete(MODEL_REQUIRED)
    if not bodies.has_storable_names(model):
        raise refused("'TemplateModel' has a name with a control character or broken Unicode.")
    return {
        "template": number or alias,
        "model": freeze(each(lines, model)),
        "inline_css": fields.flag("InlineCss") is not False,
    }


def _track_links(fields: Fields) -> str | None:
    given = fields.text("TrackLinks")
    if not given:
        return None
    if given.lower() not in TRACK_LINKS:
        words = ", ".join(TRACK_LINKS.values())
        raise refused(f"Invalid 'TrackLinks' value: it is one of {words}.")
    return TRACK_LINKS[given.lower()]


def _metadata(fields: Fields) -> dict[str, str]:
    """Read the labels: scalars become strings; names are unique without regard to case."""
    given = fields.object("Metadata") or {}
    if len(given) > MAX_METADATA:
        raise refused(f"Invalid metadata content. There may be {MAX_METADATA} fields at most.")
    labels = dict(_label(name, value) for name, value in given.items())
    if len({name.lower() for name in labels}) != len(given):
        raise refused("Invalid metadata content. Two field names differ only in case.")
    return labels


def _label(name: str, value: Any) -> tuple[str, str]:
    if isinstance(value, Mapping | list):
        raise wrong_type("Metadata")
    text = value if isinstance(value, str) else _written(value)
    if length(name) > MAX_METADATA_NAME or length(text) > MAX_METADATA_VALUE:
        raise refused(
            f"Invalid metadata content. Field names are limited to {MAX_METADATA_NAME} characters"
            f" and field values are limited to {MAX_METADATA_VALUE} characters in length."
            f" The '{name[:SHOWN]}' field in your metadata content exceeds these limits."
        )
    label, content = line(storable(name)), line(text)
    if not label or content is None:
        raise refused("Invalid metadata content. Names and values are single lines.")
    return label, content


def _written(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _attachment(value: Any) -> Attachment:
    fields = Fields(value, "Attachments")
    name = line(fields.text("Name") or "")
    if not name or len(name) > MAX_FILE_NAME:
        raise refused(
            f"An attachment's 'Name' is a single line of 1 to {MAX_FILE_NAME} characters."
        )
    if is_forbidden(name):
        raise PostmarkError(411, "Attachment file type not allowed.")
    media = line(fields.text("ContentType") or "")
    if media is None or not _MEDIA.fullmatch(media or UNKNOWN_MEDIA):
        raise refused("An attachment's 'ContentType' is not a media type.")
    content = _base64(fields.text("Content"))
    return Attachment(name, media or UNKNOWN_MEDIA, content, _content_id(fields))


def _base64(text: str | None) -> str:
    """Take line breaks out of base64 that is complete; raise PostmarkError."""
    content = _BLANKS.sub("", text) if text is not None else "="
    if len(content) % 4 or not _BASE64.fullmatch(content):
        raise refused("An attachment's 'Content' is not base64.")
    return content


def _content_id(fields: Fields) -> str | None:
    """Return how the HTML part refers to an attachment; None for one that stands apart."""
    given = line(fields.text("ContentID") or "")
    if given is None or len(given) > MAX_FILE_NAME:
        words = f"is a single line of at most {MAX_FILE_NAME} characters."
        raise refused(f"An attachment's 'ContentID' {words}")
    given = given.removeprefix("cid:")
    return f"cid:{given}" if given else None
