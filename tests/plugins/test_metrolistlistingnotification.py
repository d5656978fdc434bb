"""The Metrolist notification: a finished form -> what the staff should know of it."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from relay.core.addresses import Address
from relay.core.message import Message
from relay.testing import FormServer
from tests.plugins.conftest import EXAMPLES

FIELDS = {
    "to_address": "staff@example.gov",
    "from_address": "noreply@example.gov",
    "sender": "Metrolist",
    "subject": "Updated",
    "url": "https://www.example.gov/form?a=1&b=2",
    "useHtml": "1",
    "completed": "1700000000",
    "contact_name": "Ann O'Hara",
    "contact_company": "Elm & Co",
    "contact_email": "ann@example.com",
    "contact_phone": "555 0100",
    "contactsfid": "003A",
    "property_name": "Elm Court",
    "developmentsfid": "a01B",
    "street_address": "1 Elm Street",
    "city": "Riverside",
    "zip_code": "02118",
    "website_link": "https://elm.example.com/?a=1&b",
    "update_building_information": "1",
    "update_my_contact_information": True,
}
TEXT = """\
A Metrolist property was updated.

Submitted on: 2023-11-14 22:13 (UTC)
Submitted by: Ann O'Hara
Company: Elm & Co
Email: ann@example.com
Phone: 555 0100
Property name: Elm Court
Property address: 1 Elm Street, Riverside, 02118

Updated:
- Contact information
- Building information

Contact: https://crm.example.gov/contacts/003A
Development: https://crm.example.gov/developments/a01B
Property page: https://elm.example.com/?a=1&b

----------------------------------------
This message was sent with the Metrolist listing form on www.example.gov \
(https://www.example.gov/form?a=1&b=2).
"""


@pytest.fixture
def notification(form_server: Callable[..., FormServer]) -> FormServer:
    return form_server("MetrolistListingNotification", EXAMPLES)


def test_a_listing_is_told_in_both_parts(notification: FormServer) -> None:
    message = notification.post(FIELDS)
    assert message == Message(
        sender=Address("noreply@example.gov", "Metrolist"),
        to=(Address("staff@example.gov"),),
        reply_to=(Address("noreply@example.gov"),),
        subject="Updated",
        tag="metrolist notification",
        text=TEXT,
        html=message.html,
    )
    for words in (
        "<td>2023-11-14 22:13 (UTC)</td>",
        "<td>Ann O&#39;Hara</td>",
        "<td>Elm &amp; Co</td>",
        "<td>1 Elm Street, Riverside, 02118</td>",
        "<td>Contact information<br>\nBuilding information<br>\n</td>",
        '<a href="https://crm.example.gov/contacts/003A">',
        '<a href="https://crm.example.gov/developments/a01B">',
        '<a href="https://elm.example.com/?a=1&amp;b">',
        '<a href="https://www.example.gov/form?a=1&amp;b=2">the Metrolist listing form on',
    ):
        assert words in (message.html or "")
    assert notification.post({**FIELDS, "useHtml": 0}).html is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"city": ""}, "Property address: 1 Elm Street, Boston, 02118\n"),
        ({"city": "", "neighborhood": "Hill"}, "Property address: 1 Elm Street, Hill, 02118\n"),
        ({"neighborhood": "Hill"}, "Property address: 1 Elm Street, Riverside, 02118\n"),
        ({"street_address": "", "zip_code": ""}, "Property address: Riverside\n"),
        ({"completed": 0}, "Submitted on: 1970-01-01 00:00 (UTC)\n"),
        ({"completed": 253402300799}, "Submitted on: 9999-12-31 23:59 (UTC)\n"),
        ({"select_development": "new"}, "A new Metrolist listing was submitted.\n"),
        ({"update_unit_information": "on"}, "- Unit information\n"),
        ({"add_additional_units": "true"}, "- Additional units\n"),
        ({"update_public_listing_information": 1}, "- Public-listing information\n"),
        ({"contactsfid": "../x?y"}, "Contact: https://crm.example.gov/contacts/..%2Fx%3Fy\n"),
        ({"url": ""}, "sent with the Metrolist listing form on www.example.gov.\n"),
    ],
)
def test_what_a_field_says_in_the_text(
    notification: FormServer, changes: dict[str, Any], line: str
) -> None:
    assert line in (notification.post({**FIELDS, **changes}).text or "")


def test_the_time_is_utc_wherever_the_machine_stands(
    notification: FormServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "EST5")
        time.tzset()
        text = notification.post(FIELDS).text or ""
    time.tzset()
    assert "Submitted on: 2023-11-14 22:13 (UTC)\n" in text


def test_the_city_may_be_a_setting(form_server: Callable[..., FormServer]) -> None:
    text = EXAMPLES.replace("contact_url", 'city = "Springfield"\ncontact_url')
    message = form_server("metrolistlistingnotification", text).post({**FIELDS, "city": ""})
    assert "1 Elm Street, Springfield, 02118" in (message.text or "")
    assert "1 Elm Street, Springfield, 02118" in (message.html or "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"completed": ""}, "Submitted on"),
        ({"contactsfid": ""}, "Contact:"),
        ({"developmentsfid": ""}, "Development:"),
        ({"select_development": "new"}, "Building information"),
        ({"select_contact": "new"}, "Contact information"),
        ({"update_building_information": 0, "select_contact": "new"}, "Updated:"),
    ],
)
def test_what_is_not_there_is_not_spoken_of(
    notification: FormServer, changes: dict[str, Any], words: str
) -> None:
    assert words in (notification.post(FIELDS).text or "")
    assert words not in (notification.post({**FIELDS, **changes}).text or "")


@pytest.mark.parametrize("link", ["javascript:alert(1)", "elm.example.com", "https://a@b.example"])
def test_a_website_that_is_no_safe_link_stands_there_as_text(
    notification: FormServer, link: str
) -> None:
    html = notification.post({**FIELDS, "website_link": link}).html or ""
    assert f"<p>Property page: {link}</p>" in html
    assert f'href="{link}' not in html


def test_without_settings_for_them_there_are_no_links_to_look_up(
    form_server: Callable[..., FormServer],
) -> None:
    text = "\n".join(line for line in EXAMPLES.splitlines() if "crm." not in line)
    message = form_server("metrolistlistingnotification", text).post(FIELDS)
    assert "Contact:" not in (message.text or "")
    assert "View" not in (message.html or "")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"completed": "yesterday"}, "completed"),
        ({"completed": -1}, "completed"),
        ({"completed": 253402300800}, "completed"),
        ({"completed": 1.5}, "completed"),
        ({"completed": True}, "completed"),
        ({"completed": [1]}, "completed"),
        ({"completed": "1_000"}, "completed"),
        ({"completed": "\u0661"}, "completed"),
        ({"contact_name": ["x"]}, "contact_name"),
        ({"contact_email": {"a": 1}}, "contact_email"),
        ({"contactsfid": {"id": 7}}, "contactsfid"),
        ({"developmentsfid": "x" * 101}, "developmentsfid"),
        ({"city": "a\rb"}, "city"),
        ({"website_link": "https://x/\nBcc: a"}, "website_link"),
        ({"add_additional_units": "maybe"}, "add_additional_units"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    notification: FormServer, changes: dict[str, Any], name: str
) -> None:
    refused = notification.refused({**FIELDS, **changes})
    assert refused.status == 400
    assert refused.words.startswith(f"{name}: ")
