"""What holds for every template and every model."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mustachio import Template, TemplateRenderError, TemplateSyntaxError, parse
from tests.support.generated import examples

FRAGMENTS = st.sampled_from(
    [
        *("{{", "}}", "{", "}", "{{{", "}}}", "#", "^", "/", "&", "!", ".", "../", "each ", " "),
        *("{{a}}", "{{{a}}}", "{{#a}}", "{{/a}}", "{{^a}}", "{{#each l}}", "{{/each}}", "{{.}}"),
        *("{{a.b}}", "{{../a}}", "{{#}}", "{{/}}", "{{{@content}}}", "\n", "text", "é", "😀"),
    ]
)
SOURCES = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=20).map("".join))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
KEYS = st.sampled_from(["a", "b", "l"]) | st.text(max_size=3)
MODELS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


def rendered(template: Template, model: Any, escape: bool) -> str | TemplateRenderError:
    try:
        return template.render(model, escape)
    except TemplateRenderError as error:
        return error


ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


@examples(500)
@given(source=SOURCES, content=st.none() | SOURCES, model=MODELS, escape=st.booleans())
def test_any_template_renders_or_says_why_not(
    source: str, content: str | None, model: Any, escape: bool
) -> None:
    try:
        template = parse(source, content)
    except TemplateSyntaxError as error:
        places = [(fault.line, fault.character) for fault in error.errors]
        assert places
        assert places == sorted(places)
        assert min(min(place) for place in places) >= 1
        return
    result = rendered(template, model, escape)
    assert isinstance(result, str) or result.path in source + (content or "")
    json.dumps(template.suggested_model)


@examples(200)
@given(text=st.text().filter(lambda text: "{{" not in text), model=MODELS)
def test_text_without_tags_is_rendered_as_it_is(text: str, model: Any) -> None:
    template = parse(text)
    assert template.render(model) == text
    assert template.suggested_model == {}


@examples(300)
@given(text=st.text() | st.text(alphabet="<>&\"'é\xa0ÿ\x9fĀ😀a"))
def test_every_character_is_escaped_by_itself(text: str) -> None:
    def escaped(character: str) -> str:
        code = ord(character)
        if 0xA0 <= code <= 0xFF or code > 0xFFFF:
            return f"&#{code};"
        return ESCAPES.get(character, character)

    assert parse("{{v}}").render({"v": text}) == "".join(map(escaped, text))
    assert parse("{{v}}").render({"v": text}, escape=False) == text


@examples(200)
@given(source=SOURCES)
def test_a_suggestion_fits_its_template(source: str) -> None:
    try:
        template = parse(source)
    except TemplateSyntaxError:
        return
    result = rendered(template, template.suggested_model, escape=True)
    # Some templates ask for a list and an object in one place.
    assert isinstance(result, str) or result.path in source


class Trap:
    """An object that fails the test as soon as anything of it is touched."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(name)

    def __call__(self) -> None:
        raise AssertionError

    __bool__ = __len__ = __iter__ = __getitem__ = __str__ = __hash__ = __eq__ = __call__  # type: ignore[assignment]


SOURCES_OF_TRAPS = [
    "{{t}}",
    "{{{t}}}",
    "{{t.a}}{{t.__class__}}{{t.__init__.__globals__}}",
    "{{#t}}x{{a}}{{.}}{{/t}}",
    "{{^t}}{{a}}{{.}}{{../t}}{{/t}}",
    "{{#each t}}{{.}}{{/each}}",
    "{{#each l}}{{.}}{{a}}{{#.}}x{{/.}}{{/each}}",
]


@pytest.mark.parametrize("source", SOURCES_OF_TRAPS)
@pytest.mark.parametrize("escape", [True, False])
def test_nothing_of_an_object_is_read_or_called(source: str, escape: bool) -> None:
    template = parse(source)
    assert template.render({"t": Trap(), "l": [Trap()]}, escape) == ""
    assert template.render(Trap(), escape) == ""


@pytest.mark.parametrize("name", ["__class__", "upper", "keys", "append", "real", "__len__"])
def test_an_attribute_is_no_key(name: str) -> None:
    model = {"s": "x", "d": {}, "l": [1], "n": 1}
    template = parse("".join(f"{{{{{key}.{name}}}}}" for key in model) + f"{{{{{name}}}}}")
    assert template.render(model) == ""
