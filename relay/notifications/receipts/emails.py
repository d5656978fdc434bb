"""What a writer is told about a message: fixed words, a reference, a time; nothing of his own.

Anybody may name any address in a form, so that nothing that was written there goes to it.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from relay.config.template_files import TemplateFiles, template_files
from relay.core.addresses import Address
from relay.core.errors import ConfigurationError, TemplateRenderError
from relay.core.message import Message
from relay.core.server import ReceiptTerms, Server
from relay.core.times import utc
from relay.mustachio import parse
from relay.store.outbox.references import REFERENCE_HEADER

# RFC 3834: what answers by itself says so, and is not answered by itself.
AUTOMATIC = ("Auto-Submitted", "auto-replied")


def receipt_email(
    server: Server,
    terms: ReceiptTerms,
    address: str,
    reference: str,
    received_at: float,
    *,
    delivered: bool,
) -> Message:
    """Write the mail that tells a writer that his message was delivered, or that it was not.

    received_at: when the message came in, in epoch seconds. Raise ConfigurationError where a
    template file is gone by now.
    """
    if server.sender is None:  # refused when settings are read: servers with forms have one
        raise ValueError(f"server {server.name} has no sender")
    words = {
        "reference": reference,
        "office": terms.office or server.sender.name or server.sender.email,
        "form_name": terms.form_name or server.options.get("form_name", ""),
        "received": f"{utc(received_at).astimezone(terms.time_zone):%Y-%m-%d %H:%M %Z}",
    }
    subject = terms.subject if delivered else terms.failure_subject
    found = _wording(server, terms.template if delivered else terms.failure_template)
    message = Message(
        sender=server.sender,
        to=(Address(address),),
        reply_to=server.reply_to,
        subject=parse(subject).render(words, escape=False),
        headers=(AUTOMATIC, (REFERENCE_HEADER, reference)),
        writer=Address(address),
    )
    return found.fill(message, words, words if found.html else None)


def check(servers: Iterable[Server]) -> None:
    """Write the servers' receipts for a trial; raise ConfigurationError for what is wrong."""
    for server in servers:
        if server.receipt is not None:
            for delivered in (True, False):
                _try(server, server.receipt, delivered=delivered)


def _try(server: Server, terms: ReceiptTerms, *, delivered: bool) -> None:
    try:
        receipt_email(server, terms, "a@example.org", "K7M-4QX-9RD", 0, delivered=delivered)
    except TemplateRenderError as error:
        raise ConfigurationError(f"receipt of server {server.name}: {error}") from None


def _wording(server: Server, name: str) -> TemplateFiles:
    """Find a receipt's template files: the HTML file only beside the text file.

    An installation that has a text of its own must not send another one beside it.
    """
    for folder in server.templates:
        if (Path(folder) / f"{name}.txt").is_file():
            return template_files(replace(server, templates=(folder,)), name)
    return template_files(server, name)  # which says where it was looked for
