"""Which values a template was to print and the model lacked."""

from typing import Any

import pytest

from relay.mustachio import parse
from relay.mustachio.program import MAX_MISSING


def missing(source: str, model: Any, content: str | None = None) -> list[str]:
    found: dict[str, None] = {}
    template = parse(source, content)
    assert template.render(model, missing=found) == template.render(model)
    return list(found)


@pytest.mark.parametrize(
    ("source", "model", "names"),
    [
        ("{{a}}{{b}}{{{c}}}", {"a": 1}, ["b", "c"]),
        ("{{a.b}}{{a.c}}", {"a": {"b": ""}}, ["a.c"]),
        ("{{a.b}}", {"a": "text"}, ["a.b"]),
        ("{{a}}", {"a": None}, ["a"]),
        ("{{b}}{{a}}{{b}}", {}, ["b", "a"]),
        ("{{a}}{{b}}{{c}}", {"a": 0, "b": False, "c": [1]}, []),
        ("{{#a}}{{b}}{{/a}}{{^c}}{{d}}{{../e}}{{/c}}", {"a": {"x": 1}}, ["a.b", "c.d", "e"]),
        ("{{#a}}{{b}}{{/a}}{{#each l}}{{c}}{{/each}}", {}, []),
        ("{{#each l}}{{x}}{{../../y}}{{/each}}", {"l": [{"x": 1}, {}]}, ["y", "l.x"]),
        ("{{#each a.l}}{{.}}{{/each}}", {"a": {"l": [None]}}, ["a.l"]),
        ("{{#a.b}}{{c}}{{../d}}{{/a.b}}", {"a": {"b": 1}}, ["a.b.c", "a.d"]),
        ("{{.}}", None, ["."]),
    ],
)
def test_values_that_are_not_there_are_named_from_the_root(
    source: str, model: Any, names: list[str]
) -> None:
    assert missing(source, model) == names


def test_those_of_a_layout_and_its_content_are_named() -> None:
    assert missing("{{a}}{{#b}}{{{@content}}}{{/b}}", {"b": {"x": 1}}, "{{c}}") == ["a", "b.c"]


def test_they_are_limited() -> None:
    source = "".join(f"{{{{value{n}}}}}" for n in range(MAX_MISSING + 10))
    assert len(missing(source, {})) == MAX_MISSING
