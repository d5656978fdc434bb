"""Metrolist: the link to the listing form, for whoever asked for it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import fields

from relay import (
    EmailForm,
    HiddenLine,
    Line,
    Link,
    Message,
    Server,
    Text,
    hookimpl,
    plain_message,
    setting,
    template_files,
    templated,
    web_link,
)

NAME = "metrolistinitiationform"


class InitiationForm(EmailForm):
    """The shared fields, and who asked from which page; the message is the link."""

    message = Text(required=True)
    name = Line(load_default=None, max=200)
    url = HiddenLine(load_default=None, max=2000)


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """The installation's own words."""
    return {
        "form_name": setting(
            fields.String(), "the Metrolist listing form", "what the mail calls the form"
        ),
        "questions": setting(fields.String(), "", "a mail address for questions"),
        "signature": setting(fields.String(), "", "who signs"),
        "logo_url": setting(Link(), "", "an image, in the HTML part"),
    }


@hookimpl
def schema(server: Server) -> InitiationForm:
    """Take the form's fields; read the template files now rather than at the first form."""
    template_files(server, NAME)
    return InitiationForm()


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Write the mail around the link."""
    message = replace(plain_message(form, server), tag="metrolist form initiation")
    words = {
        "message": form["message"].strip(),
        "link": web_link(form["message"].strip()),
        "name": form["name"],
        "requester": ", ".join(address.email for address in message.to),
        "url": form["url"],
        "page": web_link(form["url"]),
        **{name: server.options[name] for name in ("questions", "signature", "logo_url")},
        "form": server.options["form_name"],
    }
    filled = template_files(server, NAME).fill(message, words, words if form["useHtml"] else None)
    return templated(filled, form, server)
