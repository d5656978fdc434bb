"""A layout and the content that takes the place of its placeholder."""

import pytest

from relay.mustachio import parse
from tests.mustachio.failing import MISMATCHED, bad_path, errors_of, unclosed

MODEL = {"name": "Ann", "person": {"first": "Al"}, "words": ["x", "y"], "html": "<i>"}


@pytest.mark.parametrize(
    "placeholder", ["{{{@content}}}", "{{{ @content }}}", "{{{\n@content\t}}}"]
)
def test_content_takes_the_place_of_the_placeholder(placeholder: str) -> None:
    assert parse(f"<{placeholder}>", "{{name}} {{html}}").render(MODEL) == "<Ann &lt;i&gt;>"


@pytest.mark.parametrize(
    ("layout", "content", "expected"),
    [
        ("{{#person}}{{{@content}}}{{/person}}", "{{first}}/{{../name}}", "Al/Ann"),
        ("{{#each words}}{{{@content}}}{{/each}}", "{{.}}{{../../name}} ", "xAnn yAnn "),
        ("{{{@content}}}+{{{@content}}}", "{{#person}}{{first}}{{/person}}", "Al+Al"),
        ("{{^nope}}{{{@content}}}{{/nope}}", "{{name}}", ""),
        ("[{{{@content}}}]", "", "[]"),
        ("no place", "{{bad path}}", "no place"),
        ("{{{{@content}}}}", "x", "{x}"),
    ],
)
def test_content_is_rendered_in_the_scope_of_its_place(
    layout: str, content: str, expected: str
) -> None:
    assert parse(layout, content).render(MODEL) == expected


def test_without_content_the_placeholder_is_a_bad_path() -> None:
    assert errors_of("{{{ @content }}}") == [(1, 1, bad_path("@content"))]


def test_with_two_braces_it_is_a_bad_path_always() -> None:
    assert errors_of("{{@content}}", "x") == [(1, 1, bad_path("@content"))]


def test_content_has_no_place_for_content() -> None:
    assert errors_of("abc{{{@content}}}", "{{{@content}}}") == [(1, 1, bad_path("@content"))]


def test_errors_of_both_are_sorted_together_by_their_own_positions() -> None:
    layout = "{{a b}}\n{{{@content}}}{{#x}}{{{@content}}}"
    assert errors_of(layout, "ab{{c d}}\n\n{{/y}}") == [
        (1, 1, bad_path("a b")),
        (1, 3, bad_path("c d")),
        (2, 15, unclosed("x")),
        (3, 1, MISMATCHED),
    ]


def test_a_block_is_closed_where_it_was_opened() -> None:
    assert errors_of("{{#a}}{{{@content}}}{{/a}}", "{{/a}}{{#a}}") == [
        (1, 1, MISMATCHED),
        (1, 7, unclosed("a")),
    ]


def test_a_layout_suggests_what_its_content_needs() -> None:
    suggested = parse("{{title}}{{#person}}{{{@content}}}{{/person}}", "{{first}}").suggested_model
    assert suggested == {"title": "title_Value", "person": {"first": "first_Value"}}
