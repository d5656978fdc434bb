"""Delivery through Postmark: one message or a batch a call, with its parts or with a template.

Postmark has no key that would make a repeated call harmless. A message whose answer was lost is
looked up there by its own id, which every message carries in its Metadata.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard
from urllib.parse import urlencode

from marshmallow import fields, validate

from relay import Address, Attachment, Message, Server, hookimpl, setting
from relay.provider import (
    ABSENT,
    Absent,
    Account,
    Confirmation,
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
    MessageBroken,
    Parcel,
    RecipientsInactive,
    SecretReference,
    call_json,
    in_calls,
    post_json,
    thaw,
)

# How many messages Postmark takes in one call, and how many bytes: 50 MB, in the smaller reading
# of the word and with a margin.
max_batch = 500
MAX_CALL_BYTES = 49_000_000

# Postmark's error numbers that an operator mends, no caller can; the message waits. Some speak of
# the From address or the stream, so that other messages may pass; the others of the account, the
# server or its token.
OWN_CODES = {400, 401, 412, 1235, 1236}
OWN_ANSWERS = {f"422/{number}" for number in OWN_CODES}
OPERATOR_CODES = OWN_CODES | {10, 405, 413, 422, 1480}
MAINTENANCE = 100
NOT_A_NUMBER = -1
# The status that an error number comes with, where it is not 422: in a batch no item has one.
STATUSES = {10: 401, MAINTENANCE: 503, 101: 500, 429: 429}
# By kind of message: the path for one and for many, and what stands around many.
CALLS = {
    "": ("/email", "/email/batch", b"[", b"]"),
    "template": ("/email/withTemplate", "/email/batchWithTemplates", b'{"Messages":[', b"]}"),
}
# The stream that is searched where none is named.
DEFAULT_STREAM = "outbound"
# What begins the name of the Metadata field with the message's own id.
KEY = "relay-"
NO_ID = "00000000-0000-0000-0000-000000000000"
# That all recipients are inactive, and what stands before their addresses.
INACTIVE_RECIPIENTS = 406
FOUND_INACTIVE = "Found inactive addresses: "
# What stands between Postmark's words and the addresses that it took the message without.
INACTIVE = " to these inactive addresses: "


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """The provider's account."""
    return {
        "postmark_token": setting(SecretReference(), ..., "the server token of the account"),
        "postmark_url": setting(
            fields.URL(schemes={"http", "https"}, require_tld=False),
            "https://api.postmarkapp.com",
            "where Postmark's API is",
        ),
        "message_stream": setting(
            fields.String(validate=validate.Length(min=1, max=100)),
            DEFAULT_STREAM,
            "the stream that the mail goes through",
        ),
    }


@hookimpl
def account(server: Server) -> Account:
    """Templates that are not stored here are Postmark's to find."""
    return Account(_url(server), server.options["postmark_token"])


@hookimpl
def deliver(messages: Sequence[Message], server: Server) -> list[Confirmation | DeliveryError]:
    """Send messages in as few calls as Postmark allows; what is wrong with one is its own."""
    made = [_parcel(message, server) for message in messages]
    outcomes = iter(
        in_calls(
            [one for one in made if isinstance(one, Parcel)],
            lambda parcels, seconds: _send(parcels, server, seconds),
            count=max_batch,
            size=MAX_CALL_BYTES,
            deadline=server.deadline,
        )
    )
    return [next(outcomes) if isinstance(one, Parcel) else one for one in made]


@hookimpl
def find(message: Message, server: Server) -> Confirmation | Absent | None:
    """Search Postmark's messages for our own id; one that is there was taken, whatever its status.

    A search that names no stream may be one of the default stream alone, so that what it does not
    show is looked for in the message's own stream too.
    """
    own = (name for name, value in message.metadata.items() if value == message.id)
    key = next((name for name in own if name.lower().startswith(KEY)), None)
    if key is None:
        return None
    query = {"count": "1", "offset": "0", f"metadata_{key}": message.id}
    ends = time.monotonic() + server.deadline
    found = _search(query, message, server, ends)
    stream = message.stream or server.options["message_stream"]
    if found is ABSENT and stream.lower() != DEFAULT_STREAM:
        return _search(query | {"messagestream": stream}, message, server, ends)
    return found


def _parcel(message: Message, server: Server) -> Parcel | MessageBroken:
    """Write a message's JSON; one that has none must not take its neighbours with it."""
    kind = "" if message.template is None else "template"
    try:
        return Parcel(kind, _encode(payload(message, server)).encode())
    except (TypeError, ValueError, RecursionError) as error:
        name = type(error).__name__
        return MessageBroken(f"no JSON can be made of it: {name}", code=name)


