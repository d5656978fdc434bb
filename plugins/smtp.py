"""Delivery through any mail server: one conversation a message, over connections that are kept.

A mail server can neither be asked whether it took a message nor told that it has it already. What
keeps its recipients from seeing it twice is its Message-ID, the same at every try.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields

from relay import MailAddress, Message, Server, hookimpl, setting
from relay.provider import (
    Confirmation,
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    MailServer,
    MessageBroken,
    Secret,
    SecretReference,
    as_mail,
    hand_over,
    mail_server,
)

# What a header may be called; Postmark's metadata may have other names.
_HEADER_NAME = re.compile(r"[!-9;-~]+")
# What may stand between the angle brackets of an envelope; an address is ASCII everywhere here.
_ADDRESS = re.compile(r"[!-;=?-~]{1,64}@[!-;=?-~]{1,255}")


class Url(fields.String):
    """The mail server's URL; with the password and the certificates beside it, a MailServer."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        url = super()._deserialize(value, attr, data, **kwargs)
        password, authority = data.get("smtp_password"), data.get("smtp_ca")
        try:
            return mail_server(
                url,
                password if isinstance(password, Secret) else None,
                authority.reveal() if isinstance(authority, Secret) else "",
            )
        except ValueError as error:
            raise ValidationError(str(error)) from None


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """The mail server and our account there."""
    return {
        "smtp_url": setting(Url(), ..., "the mail server: `smtp://user@host:port`, `smtps://...`"),
        "smtp_password": setting(SecretReference(), None, "the user's password"),
        "smtp_ca": setting(
            SecretReference(),
            None,
            'the authority that the server\'s certificate is checked by: `{ file = "path" }`',
        ),
        "smtp_postmark": setting(fields.Boolean(), False, "`true`: the server is Postmark's own"),
        "return_path": setting(
            MailAddress(),
            None,
            "the sender of the envelope, where bounces go; without it From's address",
        ),
    }


@hookimpl
def deliver(messages: Sequence[Message], server: Server) -> list[Confirmation | DeliveryError]:
    """Hand messages over one after the other; what is wrong with one is its own."""
    ends = time.monotonic() + server.deadline
    return [_outcome(message, server, ends) for message in messages]


def _outcome(message: Message, server: Server, ends: float) -> Confirmation | DeliveryError:
    try:
        return _send(message, server, ends)
    except DeliveryError as error:
        return error


def _send(message: Message, server: Server, ends: float) -> Confirmation:
    """Hand one message over until the monotonic clock's `ends`; raise a DeliveryError."""
    if message.template is not None and not message.is_rendered:
        raise DeliveryFailed(
            f"the template {message.template} is not stored here, and a mail server has none",
            code="template",
        )
    sender = server.options["return_path"] or message.sender
    recipients = list({one.email.lower(): one.email for one in message.recipients}.values())
    if not all(map(_ADDRESS.fullmatch, [sender.email, *recipients])):
        raise MessageBroken("an address in it is none", code="address")
    try:
        content = as_mail(message, message.sender.domain, _labels(message, server))
    except (ValueError, RecursionError) as error:
        name = type(error).__name__
        raise MessageBroken(f"no mail can be made of it: {name}", code=name) from None
    left = ends - time.monotonic()
    if left <= 0:
        raise DeliveryDeferred("its turn did not come in time", code="deadline", counted=False)
    mail: MailServer = server.options["smtp_url"]
    done = hand_over(mail, sender.email, recipients, content, left)
    said = [f"refused: {answer}" for answer in dict.fromkeys(done.refused.values())]
    said += [f"not now: {answer}" for answer in dict.fromkeys(done.later.values())]
    return Confirmation(
        message.id,
        dropped=tuple(done.refused),
        later=tuple(done.later),
        words="; ".join([str(done.answer), *said])[:300],
    )


def _labels(message: Message, server: Server) -> list[tuple[str, str]]:
    """Return the headers by which Postmark's own mail server knows what its API has fields for."""
    if not server.options["smtp_postmark"]:
        return []
    opens = {True: "true", False: "false", None: ""}[message.track_opens]
    labels = [
        ("X-PM-KeepID", "true"),
        ("X-PM-Tag", message.tag or ""),
        ("X-PM-Message-Stream", message.stream or ""),
        ("X-PM-TrackOpens", opens),
        ("X-PM-TrackLinks", message.track_links or ""),
        *((f"X-PM-Metadata-{name}", value) for name, value in message.metadata.items()),
    ]
    return [(name, value) for name, value in labels if value and _HEADER_NAME.fullmatch(name)]
