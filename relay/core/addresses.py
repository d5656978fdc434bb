"""Mail addresses: parsed strictly, compared by their ASCII form, written safely.

Never the standard library's parseaddr: it reads `a@evil.com <b@allowed.gov>` as the wrong one
(CVE-2023-27043). The address itself is judged by email-validator and by the characters that
Postmark takes; the display name beside it is a value of its own.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from relay.core.text import line

# An address of 254 characters beside a name of a thousand, all of them escaped.
MAX_LENGTH = 2_300
# Postmark's limit for one message; each costs more than all the rest of a form.
MAX_ADDRESSES = 50

# Special-use domains (RFC 6761) and hosts without a dot are read only where they are named.
NO_DOMAINS: frozenset[str] = frozenset()
ANY_DOMAIN = frozenset("*")

# What Postmark takes before the @ (its help article 1180): ASCII, and no quoted form.
_LOCAL = re.compile(r"[a-z0-9.!#$%&'`*+\-/=^_{}|~]+", re.IGNORECASE | re.ASCII)
_ROUTE = re.compile("[%!]")
# A local domain is judged as if it stood below a public one. An IP address is none.
_PUBLIC = "example.com"
_NUMBERED = re.compile(r"[@.][0-9]+\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ \u00a0-\U0010ffff]+")
# What is the same whoever reads it.
_WORDS = re.compile(r"[A-Za-z0-9 .'-]*+")
# RFC 5322's phrase: words, and words in quotes among them. What stands in brackets is a word, too.
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_PHRASE = re.compile(rf'(?:{_QUOTED.pattern}|[^"<>@,;:\\\[\]]++)*+')
_ENCODED = r"=\?[^? ]+\?[bqBQ]\?[^?]*\?="
# What stands for something else: a quoted pair, or encoded words in a row (RFC 2047).
_CODED = re.compile(rf"\\(.)|{_ENCODED}(?: +{_ENCODED})*")


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: `email` in ASCII (the domain's A-label, lower case), `name` as people read it."""

    email: str
    name: str = ""

    @property
    def domain(self) -> str:
        """The part behind the @: what a log line may show."""
        return self.email.rpartition("@")[2]

    def __str__(self) -> str:
        """`name <email>` as RFC 5322 writes it; the name is quoted wherever it must be."""
        if not self.name:
            return self.email
        if _PLAIN_NAME.fullmatch(self.name) and "=?" not in self.name:
            return f"{self.name} <{self.email}>"
        # A name that reads `=?...?=` is no encoded word, so that it stays the text it is.
        quoted = re.sub(r'\\|"|=(?=\?)', r"\\\g<0>", self.name)
        return f'"{quoted}" <{self.email}>'


def parse(text: str, domains: frozenset[str] = NO_DOMAINS) -> Address:
    """Read one `a@b.c`, `Name <a@b.c>` or `"Name, with comma" <a@b.c>`; raise ValueError.

    The name is a phrase of RFC 5322, such as `Jane "JD" Doe`, and may have encoded words.

    domains: those that are taken though no mail goes there from outside (`city.local`, `mailhost`).
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an address and its name have {MAX_LENGTH} characters at most")
    text = text.strip()
    if not text.endswith(">"):
        return Address(_validate(text, domains))
    name, bracket, email = text[:-1].rpartition("<")
    if not bracket:
        raise ValueError("an address ends in > without a <")
    return Address(_validate(email.strip(), domains), _name(name.strip()))


def bare(text: str) -> Address:
    """Return the address that a person typed, of any domain, without a name; raise ValueError."""
    return Address(parse(text.strip(), ANY_DOMAIN).email)


def parse_list(text: str, domains: frozenset[str] = NO_DOMAINS) -> tuple[Address, ...]:
    """Read up to 50 addresses separated by commas; a comma in quotes does not separate."""
    parts = split(text)
    if len(parts) > MAX_ADDRESSES:
        raise ValueError(f"names more than {MAX_ADDRESSES} addresses")
    return tuple([parse(part, domains) for part in parts])


def split(text: str) -> list[str]:
    """Take a list of addresses apart at its commas, unread; raise ValueError for an open quote."""
    parts = _split(text) if '"' in text else text.split(",")
    return [part.strip() for part in parts if part.strip()]


def _split(text: str) -> Iterable[str]:
    start, quoted, escaped = 0, False, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield text[start:index]
            start = index + 1
    if quoted:
        raise ValueError("a quoted name does not end")
    yield text[start:]


def _name(text: str) -> str:
    """Read a display name; encoded words in it are decoded, once, wherever they stand."""
    if _WORDS.fullmatch(text):
        return text
    if not _PHRASE.fullmatch(text):
        raise ValueError("a display name with special characters stands in quotes")
    unquoted = _QUOTED.split(text)
    return line("".join([_CODED.sub(_decoded, part) for part in unquoted]))


def _decoded(found: re.Match[str]) -> str:
    """Return what is meant by a quoted pair or by encoded words; these stay if nothing is."""
    if found[1]:
        return found[1]
    try:
        words = [
            content.decode(str(charset).partition("*")[0])  # behind it stands a language (RFC 2231)
            for content, charset in decode_header(found[0])
        ]
    except (MessageError, LookupError, UnicodeError):
        return found[0]
    return "".join(words).encode("utf-8", "replace").decode()


# Validating costs more than a whole field load; forms write to the same few addresses.
@lru_cache(maxsize=8192)
def _validate(email: str, domains: frozenset[str]) -> str:
    if len(email) > 254:
        raise ValueError("an address has 254 characters at most")
    try:
        return _normalised(email)
    except EmailNotValidError as error:
        local = _local(email) if domains else None
        if local and (domains is ANY_DOMAIN or local.rpartition("@")[2] in domains):
            return local
        raise ValueError(f"not a mail address ({error})") from None


def _normalised(email: str) -> str:
    valid = validate_email(email, check_deliverability=False, strict=True)
    local = valid.ascii_local_part
    if local is None or local != email.rpartition("@")[0] or not _LOCAL.fullmatch(local):
        raise ValueError("not a mail address (before the @ only plain ASCII is delivered)")
    return f"{local}@{valid.ascii_domain.lower()}"


def _local(email: str) -> str | None:
    """Return an address of a domain that only a local network knows; None where it is none."""
    try:
        normalised = _normalised(f"{email}.{_PUBLIC}").removesuffix(f".{_PUBLIC}")
    except ValueError:
        return None
    return None if _NUMBERED.search(normalised) else normalised


def listed(address: Address, patterns: Collection[str]) -> bool:
    """Return whether an address is in a list of `a@b.c`, `@b.c` (that domain alone) and `*`.

    Patterns are lower-case A-labels, as `pattern()` makes them. A local part is compared without
    regard to case, as every provider that counts does. A domain's entry does not cover a local
    part that names a further host, which old mail servers pass on to: `a%evil.com@b.c`.
    """
    email = address.email.lower()
    if email in patterns or "*" in patterns:
        return True
    return f"@{address.domain}" in patterns and not _ROUTE.search(email)


def pattern(text: str) -> str:
    """Check and normalise one entry of such a list; raise ValueError."""
    if text == "*":
        return text
    if text.startswith("@"):
        return "@" + _validate("a" + text, ANY_DOMAIN).rpartition("@")[2]
    return _validate(text, ANY_DOMAIN).lower()


def domain(text: str) -> str:
    """Check and normalise a domain; raise ValueError."""
    return pattern(f"@{text}").removeprefix("@")
