"""Delivery through Postmark: POST /email and POST /email/withTemplate."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields, validate

from relay import (
    Account,
    Attachment,
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
    Message,
    Receipt,
    SecretReference,
    Server,
    hookimpl,
    post_json,
    thaw,
)

# Postmark's error numbers that speak of the account, the server or its token: an operator mends
# them, no caller can. The message waits.
OPERATOR_CODES = {10, 400, 401, 405, 412, 413, 422, 1235, 1236, 1480}
MAINTENANCE = 100
NOT_A_NUMBER = -1
# What stands between Postmark's words and the addresses that it took the message without.
INACTIVE = " to these inactive addresses: "


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """The provider's account."""
    return {
        "postmark_token": SecretReference(required=True),
        "postmark_url": fields.URL(
            load_default="https://api.postmarkapp.com",
            schemes={"http", "https"},
            require_tld=False,
        ),
        "message_stream": fields.String(
            load_default="outbound", validate=validate.Length(min=1, max=100)
        ),
    }


@hookimpl
def account(server: Server) -> Account:
    """Templates that are not stored here are Postmark's to find."""
    return Account(server.options["postmark_url"].rstrip("/"), server.options["postmark_token"])


@hookimpl
def deliver(messages: Sequence[Message], server: Server) -> list[Receipt | DeliveryError]:
    """Send one call a message; what is wrong with one is its own outcome."""
    return [_send(message, server) for message in messages]


def _send(message: Message, server: Server) -> Receipt | DeliveryError:
    path = "/email" if message.template is None else "/email/withTemplate"
    url = server.options["postmark_url"].rstrip("/") + path
    token = server.options["postmark_token"].reveal()
    content = json.dumps(payload(message, server)).encode()
    try:
        answer = post_json(url, content, {"X-Postmark-Server-Token": token}, server.deadline)
    except DeliveryError as error:
        return error
    return classify(answer.status, answer.body, answer.retry_after)


def payload(message: Message, server: Server) -> dict[str, Any]:
    """Give the request's JSON in Postmark's names; what is empty is left out."""
    lists = {
        "To": message.to,
        "Cc": message.cc,
        "Bcc": message.bcc,
        "ReplyTo": message.reply_to,
    }
    values: dict[str, Any] = {
        "From": str(message.sender),
        **{name: ", ".join(map(str, addresses)) for name, addresses in lists.items()},
        "Tag": message.tag,
        "Headers": [{"Name": name, "Value": value} for name, value in message.headers],
        "Metadata": dict(message.metadata),
        "Attachments": [_attachment(one) for one in message.attachments],
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
    return values | _template(message)


def _template(message: Message) -> dict[str, Any]:
    """Give the reference and the model: Postmark renders, also what is rendered here already."""
    if message.template is None:
        return {}
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
) -> Receipt | DeliveryError:
    """Tell what Postmark's answer means for the message.

    Never by ErrorCode alone: 401, 413, 422, 429 and 500 are both error numbers and statuses.
    """
    body = _object(answer)
    number = body.get("ErrorCode") or 0
    number = number if isinstance(number, int) else NOT_A_NUMBER
    text = str(body.get("Message", ""))
    said = text[:300]
    words = f"Postmark answered {status}: {said or 'no text'}" + (
        f" (ErrorCode {number})" if number else ""
    )
    code = f"{status}/{number}"
    id = body.get("MessageID")
    if status == 200 and number == 0 and isinstance(id, str) and id:
        kept, _, inactive = text.partition(INACTIVE)
        return Receipt(id, dropped=_addresses(inactive), words=kept[:300])
    if status in (429, 503) or number == MAINTENANCE:
        return DeliveryDeferred(words, code=code, retry_after=retry_after, opens_breaker=True)
    if status == 401 or (status == 422 and number in OPERATOR_CODES):
        return DeliveryDeferred(words, code=code, counted=False, opens_breaker=True)
    if status in (413, 422) or (400 <= status < 500 and number):
        return DeliveryFailed(words, code=code)
    if 300 <= status < 500:
        # No answer of Postmark's own: a wrong URL or a proxy in between. Nothing was taken.
        return DeliveryDeferred(words, code=code, counted=False, opens_breaker=True)
    return DeliveryInDoubt(words, code=code)


def _object(answer: bytes) -> dict[str, Any]:
    try:
        body = json.loads(answer.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _addresses(inactive: str) -> tuple[str, ...]:
    """Read the addresses that Postmark took the message without, lower-cased in its text."""
    listed, _, _ = inactive.partition(". Inactive")
    return tuple(address.strip() for address in listed.split(",") if address.strip())
