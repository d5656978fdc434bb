"""Where the fields of a form went: into which parts of its message, or to nobody."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import accumulate, islice
from typing import Any

from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.origin import CONTROL, EMPTY, LEFT_OUT, READ, UNUSED
from relay.core.text import is_empty, shown
from relay.forms.email_form import ALIASES, CONTROL_FIELDS, Form

# A stranger's form may have as many fields as it likes, and each of any length.
MAX_FIELDS, MAX_NAME = 60, 100
# So much of a value is looked for, in so much of the message.
MAX_VALUE, MAX_PART, MAX_TEXTS = 200, 16 * 1024, 200
# Of a field with several values, how many are looked for; and at how many places each is looked at.
MAX_VALUES, MAX_LOOKS = 10, 20

_END = "\0"


def unused(form: Mapping[str, Any], submitted: Iterable[str]) -> list[str]:
    """Name the submitted fields that nobody read, in what made a message of the form."""
    _, used, aliases = _read(form)
    unread = {name for name in submitted if aliases.get(name, name) not in used}
    return sorted(unread.difference(used, CONTROL_FIELDS))


def mapping(
    form: Mapping[str, Any], submitted: Mapping[str, Any], message: Message
) -> dict[str, str]:
    """Return, by name, the parts of a message that a field's value stands in, separated by blanks.

    Where it stands in none, what became of it instead, as `relay.core.origin` calls that. Every
    form passes here: a message costs some microseconds.
    """
    values, used, aliases = _read(form)
    same = _same(message)
    parts: _Parts | None = None
    found = {}
    for name in submitted if len(submitted) <= MAX_FIELDS else islice(submitted, MAX_FIELDS):
        given = submitted[name]
        canonical = aliases.get(name, name)
        if canonical in CONTROL_FIELDS:
            became = CONTROL
        elif not (type(given) is str and given[:1].isalnum()) and is_empty(given):
            became = EMPTY
        elif canonical not in used and name not in used:
            became = UNUSED
        else:
            value = values.get(canonical)
            if value is None:
                became = LEFT_OUT
            elif isinstance(value, str) and not value:
                became = READ
            elif id(value) in same:
                became = same[id(value)]
            else:
                parts = parts or _Parts(message)
                became = parts.of(value) or READ
        found[name[:MAX_NAME]] = became
    return found


def _same(message: Message) -> dict[int, str]:
    """Return the parts of a message that most fields become unchanged: the very same objects."""
    return {
        id(message.tag): "tag",
        id(message.bcc): "bcc",
        id(message.cc): "cc",
        id(message.to): "to",
        **dict.fromkeys(map(id, message.reply_to), "reply_to"),
        id(message.html): "body",
        id(message.text): "body",
        id(message.subject): "subject",
    }


# In the order in which they stand in the one text that is searched.
_NAMES = ("from", "to", "cc", "bcc", "reply_to", "subject", "tag", "header", "model", "body")


class _Parts:
    """A message's parts in one text, so that a value is looked for in all of them at once."""

    def __init__(self, message: Message) -> None:
        sender, model = message.sender, message.model
        headers = [value for _, value in message.headers]
        pieces = [
            f"{_END}{sender.name}{_END}{sender.email}{_END}",
            _all(message.to),
            _all(message.cc) if message.cc else "",
            _all(message.bcc) if message.bcc else "",
            _all(message.reply_to),
            f"{message.subject or ''}{_END}",
            f"{message.tag or ''}{_END}",
            f"{_END.join(headers)}{_END}" if headers else "",
            "" if model is None else f"{_END.join(islice(_texts(model), MAX_TEXTS))}{_END}",
            f"{(message.text or message.html or '')[:MAX_PART]}{_END}",
        ]
        self._ends = list(accumulate(map(len, pieces)))
        self._text = "".join(pieces)

    def of(self, value: Any) -> str:
        """Name the parts in which a value stands; "" where it stands in none."""
        if isinstance(value, str):
            return " ".join(self._holding(value))
        if isinstance(value, Address):
            return " ".join(self._holding(value.email))
        found: dict[str, None] = {}
        for one in islice(_texts(value), MAX_VALUES):
            found |= dict.fromkeys(self._holding(one))
        return " ".join(found)

    def _holding(self, value: str) -> list[str]:
        is_cut = len(value) > MAX_VALUE
        if is_cut:
            value = value[:MAX_VALUE]
        text, ends, size = self._text, self._ends, len(value)
        found: list[str] = []
        at, looks = text.find(value) if value else -1, 0
        while at > 0 and looks < MAX_LOOKS:
            looks += 1
            before, after = text[at - 1], "" if is_cut else text[at + size]
            # No part of another word: a 7 stands not in 1976.
            if (before.isalnum() and _joins(before, value[0])) or (
                after.isalnum() and _joins(value[-1], after)
            ):
                at = text.find(value, at + 1)
                continue
            part = bisect_right(ends, at)
            found.append(_NAMES[part])
            at = text.find(value, ends[part])
        return found


def _joins(one: str, next: str) -> bool:
    """Return whether two characters side by side are of one word, as far as ASCII goes."""
    return one.isalnum() and next.isalnum() and one.isascii() and next.isascii()


def _read(form: Mapping[str, Any]) -> tuple[Mapping[str, Any], Collection[str], Mapping[str, str]]:
    """Return a form's values, what was read of them, and its fields' other names."""
    if isinstance(form, Form):
        return form.read(()), form.used, form.aliases
    return form, form.keys(), ALIASES


def _all(addresses: tuple[Address, ...]) -> str:
    return "".join([f"{one.name}{_END}{one.email}{_END}" for one in addresses])


def _texts(value: Any) -> Iterator[str]:
    """Return the texts of a value, as a message has them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Address):
        yield value.email
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _texts(member)
    elif value is not None:
        yield str(shown(value))
