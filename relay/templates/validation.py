"""Trying a draft out: what is wrong with it, how it looks, which model it seems to expect."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.core.errors import (
    TemplateEmpty,
    TemplateFault,
    TemplateIncomplete,
    TemplateRenderError,
    TemplateSyntaxError,
)
from relay.core.immutable import thaw
from relay.mustachio import Template
from relay.store.templates import StoredTemplate
from relay.templates.inlining import inlined
from relay.templates.parts import layout_readers, readers
from relay.templates.rendering import render_html, render_subject, render_text
from relay.templates.rules import (
    PARTS,
    TemplateDraft,
    check_conflicts,
    check_draft,
    placeholder_fault,
    type_of,
)

# A fault of a part as a whole has no place in it.
NOWHERE = 0


@dataclass(frozen=True, slots=True)
class PartValidation:
    """One part of a draft: what is wrong with it, or how it looks when rendered.

    A fault without a place has line and character 0.
    """

    valid: bool
    errors: Sequence[TemplateFault]
    rendered: str | None


@dataclass(frozen=True, slots=True)
class Validation:
    """A draft's parts, None for those that were not given, and a model that has all its paths."""

    html: PartValidation | None
    text: PartValidation | None
    subject: PartValidation | None
    suggested_model: Any
    all_valid: bool


def check_content(draft: TemplateDraft, has_model: bool) -> None:
    """Raise what leaves nothing to try out, or what no template can be.

    Raise TemplateEmpty, TemplateIncomplete, TemplateTooLong, TemplateInvalid, TemplateConflict.
    """
    if not any(getattr(draft, part) for part in PARTS):
        if not has_model and all(getattr(draft, part) is None for part in PARTS):
            raise TemplateEmpty("No template data received.")
        raise TemplateIncomplete("A 'Subject', an 'HtmlBody' or a 'TextBody' is required.")
    check_draft(draft)
    check_conflicts(type_of(draft), draft.subject, draft.layout)


def validated(
    draft: TemplateDraft,
    layout: StoredTemplate | None,
    model: Mapping[str, Any] | None,
    inline_css: bool,
) -> Validation:
    """Read all parts of a draft, and render them with its own model under the given one.

    A part that does not render is not valid; a value that the model lacks is no fault.
    """
    read, parts = _read(draft, layout)
    given = thaw(model or {})
    suggested: Any = None
    for template in read.values():
        suggested = joined(suggested, template.suggested_model)
    if given or suggested is None:
        suggested = _laid_over(given, suggested)
    for part, template in read.items():
        parts[part] = _rendered(part, template, (suggested, given), inline_css)
    return Validation(
        html=parts.get("html"),
        text=parts.get("text"),
        subject=parts.get("subject"),
        suggested_model=suggested,
        all_valid=all(part.valid for part in parts.values()),
    )


def joined(one: Any, other: Any) -> Any:
    """Join two suggestions: a list stands for more than an object, an object than a string.

    Names keep the order in which they came.
    """
    if isinstance(one, list) and isinstance(other, list):
        return [joined(one[0], other[0])] if isinstance(one[0], dict) else other
    if isinstance(one, dict) and isinstance(other, dict):
        both = dict(one)
        for name, value in other.items():
            both[name] = joined(one[name], value) if name in one else value
        return both
    return max(one, other, key=_expressiveness)


def _expressiveness(value: Any) -> int:
    return 0 if value is None else 3 if isinstance(value, list) else 1 + isinstance(value, dict)


def _laid_over(given: Any, suggested: Any) -> Any:
    """Fill what is given up with what is suggested; what is given stays."""
    if not isinstance(given, dict) or not isinstance(suggested, dict):
        return given
    filled = dict(given)
    for name, value in suggested.items():
        filled[name] = _laid_over(given[name], value) if name in given else value
    return filled


def _read(
    draft: TemplateDraft, layout: StoredTemplate | None
) -> tuple[dict[str, Template], dict[str, PartValidation]]:
    """Read the parts: those that can be read, and what is to be said of the others."""
    read: dict[str, Template] = {}
    # A part that was given and is empty is valid; one that was not given is not there at all.
    given = [part for part in PARTS if getattr(draft, part) is not None]
    parts = {part: PartValidation(True, (), "") for part in given}
    is_layout = type_of(draft) == "Layout"
    for part, reader in (layout_readers(draft) if is_layout else readers(draft, layout)).items():
        words = is_layout and placeholder_fault(part, getattr(draft, part))
        faults = [TemplateFault(words, NOWHERE, NOWHERE)] if words else []
        try:
            template = reader()
        except TemplateSyntaxError as error:
            faults.extend(error.errors)
        if faults:
            parts[part] = PartValidation(False, faults, None)
        else:
            read[part] = template
    return read, parts


def _rendered(
    part: str, template: Template, models: Iterable[Any], inline_css: bool
) -> PartValidation:
    """Render a part with the first of the models that it renders with.

    A suggestion cannot fit every template: a list of lists is suggested as a list of strings.
    """
    render = {"html": render_html, "text": render_text, "subject": render_subject}[part]
    for model in models:
        try:
            rendered = render(template, model)
        except TemplateRenderError as error:
            fault = TemplateFault(str(error), NOWHERE, NOWHERE)
            continue
        if part == "html" and inline_css:
            rendered, _ = inlined(rendered)
        return PartValidation(True, (), rendered)
    return PartValidation(False, (fault,), None)
