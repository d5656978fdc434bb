"""The names that every plugin may use.

A form server is a module in `plugins/` with functions marked `@hookimpl`; hooks/specs.py says which
hooks there are. A plugin imports from here, from `relay.provider` if it delivers, reads webhooks or
checks keys, and the libraries it is about, and nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from relay.config.fields import setting
from relay.config.template_files import Pattern, TemplateFiles, template_file, template_files
from relay.core.addresses import Address, listed
from relay.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    InvalidSubmission,
    TokenRefused,
)
from relay.core.html_cleaning import clean_html
from relay.core.html_elements import is_html
from relay.core.html_text import as_text
from relay.core.message import Attachment, Message
from relay.core.server import Server
from relay.core.submission import (
    Claim,
    Decoy,
    File,
    Identity,
    Refused,
    Submission,
    Unsure,
    Verified,
)
from relay.core.text import as_html, one_line, web_link
from relay.forms.declared import Declaration, DeclaredFields
from relay.forms.email_form import EmailForm, base_message, plain_message, reference_of, templated
from relay.forms.fields import (
    Headers,
    HiddenLine,
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

__version__ = "0.2.0"

__all__ = [
    "Address",
    "Attachment",
    "AuthenticationFailed",
    "Claim",
    "ConfigurationError",
    "Declaration",
    "DeclaredFields",
    "Decoy",
    "EmailForm",
    "File",
    "Headers",
    "HiddenLine",
    "Html",
    "Identity",
    "InvalidSubmission",
    "Line",
    "Link",
    "MailAddress",
    "MailAddresses",
    "Message",
    "NotOffered",
    "Pattern",
    "Refused",
    "Rows",
    "Server",
    "Submission",
    "TemplateFiles",
    "TemplateReference",
    "Text",
    "TokenRefused",
    "Unsure",
    "Verified",
    "WholeNumber",
    "as_html",
    "as_text",
    "base_message",
    "clean_html",
    "hookimpl",
    "is_html",
    "listed",
    "one_line",
    "plain_message",
    "reference_of",
    "setting",
    "template_file",
    "template_files",
    "templated",
    "web_link",
]

# The older name, which plugins may still import.
Wording = TemplateFiles

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Hand on the names of `relay.provider`, which plugins may still import from here."""
        provider = import_module("relay.provider")
        if name in (*provider.__all__, "Receipt"):
            return getattr(provider, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
