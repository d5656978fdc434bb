"""The names a plugin may use, and only those.

A form server is a module in `plugins/` with functions marked `@hookimpl`; hookspecs.py says which
hooks there are. A plugin imports from here, and the libraries it is about, and nothing else.
"""

from relay.addresses import Address
from relay.batches import Parcel, in_calls
from relay.callback import Callback, ProviderEvent, Reply
from relay.deadlines import call_json, post_json
from relay.errors import (
    AuthenticationFailed,
    ConfigurationError,
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
    InvalidSubmission,
    MessageBroken,
    TokenRefused,
)
from relay.fields import (
    Headers,
    Html,
    Line,
    MailAddress,
    MailAddresses,
    NotOffered,
    TemplateReference,
    Text,
)
from relay.forms import EmailForm, base_message, plain_message, templated
from relay.hookspecs import hookimpl
from relay.keys import find_key, token_of
from relay.message import (
    ABSENT,
    Absent,
    Account,
    Attachment,
    Claim,
    Decoy,
    Identity,
    Key,
    Message,
    Receipt,
    Server,
    Submission,
    thaw,
)
from relay.secret import Secret
from relay.tables import SecretReference
from relay.text import as_html, clean_html
from relay.wording import template_file

__all__ = [
    "ABSENT",
    "Absent",
    "Account",
    "Address",
    "Attachment",
    "AuthenticationFailed",
    "Callback",
    "Claim",
    "ConfigurationError",
    "Decoy",
    "DeliveryDeferred",
    "DeliveryError",
    "DeliveryFailed",
    "DeliveryInDoubt",
    "EmailForm",
    "Headers",
    "Html",
    "Identity",
    "InvalidSubmission",
    "Key",
    "Line",
    "MailAddress",
    "MailAddresses",
    "Message",
    "MessageBroken",
    "NotOffered",
    "Parcel",
    "ProviderEvent",
    "Receipt",
    "Reply",
    "Secret",
    "SecretReference",
    "Server",
    "Submission",
    "TemplateReference",
    "Text",
    "TokenRefused",
    "as_html",
    "base_message",
    "call_json",
    "clean_html",
    "find_key",
    "hookimpl",
    "in_calls",
    "plain_message",
    "post_json",
    "template_file",
    "templated",
    "thaw",
    "token_of",
]
