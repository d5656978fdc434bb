"""Senders and recipients as Postmark's clients write them, and Postmark's words about bad ones."""

import re

from relay.core import addresses
from relay.core.addresses import Address
from relay.core.policy import MAX_RECIPIENTS
from relay.core.text import length
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.reading import Fields, refused, wrong_type

MAX_FROM = 255
# A refusal repeats no more than this of what was wrong.
SHOWN = 300

# Postmark's rule for a domain (its help article 1180).
_DOMAIN = re.compile(r"(\.?[a-zA-Z0-9\-])+")


def read_sender(fields: Fields, domains: frozenset[str]) -> Address:
    """Read From; raise PostmarkError."""
    given = (fields.text("From") or "").strip()
    if length(given) > MAX_FROM:
        raise refused(f"Invalid 'From' address: it has more than {MAX_FROM} characters.")
    try:
        return addresses.parse(given, domains)
    except ValueError:
        raise invalid_address("From", given) from None


def read_recipients(fields: Fields, domains: frozenset[str]) -> dict[str, tuple[Address, ...]]:
    """Read To, Cc and Bcc, by these names; raise PostmarkError."""
    listed = {name: _split(fields.text(name), name) for name in ("To", "Cc", "Bcc")}
    count = sum(map(len, listed.values()))
    if not count:
        raise refused("Zero recipients specified")
    if count > MAX_RECIPIENTS:
        raise refused(f"A message may have {MAX_RECIPIENTS} recipients at most, over To, Cc, Bcc.")
    return {name: _parsed(given, name, domains) for name, given in listed.items()}


def _split(given: str | None, name: str) -> list[str]:
    """Return the addresses of a list, not yet read."""
    try:
        return addresses.split(given or "")
    except ValueError:
        raise invalid_address(name, given or "") from None


def _parsed(given: list[str], name: str, domains: frozenset[str]) -> tuple[Address, ...]:
    read: list[Address] = []
    for one in given:
        try:
            read.append(addresses.parse(one, domains))
        except ValueError:
            raise _unreadable(name, one) from None
    return tuple(read)


def _unreadable(name: str, given: str) -> PostmarkError:
    """Say what is wrong with an address, as far as Postmark does."""
    shown = given[:SHOWN]
    if "@" not in given:
        words = f"Illegal email address '{shown}'. It must contain the '@' symbol."
        return refused(f"Error parsing '{name}': {words}")
    domain = given.rstrip("> ").rpartition("@")[2]
    if domain.isascii() and not _DOMAIN.fullmatch(domain):
        words = f"Illegal email domain '{domain[:SHOWN]}' in address '{shown}'."
        return refused(f"Error parsing '{name}': {words}")
    return invalid_address(name, given)


def read_reply_to(fields: Fields, domains: frozenset[str]) -> tuple[Address, ...]:
    """Read where replies go: addresses in a string, or a list of them; raise PostmarkError."""
    given = fields.raw("ReplyTo")
    values = given if isinstance(given, list) else [given]
    if not all(value is None or isinstance(value, str) for value in values):
        raise wrong_type("ReplyTo")
    listed = [one for value in values for one in _split(value, "Reply-To")]
    if len(listed) > MAX_RECIPIENTS:
        raise refused(f"A message may have {MAX_RECIPIENTS} 'Reply-To' addresses at most.")
    return _parsed(listed, "Reply-To", domains)


def invalid_address(name: str, given: str) -> PostmarkError:
    """Make the refusal of an address in a field."""
    return refused(f"Invalid '{name}' address: '{given[:SHOWN]}'.")
