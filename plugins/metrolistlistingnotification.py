"""Metrolist: tells the staff of a listing that was made or updated."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from marshmallow import fields

from relay import (
    EmailForm,
    HiddenLine,
    Line,
    Link,
    Message,
    Pattern,
    Server,
    WholeNumber,
    hookimpl,
    plain_message,
    setting,
    template_files,
    templated,
    web_link,
)

NAME = "metrolistlistingnotification"
LAST_SECOND = 253_402_300_799  # of the year 9999

# What the template files may use under the name of its field.
SHOWN = (
    *("contact_name", "contact_company", "contact_email", "contact_phone", "property_name"),
    *("street_address", "zip_code", "website_link", "url"),
)
UPDATES = {
    "building": "update_building_information",
    "listing": "update_public_listing_information",
    "units": "update_unit_information",
    "additional": "add_additional_units",
}


class NotificationForm(EmailForm):
    """The shared fields, the contact, the property, and what was done to it."""

    message_required = False  # the mail has a body of its own

    name = Line(load_default=None, max=200)
    url = HiddenLine(load_default=None, max=2000)
    completed = WholeNumber(load_default=None, min=0, max=LAST_SECOND)
    select_development = Line(load_default=None, max=200)
    select_contact = Line(load_default=None, max=200)
    contact_name = Line(load_default=None, max=200)
    contact_company = Line(load_default=None, max=200)
    contact_email = Line(load_default=None, max=300)
    contact_phone = Line(load_default=None, max=100)
    contactsfid = Line(load_default=None, max=100)
    property_name = Line(load_default=None, max=500)
    developmentsfid = Line(load_default=None, max=100)
    street_address = Line(load_default=None, max=500)
    city = Line(load_default=None, max=200)
    neighborhood = Line(load_default=None, max=200)
    zip_code = Line(load_default=None, max=20)
    website_link = Line(load_default=None, max=2000)
    update_my_contact_information = fields.Boolean(load_default=False)
    update_building_information = fields.Boolean(load_default=False)
    update_public_listing_information = fields.Boolean(load_default=False)
    update_unit_information = fields.Boolean(load_default=False)
    add_additional_units = fields.Boolean(load_default=False)


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """Where the staff look contacts and developments up, and the installation's own words."""
    return {
        "contact_url": setting(Pattern(), None, "a link with `{{id}}`"),
        "development_url": setting(Pattern(), None, "a link with `{{id}}`"),
        "city": setting(
            fields.String(),
            "",
            "where the form has neither city nor neighborhood (the template file says Boston)",
        ),
        "form_name": setting(
            fields.String(), "the Metrolist listing form", "what the mail calls the form"
        ),
        "logo_url": setting(Link(), "", "an image, in the HTML part"),
    }


@hookimpl
def schema(server: Server) -> NotificationForm:
    """Take the form's fields; read the template files now rather than at the first form."""
    template_files(server, NAME)
    return NotificationForm()


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Write what was submitted, by whom, and where to look it up."""
    message = replace(plain_message(form, server), tag="metrolist notification")
    options = server.options
    words = {
        **{name: form[name] for name in SHOWN},
        "new": form["select_development"] == "new",
        "completed": _time(form["completed"]),
        "city": form["city"] or form["neighborhood"] or options["city"],
        "contact": _look_up(options["contact_url"], form["contactsfid"]),
        "development": _look_up(options["development_url"], form["developmentsfid"]),
        "website": web_link(form["website_link"]),
        "page": web_link(form["url"]),
        "updates": _updates(form),
        "form": options["form_name"],
        "logo_url": options["logo_url"],
    }
    filled = template_files(server, NAME).fill(message, words, words if form["useHtml"] else None)
    return templated(filled, form, server)


def _time(seconds: int | None) -> str:
    """Write a time in UTC."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _look_up(pattern: Any, id: str | None) -> str:
    return pattern.render({"id": quote(id, safe="")}, escape=False) if pattern and id else ""


def _updates(form: Mapping[str, Any]) -> dict[str, bool]:
    """Return what was updated; a new development or contact was not there to be updated."""
    updates = {word: form[name] for word, name in UPDATES.items()}
    if form["select_development"] == "new":
        updates = {}
    if form["update_my_contact_information"] and form["select_contact"] != "new":
        updates["contact"] = True
    return {word: True for word, updated in updates.items() if updated}
