"""Stored templates as rows: the current ones, and every version they had before."""

from dataclasses import dataclass
from typing import Literal

TemplateType = Literal["Standard", "Layout"]


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template of a server (a group's name), as one of its versions.

    `alias` and `layout` (another template's alias) may be None, and so may the parts that it does
    not have. A deleted one is not `active`. `edited_by` is a key's id, or `operator`.
    """

    server: str
    id: int
    version: int
    name: str
    alias: str | None
    type: TemplateType
    subject: str | None
    html: str | None
    text: str | None
    layout: str | None
    active: bool
    edited_at: float
    edited_by: str
