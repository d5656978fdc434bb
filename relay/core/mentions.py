"""Where a text names one address: however it is written there, and never as a part of another."""

import json
import re
import unicodedata
from collections.abc import Mapping
from html.entities import html5
from typing import Any
from urllib.parse import quote

import idna

from relay.core.addresses import ANY_DOMAIN, parse, parse_list
from relay.core.file_types import FILE_TYPES

# What stands in the place of an address that was erased.
ERASED = "(erased)"

# What joins two parts of one local part: `a.b@c.de` is not an address of b's. Others separate, such
# as `=` in a link and `|` in a table.
_JOINING = r"[.+\-_'&~!]"
# What an encoded character before an address may be, though it ends like a word: `%3Cjo%40x.gov`.
_SEPARATORS = "|".join(f"{ord(one):02x}" for one in "\t\n\r \"'(,/:;<=>?[|")
_BEFORE = rf"(?:(?<![a-z0-9])(?<![a-z0-9]{_JOINING})|(?<=[%=](?:{_SEPARATORS})))"
# A longer domain is another one; but a file may be called after an address.
_ENDINGS = "|".join(FILE_TYPES)
_AFTER = rf"(?![a-z0-9]|\.(?!(?:{_ENDINGS})(?![a-z0-9.\-]))[a-z0-9]|-+[a-z0-9])"
_NAMES = {
    value: name.removesuffix(";")
    for name, value in html5.items()
    if name.endswith(";") and len(value) == 1 and name[:1].islower()
}


class Mentions:
    """Finds an address in texts, and takes it out of them.

    It is found in any case, with its domain in Unicode or in ASCII, and with its characters but
    for ASCII letters and digits encoded as in links, HTML or quoted-printable. Not in base64.
    `spellings` are it as it is written mostly, in lower case; `stems` must be in any text that
    names it.
    """

    def __init__(self, address: str) -> None:
        """Read an address; raise ValueError."""
        self.address = parse(address, ANY_DOMAIN).email.lower()
        local, _, domain = self.address.rpartition("@")
        spellings = _spellings(domain)
        self.spellings = tuple(f"{local}@{one}" for one in spellings)
        domains = "|".join(map(_spelled, spellings))
        pattern = f"{_BEFORE}{_spelled(local + '@')}(?:{domains}){_AFTER}"
        self._pattern = re.compile(pattern, re.IGNORECASE)
        # The longest runs of what is never encoded.
        known = [local, domain] if len(spellings) == 1 else [local]
        self.stems = tuple(max(re.findall("[a-z0-9]+", part) or [""], key=len) for part in known)

    def are_in(self, value: Any) -> bool:
        """Return whether a text names the address, or any text of a value as JSON has it."""
        if isinstance(value, str):
            text = value.lower()  # to look for the stems first takes a hundredth of the time
            return all(stem in text for stem in self.stems) and bool(self._pattern.search(value))
        if isinstance(value, Mapping):
            return any(self.are_in(one) for pair in value.items() for one in pair)
        return isinstance(value, list) and any(map(self.are_in, value))

    def are_whole_in(self, value: Any) -> bool:
        """Return whether a text is a list of addresses with this one, or a value has such a text.

        It is no more than a mention where other words stand beside it.
        """
        if isinstance(value, str):
            return self.are_in(value) and self._is_listed(value)
        if isinstance(value, Mapping):
            return any(map(self.are_whole_in, value.values()))
        return isinstance(value, list) and any(map(self.are_whole_in, value))

    def without(self, value: Any) -> Any:
        """Return a text, or a value as JSON has it, with ERASED in the address's place."""
        if isinstance(value, str):
            return self._pattern.sub(ERASED, value) if self.are_in(value) else value
        if isinstance(value, Mapping):
            return {self.without(name): self.without(one) for name, one in value.items()}
        return [self.without(one) for one in value] if isinstance(value, list) else value

    def _is_listed(self, text: str) -> bool:
        try:
            listed = parse_list(text, ANY_DOMAIN)
        except ValueError:
            return False
        return any(one.email.lower() == self.address for one in listed)


def _spellings(domain: str) -> list[str]:
    """Return how a domain is written: in ASCII, and in Unicode in both normal forms."""
    try:
        unicode = idna.decode(domain)
    except idna.IDNAError:  # one of a local network, with an underscore
        unicode = domain
    return sorted({domain, *(unicodedata.normalize(form, unicode) for form in ("NFC", "NFD"))})


def _spelled(text: str) -> str:
    """Make the pattern for a text, each of whose characters may be encoded."""
    return "".join(map(_character, text))


def _character(one: str) -> str:
    if re.fullmatch("[a-z0-9]", one):
        return one
    percent = quote(one, safe="")
    percent = percent if percent != one else f"%{ord(one):02X}"
    ways = [one, percent, percent.replace("%", "="), json.dumps(one)[1:-1]]
    entities = [f"&#0*{ord(one)};", f"&#x0*{ord(one):x};"]
    entities += [f"&{_NAMES[one]};"] if one in _NAMES else []
    return f"(?:{'|'.join([*map(re.escape, dict.fromkeys(ways)), *entities])})"
