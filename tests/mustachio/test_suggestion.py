"""The model that a template suggests."""

import json

import pytest

from relay.mustachio import parse

SUGGESTED = {
    "no tags": {},
    "{{! none }}": {},
    "{{name}}": {"name": "name_Value"},
    "{{{raw}}}": {"raw": "raw_Value"},
    "{{&raw}}": {"raw": "raw_Value"},
    "{{a.b.c}}": {"a": {"b": {"c": "c_Value"}}},
    "{{#p}}{{x}}{{/p}}": {"p": {"x": "x_Value"}},
    "{{#each l}}{{x}}{{/each}}": {"l": [{"x": "x_Value"}]},
    "{{#each l}}{{.}}{{/each}}": {"l": ["l_1", "l_2", "l_3"]},
    "{{#each l}}{{/each}}": {"l": ["l_1", "l_2", "l_3"]},
    "{{#x}}yes{{/x}}": {"x": {}},
    "{{^x}}no{{/x}}": {"x": {}},
    "{{name}}{{#name}}x{{/name}}": {"name": {}},
    "{{a}}{{a.b}}": {"a": "a_Value"},
    "{{a.b}}{{a}}": {"a": "a_Value"},
    "{{l}}{{#each l}}{{x}}{{/each}}": {"l": [{"x": "x_Value"}]},
    "{{#each l}}{{x}}{{/each}}{{^l}}none{{/l}}": {"l": [{"x": "x_Value"}]},
    "{{#each l}}{{../c}}{{/each}}": {"l": ["l_1", "l_2", "l_3"], "c": "c_Value"},
    "{{#each l}}{{../../c}}{{/each}}": {"l": ["l_1", "l_2", "l_3"], "c": "c_Value"},
    "{{#name}}{{../name}}{{/name}}": {"name": {}},
    "{{#p}}{{x}}{{^p}}{{y}}{{/p}}": {"p": {"x": "x_Value", "y": "y_Value"}},
    "{{.}}": "_Value",
    "{{#}}{{name}}{{/}}": {"name": "name_Value"},
    "{{z}}{{a}}{{m.y}}{{m.b}}": {
        "z": "z_Value",
        "a": "a_Value",
        "m": {"y": "y_Value", "b": "b_Value"},
    },
}


@pytest.mark.parametrize(("source", "model"), SUGGESTED.items())
def test_a_template_suggests(source: str, model: object) -> None:
    # As text, since the order of keys counts: the first to appear is first.
    assert json.dumps(parse(source).suggested_model) == json.dumps(model)


def test_a_suggestion_is_the_callers_own() -> None:
    template = parse("{{#p}}{{x}}{{/p}}")
    template.suggested_model["p"].clear()
    assert template.suggested_model == {"p": {"x": "x_Value"}}


def test_the_template_renders_with_its_own_suggestion() -> None:
    template = parse("{{#company}}{{address}}{{/company}}{{#each person}} {{name}} {{/each}}")
    assert template.render(template.suggested_model) == "address_Value name_Value "
