"""Texts as words: the same whoever writes them."""

import pytest

from relay.core.words import LONGEST, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" .,;-_ ", []),
        ("Jane.Doe+x@Example.COM", ["jane", "doe", "x", "example", "com"]),
        ("snake_case", ["snake", "case"]),
        ("Die Brücke am Fluß", ["die", "brücke", "am", "fluss"]),
        ("BRU\u0308CKE", ["brücke"]),
        ("ﬁnal ⅸ", ["final", "ix"]),
        ("ΣΊΣΥΦΟΣ", ["σίσυφοσ"]),
        ("Ё-МАЁ", ["ё", "маё"]),
        ("東京 都庁abc", ["東", "京", "都", "庁", "abc"]),
        ("テスト", ["テ", "ス", "ト"]),
        ("room 12b №7", ["room", "12b", "no7"]),
        ("👍 ok\x00 \u202eright", ["ok", "right"]),
        ("x" * 100, ["x" * LONGEST]),
        ("a'b \"c\" 'd'", ["a", "b", "c", "d"]),
    ],
)
def test_a_text_is_its_letters_and_digits_as_they_are_compared(text: str, found: list[str]) -> None:
    assert words(text) == found
