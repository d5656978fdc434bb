"""The contact form: what a resident writes to an office, with a footer that says from where."""

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

from marshmallow import fields, validate

from relay import (
    Address,
    ConfigurationError,
    EmailForm,
    Line,
    Message,
    Server,
    as_html,
    hookimpl,
    plain_message,
    template_file,
    templated,
)


class ContactForm(EmailForm):
    """The shared fields, and who writes from which page."""

    message_required = False  # the footer is a body of its own

    name = Line(load_default=None, max=200)
    phone = Line(load_default=None, max=100)
    url = Line(load_default=None, max=2000)
    browser = Line(load_default=None, max=1000)


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """The installation's own words."""
    link = validate.URL(schemes={"http", "https"}, require_tld=False)
    return {
        "form_name": fields.String(load_default="the contact form"),
        "reply_line": fields.String(load_default="Please type your reply above this line"),
        "footer": fields.String(load_default=""),
        "logo_url": fields.String(load_default="", validate=lambda url: url and link(url)),
        "tag": fields.String(load_default="Contact Form"),
    }


@hookimpl
def schema(server: Server) -> ContactForm:
    """Take the contact form's fields; find the template files now rather than at the first form."""
    nothing = _words({}, server)
    for file in ("contactform.txt", "contactform.html"):
        try:
            template_file(server, file).substitute(nothing, **_LINES)
        except KeyError as error:
            words = f"template file {file}: there is no ${error.args[0]}"
            raise ConfigurationError(words) from None
    return ContactForm()


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Write the mail to the office; the writer is in Reply-To, never in From."""
    message = plain_message(form, server)
    writer = form["from_address"]
    words = _words(form, server)
    plain = template_file(server, "contactform.txt")
    message = replace(
        message,
        sender=Address(server.sender.email, form["sender"] or server.sender.name),
        reply_to=form["reply_to"]
        or server.reply_to
        or (Address(writer.email, form["name"] or writer.name),),
        tag=form["tag"] or server.options["tag"],
        text=plain.substitute(words, message=message.text or "", logo=""),
        html=_html(message, words, server) if form["useHtml"] else None,
    )
    return templated(message, form, server)


_LINES = {"message": "", "logo": ""}


def _words(form: Mapping[str, Any], server: Server) -> dict[str, str]:
    """Name everything that the template files may use; what was not given is a dash."""
    given = {name: form.get(name) or "-" for name in ("name", "phone", "url", "browser")}
    writer = form.get("from_address")
    return {
        **given,
        "from_address": writer.email if writer else "-",
        "form": server.options["form_name"],
        "reply_line": server.options["reply_line"],
        "footer": server.options["footer"],
    }


def _html(message: Message, words: Mapping[str, str], server: Server) -> str:
    logo_url = server.options["logo_url"]
    logo = f'<p><img src="{escape(logo_url)}" alt="" height="48"></p>' if logo_url else ""
    body = message.html or as_html(message.text or "")
    escaped = {name: as_html(value) for name, value in words.items()}
    return template_file(server, "contactform.html").substitute(escaped, message=body, logo=logo)
