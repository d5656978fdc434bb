"""The contact form: what a resident writes to an office, with a footer that says from where."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import fields

from relay import (
    Address,
    EmailForm,
    HiddenLine,
    Line,
    Link,
    Message,
    Server,
    as_html,
    hookimpl,
    plain_message,
    reference_of,
    setting,
    template_files,
    templated,
)

NAME = "contactform"


class ContactForm(EmailForm):
    """The shared fields, and who writes from which page."""

    message_required = False  # the footer is a body of its own

    name = Line(load_default=None, max=200)
    phone = Line(load_default=None, max=100)
    url = HiddenLine(load_default=None, max=2000)
    browser = HiddenLine(load_default=None, max=1000)


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """The installation's own words."""
    return {
        "form_name": setting(fields.String(), "the contact form", "what the mail calls the form"),
        "reply_line": setting(
            fields.String(), "Please type your reply above this line", "the line above the message"
        ),
        "footer": setting(fields.String(), "", "what stands at the end"),
        "logo_url": setting(Link(), "", "an image, in the HTML part"),
        "tag": setting(fields.String(), "Contact Form", "the tag, where the form has none"),
    }


@hookimpl
def schema(server: Server) -> ContactForm:
    """Take the contact form's fields; read the template files now rather than at the first form."""
    template_files(server, NAME)
    return ContactForm()


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Write the mail to the office; the writer is in Reply-To, never in From."""
    message = plain_message(form, server)
    writer = form["from_address"]
    named = (Address(writer.email, form["name"] or writer.name),)
    message = replace(
        message,
        sender=Address(server.sender.email, form["sender"] or server.sender.name),
        reply_to=form["reply_to"] or server.reply_to or named,
        tag=form["tag"] or server.options["tag"],
    )
    words = {**_words(form, server), "message": message.text or ""}
    markup = None
    if form["useHtml"]:
        html = {"message": message.html or as_html(message.text or "")}
        markup = {**words, **html, "footer": as_html(words["footer"])}
    return templated(template_files(server, NAME).fill(message, words, markup), form, server)


def _words(form: Mapping[str, Any], server: Server) -> dict[str, Any]:
    """Name everything that the template files may use beside the message."""
    return {
        **{name: form[name] for name in ("name", "phone", "url", "browser")},
        "from_address": form["from_address"].email,
        "form": server.options["form_name"],
        "reference": reference_of(form),
        **{name: server.options[name] for name in ("reply_line", "footer", "logo_url")},
    }
