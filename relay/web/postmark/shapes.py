"""Stored templates in Postmark's names, with the keys and the order of each answer."""

from collections.abc import Mapping
from typing import Any

from relay.core.immutable import thaw
from relay.store.templates import StoredTemplate
from relay.templates.pushing import Change
from relay.templates.validation import PartValidation, Validation


def listed(template: StoredTemplate) -> dict[str, Any]:
    """Return a template as a list has it."""
    return {
        "Active": template.active,
        "TemplateId": template.id,
        "Name": template.name,
        "Alias": template.alias,
        "TemplateType": template.type,
        "LayoutTemplate": template.layout,
    }


def changed(template: StoredTemplate) -> dict[str, Any]:
    """Return a template as creating and editing answer it."""
    return {
        "TemplateId": template.id,
        "Name": template.name,
        "Active": template.active,
        "Alias": template.alias,
        "TemplateType": template.type,
        "LayoutTemplate": template.layout,
    }


def whole(template: StoredTemplate, server: int) -> dict[str, Any]:
    """Return a template with its parts; `server` is the number of the server it belongs to."""
    return {
        "Name": template.name,
        "TemplateId": template.id,
        "Subject": template.subject,
        "HtmlBody": template.html,
        "TextBody": template.text,
        "AssociatedServerId": server,
        "Active": template.active,
        "Alias": template.alias,
        "TemplateType": template.type,
        "LayoutTemplate": template.layout,
    }


def validated(validation: Validation) -> dict[str, Any]:
    """Return what a validation found; null for a part that was not given."""
    return {
        "AllContentIsValid": validation.all_valid,
        "HtmlBody": _part(validation.html),
        "TextBody": _part(validation.text),
        "Subject": _part(validation.subject),
        "SuggestedTemplateModel": thaw(validation.suggested_model),
    }


def _part(part: PartValidation | None) -> Mapping[str, Any] | None:
    """Return a part's verdict; a fault without a place has null for line and character."""
    if part is None:
        return None
    return {
        "ContentIsValid": part.valid,
        "ValidationErrors": [
            {
                "Message": fault.message,
                "Line": fault.line or None,
                "CharacterPosition": fault.character or None,
            }
            for fault in part.errors
        ],
        "RenderedContent": part.rendered,
    }


def pushed(change: Change) -> dict[str, Any]:
    """Return a change; what a dry run would create has no number yet, and no key for it."""
    return {
        "Action": change.action,
        **({} if change.id is None else {"TemplateId": change.id}),
        "Alias": change.alias,
        "Name": change.name,
        "TemplateType": change.type,
    }
