"""The names for plugins that deal with others: they deliver, read webhooks, or check keys.

A provider's plugin imports these, and from `relay` what all plugins use. A receipt is only the
writer's mail; a provider's word that it took a message is a `Confirmation`.
"""

from relay.config.fields import SecretReference
from relay.config.keys import find_key, token_of
from relay.core.errors import (
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
    MessageBroken,
    RecipientsInactive,
)
from relay.core.immutable import thaw
from relay.core.message import ABSENT, Absent, Callback, Confirmation, ProviderEvent, Reply
from relay.core.mime import as_bytes as as_mail
from relay.core.secret import Secret
from relay.core.server import Account, Key
from relay.delivery.transport.batching import Parcel, in_calls
from relay.delivery.transport.http import call_json, post_json
from relay.delivery.transport.smtp_pool import hand_over
from relay.delivery.transport.smtp_server import MailServer, mail_server

__all__ = [
    "ABSENT",
    "Absent",
    "Account",
    "Callback",
    "Confirmation",
    "DeliveryDeferred",
    "DeliveryError",
    "DeliveryFailed",
    "DeliveryInDoubt",
    "Key",
    "MailServer",
    "MessageBroken",
    "Parcel",
    "ProviderEvent",
    "RecipientsInactive",
    "Reply",
    "Secret",
    "SecretReference",
    "as_mail",
    "call_json",
    "find_key",
    "hand_over",
    "in_calls",
    "mail_server",
    "post_json",
    "thaw",
    "token_of",
]

# The older name, which plugins may still import.
Receipt = Confirmation
