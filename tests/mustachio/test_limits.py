"""How far a template may go, and how long it may take."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from relay.mustachio import TemplateRenderError, TemplateSyntaxError, parse
from relay.mustachio.program import MAX_OUTPUT, MAX_STEPS
from relay.mustachio.syntax import MAX_DEPTH, MAX_WEIGHT
from tests.mustachio.failing import errors_of

SIZE = 256 * 1024


def nested(depth: int, names: str = "ab") -> str:
    """Nest blocks, names in turn: the same one twice would be two halves of one block."""
    keys = [names[level % 2] for level in range(depth)]
    opens = "".join(f"{{{{#{key}}}}}" for key in keys)
    return opens + "x" + "".join(f"{{{{/{key}}}}}" for key in reversed(keys))


def chain(depth: int) -> dict[str, object]:
    """Make a model for blocks nested so deep."""
    model: dict[str, object] = {}
    for level in reversed(range(depth)):
        model = {"ab"[level % 2]: model or 1}
    return model


def test_blocks_may_nest_to_the_limit() -> None:
    template = parse(nested(MAX_DEPTH))
    assert template.render(chain(MAX_DEPTH)) == "x"
    assert template.suggested_model["a"]["b"]


@pytest.mark.parametrize(
    "source",
    [
        nested(MAX_DEPTH + 1),
        "{{#each a}}" * (MAX_DEPTH // 2 + 1) + "{{/each}}" * (MAX_DEPTH // 2 + 1),
        nested(MAX_DEPTH + 1, names=". "),
        "{{" + "a." * MAX_DEPTH + "a}}",
        "{{#" + "a." * MAX_DEPTH + "a}}{{/" + "a." * MAX_DEPTH + "a}}",
        nested(20_000),
    ],
    ids=["sections", "loops", "same level", "path", "section's path", "20,000"],
)
def test_beyond_the_limit_is_one_error(source: str) -> None:
    [(line, _, message)] = errors_of(source)
    assert line == 1
    assert message == f"Blocks and paths may not go more than {MAX_DEPTH} levels deep."


def test_the_depth_of_content_counts_from_its_place() -> None:
    half = MAX_DEPTH // 2
    opens, closes = nested(half).split("x")
    layout = f"{opens}{{{{{{@content}}}}}}{closes}"
    assert parse(layout, nested(half)).render(chain(MAX_DEPTH)) == "x"
    [(_, character, _)] = errors_of(layout, nested(half + 1))
    assert character == len(opens) + 1


def test_content_cannot_be_multiplied_without_end() -> None:
    for layout in ("{{{@content}}}" * 1000, "{{b}}" * MAX_WEIGHT + "{{{@content}}}" * 2):
        [(_, _, message)] = errors_of(layout, "{{a}}" * 1000)
        assert str(MAX_WEIGHT) in message


@pytest.mark.parametrize("body", ["{{v}}", "x" * 100, "{{#v}}{{.}}{{/v}}"])
def test_output_is_bounded(body: str) -> None:
    rows = [{"v": "y" * 100}] * (MAX_OUTPUT // 100 // 100)
    template = parse("{{#each tables}}{{#each rows}}" + body + "{{/each}}{{/each}}")
    assert len(template.render({"tables": [{"rows": rows}] * 100})) > 0.99 * MAX_OUTPUT
    with pytest.raises(TemplateRenderError, match=str(MAX_OUTPUT)):
        template.render({"tables": [{"rows": rows}] * 101})


def test_output_to_the_limit_is_rendered() -> None:
    template = parse("{{v}}")
    assert len(template.render({"v": "y" * MAX_OUTPUT})) == MAX_OUTPUT
    with pytest.raises(TemplateRenderError):
        template.render({"v": "y" * (MAX_OUTPUT + 1)})


def test_every_turn_of_a_loop_counts() -> None:
    with pytest.raises(TemplateRenderError, match=str(MAX_STEPS)):
        parse("{{#each l}}{{/each}}").render({"l": range(MAX_STEPS)})


def test_loops_that_print_nothing_end_too() -> None:
    source = "{{#each l}}{{#each ../../l}}{{#each ../../../../l}}{{/each}}{{/each}}{{/each}}"
    with pytest.raises(TemplateRenderError, match=str(MAX_STEPS)) as caught:
        parse(source).render({"l": [1] * 1000})
    assert caught.value.path == ""


def repeated(text: str) -> str:
    return text * (SIZE // len(text))


HOSTILE = {
    "opens": repeated("{{"),
    "single opens": repeated("{"),
    "closes": repeated("}"),
    "spaced closes": repeated("} "),
    "unclosed tags": repeated("{{a"),
    "unclosed triples": repeated("{{{a"),
    "unclosed tag": "{{" + "a" * SIZE,
    "half closed": "{{{" + "a" * SIZE + "}",
    "blanks": "{{" + " " * SIZE + "}}",
    "dots": "{{" + "." * SIZE + "}}",
    "slashes": "{{a" + "/" * SIZE + "}}",
    "parents": "{{" + repeated("../") + "}}",
    "segments": "{{" + repeated("a.") + "}}",
    "sigils": "{{" + "#" * SIZE + "}}",
    "letters": "{{" + "é" * SIZE + "}}",
    "open blocks": repeated("{{#a}}"),
    "halves": "{{#a}}" + repeated("{{^a}}"),
    "deep blocks": nested(SIZE // 12),
    "comments": repeated("x{{!}}"),
    "values": repeated("{{a}}"),
}


def fastest(work: Callable[[], object]) -> float:
    """Time some runs in seconds and give the shortest: other processes only make one longer."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def read(source: str, content: str | None = None) -> None:
    with suppress(TemplateSyntaxError):
        parse(source, content)


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_template_is_read_in_no_time(source: str) -> None:
    assert fastest(lambda: read(source)) < 1


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_a_layout_does_not_multiply_the_time(source: str) -> None:
    assert fastest(lambda: read(repeated("{{{@content}}}"), source)) < 1
