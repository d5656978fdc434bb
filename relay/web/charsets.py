"""The charsets that a body may declare, and what their labels mean."""

from typing import NamedTuple

from relay.core.errors import UnsupportedMedia


class Charset(NamedTuple):
    """How bytes become text, and what is said of bytes that do not."""

    codec: str
    fault: str


UNDECLARED = Charset("utf-8", "not UTF-8, and no charset is declared")

# Every one has ASCII in its lower half: what frames a body, such as `&`, quotes and line ends, is
# the same in all of them. In UTF-16, UTF-7 or Shift_JIS it is not.
_CODECS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    **{f"iso-8859-{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"windows-{page}": f"cp{page}" for page in (874, *range(1250, 1259))},
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "macintosh": "mac-roman",
    # What these labels mean in the Encoding Standard of browsers: a superset of what they say.
    **dict.fromkeys(("ascii", "us-ascii", "ansi-x3.4-1968"), "cp1252"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "l1"), "cp1252"),
    **dict.fromkeys(("iso-8859-9", "latin5"), "cp1254"),
    "iso-8859-11": "cp874",
}


def declared(label: str) -> Charset:
    """Return the charset that a label declares; raise UnsupportedMedia for one not read here."""
    name = label.strip().lower().replace("_", "-").removeprefix("x-")
    for short, long in (("iso8859-", "iso-8859-"), ("cp", "windows-")):
        if name.startswith(short):
            name = long + name.removeprefix(short)
    if name not in _CODECS:
        raise UnsupportedMedia("the charset is not one that is read here: use utf-8")
    return Charset(_CODECS[name], "not " + ("UTF-8" if _CODECS[name] == "utf-8" else name))
