"""The names a plugin may use, and only those.

A form server is a module in `plugins/` with functions marked `@hookimpl`; hookspecs.py says which
hooks there are. A plugin imports from here, and the libraries it is about, and nothing else.
"""

from relay.addresses import Address, listed
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
    RecipientsInactive,
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
from relay.forms import EmailForm
from relay.frozen import thaw
from relay.hookspecs import hookimpl
from relay.keys import find_key, token_of
from relay.kinds import SecretReference
from relay.mapping.declared import Declaration, DeclaredFields
from relay.mapping.kinds import Link, Rows, WholeNumber
from relay.mapping.shared import base_message, plain_message, reference_of, templated
from relay.message import ABSENT, Absent, Attachment, Message, Receipt
from relay.mime import as_bytes as as_mail
from relay.secret import Secret
from relay.server import Account, Key, Server
from relay.smtp.mailserver import MailServer, mail_server
from relay.smtp.transfer import hand_over
from relay.submission import Claim, Decoy, File, Identity, Submission
from relay.text import as_html, as_text, clean_html, one_line, web_link
from relay.wording import Pattern, Wording, template_file, template_files

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
    "Declaration",
    "DeclaredFields",
    "Decoy",
    "DeliveryDeferred",
    "DeliveryError",
    "DeliveryFailed",
    "DeliveryInDoubt",
    "EmailForm",
    "File",
    "Headers",
    "Html",
    "Identity",
    "InvalidSubmission",
    "Key",
    "Line",
    "Link",
    "MailAddress",
    "MailAddresses",
    "MailServer",
    "Message",
    "MessageBroken",
    "NotOffered",
    "Parcel",
    "Pattern",
    "ProviderEvent",
    "Receipt",
    "RecipientsInactive",
    "Reply",
    "Rows",
    "Secret",
    "SecretReference",
    "Server",
    "Submission",
    "TemplateReference",
    "Text",
    "TokenRefused",
    "WholeNumber",
    "Wording",
    "as_html",
    "as_mail",
    "as_text",
    "base_message",
    "call_json",
    "clean_html",
    "find_key",
    "hand_over",
    "hookimpl",
    "in_calls",
    "listed",
    "mail_server",
    "one_line",
    "plain_message",
    "post_json",
    "reference_of",
    "template_file",
    "template_files",
    "templated",
    "thaw",
    "token_of",
    "web_link",
]
