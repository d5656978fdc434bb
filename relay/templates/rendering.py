"""From a message that names a stored template to one with a subject and parts, styles inlined."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from relay.core.errors import TemplateNotFound, TemplateRenderError, TemplateSyntaxError
from relay.core.message import Message
from relay.core.text import length, line, lines, storable
from relay.mustachio import Template
from relay.store import templates
from relay.store.engine.database import Connection
from relay.store.templates import Standing
from relay.templates.inlining import inlined
from relay.templates.parts import Cache, Compiled, compiled
from relay.templates.references import not_found
from relay.templates.rules import MAX_LENGTHS, PARTS

MAX_WARNINGS = 20

# What may stand in a model, and in a body, but not in the header line that a subject becomes.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

Warnings = Sequence[str]


def render_message(
    connection: Connection, message: Message, server: str, cache: Cache
) -> tuple[Message, Warnings]:
    """Return a message its subject and parts, and a line for each value that the model lacked.

    Raise TemplateNotFound or TemplateRenderError.
    """
    parts = _parts(connection, server, message.template or 0, cache)
    model = message.model or {}
    missing: dict[str, None] = {}
    subject = render_subject(parts.subject, model, missing) if parts.subject else None
    text = render_text(parts.text, model, missing) if parts.text else None
    html = render_html(parts.html, model, missing) if parts.html else None
    warnings = [f"the model has no value for {name}" for name in missing][:MAX_WARNINGS]
    if html is not None and message.inline_css:
        html, is_inlined = inlined(html)
        if not is_inlined:
            warnings.append("the styles of the HTML part are too much to be inlined")
    return replace(message, subject=subject, text=text, html=html), warnings


def render_subject(
    template: Template, model: Mapping[str, Any], missing: dict[str, None] | None = None
) -> str:
    """Render a subject: one line, whatever the model brings. Raise TemplateRenderError."""
    rendered = template.render(model, escape=False, missing=missing)
    subject = line(storable(_CONTROL.sub(" ", rendered)))
    if length(subject) > MAX_LENGTHS["subject"]:
        raise TemplateRenderError("The rendered subject has more than 2000 characters.")
    return subject


def render_text(
    template: Template, model: Mapping[str, Any], missing: dict[str, None] | None = None
) -> str:
    """Render a text part, in which nothing is escaped. Raise TemplateRenderError."""
    return lines(template.render(model, escape=False, missing=missing))


def render_html(
    template: Template, model: Mapping[str, Any], missing: dict[str, None] | None = None
) -> str:
    """Render an HTML part, in which values are escaped. Raise TemplateRenderError."""
    return lines(template.render(model, missing=missing))


def _parts(connection: Connection, server: str, reference: int | str, cache: Cache) -> Compiled:
    standing = templates.standing(connection, server, reference)
    if standing is None:
        raise not_found(reference)
    if standing.type == "Layout":
        raise TemplateNotFound(f"{not_found(reference)} It names a layout.")
    key = (server, standing.id, standing.version, standing.layout_id, standing.layout_version)
    return cache.find(key, lambda: _read(connection, server, standing))


def _read(connection: Connection, server: str, standing: Standing) -> tuple[Compiled, int]:
    template = templates.by_number(connection, server, standing.id)
    layout = None
    if standing.layout_id is not None:
        layout = templates.by_number(connection, server, standing.layout_id)
    if template is None:
        raise not_found(standing.id)
    try:
        parts = compiled(template, layout)
    except TemplateSyntaxError as error:
        # Each was checked when it was stored; a layout that grew may be too much for both.
        raise TemplateRenderError(f"The template does not fit into its layout: {error}") from None
    bodies = [getattr(stored, part) for stored in (template, layout) if stored for part in PARTS]
    return parts, sum(len(body) for body in bodies if body)
