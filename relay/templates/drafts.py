"""What the library is told and what it answers, besides the stored templates themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from relay.core.errors import TemplateFault
from relay.store.templates import TemplateType


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


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a template, or would be; `id` is None for one that is not there yet."""

    action: Literal["Create", "Edit"]
    id: int | None
    alias: str
    name: str
    type: TemplateType


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
