"""Trying drafts out: faults with their places, test renderings, suggested models."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import (
    StoredTemplateError,
    TemplateConflict,
    TemplateEmpty,
    TemplateFault,
    TemplateIncomplete,
    TemplateInvalid,
    TemplateNotFound,
    TemplateTooLong,
)
from relay.templates.library import Library
from relay.templates.rules import TemplateDraft
from relay.templates.validation import PartValidation, Validation
from tests.support.generated import examples
from tests.support.stored import by
from tests.templates.conftest import Rows, Run, layout, message, standard


def rendered(text: str) -> PartValidation:
    return PartValidation(True, (), text)


@pytest.mark.gen_test
async def test_postmarks_own_example_gives_postmarks_own_answer(library: Library) -> None:
    draft = TemplateDraft(
        subject="{{#company}}{{name}}{{/company}} {{subjectHeadline}}",
        html="{{#company}}{{address}}{{/company}}{{#each person}} {{name}} {{/each}}",
        text="{{#company}}{{phone}}{{/company}}{{#each person}} {{name}} {{/each}}",
    )
    result = await library.validate("a", draft, {"userName": "bobby joe"}, True)
    assert result == Validation(
        html=rendered("address_Value name_Value "),
        text=rendered("phone_Value name_Value "),
        subject=rendered("name_Value subjectHeadline_Value"),
        suggested_model={
            "userName": "bobby joe",
            "company": {"address": "address_Value", "phone": "phone_Value", "name": "name_Value"},
            "person": [{"name": "name_Value"}],
            "subjectHeadline": "subjectHeadline_Value",
        },
        all_valid=True,
    )
    assert list(result.suggested_model) == ["userName", "company", "person", "subjectHeadline"]
    assert list(result.suggested_model["company"]) == ["address", "phone", "name"]


@pytest.mark.gen_test
async def test_parts_that_were_not_given_are_not_there(library: Library, rows: Rows) -> None:
    result = await library.validate("a", TemplateDraft(text="Hello", html=""), None, True)
    assert (result.html, result.text, result.subject) == (rendered(""), rendered("Hello"), None)
    assert (result.suggested_model, result.all_valid) == ({}, True)
    assert rows.everything() == [[], []]


@pytest.mark.gen_test
async def test_each_fault_has_its_line_and_character(library: Library) -> None:
    draft = TemplateDraft(text="ok {{name}}", html="a\n {{#b}}{{c d}}", subject="{{/x}}")
    result = await library.validate("a", draft, None, True)
    assert (result.all_valid, result.text) == (False, rendered("ok name_Value"))
    assert result.html is not None
    assert (result.html.valid, result.html.rendered) == (False, None)
    assert [(fault.line, fault.character) for fault in result.html.errors] == [(2, 2), (2, 8)]
    assert result.subject is not None
    assert result.subject.errors[0].message.startswith("It appears that")
    assert result.suggested_model == {"name": "name_Value"}


@pytest.mark.parametrize(
    ("draft", "model", "error"),
    [
        (TemplateDraft(), None, TemplateEmpty),
        (TemplateDraft(name="Welcome", alias="welcome"), None, TemplateEmpty),
        (TemplateDraft(), {}, TemplateIncomplete),
        (TemplateDraft(html="", text=""), None, TemplateIncomplete),
        (TemplateDraft(text="x", type="Other"), None, TemplateInvalid),
        (TemplateDraft(text="x", layout="unknown"), None, TemplateNotFound),
        (TemplateDraft(text="x", layout="welcome"), None, TemplateInvalid),
        (TemplateDraft(subject="x", text="{{{@content}}}", type="Layout"), None, TemplateConflict),
        (TemplateDraft(text="{{{@content}}}", layout="b", type="Layout"), None, TemplateConflict),
        (TemplateDraft(subject="s" * 2001), None, TemplateTooLong),
        (TemplateDraft(text="\x00"), None, TemplateInvalid),
    ],
)
@pytest.mark.gen_test
async def test_what_cannot_be_tried_out_is_refused(
    library: Library, draft: TemplateDraft, model: Any, error: type[Exception]
) -> None:
    await library.create("a", standard(), by("key"))
    with pytest.raises(error):
        await library.validate("a", draft, model, True)


@pytest.mark.gen_test
async def test_a_draft_is_rendered_in_its_layout(library: Library) -> None:
    await library.create("a", layout(text=None), by("key"))
    result = await library.validate("a", standard(layout="base"), {"title": "T"}, True)
    assert (result.html, result.text) == (
        rendered("<h1>T</h1><p>name_Value</p>"),
        rendered("name_Value"),
    )
    assert result.suggested_model == {"title": "T", "name": "name_Value"}


@pytest.mark.gen_test
async def test_a_layout_is_rendered_without_content(library: Library) -> None:
    result = await library.validate("a", layout(), None, True)
    assert (result.html, result.text) == (
        rendered("<h1>title_Value</h1>"),
        rendered("title_Value: "),
    )


@pytest.mark.parametrize("body", ["no place", "{{{@content}}}{{{@content}}}", "{{ @content }}"])
@pytest.mark.gen_test
async def test_a_layout_without_one_place_for_the_content_is_not_valid(
    library: Library, body: str
) -> None:
    result = await library.validate("a", layout(html=body), None, True)
    assert result.html is not None
    assert (result.all_valid, result.html.valid) == (False, False)
    fault = result.html.errors[0]
    assert (fault.line, fault.character) == (0, 0)
    assert "The layout content placeholder must be present" in fault.message


@pytest.mark.gen_test
async def test_the_given_model_is_laid_over_the_suggested_one(library: Library) -> None:
    html = "{{a.b}}{{a.c}}{{#each l}}{{x}}{{/each}}{{n}}{{o.p}}{{e.f}}"
    model = {"n": None, "l": [{"y": 1}], "a": {"c": "C", "d": 0}, "o": "text", "e": {}}
    result = await library.validate("a", TemplateDraft(html=html), model, True)
    assert json.dumps(result.suggested_model) == json.dumps(
        {
            "n": None,
            "l": [{"y": 1}],
            "a": {"c": "C", "d": 0, "b": "b_Value"},
            "o": "text",
            "e": {"f": "f_Value"},
        }
    )
    assert result.html == rendered("b_ValueCf_Value")


@pytest.mark.gen_test
async def test_what_the_parts_suggest_is_joined(library: Library) -> None:
    draft = TemplateDraft(
        html="{{l}}{{o}}{{s}}{{m.a}}{{#each k}}{{x}}{{/each}}{{#each n}}{{/each}}",
        text="{{#each l}}{{/each}}{{o.p}}{{s}}{{#each m}}{{b}}{{/each}}{{#each k}}{{y}}{{/each}}"
        "{{#each n}}{{z}}{{/each}}",
    )
    result = await library.validate("a", draft, None, True)
    assert result.suggested_model == {
        "l": ["l_1", "l_2", "l_3"],
        "o": {"p": "p_Value"},
        "s": "s_Value",
        "m": [{"b": "b_Value"}],
        "k": [{"x": "x_Value", "y": "y_Value"}],
        "n": [{"z": "z_Value"}],
    }
    assert result.all_valid


@pytest.mark.gen_test
async def test_a_condition_is_suggested_and_not_shown(library: Library) -> None:
    result = await library.validate("a", TemplateDraft(text="a{{#x}}b{{/x}}"), None, True)
    assert (result.text, result.suggested_model) == (rendered("a"), {"x": {}})


@pytest.mark.gen_test
async def test_a_model_that_does_not_fit_makes_its_part_invalid(library: Library) -> None:
    draft = TemplateDraft(text="{{#each rows}}{{/each}}", subject="Hello")
    result = await library.validate("a", draft, {"rows": "one"}, True)
    assert result.text is not None
    assert (result.all_valid, result.text.valid, result.text.rendered) == (False, False, None)
    assert result.subject == rendered("Hello")
    [fault] = result.text.errors
    assert "rows" in fault.message
    assert (fault.line, fault.character) == (0, 0)


@pytest.mark.gen_test
async def test_a_list_of_lists_is_valid_though_its_suggestion_is_not_one(library: Library) -> None:
    draft = TemplateDraft(text="a{{#each l}}{{#each .}}{{.}}{{/each}}{{/each}}")
    assert (await library.validate("a", draft, None, True)).text == rendered("a")
    filled = await library.validate("a", draft, {"l": [["b", "c"]]}, True)
    assert filled.text == rendered("abc")


@pytest.mark.gen_test
async def test_styles_are_inlined_in_a_test_render_unless_told_not_to(library: Library) -> None:
    draft = TemplateDraft(html="<style>p{color:red}</style><p>x</p>")
    on = await library.validate("a", draft, None, True)
    off = await library.validate("a", draft, None, False)
    assert on.html == rendered('<style>p{color:red}</style><p style="color: red;">x</p>')
    assert off.html == rendered(str(draft.html))


@pytest.mark.gen_test
async def test_the_deepest_model_is_suggested(library: Library) -> None:
    path = ".".join(f"k{n}" for n in range(500))
    result = await library.validate(
        "a", TemplateDraft(html=f"{{{{{path}}}}}", text=f"{{{{{path}}}}}"), {"a": 1}, True
    )
    assert result.all_valid
    json.dumps(result.suggested_model)


FRAGMENTS = st.sampled_from(
    [
        *("{{a}}", "{{{a}}}", "{{a.b}}", "{{#a}}", "{{/a}}", "{{^a}}", "{{#each a}}", "{{/each}}"),
        *(
            "{{#each l}}",
            "{{#each ../l}}",
            "{{.}}",
            "{{l}}",
            "{{#l}}",
            "{{/l}}",
            "{{../a}}",
            "text",
        ),
        *("{{{@content}}}", "{{{ pm:unsubscribe }}}", "{{! no }}", "{{#each .}}", "{", "}}", "\n"),
        *("<style>p{a:b}</style>", "<p>", "é", "😀", "{{ x y }}", "{{#each a.b}}"),
    ]
)
BODIES = st.lists(FRAGMENTS, min_size=1, max_size=12).map("".join)


@examples(150)
@given(html=BODIES, text=BODIES, subject=BODIES, is_layout=st.booleans(), framed=st.booleans())
def test_validation_and_creation_agree_and_what_is_created_renders(
    html: str,
    text: str,
    subject: str,
    is_layout: bool,
    framed: bool,
    kept_library: Library,
    run: Run,
) -> None:
    if framed:
        run(ensured_layout(kept_library))
    draft = TemplateDraft(
        html=html,
        text=text,
        subject=None if is_layout else subject,
        type="Layout" if is_layout else "Standard",
        layout="base" if framed and not is_layout else None,
    )
    result = run(kept_library.validate("a", draft, None, True))
    try:
        named = replace(draft, name="Name", subject=draft.subject and f"s{draft.subject}")
        new = run(kept_library.create("a", named, by("key")))
    except StoredTemplateError:
        assert not result.all_valid
        assert any(part and part.errors for part in (result.html, result.text, result.subject))
        return
    assert result.all_valid
    json.dumps(result.suggested_model)
    if not is_layout:
        sent, _ = run(kept_library.rendered(message(new.id, {}), "a"))
        assert sent.is_rendered
        assert sent.html is not None
        assert sent.text is not None
    run(kept_library.delete("a", new.id, by("key")))


async def ensured_layout(library: Library) -> None:
    total, _ = await library.listed("a", offset=0, count=1, layout=None, type="Layout")
    if not total:
        await library.create("a", layout(), by("key"))


MODELS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abl"), inner),
)


@examples(200)
@given(body=BODIES, model=st.dictionaries(st.sampled_from("abl"), MODELS))
def test_a_fault_of_a_whole_part_has_no_place_and_any_other_has_one(
    body: str, model: dict[str, Any], kept_library: Library, run: Run
) -> None:
    result = run(kept_library.validate("a", TemplateDraft(html=body), model, False))
    assert result.html is not None
    assert result.html.valid == (result.html.rendered is not None) == (not result.html.errors)
    for fault in result.html.errors:
        assert isinstance(fault, TemplateFault)
        assert (fault.line > 0) == (fault.character > 0)