# Made once: json.dumps would make one for every message.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _send(
    parcels: Sequence[Parcel], server: Server, seconds: float
) -> Sequence[Confirmation | DeliveryError] | None:
    """Make one call; None when a batch is refused for what some message in it may hold."""
    alone = len(parcels) == 1
    single, many, opening, closing = CALLS[parcels[0].kind]
    content = parcels[0].content
    if not alone:
        content = opening + b",".join([parcel.content for parcel in parcels]) + closing
    url = _url(server) + (single if alone else many)
    answer = post_json(url, content, _credentials(server), seconds)
    if answer.status == 200 and not alone:
        return classify_batch(answer.body, len(parcels))
    outcome = classify(answer.status, answer.body, answer.retry_after)
    if isinstance(outcome, Confirmation | DeliveryFailed) or outcome.code in OWN_ANSWERS:
        return [outcome] if alone else None
    raise outcome


def _url(server: Server) -> str:
    url: str = server.options["postmark_url"]
    return url.rstrip("/")


def _credentials(server: Server) -> dict[str, str]:
    return {"X-Postmark-Server-Token": server.options["postmark_token"].reveal()}


def _search(
    query: Mapping[str, str], message: Message, server: Server, ends: float
) -> Confirmation | Absent:
    """Search once, until the monotonic clock's `ends`; raise DeliveryDeferred if it is unclear."""
    url = f"{_url(server)}/messages/outbound?{urlencode(query)}"
    try:
        answer = call_json("GET", url, _credentials(server), ends - time.monotonic())
    except DeliveryInDoubt as error:
        raise DeliveryDeferred(f"the search: {error}", code=error.code) from None
    body = _object(answer.body)
    if answer.status == 200:
        total, first = _count(body.get("TotalCount")), _first(body.get("Messages"))
        if total == 0 and first is None:
            return ABSENT
        if total and first and _is_id(first.get("MessageID")) and _is_ours(first, message):
            words = "found at Postmark" if total == 1 else f"found at Postmark {total} times"
            return Confirmation(
                first["MessageID"], words=f"{words}: {str(first.get('Status'))[:40]}"
            )
    words, code = _said(answer.status, body)
    raise DeliveryDeferred(f"no clear search: {words}", code=code, retry_after=answer.retry_after)


def payload(message: Message, server: Server) -> dict[str, Any]:
    """Return the request's JSON in Postmark's names; what is empty is left out."""
    values: dict[str, Any] = {
        "From": _address(message.sender),
        "To": ", ".join(map(_address, message.to)),
        "Cc": ", ".join(map(_address, message.cc)),
        "Bcc": ", ".join(map(_address, message.bcc)),
        "ReplyTo": ", ".join(map(_address, message.reply_to)),
        "Tag": message.tag,
        "Headers": [{"Name": name, "Value": value} for name, value in message.headers],
        "Metadata": dict(message.metadata),
        "Attachments": list(map(_attachment, message.attachments)),
        "TrackLinks": message.track_links,
        "MessageStream": message.stream or server.options["message_stream"],
    }
    if message.template is None:
        values |= {
            "Subject": message.subject,
            "TextBody": message.text,
            "HtmlBody": message.html,
        }
    values = {name: value for name, value in values.items() if value}
    if message.track_opens is not None:
        values["TrackOpens"] = message.track_opens
    return values if message.template is None else values | _template(message)


def _address(address: Address) -> str:
    """Write an address as Postmark reads it: a backslash hides the quote that follows, always."""
    open_ended = address.name.endswith("\\")
    return str(replace(address, name=f"{address.name} ") if open_ended else address)


def _template(message: Message) -> dict[str, Any]:
    """Return the reference and the model: Postmark renders, also what is rendered here already."""
    kind = "TemplateId" if isinstance(message.template, int) else "TemplateAlias"
    values = {kind: message.template, "TemplateModel": thaw(message.model or {})}
    return values if message.inline_css else values | {"InlineCss": False}


def _attachment(attachment: Attachment) -> dict[str, str]:
    values = {
        "Name": attachment.name,
        "Content": attachment.content,
        "ContentType": attachment.content_type,
    }
    return values | ({"ContentID": attachment.content_id} if attachment.content_id else {})


