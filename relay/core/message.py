"""A message, and what a provider says of it, at once or by its webhooks.

All are frozen: a plugin returns new ones.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Literal

from relay.core.addresses import Address


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message; `content` is base64 without line breaks.

    `content_id` (`cid:logo.png`) is how the HTML part refers to an inline one.
    """

    name: str
    content_type: str
    content: str = field(repr=False)
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """An email. `template` (number or alias) and `model` stand for subject and parts.

    Where the template is stored here, subject and parts are there too, rendered. `stream` is
    Postmark's MessageStream, `inline_css` tells whether a rendered HTML part gets its styles
    inlined. `send_at` is when to send it, in epoch seconds; None is at once. `writer` is who wrote
    a form, for what he is told and answered; it is stored with the message only where he is one of
    its recipients. `id` is the host's: a plugin leaves it empty in `compose` and may read it in
    `deliver`; so is what the host adds to `metadata`. Where some have a message already, an
    attempt's `to`, `cc` and `bcc` are the others, and `addressed` is to and cc as everybody sees
    them.
    """

    sender: Address
    to: tuple[Address, ...]
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    tag: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    template: int | str | None = None
    model: Mapping[str, Any] | None = None
    inline_css: bool = True
    attachments: tuple[Attachment, ...] = ()
    track_opens: bool | None = None
    track_links: str | None = None
    stream: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    send_at: float | None = None
    # No part of the mail: the same mail may come of another writer.
    writer: Address | None = field(default=None, compare=False)
    id: str = ""
    addressed: tuple[tuple[Address, ...], tuple[Address, ...]] | None = None

    @property
    def is_rendered(self) -> bool:
        """Whether a message with a template has its subject and parts too."""
        return self.template is not None and self.subject is not None

    def without(self, emails: Collection[str]) -> "Message":
        """Return the same message without some recipients; `emails` are in lower case."""
        to, cc, bcc = (
            tuple(one for one in addresses if one.email.lower() not in emails)
            for addresses in (self.to, self.cc, self.bcc)
        )
        return replace(self, to=to, cc=cc, bcc=bcc)

    def has_recipient(self, address: Address) -> bool:
        """Return whether an address is one of the recipients'."""
        email = address.email.lower()
        return email in [one.email.lower() for one in self.recipients]

    @property
    def recipients(self) -> tuple[Address, ...]:
        """Everybody who gets it: to, cc and bcc."""
        return (*self.to, *self.cc, *self.bcc)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The provider took the message, under its own id.

    `dropped` names recipients that it took the message without. `words` are the provider's, for
    the message's history, without addresses. `later` names those for whom it is to be tried again:
    all others have it now.
    """

    provider_id: str
    dropped: tuple[str, ...] = ()
    words: str = ""
    later: tuple[str, ...] = ()


class Absent(Enum):
    """What `find` says of a message that the provider certainly does not have."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


EventKind = Literal["delivered", "bounced", "complained", "unsubscribed", "resubscribed", "other"]
# Why an address gets no mail any more.
SuppressionReason = Literal["", "bounced", "complained", "unsubscribed", "manual"]


@dataclass(frozen=True, slots=True)
class Callback:
    """A provider's call to us, its secret already checked. `body` is the JSON object, frozen.

    `metadata_key` is the name under which every message carries Relay's id to the provider.
    """

    server: str
    stream: str
    body: Mapping[str, Any] = field(repr=False)
    received_at: float = 0.0
    metadata_key: str = ""


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """Something that became of a message after the provider took it, or of an address.

    `identity` is the same for every repetition of this event. `message` is Relay's id as it
    travelled in the metadata, `provider_id` the provider's; either may be empty. `permanent`: the
    address takes no mail any more; `reason` says why, where that is not the kind of event. `at` is
    in epoch seconds. `words` are the provider's, without addresses.
    """

    kind: EventKind
    identity: str
    message: str = ""
    provider_id: str = ""
    recipient: str = field(default="", repr=False)
    permanent: bool = False
    at: float = 0.0
    words: str = ""
    reason: SuppressionReason = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """Mail that came to a reply address: an answer on its way to a writer.

    `address` is what it was sent to, whose local part says who the writer is. `message` has its
    words, subject and attachments; the host decides sender and recipients. `headers` are the
    mail's own, in order, to tell an automatic answer by.
    """

    identity: str
    address: str = field(repr=False)
    message: Message = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
