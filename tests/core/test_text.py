"""Text: what a line is, and that text stays the text it is, in HTML too."""

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.invisible import visible
from relay.core.text import (
    as_html,
    cut,
    is_blank,
    is_storable,
    length,
    line,
    lines,
    shown,
    storable,
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


@examples(300)
@given(st.text(st.characters(max_codepoint=127), max_size=20))
def test_ascii_is_treated_as_it_is_among_other_characters(text: str) -> None:
    for change in (lines, storable):
        assert change(f"{text}é") == f"{change(text)}é"
    for each in text:
        one = each.replace("\r", " ").replace("\n", " ")
        assert line(f"é{one}é") == f"é{line(f'x{one}x')[1:-1]}é"


@examples(300)
@given(
    st.text(
        st.sampled_from(" \t\n\x1f\x00a7Zéß\u00a0\u00ad\u200b\u200d\ufe0f\U0001f3f4\U000e007f"),
        max_size=5,
    )
)
def test_a_text_is_blank_if_nothing_of_it_is_seen(text: str) -> None:
    assert is_blank(text) == (not visible(text).strip())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("I have a great idea.", "I have a great idea."),
        ("  x  ", "x"),
        ("Permit\t2026\x7fa\x85b\u2028c\x0bd\x00e", "Permit 2026 a b c d e"),
        ("\t x \u2029\r\n", "x"),
        ("\n\x1f\u200b\r\nx\u200b\n", "x"),
        ("a\u202eb\u2066c\u200bd\ufeffe\u2060f\u200dg", "abcdefg"),
        ("\u200b\u202e", ""),
        ("Zoë 市 😀", "Zoë 市 😀"),
        ("=?utf-8?q?x?=", "=?utf-8?q?x?="),
        ("", ""),
    ],
)
def test_a_line_loses_only_what_nobody_sees(given: str, kept: str) -> None:
    assert line(given) == kept


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\n", "\x7f\n", "\n\u200d"])
def test_a_broken_line_is_refused_and_not_repaired(end: str) -> None:
    with pytest.raises(ValueError):
        line(f"a{end}b")
    assert line(f"a{end}") == line(f"{end}a") == "a"


CONTROLS = [*map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029])]


@pytest.mark.parametrize("character", CONTROLS)
def test_no_control_character_is_left_in_a_line_or_a_text(character: str) -> None:
    text = f"a{character}b"
    if character not in "\r\n":
        assert line(text) == "a b"
    kept = {"\t": "\t", "\r": "\r", **dict.fromkeys("\n\v\f\x85\u2028\u2029", "\n")}
    assert lines(text) == f"a{kept.get(character, '')}b"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("pasted\x03 from Word", "pasted from Word"),
        ("a\x00b\x1b[0mc\x08", "ab[0mc"),
        ("so long \ud83d", "so long \ufffd"),
        ("\udc00x", "\ufffdx"),
        ("one\vtwo\fthree\x7f\x85", "one\vtwo\fthree\x7f\x85"),
        ("plain\ttext\r\n\u200d😀", "plain\ttext\r\n\u200d😀"),
    ],
)
def test_what_cannot_be_stored_is_taken_out(text: str, kept: str) -> None:
    assert storable(text) == kept
    assert is_storable(kept)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6175550100, "6175550100"),
        (0, "0"),
        (-7, "-7"),
        (10**30, "1" + "0" * 30),
        (1.5, "1.5"),
        (2.0, "2"),
        (-0.25, "-0.25"),
        (1e300, "1e+300"),
        (True, "1"),
        (False, ""),
        ("1.0", "1.0"),
        (None, None),
        ([1], [1]),
    ],
)
def test_a_number_is_shown_as_people_write_it(value: object, text: object) -> None:
    assert shown(value) == text
    assert type(shown(value)) is type(text)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("text\twith\r\nall the blanks\v\f\n", True),
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


@pytest.mark.parametrize(
    ("words", "most", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("\U0001f600\U0001f600", 4, "\U0001f600\U0001f600"),
        ("\U0001f600\U0001f600", 3, "\U0001f600"),
        ("a\U0001f600", 2, "a"),
        ("\u20ac\u20ac", 1, "\u20ac"),
        ("", 0, ""),
    ],
)
def test_a_text_is_cut_between_characters(words: str, most: int, kept: str) -> None:
    assert cut(words, most) == kept
    assert length(kept) <= most
