"""What templates print: tags, paths, sections, loops, layouts."""

from typing import Any

import pytest

from relay.mustachio import TemplateRenderError, parse

MODEL: dict[str, Any] = {
    "name": "Ann",
    "company": "ACME",
    "t": True,
    "f": False,
    "person": {"first": "Al", "addr": {"city": "Oz"}},
    "words": ["x", "y"],
    "rows": [{"n": 1, "tags": ["a", "b"]}, {"n": 2, "tags": []}],
    "nul": None,
}

LITERAL_AND_TAGS = {
    "{{}}": "{{}}",
    "{{{}}}": "{{{}}}",
    "a {{name": "a {{name",
    "{{na{me}}": "{{na{me}}",
    "a{b{c}}": "a{b{c}}",
    "{{! a } brace }}": "{{! a } brace }}",
    "{{{{name}}": "{{Ann",
    "{{{{name}}}}": "{Ann}",
    "{{{name}}": "{Ann",
    "{{name}}}": "Ann}",
    "{{\n  name\r\n}}": "Ann",
    "{{\u00a0name\u3000}}": "Ann",
    "{{ }}": "",
    "a{{! two\nlines }}b": "ab",
    "a{{!}}b{{! x }}c": "abc",
    "a\r\n{{name}}\r\n": "a\r\nAnn\r\n",
    " {{#t}}\n x \n{{/t}}\n": " \n x \n\n",
    "{{else}}": "",
    "{{{&name}}}{{&&name}}": "AnnAnn",
}

PATHS = {
    "{{.name}}|{{name.}}": "Ann|Ann",
    "{{Name}}": "",
    "{{person.addr.city}}": "Oz",
    "{{nope.addr.city}}|{{nul.x}}|{{name.length}}|{{words.0}}|{{words.length}}": "||||",
    "{{#person}}{{company}}|{{../company}}{{/person}}": "|ACME",
    "{{#person.addr}}{{../first}}|{{../../name}}{{/person.addr}}": "Al|Ann",
    "{{../../name}}": "Ann",
    "{{person../name}}": "Ann",
    "{{#person}}{{#../}}{{name}}{{/../}}{{/person}}": "Ann",
    "{{#}}{{#.}}{{name}}{{../name}}{{/.}}{{/}}": "AnnAnn",
    "{{#t}}{{.}}|{{company}}|{{../company}}{{/t}}": "True||ACME",
    "{{# person }}{{first}}{{/ person }}": "Al",
    "{{##person}}{{first}}{{//person}}": "Al",
}

SECTIONS = {
    "{{#words}}[{{.}}]{{/words}}": "[]",
    "{{#nope}}x{{/nope}}{{^nope}}y{{/nope}}": "y",
    "{{^nope}}{{name}}|{{../name}}{{/nope}}": "|Ann",
    "{{^person.nope}}{{../first}}|{{../../name}}{{/person.nope}}": "Al|Ann",
    "{{#f}}A{{^f}}B{{/f}}": "B",
    "{{^f}}A{{#f}}B{{/f}}": "A",
    "{{#t}}A{{^t}}B{{#t}}C{{/t}}": "AC",
    "{{#person}}{{#first}}{{.}}{{/first}}{{/person}}": "Al",
}

LOOPS = {
    "{{#each words}}{{.}}{{../../name}};{{/each}}": "xAnn;yAnn;",
    "{{#each words}}[{{../name}}{{../}}]{{/each}}": "[][]",
    "{{#each rows}}{{n}}:{{#each tags}}{{.}}{{../../n}}{{../../../../name}},{{/each}};{{/each}}": (
        "1:a1Ann,b1Ann,;2:;"
    ),
    "{{#each nope}}x{{/each}}{{^nope}}none{{/nope}}": "none",
    "{{#each  words }}{{.}}{{/each}}": "xy",
    "{{#person}}{{#each ../words}}{{.}}{{/each}}{{/person}}": "xy",
    "{{#words}}{{#each .}}{{.}}{{../../name}}{{/each}}{{/words}}": "xAnnyAnn",
}


@pytest.mark.parametrize(
    ("source", "expected"),
    (LITERAL_AND_TAGS | PATHS | SECTIONS | LOOPS).items(),
)
def test_a_template_prints(source: str, expected: str) -> None:
    assert parse(source).render(MODEL) == expected


@pytest.mark.parametrize("value", [None, False, 0, 0.0, -0.0, "", [], (), {}])
def test_a_false_value_hides_a_section_and_skips_a_loop(value: object) -> None:
    template = parse("{{#v}}yes{{^v}}no{{/v}}{{#each v}}x{{/each}}")
    assert template.render({"v": value}) == "no"


@pytest.mark.parametrize("value", [True, 1, -1, 0.1, "0", " ", "false", [0], {"a": None}])
def test_any_other_value_shows_a_section(value: object) -> None:
    assert parse("{{#v}}yes{{^v}}no{{/v}}").render({"v": value}) == "yes"


@pytest.mark.parametrize("value", ["text", 7, 0.5, True, {"a": 1}, b"bytes"])
def test_each_over_what_is_no_list_names_the_path(value: object) -> None:
    template = parse("{{#person}}{{#each ../v.w }}x{{/each}}{{/person}}")
    model = {"person": {"a": 1}, "v": {"w": value}}
    if isinstance(value, bytes):
        assert template.render(model) == ""
        return
    with pytest.raises(TemplateRenderError) as caught:
        template.render(model)
    assert caught.value.path == "../v.w"
    assert str(caught.value) == (
        "'../v.w' is used like an array by the template,"
        " but is a scalar value or object in your model."
    )


def test_a_value_is_not_read_for_tags() -> None:
    assert parse("{{{a}}}").render({"a": "{{b}}", "b": "c"}) == "{{b}}"


def test_a_template_holds_nothing_of_a_rendering() -> None:
    template = parse("{{#a.b}}{{c}}{{/a.b}}{{#each l}}{{.}}{{/each}}")
    model = {"a": {"b": {"c": 1}}, "l": [1, 2]}
    assert [template.render(model), template.render({}), template.render(model)] == [
        "112",
        "",
        "112",
    ]


@pytest.mark.parametrize(
    ("model", "expected"),
    [("text", "text"), (5, "5"), (True, "True"), (None, ""), (["a"], ""), ({}, "")],
)
def test_a_model_may_be_any_value(model: object, expected: str) -> None:
    assert parse("{{.}}{{name}}").render(model) == expected
