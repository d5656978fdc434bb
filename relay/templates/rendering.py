"""From a message that names a stored template to one with a subject and parts, styles inlined.

The rules of a document's style tags also become its elements' own styles.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import css_inline
import structlog

from relay.core.errors import TemplateNotFound, TemplateRenderError, TemplateSyntaxError
from relay.core.message import Message
from relay.core.text import is_storable, line
from relay.mustachio import Template
from relay.mustachio.program import MAX_OUTPUT
from relay.store import templates
from relay.store.engine.database import Connection
from relay.store.templates import Standing
from relay.templates.parts import Cache, Compiled, compiled
from relay.templates.references import not_found
from relay.templates.rules import MAX_LENGTHS, PARTS, length

MAX_WARNINGS = 20

# What may stand in a model, and in a body, but not in the header line that a subject becomes.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# What neither bodies nor headers can carry.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

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
    subject = line(_sendable(_CONTROL.sub(" ", rendered)))
    if length(subject) > MAX_LENGTHS["subject"]:
        raise TemplateRenderError("The rendered subject has more than 2000 characters.")
    return subject


def render_text(
    template: Template, model: Mapping[str, Any], missing: dict[str, None] | None = None
) -> str:
    """Render a text part, in which nothing is escaped. Raise TemplateRenderError."""
    return _sendable(template.render(model, escape=False, missing=missing))


def render_html(
    template: Template, model: Mapping[str, Any], missing: dict[str, None] | None = None
) -> str:
    """Render an HTML part, in which values are escaped. Raise TemplateRenderError."""
    return _sendable(template.render(model, missing=missing))


def _sendable(rendered: str) -> str:
    return rendered if is_storable(rendered) else _UNSENDABLE.sub("\ufffd", rendered)


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


# The inliner recurses once for each level of nesting, on the thread's stack, and keeps the
# interpreter to itself. A letter has some hundred elements and declarations; at these limits the
# worst that can be made up takes about a second, and far beyond them the process would end.
MAX_STYLED_LENGTH = 500_000
MAX_ELEMENTS = 2_500
# Each element is matched against each selector, and each declaration that matches is looked for
# among those that matched before.
MAX_MATCHING = 30_000_000
MAX_MERGING = 300_000_000
# `a ~ b` looks through all elements for each one.
MAX_SIBLINGS = 100_000_000

_STYLE = re.compile(r"<style[\s/>]", re.IGNORECASE)
_STYLE_END = re.compile(r"</style", re.IGNORECASE)
_ELEMENT = re.compile(r"<[A-Za-z]")
_DOCUMENT = re.compile(r"<(?:!doctype|html|head|body)[\s/>]", re.IGNORECASE)

# Nothing is fetched and no file is read. Style tags stay, for rules that cannot be inlined.
_INLINER = css_inline.CSSInliner(
    load_remote_stylesheets=False, keep_style_tags=True, keep_link_tags=True
)

log = structlog.get_logger()


def inlined(html: str) -> tuple[str, bool]:
    """Return HTML with its styles inlined, and whether they are, or there are none.

    What is too large, or cannot be read, stays as it is. A fragment stays one.
    """
    first = _STYLE.search(html)
    if first is None:
        return html, True
    if not _is_modest(html, first.start()):
        return html, False
    try:
        if _DOCUMENT.search(html):
            styled = _INLINER.inline(html)
        else:
            styled = _INLINER.inline_fragment(html, "")
    except (css_inline.InlineError, ValueError) as error:
        log.info("styles.kept", error=type(error).__name__)
        return html, False
    return (styled, True) if len(styled) <= MAX_OUTPUT else (html, False)


def _is_modest(html: str, begin: int) -> bool:
    """Return whether the work is bounded, by counts that are never too low.

    begin: where the first style tag is. Every declaration has a colon, whether in style tags or in
    an element's own style.
    """
    elements = len(_ELEMENT.findall(html))
    if len(html) > MAX_STYLED_LENGTH or elements > MAX_ELEMENTS:
        return False
    end = max((close.start() for close in _STYLE_END.finditer(html, begin)), default=begin)
    if _STYLE.search(html, end):
        end = len(html)  # the last one never closes
    declarations = html.count(":", begin, end)
    merging = declarations * max(declarations * elements, html.count(":"))
    return (
        (end - begin) * elements <= MAX_MATCHING
        and merging <= MAX_MERGING
        and html.count("~", begin, end) * elements**2 <= MAX_SIBLINGS
    )
