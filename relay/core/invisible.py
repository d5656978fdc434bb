"""Characters that nobody sees: padding and direction controls go, what shapes a word stays.

Persian and the scripts of India join letters by them or keep letters apart, and emoji are joined
of others. Anywhere else they only make a line look like another one.
"""

import re
import unicodedata

# Direction controls, characters without a width, and what joins or varies the character before.
# The flags of England, Scotland and Wales are spelled in characters of their own.
_CHARACTER = re.compile(
    "[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
_FLAG = "\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f"
_INVISIBLE = re.compile(f"{_CHARACTER.pattern}|{_FLAG}")
_ZWNJ, _ZWJ = "\u200c", "\u200d"
_SELECTOR = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_AS_PICTURE, _KEY_CAP = "\ufe0f", "\u20e3"
# A line with more of them hides something.
MAX_KEPT = 500

# Scripts whose letters a joiner shapes, as the names of their characters begin.
_JOINING = frozenset(
    {
        *("ADLAM", "ARABIC", "BALINESE", "BENGALI", "DEVANAGARI", "GUJARATI", "GURMUKHI"),
        *("JAVANESE", "KANNADA", "KHMER", "MALAYALAM", "MANDAIC", "MEETEI", "MONGOLIAN"),
        *("MYANMAR", "NKO", "ORIYA", "SINHALA", "SYRIAC", "TAMIL", "TELUGU", "TIBETAN"),
    }
)


def visible(text: str) -> str:
    """Take out what is invisible, but for what shapes the character that it stands behind."""
    if text.isascii() or not _CHARACTER.search(text):
        return text
    count = len(_INVISIBLE.findall(text))
    return _INVISIBLE.sub(_kept if count <= MAX_KEPT else "", text)


def _kept(found: re.Match[str]) -> str:
    text, start, end = found.string, found.start(), found.end()
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    if found[0] in (_ZWNJ, _ZWJ):
        if before == _AS_PICTURE:
            before = text[max(start - 2, 0) : start - 1]
        keeps = _joins_letters(found[0], before, after) or _joins_emoji(before, after)
    elif _SELECTOR.match(found[0]):
        keeps = after == _KEY_CAP or (before > "\u00a0" and not _INVISIBLE.match(before))
    else:
        keeps = end - start > 1  # a flag
    return found[0] if keeps else ""


def _joins_letters(joiner: str, before: str, after: str) -> bool:
    """Whether a joiner shapes a letter: ZWJ also the last one of a word."""
    return _is_joining(before) and (joiner == _ZWJ or _is_joining(after))


def _joins_emoji(before: str, after: str) -> bool:
    return _is_emoji(before) and _is_emoji(after)


def _is_joining(character: str) -> bool:
    return unicodedata.name(character or " ", "").partition(" ")[0] in _JOINING


def _is_emoji(character: str) -> bool:
    if "\U0001f000" <= character <= "\U0001faff":
        return True
    return character > "\u2000" and unicodedata.category(character) in ("So", "Sm")
