"""The mapped server: fields and message stand in the settings, and nothing in Python."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.config import settings
from relay.config.template_files import unfilled_names
from relay.core.addresses import Address
from relay.core.errors import ConfigurationError
from relay.core.message import Message
from relay.hooks import loader
from relay.intake.message_builder import compose
from relay.operators.findings import of_server
from relay.testing import FormServer, Screened
from relay.web.bodies import JSON, submission_of

PERMITS = """
[servers.permits]
plugins = ["bearer_token", "session_token", "honeypot", "mapped", "mailbox"]
sender = "Permits <permits@example.gov>"
recipients = ["@example.gov"]
to = "desk@example.gov"
subject = "Permit {{permit}}"
tag = "Permit {{kind}}"

[servers.permits.fields]
permit = { required = true, max = 20, label = "Permit number", alias = "permit_no" }
kind = { kind = "choice", choices = ["fair", "parade"] }
visitors = { kind = "integer", min = 1, max = 5000 }
parking = "yes_no"
asked = { kind = "address", alias = ["contact_email", "contact_mail"] }
plan = "html"
remarks = { kind = "text", max = 200 }
site = "link"
from_address = { label = "Email", alias = "email_address" }
"""
FIELDS = {
    "permit": "77 <x>",
    "kind": "fair",
    "visitors": "12",
    "parking": "on",
    "asked": "Ann <ann@example.com>",
    "plan": "<p>Here</p><script>x</script>",
    "remarks": "a<b\nc",
    "site": "https://fair.example.com/?a&b",
    "from_address": "a@example.com",
    "useHtml": 1,
    "message": "Hi\nyou",
}
TEXT = """\
Permit number: 77 <x>
Kind: fair
Visitors: 12
Parking: yes
Asked: Ann <ann@example.com>
Plan: Here
Remarks: a<b
c
Site: https://fair.example.com/?a&b
Email: a@example.com

Hi
you

