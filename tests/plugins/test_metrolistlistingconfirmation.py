"""The Metrolist confirmation: flags and tables of units -> a sentence and two counts."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.core.addresses import Address
from relay.core.message import Message
from relay.testing import FormServer
from tests.plugins.conftest import EXAMPLES

FIELDS = {
    "to_address": "owner@example.com",
    "from_address": "noreply@example.gov",
    "name": "Ann",
    "subject": "Thank you",
    "url": "https://www.example.gov/form?a=1&b=2",
    "property_name": "Elm & Oak",
    "useHtml": "1",
}
CONTACT, BUILDING = "update_my_contact_information", "update_building_information"
LISTING, UNITS = "update_public_listing_information", "update_unit_information"
ADDITIONAL = "add_additional_units"
TEXT = """\
Thank you for your submission to Metrolist.

You have requested to update your contact details and existing unit information for the following \
property.

Property name: Elm & Oak
Units updated: 1
Units added: 0

We will review your submission and contact you if we have any questions.

IMPORTANT: to submit listings for other properties, please request a new form.

Thank you.
The Office of Housing

----------------------------------------
This message was sent with the Metrolist listing form on www.example.gov.
The form was submitted by Ann (owner@example.com) from the page at \
https://www.example.gov/form?a=1&b=2.
"""


@pytest.fixture
def confirmation(form_server: Callable[..., FormServer]) -> FormServer:
    return form_server("MetrolistListingConfirmation", EXAMPLES)


def test_a_listing_is_confirmed_in_both_parts(confirmation: FormServer) -> None:
    message = confirmation.post(
        {**FIELDS, CONTACT: 1, UNITS: "1", "current_units": [{"relist_unit": 1}, {}]}
    )
    assert message == Message(
        sender=Address("noreply@example.gov"),
        to=(Address("owner@example.com"),),
        reply_to=(Address("noreply@example.gov"),),
        subject="Thank you",
        tag="metrolist confirmation",
        text=TEXT,
        html=message.html,
    )
    for words in (
        "your contact details and existing unit information for the following property.</p>",
        "<td>Elm &amp; Oak</td>",
        "Units updated</th><td>1</td>",
        '<a href="https://www.example.gov/form?a=1&amp;b=2">',
    ):
        assert words in (message.html or "")
    assert confirmation.post({**FIELDS, "useHtml": ""}).html is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "You have requested to update the following property."),
        ({"select_development": "new"}, "You have submitted a new property listing."),
        (
            {"select_development": "new", BUILDING: "1"},
            "You have submitted a new property listing.",
        ),
        (
            {"select_development": "a01", BUILDING: "1"},
            "You have requested to update building information for the following property.",
        ),
        (
            {BUILDING: "1", LISTING: "1"},
            (
                "You have requested to update building information and public-listing information "
                "for the following property."
            ),
        ),
        (
            {CONTACT: "1", BUILDING: "1", LISTING: "1"},
            (
                "You have requested to update your contact details, building information and "
                "public-listing information for the following property."
            ),
        ),
        (
            {ADDITIONAL: "1"},
            "You have requested to add new units for the following property.",
        ),
        (
            {CONTACT: "1", BUILDING: "1", LISTING: "1", UNITS: "1", ADDITIONAL: "1"},
            (
                "You have requested to update your contact details, building information, "
                "public-listing information, existing unit information and add new units "
                "for the following property."
            ),
        ),
    ],
)
def test_the_sentence_says_what_was_submitted(
    confirmation: FormServer, fields: dict[str, Any], sentence: str
) -> None:
    message = confirmation.post({**FIELDS, **fields})
    assert f"\n\n{sentence}\n\n" in (message.text or "")
    assert f"<p>{sentence}</p>" in (message.html or "")


@pytest.mark.parametrize("flag", [1, "1", True, "true", "on", "yes"], ids=repr)
def test_a_flag_is_set(confirmation: FormServer, flag: Any) -> None:
    assert "update building information" in (
        confirmation.post({**FIELDS, BUILDING: flag}).text or ""
    )


@pytest.mark.parametrize("flag", [0, "0", False, "false", "off", "no", "", None, []], ids=repr)
def test_a_flag_is_not_set(confirmation: FormServer, flag: Any) -> None:
    text = confirmation.post({**FIELDS, BUILDING: flag}).text or ""
    assert "update the following property" in text


@pytest.mark.parametrize(
    ("fields", "updated", "added"),
    [
        ({}, 0, 0),
        (
            {"current_units": [{"relist_unit": "1"}, {"relist_unit": "0"}, {"relist_unit": True}]},
            2,
            0,
        ),
        ({"current_units": [{"relist_unit": "on"}, {"relist_unit": ""}, {"unit_count": 9}]}, 1, 0),
        ({"units": [{"unit_count": 5}]}, 0, 0),
        ({"units": [{"unit_count": 5}, {"unit_count": "3"}, {}], ADDITIONAL: "on"}, 0, 8),
        ({"units": [{"unit_count": 5}, {"unit_count": ""}], "select_development": "new"}, 0, 5),
        ({"units": {"7": {"unit_count": "2"}, "3": {"unit_count": "2"}}, ADDITIONAL: 1}, 0, 4),
        ({"units": [{"unit_count": 1, "extra": {"a": [1]}}], ADDITIONAL: 1}, 0, 1),
        ({"units": "", "current_units": [], ADDITIONAL: 1}, 0, 0),
    ],
)
def test_units_are_counted(
    confirmation: FormServer, fields: dict[str, Any], updated: int, added: int
) -> None:
    text = confirmation.post({**FIELDS, **fields}).text or ""
    assert f"\nUnits updated: {updated}\nUnits added: {added}\n" in text


def test_units_come_in_brackets_too(confirmation: FormServer) -> None:
    body = (
        "email[to_address]=owner@example.com&email[from_address]=noreply@example.gov"
        "&email[subject]=x&select_development=new&units[0][unit_count]=2&units[1][unit_count]=3"
        "&current_units[4][relist_unit]=1&current_units[9][relist_unit]=0"
    )
    assert "\nUnits updated: 1\nUnits added: 5\n" in (confirmation.post(body).text or "")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({BUILDING: "perhaps"}, f"{BUILDING}: Not a valid boolean."),
        ({BUILDING: 2}, f"{BUILDING}: Not a valid boolean."),
        ({BUILDING: [1]}, f"{BUILDING}: Not a valid boolean."),
        ({BUILDING: {"a": 1}}, f"{BUILDING}: Not a valid boolean."),
        ({"units": "five"}, "units: must be a list of rows"),
        ({"units": 5}, "units: must be a list of rows"),
        ({"units": True}, "units: must be a list of rows"),
        ({"units": [5]}, "units: row 1 must be an object"),
        ({"units": [[{"unit_count": 1}]]}, "units: row 1 must be an object"),
        ({"units": {"unit_count": 5}}, "units: row 1 must be an object"),
        ({"units": [{}, {"unit_count": "many"}]}, "units: row 2, unit_count: must be a whole"),
        ({"units": [{"unit_count": 1.5}]}, "units: row 1, unit_count: must be a whole number"),
        ({"units": [{"unit_count": True}]}, "units: row 1, unit_count: must be a whole number"),
        ({"units": [{"unit_count": "1_0"}]}, "units: row 1, unit_count: must be a whole number"),
        ({"units": [{"unit_count": "\uff11"}]}, "units: row 1, unit_count: must be a whole number"),
        ({"units": [{"unit_count": [1]}]}, "units: row 1, unit_count: must be a whole number"),
        ({"units": [{"unit_count": -1}]}, "units: row 1, unit_count: Must be greater"),
        ({"units": [{"unit_count": 10**17}]}, "units: row 1, unit_count: Must be greater"),
        ({"units": [{"unit_count": 10**40}]}, "units: row 1, unit_count: must be a whole number"),
        ({"units": [{}] * 501}, "units: has more than 500 rows"),
        ({"current_units": [{"relist_unit": {}}, {"relist_unit": 7}]}, "current_units: row"),
        ({"current_units": [{"relist_unit": "\u20ac"}]}, "current_units: row 1, relist_unit: Not"),
        ({"select_development": ["new"]}, "select_development: Not a valid string."),
        ({"property_name": {"a": "b"}}, "property_name: Not a valid string."),
        ({"property_name": "a\nb"}, "property_name: must be a single line"),
        ({"property_name": "x" * 501}, "property_name: Longer than"),
    ],
)
def test_hostile_shapes_are_refused_by_their_place(
    confirmation: FormServer, fields: dict[str, Any], words: str
) -> None:
    refused = confirmation.refused({**FIELDS, ADDITIONAL: 1, **fields})
    assert refused.status == 400
    assert refused.words.startswith(words)


def test_a_stored_template_gets_the_fields_and_the_parts(confirmation: FormServer) -> None:
    message = confirmation.post({**FIELDS, "template_id": "1", "units": [{"unit_count": "1"}]})
    model = message.model or {}
    assert message.template == 1
    assert model["property_name"] == "Elm & Oak"
    assert model["units"] == ({"unit_count": "1"},)
    assert "Units added: 0" in model["TextBody"]
    assert "Elm &amp; Oak" in model["HtmlBody"]
