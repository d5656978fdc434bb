"""Metrolist: thanks for a listing, with what was understood of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from relay import (
    EmailForm,
    HiddenLine,
    Line,
    Link,
    Message,
    Rows,
    Server,
    WholeNumber,
    hookimpl,
    plain_message,
    setting,
    template_file,
    template_files,
    templated,
    web_link,
)

NAME = "metrolistlistingconfirmation"
SENTENCE = f"{NAME}.sentence.txt"

# What can be updated, in the sentence's order, and the word of its template file for each.
UPDATES = {
    "update_my_contact_information": "contact",
    "update_building_information": "building",
    "update_public_listing_information": "listing",
    "update_unit_information": "units",
    "add_additional_units": "additional",
}


class Unit(Schema):
    """A row of the form's tables of units."""

    class Meta:
        unknown = EXCLUDE

    relist_unit = fields.Boolean(load_default=False)
    unit_count = WholeNumber(load_default=0, min=0, max=100_000)


class ConfirmationForm(EmailForm):
    """The shared fields, the property, and what was done to it."""

    message_required = False  # the mail has a body of its own

    name = Line(load_default=None, max=200)
    url = HiddenLine(load_default=None, max=2000)
    property_name = Line(load_default=None, max=500)
    select_development = Line(load_default=None, max=200)
    current_units = Rows(Unit(), load_default=())
    units = Rows(Unit(), load_default=())
    update_my_contact_information = fields.Boolean(load_default=False)
    update_building_information = fields.Boolean(load_default=False)
    update_public_listing_information = fields.Boolean(load_default=False)
    update_unit_information = fields.Boolean(load_default=False)
    add_additional_units = fields.Boolean(load_default=False)


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """The installation's own words."""
    return {
        "form_name": setting(
            fields.String(), "the Metrolist listing form", "what the mail calls the form"
        ),
        "signature": setting(fields.String(), "", "who signs"),
        "logo_url": setting(Link(), "", "an image, in the HTML part"),
    }


@hookimpl
def schema(server: Server) -> ConfirmationForm:
    """Take the form's fields; read the template files now rather than at the first form."""
    template_files(server, NAME)
    template_file(server, SENTENCE)
    return ConfirmationForm()


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Write what was submitted, and count the units."""
    message = replace(plain_message(form, server), tag="metrolist confirmation")
    words = {
        "sentence": _sentence(form, server),
        "units_updated": sum(unit["relist_unit"] for unit in form["current_units"]),
        "units_added": _added(form),
        "requester": ", ".join(address.email for address in message.to),
        "page": web_link(form["url"]),
        **{name: form[name] for name in ("name", "url", "property_name")},
        **{name: server.options[name] for name in ("signature", "logo_url")},
        "form": server.options["form_name"],
    }
    filled = template_files(server, NAME).fill(message, words, words if form["useHtml"] else None)
    return templated(filled, form, server)


def _is_new(form: Mapping[str, Any]) -> bool:
    return form["select_development"] == "new"


def _added(form: Mapping[str, Any]) -> int:
    """Count the units of a new listing, or those that an old one gets."""
    if not (_is_new(form) or form["add_additional_units"]):
        return 0
    return sum(unit["unit_count"] for unit in form["units"])


def _sentence(form: Mapping[str, Any], server: Server) -> str:
    """Say what was submitted; the words and the commas between them are the template file's."""
    updates = [word for name, word in UPDATES.items() if form[name]]
    last = len(updates) - 1
    parts = [
        {word: True, "comma": 0 < number < last, "and": 0 < number == last}
        for number, word in enumerate(updates)
    ]
    new = _is_new(form)
    words = {
        "new": new,
        "unchanged": not new and not parts,
        "changed": None if new or not parts else {"parts": parts},
        "update": updates != ["additional"],
    }
    return template_file(server, SENTENCE).render(words, escape=False).strip()
