"""Answers of the real engine, case by case."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay.mustachio import TemplateRenderError, TemplateSyntaxError, parse

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))


def model_of(case: dict[str, Any]) -> Any:
    return CASES["base_model"] if case["model"] == "BASE" else case["model"]


def render(case: dict[str, Any]) -> str:
    template = parse(case["template"], case.get("layout_content"))
    return template.render(model_of(case), escape=not case.get("content_safety_disabled"))


def kind(name: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in CASES["render"] if name in case]


@pytest.mark.parametrize("case", kind("output"))
def test_a_template_renders_as_the_engine_renders_it(case: dict[str, Any]) -> None:
    assert render(case) == case["output"]


@pytest.mark.parametrize("case", kind("parse_errors"))
def test_a_template_fails_as_it_fails_in_the_engine(case: dict[str, Any]) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        parse(case["template"], case.get("layout_content"))
    assert [
        {"line": fault.line, "char": fault.character, "message": fault.message}
        for fault in caught.value.errors
    ] == case["parse_errors"]


@pytest.mark.parametrize("case", kind("render_error_path"))
def test_a_model_that_does_not_fit_fails_with_the_path(case: dict[str, Any]) -> None:
    with pytest.raises(TemplateRenderError) as caught:
        render(case)
    assert caught.value.path == case["render_error_path"]


@pytest.mark.parametrize("case", CASES["inference"], ids=lambda case: case["template"])
def test_a_template_suggests_the_engines_model(case: dict[str, Any]) -> None:
    suggested = parse(case["template"]).suggested_model
    assert json.dumps(suggested) == json.dumps(case["inferred"])


def test_every_case_says_what_is_expected() -> None:
    expected = {"output", "parse_errors", "render_error_path"}
    assert all(len(expected & case.keys()) == 1 for case in CASES["render"])
