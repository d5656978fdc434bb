"""The names a plugin may use, and only those.

A form server is a module in `plugins/` with functions marked `@hookimpl`; hookspecs.py says which
hooks there are. A plugin imports from here, and the libraries it is about, and nothing else.
"""

from relay.config.fields import SecretReference
from relay.config.keys import find_key, token_of
from relay.config.template_files import Pattern, TemplateFiles, template_file, template_files
from relay.core.addresses import Address, listed
from relay.core.errors import (
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
from relay.core.events import Callback, ProviderEvent, Reply
from relay.core.immutable import thaw
from relay.core.message import ABSENT, Absent, Attachment, Confirmation, Message
from relay.core.mime import as_bytes as as_mail
from relay.core.secret import Secret
from relay.core.server import Account, Key, Server
from relay.core.submission import Claim, Decoy, File, Identity, Submission
from relay.core.text import as_html, as_text, clean_html, one_line, web_link
from relay.delivery.transport.batching import Parcel, in_calls
from relay.delivery.transport.http import call_json, post_json
from relay.delivery.transport.smtp_pool import hand_over
from relay.delivery.transport.smtp_server import MailServer, mail_server
from relay.forms.base_message import base_message, plain_message, reference_of, templated
from relay.forms.declared import Declaration, DeclaredFields
from relay.forms.email_form import EmailForm
from relay.forms.fields import (
    Headers,
    Html,
    Line,
    Link,
    MailAddress,
    MailAddresses,
    NotOffered,
    Rows,
    TemplateReference,
    Text,
    WholeNumber,
)
from relay.hooks.specs import hookimpl

# Older names, which plugins may still import; they mean the same.
Receipt = Confirmation
Wording = TemplateFiles

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
    "Confirmation",
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
    "TemplateFiles",
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
