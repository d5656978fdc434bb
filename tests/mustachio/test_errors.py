"""What is wrong in a template, and where."""

import pytest

from relay.core.errors import TemplateFault
from relay.mustachio import TemplateSyntaxError, parse
from tests.mustachio.failing import (
    EACH_CLOSED_BADLY,
    EACH_NOT_OPEN,
    EACH_WITHOUT_PATH,
    MISMATCHED,
    bad_path,
    errors_of,
    unclosed,
)

VALID = [
    *("name", "a_b1", "naïve", "a.b.c", "words.0", ".name", "name.", ".", "../x", "../../a.b"),
    *("../", "a../b", "../.x", "../x.", "_", "1", "ñ", "n\u0303", "क्ष", "‿", "٣"),
]


@pytest.mark.parametrize("path", VALID)
def test_a_path_is_valid(path: str) -> None:
    parse(f"{{{{{path}}}}}{{{{#{path}}}}}{{{{/{path}}}}}{{{{#each {path}}}}}{{{{/each}}}}")


INVALID = [
    *("first-name", "first name", "@index", "a/b", "..", ".../a", "a..b", "..\\a", "> x"),
    *("pm:unsubscribe", "=<% %>=", "a/", "../../..", "..//a", "../a/b", "x²", "½", "Ⅷ"),
    *("a\u200db", "😀", "\U0001d4b3", "क\u093f", "a\u00a0b", "a\nb", "....", "a...b", "\x1ca"),
]


@pytest.mark.parametrize("path", INVALID)
def test_a_path_is_not_valid(path: str) -> None:
    assert errors_of(f"ab{{{{{path}}}}}") == [(1, 3, bad_path(path))]
    assert errors_of(f"{{{{#each {path}}}}}{{{{/each}}}}") == [(1, 1, bad_path(path))]


SIGILS = {
    "{{ #a}}": "#a",
    "{{ &x}}": "&x",
    "{{ /x}}": "/x",
    "{{ !x}}": "!x",
    "{{{#a}}}": "#a",
    "{{{/a}}}": "/a",
    "{{{^a}}}": "^a",
    "{{{!a}}}": "!a",
    "{{&#a}}": "#a",
}


@pytest.mark.parametrize(("source", "path"), SIGILS.items())
def test_a_sigil_out_of_place_is_part_of_the_path(source: str, path: str) -> None:
    assert errors_of(source) == [(1, 1, bad_path(path))]


BLOCKS = {
    "{{#a}}": [(1, 1, unclosed("a"))],
    "{{^ a }}": [(1, 1, unclosed("a"))],
    "{{#each a}}": [(1, 1, unclosed("a"))],
    " {{#a}}x{{^a}}y": [(1, 2, unclosed("a"))],
    "{{#a-b}}{{^a-b}}{{/a-b}}": [(1, c, bad_path("a-b")) for c in (1, 9, 9, 17)],
    "{{#each  a }}": [(1, 1, unclosed(" a "))],
    "{{#}}": [(1, 1, unclosed(""))],
    "{{#a}}{{#b}}": [(1, 1, unclosed("a")), (1, 7, unclosed("b"))],
    "{{/a}}": [(1, 1, MISMATCHED)],
    "{{/a-b}}": [(1, 1, MISMATCHED)],
    "{{#a}}x{{/b}}": [(1, 1, unclosed("a")), (1, 8, MISMATCHED)],
    "{{#p}}{{#p}}x{{/p}}{{/p}}": [(1, 20, MISMATCHED)],
    "{{#if t}}a{{/if}}": [(1, 1, bad_path("if t")), (1, 1, unclosed("if t")), (1, 11, MISMATCHED)],
    "{{#a-b}}{{/a-b}}": [(1, 1, bad_path("a-b")), (1, 9, bad_path("a-b"))],
    "{{/each}}": [(1, 1, EACH_NOT_OPEN)],
    "{{#a}}{{/each}}{{/a}}": [(1, 7, EACH_NOT_OPEN)],
    "{{#each a}}{{/each }}": [(1, 1, unclosed("a")), (1, 12, EACH_CLOSED_BADLY)],
    "{{#each a}}{{/each a}}": [(1, 1, unclosed("a")), (1, 12, EACH_CLOSED_BADLY)],
    "{{#each a}}{{/a}}": [(1, 1, unclosed("a")), (1, 12, MISMATCHED)],
    "{{#each}}{{/each}}": [(1, 1, EACH_WITHOUT_PATH)],
    "{{#each }}{{/each}}": [(1, 1, EACH_WITHOUT_PATH)],
    "{{#eachs}}{{/each}}": [(1, 1, EACH_WITHOUT_PATH)],
    "{{#each\nx}}{{/each}}": [(1, 1, EACH_WITHOUT_PATH)],
    "{{#eachs}}": [(1, 1, EACH_WITHOUT_PATH), (1, 1, unclosed("eachs"))],
}


@pytest.mark.parametrize(("source", "expected"), BLOCKS.items())
def test_blocks_that_do_not_pair(source: str, expected: list[tuple[int, int, str]]) -> None:
    assert errors_of(source) == expected


POSITIONS = {
    "{{-}}": [(1, 1)],
    "\n\n  {{-}}": [(3, 3)],
    "a\r\nbc{{-}}\r{{-}}\r\n{{-}}": [(2, 3), (2, 9), (3, 1)],
    "a\u2028b\x85c{{-}}": [(1, 6)],
    "😀é{{-}}": [(1, 4)],
    "{{a\nb}}{{-}}": [(1, 1), (2, 4)],
    "x{{!\n\n}}y{{-}}": [(3, 4)],
    "\ud800{{-}}": [(1, 2)],
    "{{name}}{{-}}{{name}}{{-}}": [(1, 9), (1, 22)],
}


@pytest.mark.parametrize(("source", "expected"), POSITIONS.items())
def test_a_position_counts_utf16_units_and_line_feeds(
    source: str, expected: list[tuple[int, int]]
) -> None:
    assert [(line, character) for line, character, _ in errors_of(source)] == expected


def test_errors_are_sorted_frozen_and_summed_up() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        parse("{{#a}}\n{{b c}}")
    first, second = caught.value.errors
    assert first == TemplateFault(unclosed("a"), 1, 1)
    assert (second.message, second.line, second.character) == (bad_path("b c"), 2, 1)
    assert str(caught.value) == f"line 1, character 1: {unclosed('a')} (and 1 more)"
    with pytest.raises(AttributeError):
        first.line = 2  # type: ignore[misc]
