"""What a provider tells by its webhooks: events of messages, and answers that came in as mail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from relay.core.message import Message

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