def classify(
    status: int, answer: bytes, retry_after: float | None = None
) -> Confirmation | DeliveryError:
    """Return what Postmark's answer means for the message.

    Never by ErrorCode alone: 401, 413, 422, 429 and 500 are both error numbers and statuses.
    """
    body = _object(answer)
    return _judge(status, _number(body), body, retry_after)


def classify_batch(answer: bytes, count: int) -> list[Confirmation | DeliveryError]:
    """Return what the answer to a batch of `count` messages means for each, in order.

    Where items are missing, nobody knows which is whose. An account that takes one message of a
    call is in order, so that another's address or stream must not hold up the rest.
    """
    items = _json(answer)
    if not isinstance(items, list) or len(items) != count:
        words = "Postmark's answer is not one for each message"
        return [DeliveryInDoubt(words, code="200/items") for _ in range(count)]
    outcomes = [_judge_item(item) for item in items]
    if any(isinstance(outcome, Confirmation) for outcome in outcomes):
        for outcome in outcomes:
            if isinstance(outcome, DeliveryDeferred) and not outcome.counted:
                outcome.opens_breaker = False
    return outcomes


def _judge_item(item: Any) -> Confirmation | DeliveryError:
    """Judge an item as the answer to a call of its own, with the status that would have."""
    body = item if isinstance(item, dict) else {}
    number = _number(body)
    refused = number > 0 and not _is_id(body.get("MessageID"))
    return _judge(STATUSES.get(number, 422) if refused else 200, number, body)


def _judge(
    status: int, number: int, body: Mapping[str, Any], retry_after: float | None = None
) -> Confirmation | DeliveryError:
    """Return what an answer with an error number means."""
    id = body.get("MessageID")
    if status == 200 and number == 0 and _is_id(id):
        kept, _, inactive = str(body.get("Message", "")).partition(INACTIVE)
        dropped = _addresses(inactive) if inactive else ()
        return Confirmation(id, dropped=dropped, words=kept[:300])
    words, code = _said(status, body)
    if status in (429, 503) or number == MAINTENANCE:
        return DeliveryDeferred(words, code=code, retry_after=retry_after, opens_breaker=True)
    if status == 401 or (status == 422 and number in OPERATOR_CODES):
        return DeliveryDeferred(words, code=code, counted=False, opens_breaker=True)
    if status == 422 and number == INACTIVE_RECIPIENTS:
        _, _, named = str(body.get("Message", "")).partition(FOUND_INACTIVE)
        return RecipientsInactive(words, code=code, recipients=_addresses(named))
    if status in (413, 422) or (400 <= status < 500 and number):
        return DeliveryFailed(words, code=code)
    if 300 <= status < 500:
        # No answer of Postmark's own: a wrong URL or a proxy in between. Nothing was taken.
        return DeliveryDeferred(words, code=code, counted=False, opens_breaker=True)
    return DeliveryInDoubt(words, code=code)


def _number(body: Mapping[str, Any]) -> int:
    number = body.get("ErrorCode") or 0
    return number if type(number) is int else NOT_A_NUMBER


def _said(status: int, body: Mapping[str, Any]) -> tuple[str, str]:
    """Return what Postmark said, for the message's history, and its code, for log lines."""
    number = _number(body)
    text = str(body.get("Message", ""))[:300] or "no text"
    suffix = f" (ErrorCode {number})" if number else ""
    return f"Postmark answered {status}: {text}{suffix}", f"{status}/{number}"


def _json(answer: bytes) -> Any:
    try:
        return json.loads(answer.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _object(answer: bytes) -> dict[str, Any]:
    body = _json(answer)
    return body if isinstance(body, dict) else {}


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value not in ("", NO_ID)


def _is_ours(found: Mapping[str, Any], message: Message) -> bool:
    """Return whether a found message is ours: some searches ignore what they are asked."""
    labels = found.get("Metadata")
    return labels is None or (isinstance(labels, dict) and message.id in labels.values())


def _count(value: Any) -> int | None:
    """Read a number that may be written as a string; None for anything else."""
    text = "" if isinstance(value, bool) else str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


def _first(found: Any) -> dict[str, Any] | None:
    """Return the first of the found messages: None of none, and an empty one of junk."""
    if found is None or found == []:
        return None
    return found[0] if isinstance(found, list) and isinstance(found[0], dict) else {}


def _addresses(inactive: str) -> tuple[str, ...]:
    """Read the addresses that Postmark took the message without, lower-cased in its text."""
    listed, _, _ = inactive.partition(". Inactive")
    return tuple(address.strip() for address in listed.split(",") if address.strip())
