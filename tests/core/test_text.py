"""Text: what a line is, and that text stays the text it is, in HTML too."""

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.text import (
    as_html,
    is_storable,
    line,
    without_addresses,
)
from tests.core.test_html_cleaning import Reader
from tests.support.generated import examples


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("if x<y & z>\"1\" 'ok'", "if x&lt;y &amp; z&gt;&quot;1&quot; &#x27;ok&#x27;"),
        ("a\nb", "a<br>\nb"),
        ("a\r\nb\rc\n\nd", "a<br>\nb<br>\nc<br>\n<br>\nd"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("", ""),
    ],
)
def test_text_becomes_html_that_shows_the_same_text(text: str, markup: str) -> None:
    assert as_html(text) == markup


@examples(200)
@given(st.text(max_size=60))
def test_text_as_html_has_no_tags_but_line_breaks_and_reads_back(text: str) -> None:
    reader = Reader(as_html(text))
    assert {tag for tag, _ in reader.found} <= {"br"}
    assert html.unescape(as_html(text).replace("<br>\n", "\n")) == re.sub("\r\n?", "\n", text)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("I have a great idea.", "I have a great idea."),
        ("  x  ", "x"),
        ("a\u202eb\u2066c\u200bd\ufeffe\u2060f\u200dg", "abcdefg"),
        ("\u200b\u202e", ""),
        ("Zoë 市 😀", "Zoë 市 😀"),
        ("=?utf-8?q?x?=", "=?utf-8?q?x?="),
        ("", ""),
    ],
)
def test_a_line_loses_only_what_nobody_sees(given: str, kept: str) -> None:
    assert line(given) == kept


@pytest.mark.parametrize(
    "character",
    [*map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]), "\r\n"],
)
def test_a_line_with_a_control_character_is_refused_and_not_repaired(character: str) -> None:
    for text in (f"a{character}b", f"a{character}", f"{character}a"):
        with pytest.raises(ValueError):
            line(text)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("text\twith\r\nall the blanks\n", True),
        ("\x7f\x85\u2028\ufeff\ufffe😀", True),
        ("a\x00", False),
        ("a\x1b[0m", False),
        ("\ud83d", False),
        ("x\udc00", False),
        ("", True),
    ],
)
def test_a_store_takes_all_text_but_control_characters_and_lone_surrogates(
    text: str, fits: bool
) -> None:
    assert is_storable(text) is fits


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("Invalid 'To' address: 'x@y.gov'.", "Invalid 'To' address: '(address)'."),
        ("Found inactive addresses: a@x.co, B@Y.CO. Inactive", None),
        ('<a@x.co> "b@y.co" (c@z.co);d@w.co', '<(address)> "(address)" ((address));(address)'),
        ("It must contain the '@' symbol.", "It must contain the '@' symbol."),
        ("a" * 100 + "@example.gov", "(address)"),
        ("Jane=x@y.co", "(address)"),
        ("no address", "no address"),
        ("", ""),
    ],
)
def test_addresses_are_taken_out_of_other_peoples_words(words: str, left: str | None) -> None:
    expected = "Found inactive addresses: (address), (address) Inactive" if left is None else left
    assert without_addresses(words) == expected


@examples(200)
@given(st.text("ab@. ,<>\"'", max_size=30))
def test_no_address_survives_in_other_peoples_words(words: str) -> None:
    assert not re.search(r"\w@\w", without_addresses(words))


@pytest.mark.parametrize("shape", ["a", "@", "a@", "\\", "<", "a@b ", "'", " "])
def test_long_words_of_other_people_cost_next_to_nothing(shape: str) -> None:
    started = time.process_time()
    without_addresses(shape * (2**18 // len(shape)))
    assert time.process_time() - started < 0.5