"""


@pytest.fixture
def permits(form_server: Callable[..., FormServer]) -> FormServer:
    return form_server("permits", PERMITS)


def test_a_form_becomes_a_list_in_both_parts(permits: FormServer) -> None:
    message = permits.post(FIELDS)
    assert message == Message(
        sender=Address("permits@example.gov", "Permits"),
        to=(Address("desk@example.gov"),),
        reply_to=(Address("a@example.com"),),
        subject="Permit 77 <x>",
        tag="Permit fair",
        text=TEXT,
        html=message.html,
    )
    for row in (
        '<th align="left">Permit number</th><td>77 &lt;x&gt;</td>',
        '<th align="left">Parking</th><td>yes</td>',
        '<th align="left">Plan</th><td><p>Here</p></td>',
        '<th align="left">Remarks</th><td>a&lt;b<br>\nc</td>',
        "<td>https://fair.example.com/?a&amp;b</td>",
        "<p>Hi<br>\nyou</p>",
    ):
        assert row in (message.html or "")
    assert permits.post({**FIELDS, "useHtml": 0}).html is None


def test_what_was_not_filled_in_has_no_row(permits: FormServer) -> None:
    message = permits.post({"permit": "7", "email_address": "a@example.com", "parking": "0"})
    assert message.text == "Permit number: 7\nParking: no\nEmail: a@example.com\n\n"
    assert message.tag == "Permit"


@pytest.mark.parametrize(
    "fields",
    [
        {"permit_no": "7", "from_address": "a@example.com"},
        {"permit": "7", "email_address": "a@example.com", "contact_mail": "b@example.com"},
        {"permit": "7", "permit_no": "7", "from_address": "a@example.com"},
        {"permit": "7", "from_address": "a@example.com", "to": "desk@example.gov"},
    ],
)
def test_a_field_has_other_names(permits: FormServer, fields: dict[str, Any]) -> None:
    message = permits.post(fields)
    assert (message.subject, str(message.reply_to[0])) == ("Permit 7", "a@example.com")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"permit": ""}, "permit: Missing data for required field."),
        ({"permit": "x" * 21}, "permit: Longer than maximum length 20."),
        ({"permit": "8", "permit_no": "9"}, "permit: given twice with different values"),
        ({"permit": ["8"]}, "permit: Not a valid string."),
        ({"kind": "circus"}, "kind: must be one of: fair, parade"),
        ({"kind": {"a": 1}}, "kind: "),
        ({"visitors": "0"}, "visitors: Must be greater than or equal to 1"),
        ({"visitors": "1_0"}, "visitors: must be a whole number"),
        ({"visitors": "10000000"}, "visitors: Must be"),
        ({"parking": "perhaps"}, "parking: Not a valid boolean."),
        ({"asked": "nobody"}, "asked: not a mail address"),
        ({"remarks": "x" * 201}, "remarks: Longer than maximum length 200."),
        ({"site": "javascript:x"}, "site: must be a link: https://..."),
        ({"plan": "<b>" * 3000}, "plan: has more than"),
        ({"to_address": "mayor@example.gov"}, "to_address: the settings say who gets it"),
        ({"cc": "a@example.com"}, "cc: not a recipient"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(
    permits: FormServer, changes: dict[str, Any], words: str
) -> None:
    refused = permits.refused({**FIELDS, **changes})
    assert refused.status == 400
    assert refused.words.startswith(words)


@pytest.mark.parametrize(
    ("permit", "subject"),
    [("a {{kind}}", "Permit a {{kind}}"), ("\u202ex", "Permit x"), ("&<>", "Permit &<>")],
)
def test_a_value_in_the_subject_is_text(permits: FormServer, permit: str, subject: str) -> None:
    assert permits.post({**FIELDS, "permit": permit}).subject == subject


def test_a_subject_is_one_line_and_no_longer_than_mail_allows(
    form_server: Callable[..., FormServer],
) -> None:
    text = PERMITS.replace("Permit {{permit}}", "{{remarks}}").replace("max = 200", "max = 9000")
    permits = form_server("permits", text)
    for remarks, subject in (
        ("a\r\nBcc: x@example.com", "a Bcc: x@example.com"),
        ("a\x7fb\u2028c", "ab c"),
        ("x" * 9000, "x" * 2000),
    ):
        assert permits.post({**FIELDS, "remarks": remarks}).subject == subject
    refused = permits.refused({"permit": "7", "from_address": "a@example.com"})
    assert refused.words == "subject: nothing that was filled in makes a subject"


def test_a_robot_is_screened_as_anywhere(permits: FormServer) -> None:
    with pytest.raises(Screened):
        permits.post({**FIELDS, "contact": "robot"})


def test_without_patterns_subject_tag_and_recipient_are_the_forms(
    form_server: Callable[..., FormServer],
) -> None:
    text = "\n".join(
        line for line in PERMITS.splitlines() if not line.startswith(("to =", "subject", "tag"))
    )
    permits = form_server("permits", text)
    fields = {**FIELDS, "to": "clerk@example.gov", "subject": "Mine", "tag": "web"}
    message = permits.post(fields)
    assert (message.subject, message.tag) == ("Mine", "web")
    assert [address.email for address in message.to] == ["clerk@example.gov"]
    assert permits.refused(FIELDS).words == (
        "to_address: Missing data for required field.; subject: Missing data for required field."
    )


def test_a_stored_template_gets_values_under_their_names(
    form_server: Callable[..., FormServer],
) -> None:
    permits = form_server("permits", PERMITS.replace("tag =", 'template = "permit"\ntag ='))
    fields = {name: value for name, value in FIELDS.items() if name not in ("permit", "useHtml")}
    message = permits.post({**fields, "permit_no": "7", "odd": ["kept"]})
    model = dict(message.model or {})
    assert (message.template, message.text, message.tag) == ("permit", None, "Permit fair")
    assert model["rows"][0] == {"label": "Permit number", "value": "7"}
    for name, value in {
        "subject": "Permit 7",
        "permit": "7",
        "visitors": 12,
        "parking": True,
        "asked": "Ann <ann@example.com>",
        "plan": "<p>Here</p>",
        "odd": ("kept",),
        "ReplyTo": "a@example.com",
    }.items():
        assert model[name] == value


def test_the_body_may_be_template_files_of_the_installation(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    own = "Nr. {{permit}}{{#parking}} with parking{{/parking}}: {{plan}}\n"
    (tmp_path / "templates" / "permits.txt").write_text(own)
    path = tmp_path / "settings.toml"
    path.write_text(
        PERMITS.replace("tag =", 'template_files = "permits"\ntag =').replace(
            '"bearer_token", ', '"trusting", '
        )
    )
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "trusting.py").write_text(
        "from relay import Identity, hookimpl\n"
        "@hookimpl\ndef authenticate(submission): return Identity('x', 'secret')\n"
    )
    read = settings.load(path, {})
    message = FormServer(loader.build(read, ())["permits"], "").post(FIELDS)
    assert message.text == "Nr. 77 <x> with parking: Here\n"
    assert message.html == "Nr. 77 &lt;x&gt; with parking: Here<br>\n"
    html = "<b>{{permit}}</b> {{{plan}}}"
    (tmp_path / "templates" / "permits.html").write_text(html)
    read = settings.load(path, {})
    message = FormServer(loader.build(read, ())["permits"], "").post(FIELDS)
    assert message.html == "<b>77 &lt;x&gt;</b> <p>Here</p>"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("visitors = {", 'visitors = { kindd = "x",', "fields.visitors.kindd: is no key here; did"),
        ('"yes_no"', '"yesno"', "fields.parking.kind: there is no kind yesno; did you mean yes_no"),
        ('"yes_no"', '"zz"', "fields.parking.kind: must be one of: line, text, html"),
        ('"yes_no"', "7", "fields.parking: must be a table, or a kind"),
        ("{{permit}}", "{{permt}}", "subject: there is no field permt; did you mean permit?"),
        ("{{permit}}", "{{#permit}}", "subject: line 1, character 8: "),
        ("{{kind}}", "{{kin}}", "tag: there is no field kin; did you mean kind?"),
        ("desk@example.gov", "desk@example.org", "to: desk@example.org is not among"),
        ("desk@example.gov", "desk", "to: not a mail address"),
        ("permit = {", "rows = {", "fields.rows: is Relay's own; take another name"),
        ("permit = {", "useHtml = {", "fields.useHtml: is Relay's own; take another name"),
        ("permit = {", "to = {", "fields.to: is Relay's own; take another name"),
        ("permit = {", "permit-no = {", "fields.permit-no: a field's name has letters"),
        (', choices = ["fair", "parade"]', "", 'fields.kind.choices: go with kind = "choice"'),
        ('"permit_no"', '"subject"', "fields.permit.alias: subject is another field"),
        ('"permit_no"', '"parking"', "fields.permit.alias: parking is another field"),
        ('"permit_no"', "7", "fields.permit.alias: must be a name, or a list of names"),
        ('label = "Email"', "max = 3", "fields.from_address: all forms have it"),
        ("max = 20", "max = 0", "fields.permit.max: Must be greater"),
        ("max = 20", 'max = "20"', "fields.permit.max: Not a valid integer."),
        ("max = 20", "min = 2", "fields.permit.min: is for kind integer alone"),
        ('"link"', '{ kind = "link", max = 3 }', "fields.site.max: is not for kind link"),
        ("tag =", "tga =", "tga: is not a setting here; did you mean tag?"),
        ("tag =", 'template_files = "mappd"\ntag =', "template file mappd.txt is in none of"),
        ("tag =", 'template = "a b"\ntag =', "template: must be a template's number or alias"),
        (PERMITS[PERMITS.index("\n[servers.permits.fields]") :], "", "fields: Missing data"),
    ],
)
def test_a_mistake_is_told_at_the_start_with_its_place(
    form_server: Callable[..., FormServer], old: str, new: str, words: str
) -> None:
    assert old in PERMITS
    with pytest.raises(ConfigurationError) as raised:
        form_server("permits", PERMITS.replace(old, new, 1))
    assert str(raised.value).startswith(f"settings.toml [servers.permits] {words}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("{{permt}}", ["permt; did you mean permit?"]),
        ("{{{zzzzzz}}}", ["zzzzzz"]),
        ("{{#parkin}}yes{{/parkin}}", ["parkin; did you mean parking?"]),
        ("{{^visitor}}none{{/visitor}}", ["visitor; did you mean visitors?"]),
        ("{{#each row}}{{label}}{{/each}}", ["row; did you mean rows?"]),
        ("{{qqqq}} {{permit}} {{zzzz}} {{qqqq}}", ["qqqq", "zzzz"]),
        ("{{permit}} {{message}} {{subject}} {{sender}} {{from_address}}", []),
        ("{{body}} {{reference}} {{#each rows}}{{label}}: {{value}}{{/each}}", []),
        ("{{#asked}}{{.}}{{/asked}}", []),
    ],
)
def test_names_in_template_files_that_no_field_fills_are_warned_of(
    tmp_path: Path, own: str, words: list[str]
) -> None:
    server = _filed(tmp_path, own)
    told = [f"template files permits: there is no field {one}; it prints nothing" for one in words]
    found = unfilled_names(server.chain.server)
    assert found == told
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        server.post(FIELDS)
    assert [str(one.message) for one in warned] == told
    findings = list(of_server("permits", {"permits": server.chain}))
    assert [one for one in findings if one in told] == told


def _filed(folder: Path, own: str) -> FormServer:
    (folder / "templates").mkdir()
    (folder / "templates" / "permits.txt").write_text(own)
    (folder / "plugins").mkdir()
    (folder / "plugins" / "trusting.py").write_text(
        "from relay import Identity, hookimpl\n"
        "@hookimpl\ndef authenticate(submission): return Identity('x', 'secret')\n"
    )
    text = PERMITS.replace("tag =", 'template_files = "permits"\ntag =')
    path = folder / "settings.toml"
    path.write_text(text.replace('"bearer_token", ', '"trusting", '))
    return FormServer(loader.build(settings.load(path, {}), ())["permits"], "")


def test_a_reference_number_is_filled_in(tmp_path: Path) -> None:
    server = _filed(tmp_path, "Nr. {{reference}}")
    submission = submission_of("permits", json.dumps(FIELDS).encode(), media=JSON)
    message = compose(server.chain, replace(submission, reference="K7-22"))
    assert message.text == "Nr. K7-22"
