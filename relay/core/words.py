"""Texts as words, the same ones whoever looks for them: what is stored, and what a person types."""

import re
from unicodedata import normalize

# Chinese and Japanese have no spaces: each character is a word.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}])[^\W_])+")

# Longer words are known by their beginning.
LONGEST = 64
_ASCII_WORD = re.compile(rf"([a-z0-9]{{1,{LONGEST}}}+)[a-z0-9]*+")


def words(text: str) -> list[str]:
    """Split a text into its letters' and digits' runs, in the form in which they are compared."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    # Folded, some letters are several, which are to be one again.
    found = _WORD.findall(normalize("NFKC", normalize("NFKC", text).casefold()))
    return [word[:LONGEST] for word in found]
