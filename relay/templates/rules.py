"""What a template must be like, as far as it can be told without looking at others."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from relay.core.errors import (
    LayoutPlaceholder,
    TemplateConflict,
    TemplateEmpty,
    TemplateIncomplete,
    TemplateInvalid,
    TemplateTooLong,
)
from relay.core.text import is_storable, length
from relay.store.templates import StoredTemplate, TemplateType

# Active templates of one server, and templates in one push.
MAX_TEMPLATES = 100

# UTF-16 units, as Postmark counts.
MAX_LENGTHS = {
    "name": 1000,
    "alias": 255,
    "layout": 255,
    "subject": 2000,
    "html": 5 * 1024 * 1024,
    "text": 5 * 1024 * 1024,
}

# Tags of one part, and dots in their paths. It bounds the work of reading it; the longest letters
# have some hundreds.
MAX_TAGS = 50_000

# The names of Postmark's API, which is what authors know.
NAMES = {
    "name": "Name",
    "alias": "Alias",
    "layout": "LayoutTemplate",
    "subject": "Subject",
    "html": "HtmlBody",
    "text": "TextBody",
}

PARTS = ("html", "text", "subject")

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]*", re.ASCII)
_PLACEHOLDER = re.compile(r"\{\{\{\s*@content\s*\}\}\}")
_TAG = re.compile(r"\{\{[^{}]++\}\}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """What somebody wants a template to be; None is what was not given.

    An edit leaves alone what is None; `layout` "" takes the template out of its layout. `id` is
    the number that a new template is to have, where it is still free.
    """

    name: str | None = None
    alias: str | None = None
    type: str | None = None
    subject: str | None = None
    html: str | None = None
    text: str | None = None
    layout: str | None = None
    id: int | None = None


Content = TemplateDraft | StoredTemplate


def content_of(content: Content) -> dict[str, str | None]:
    """Return what a draft or a template says, by field: all that a version can change."""
    return {field: getattr(content, field) for field in NAMES}


def check_draft(draft: TemplateDraft) -> None:
    """Raise what is wrong with the words of a draft, whatever it is to become.

    Raise TemplateEmpty, TemplateTooLong or TemplateInvalid.
    """
    given = {field: value for field, value in content_of(draft).items() if value is not None}
    if not given:
        raise TemplateEmpty("No template data received.")
    check_lengths(given)
    for field, value in given.items():
        if not is_storable(value) or (field == "name" and _CONTROL.search(value)):
            raise TemplateInvalid(f"The '{NAMES[field]}' has characters that no mail can carry.")
    if draft.alias is not None and not _ALIAS.fullmatch(draft.alias):
        raise TemplateInvalid(
            "The 'Alias' is not valid: it must start with a letter, and only letters, digits,"
            " '.', '-' and '_' may follow."
        )
    type_of(draft)


def check_lengths(given: dict[str, str]) -> None:
    """Raise TemplateTooLong for a field or part over its limit."""
    for field, value in given.items():
        limit = MAX_LENGTHS[field]
        if length(value) > limit:
            words = f"The '{NAMES[field]}' has more than {limit} characters."
            raise TemplateTooLong(words)
        if value.count("{{") > MAX_TAGS or _segments(value) > MAX_TAGS:
            raise TemplateTooLong(f"The '{NAMES[field]}' has more than {MAX_TAGS} tags.")


def type_of(draft: TemplateDraft) -> TemplateType:
    """Return the type that a new template is to have; raise TemplateInvalid."""
    if draft.type not in (None, "", "Standard", "Layout"):
        raise TemplateInvalid("The 'TemplateType' is not valid: it is Standard or Layout.")
    return cast("TemplateType", draft.type or "Standard")


def check_conflicts(type: TemplateType, subject: str | None, layout: str | None) -> None:
    """Raise TemplateConflict for a layout with what only standard templates have."""
    if type == "Layout" and subject:
        raise TemplateConflict("A 'Subject' is not allowed for a layout template.")
    if type == "Layout" and layout:
        raise TemplateConflict("A 'LayoutTemplate' is not allowed for a layout template.")


def check_whole(type: TemplateType, content: Mapping[str, str | None]) -> None:
    """Raise what is wrong with a template's fields together; no part is read for it.

    Raise TemplateConflict, TemplateIncomplete or LayoutPlaceholder.
    """
    check_conflicts(type, content["subject"], content["layout"])
    if not (content["name"] or "").strip():
        raise TemplateIncomplete("A 'Name' is required.")
    if not content["html"] and not content["text"]:
        raise TemplateIncomplete("An 'HtmlBody' or a 'TextBody' is required.")
    if type == "Standard" and not (content["subject"] or "").strip():
        raise TemplateIncomplete("A 'Subject' is required.")
    if type == "Layout":
        for part in ("html", "text"):
            if words := placeholder_fault(part, content[part]):
                raise LayoutPlaceholder(words)


def placeholder_fault(part: str, body: str | None) -> str | None:
    """Say what is wrong with the place for the content in a layout's part, if it has the part."""
    if not body or len(_PLACEHOLDER.findall(body)) == 1:
        return None
    return (
        "The layout content placeholder must be present, and only once:"
        f" {{{{{{ @content }}}}}} in the '{NAMES[part]}'."
    )


def auto_alias(name: str, type: TemplateType) -> str:
    """Make an alias of a name; it may be taken."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", letters.lower())
    words = words.lstrip("-0123456789")[:200].rstrip("-")
    return words if words and words not in ("validate", "push") else f"{type.lower()}-template"


def _segments(text: str) -> int:
    """Count the dots in tags; text has dots too, and seldom so many that it matters."""
    if text.count(".") <= MAX_TAGS:
        return 0
    return sum(tag.count(".") for tag in _TAG.findall(text))
