"""Which template is meant: by its number, by its alias, as a layout."""

from relay.core.errors import TemplateInvalid, TemplateNotFound
from relay.store import templates
from relay.store.engine.database import Connection
from relay.store.templates import StoredTemplate


def known(connection: Connection, server: str, reference: int | str) -> StoredTemplate:
    """Find a template, by number a deleted one too; raise TemplateNotFound."""
    template = templates.by_reference(connection, server, reference)
    if template is None:
        raise not_found(reference)
    return template


def active(connection: Connection, server: str, reference: int | str) -> StoredTemplate:
    """Find an active template; raise TemplateNotFound."""
    template = known(connection, server, reference)
    if not template.active:
        raise not_found(reference)
    return template


def not_found(reference: int | str) -> TemplateNotFound:
    """Make the refusal of a number or an alias that no template has."""
    what = "'TemplateId'" if isinstance(reference, int) else "Template's 'Alias'"
    return TemplateNotFound(
        f"The {what} associated with this request is not valid or was not found."
    )


def layout_of(connection: Connection, server: str, alias: str | None) -> StoredTemplate | None:
    """Find a layout by its alias, None for none; raise TemplateNotFound or TemplateInvalid."""
    if not alias:
        return None
    layout = templates.by_alias(connection, server, alias)
    if layout is None:
        raise TemplateNotFound(
            "The 'LayoutTemplate' associated with this request is not valid or was not found."
        )
    if layout.type != "Layout":
        raise TemplateInvalid(f"The 'LayoutTemplate' '{alias}' is not a layout.")
    return layout
