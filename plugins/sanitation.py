"""Pickups of large items: confirmations and reminders that an application sends as JSON."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import fields

from relay import (
    EmailForm,
    Html,
    Line,
    Message,
    Server,
    TemplateReference,
    as_html,
    as_text,
    hookimpl,
    is_html,
    plain_message,
    setting,
    templated,
)


class Markup(Html):
    """HTML, or text: what has no element in it is text, and stays so."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, str) and not is_html(value):
            value = as_html(value).replace("<br>\n", "<br>")
        return super()._deserialize(value, attr, data, **kwargs)


class SanitationForm(EmailForm):
    """The shared fields, and which mail of a series it is; the message is HTML."""

    media_types = frozenset({"application/json"})

    message = Markup(load_default=None)
    type = Line(load_default=None, max=1000)


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """`template` is the stored template of all its mail; without one the message is the mail."""
    return {"template": setting(TemplateReference(), None, "the stored template of all its mail")}


@hookimpl
def schema(server: Server) -> SanitationForm:
    """Take the pickup's fields."""
    return SanitationForm(template=server.options["template"])


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Make both parts of the message; the tag is the type."""
    html = form["HtmlBody"] or form["message"] or as_html(form["TextBody"] or "")
    message = replace(
        plain_message(form, server),
        text=form["TextBody"] or as_text(html),
        html=html,
        tag=form["type"] or form["tag"],
    )
    template = server.options["template"] or form["template_id"]
    if template is None and form["useHtml"] is False:
        message = replace(message, html=None)
    return templated(message, form, server, template)
