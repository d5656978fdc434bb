"""The fields that all forms share: what is taken, what is refused, and the message they make."""

import contextlib
import time
from typing import Any

import pytest
from marshmallow import Schema, ValidationError, fields

from relay.core.addresses import Address
from relay.core.html_cleaning import MAX_HTML, MAX_TAGS
from relay.core.immutable import freeze
from relay.core.message import Message
from relay.core.server import Server
from relay.forms.email_form import EmailForm, Form, base_message
from relay.forms.fields import Html, Line, Text

DESK = Address("desk@example.gov")
WRITER = Address("resident@example.com")
SERVER = Server(
    name="default",
    plugins=(),
    sender=Address("relay@example.gov", "Relay"),
    senders=frozenset({"@example.gov"}),
    headers=frozenset({"x-form"}),
    options={"honeypot": "contact"},
)
GIVEN: dict[str, Any] = {
    "to_address": "desk@example.gov",
    "from_address": "resident@example.com",
    "subject": "I have a great idea",
    "message": "Make the roads green.",
}


def load(schema: EmailForm | None = None, **changes: Any) -> Form:
    submitted = {name: value for name, value in (GIVEN | changes).items() if value is not ...}
    form = (schema or EmailForm()).load(freeze(submitted))
    assert isinstance(form, Form)
    return form


def refused(schema: EmailForm | None = None, **changes: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as raised:
        load(schema, **changes)
    messages = raised.value.normalized_messages()  # type: ignore[no-untyped-call]
    assert isinstance(messages, dict)
    return messages


def message(server: Server = SERVER, **changes: Any) -> Message:
    return base_message(load(**changes), server)


def test_the_plainest_form_is_a_text_mail_from_the_server_with_a_reply_to() -> None:
    assert message() == Message(
        sender=Address("relay@example.gov", "Relay"),
        to=(DESK,),
        reply_to=(WRITER,),
        subject="I have a great idea",
        text="Make the roads green.",
    )


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("to", "to_address"),
        ("recipient", "to_address"),
        ("body", "message"),
        ("TemplateID", "template_id"),
        ("template_alias", "template_id"),
    ],
)
def test_an_alias_is_as_good_as_the_name(alias: str, name: str) -> None:
    value = {"to_address": "desk@example.gov", "message": "Hi", "template_id": "welcome"}[name]
    alone = load(**{name: ..., alias: value})
    both = load(**{name: value, alias: value})
    assert alone[name] == both[name] == load(**{name: value})[name]
    assert alone.submitted[alias] == value
    assert load(**{name: value, alias: " "})[name] == alone[name]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"to": "other@example.gov"}, "to_address"),
        ({"recipient": "other@example.gov"}, "to_address"),
        ({"to_address": ..., "to": "a@example.gov", "recipient": "b@example.gov"}, "to_address"),
        ({"body": "other"}, "message"),
        ({"template_id": "1", "TemplateID": "2"}, "template_id"),
    ],
)
def test_a_name_and_its_alias_may_not_differ(changes: dict[str, str], name: str) -> None:
    assert refused(**changes) == {name: ["given twice with different values"]}


@pytest.mark.parametrize("blank", [..., None, "", "  ", " \r\n\t", [], {}])
@pytest.mark.parametrize("name", ["to_address", "from_address", "subject", "message"])
def test_a_required_field_that_is_missing_or_blank_is_named(name: str, blank: Any) -> None:
    assert refused(**{name: blank}) == {name: ["Missing data for required field."]}


def test_every_missing_field_is_named_at_once() -> None:
    missing = refused(to_address=..., from_address=..., subject=..., message=...)
    assert missing.keys() == {"to_address", "from_address", "subject", "message"}


@pytest.mark.parametrize("blank", [None, "", " ", [], {}])
@pytest.mark.parametrize(
    "name",
    [
        *("sender", "reply_to", "TextBody", "HtmlBody", "useHtml", "template_id", "cc", "bcc"),
        *("tag", "headers", "attachments", "senddatetime", "token_session"),
    ],
)
def test_an_optional_field_that_is_blank_was_not_given(name: str, blank: Any) -> None:
    assert load(**{name: blank})[name] == load()[name]
    assert message(**{name: blank}) == message()


@pytest.mark.parametrize("body", ["TextBody", "HtmlBody", "template_id"])
def test_a_message_is_not_required_beside_another_body(body: str) -> None:
    assert load(message=..., **{body: "welcome"})["message"] is None


def test_a_subject_is_not_required_beside_a_template() -> None:
    assert load(subject=..., template_alias="welcome")["subject"] is None


def test_a_plugin_may_do_without_a_message() -> None:
    class Short(EmailForm):
        message_required = False

    assert load(Short(), message=...)["message"] is None
    assert refused(Short(), subject=...).keys() == {"subject"}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"subject": "\u200b\u202e"}, "subject"),
        ({"message": ..., "HtmlBody": "<script>alert(1)</script>"}, "message"),
        ({"message": ..., "HtmlBody": "<img src=x>"}, "message"),
    ],
)
def test_what_is_cleaned_away_was_not_given(changes: dict[str, Any], name: str) -> None:
    assert refused(**changes) == {name: ["Missing data for required field."]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("to_address", 5),
        ("to_address", ["desk@example.gov"]),
        ("to_address", {"0": "desk@example.gov"}),
        ("to_address", "desk"),
        ("to_address", "desk@example.gov\nBcc: x@example.com"),
        ("to_address", "desk@example.gov, other"),
        ("to_address", ",".join(f"a{n}@example.gov" for n in range(51))),
        ("to_address", ","),
        ("to_address", '"' + "a" * 20_000 + '" <a@example.gov>'),
        ("to_address", ", ".join(f'"{"x" * 450}" <a{n}@example.gov>' for n in range(50))),
        ("from_address", "a@example.gov, b@example.gov"),
        ("from_address", "x" * 250 + " <a@example.gov>"),
        ("from_address", True),
        ("sender", "x" * 201),
        ("sender", "a\nb"),
        ("sender", ["a"]),
        ("reply_to", "nobody"),
        ("subject", "x" * 2001),
        ("subject", "\U0001f600" * 1001),
        ("subject", "x" + "\U0001d54f" * 1000),
        ("subject", "\u20ac" * 2001),
        ("subject", "x" * 1999 + "\U0001f3db"),
        ("subject", "\U00020000" * 1000 + "\u6f22"),
        ("subject", "a\nb"),
        ("subject", "a\rb"),
        ("message", ["a"]),
        ("message", {"a": "b"}),
        ("TextBody", [5]),
        ("HtmlBody", ["<p>"]),
        ("HtmlBody", "x" * (MAX_HTML + 1)),
        ("HtmlBody", "<p>" * (MAX_TAGS + 1)),
        ("useHtml", 2),
        ("useHtml", "maybe"),
        ("useHtml", "\uff11"),
        ("useHtml", [1]),
        ("template_id", 0),
        ("template_id", " 0"),
        ("template_id", "000"),
        ("template_id", -1),
        ("template_id", True),
        ("template_id", 1.5),
        ("template_id", "1 2"),
        ("template_id", "-alias"),
        ("template_id", "über"),
        ("template_id", "a/b"),
        ("template_id", "\uff11\uff12"),
        ("template_id", "9" * 19),
        ("template_id", 10**18),
        ("template_id", ["a"]),
        ("cc", "nobody"),
        ("bcc", 5),
        ("tag", "a\nb"),
        ("tag", "x" * 1001),
        ("tag", "\U0001f600" * 501),
        ("headers", "X-Form: a"),
        ("headers", 5),
        ("headers", True),
        ("headers", ["X-Form"]),
        ("headers", [{"Name": "X-Form"}]),
        ("headers", [{"Value": "a"}]),
        ("headers", [{"Name": "X-Form", "Value": "a\nBcc: b@example.com"}]),
        ("headers", [{"Name": "X-Form\nBcc", "Value": "a"}]),
        ("headers", [{"Name": "X Form", "Value": "a"}]),
        ("headers", [{"Name": "", "Value": "a"}]),
        ("headers", [{"Name": "X-Form:", "Value": "a"}]),
        ("headers", [{"Name": "X-Größe", "Value": "a"}]),
        ("headers", [{"Name": "X-Form", "Value": "a" * 999}]),
        ("headers", {"X-Form": {"a": "b"}}),
        ("headers", {"X-Form": None}),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(name: str, value: Any) -> None:
    assert list(refused(**{name: value})) == [name]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("attachments", [{"Name": "x.txt", "Content": "eA=="}], "attachments are not taken here"),
        ("attachments", "x", "attachments are not taken here"),
    ],
)
def test_what_is_not_offered_is_refused_and_never_ignored(
    name: str, value: Any, words: str
) -> None:
    assert refused(**{name: value}) == {name: [words]}


@pytest.mark.parametrize("value", [1, "1", True, "true", "on", "yes"], ids=repr)
def test_html_is_asked_for_by_a_number_a_digit_or_a_boolean(value: Any) -> None:
    made = message(useHtml=value, message="Why <b>are</b> the roads\ngrey?")
    assert made.text == "Why <b>are</b> the roads\ngrey?"
    assert made.html == "Why &lt;b&gt;are&lt;/b&gt; the roads<br>\ngrey?"


@pytest.mark.parametrize("value", [0, "0", False, "false", "off", "no", ..., None, ""], ids=repr)
def test_a_message_is_text_alone_unless_html_is_asked_for(value: Any) -> None:
    made = message(useHtml=value, message="if x<y then call me at 5")
    assert (made.text, made.html) == ("if x<y then call me at 5", None)


@pytest.mark.parametrize(
    ("changes", "text", "html"),
    [
        ({}, "M", None),
        ({"useHtml": 1}, "M", "M"),
        ({"TextBody": "T"}, "T", None),
        ({"TextBody": "T", "useHtml": 1}, "T", "M"),
        ({"TextBody": "T", "message": ...}, "T", None),
        ({"TextBody": "T&T", "message": ..., "useHtml": 1}, "T&T", "T&amp;T"),
        ({"HtmlBody": "<p>H</p>"}, "M", "<p>H</p>"),
        ({"HtmlBody": "<p>H</p>", "useHtml": 1}, "M", "<p>H</p>"),
        ({"HtmlBody": "<p>H</p>", "useHtml": 0}, "M", None),
        ({"HtmlBody": "<p>H</p><p>I</p>", "message": ...}, "H\n\nI", "<p>H</p><p>I</p>"),
        ({"HtmlBody": "<p>H</p>", "message": ..., "useHtml": 0}, "H", None),
        ({"HtmlBody": "<p>H</p>", "TextBody": "T"}, "T", "<p>H</p>"),
        ({"HtmlBody": "<p>H</p>", "TextBody": "T", "message": ...}, "T", "<p>H</p>"),
        ({"HtmlBody": "<script>x</script>"}, "M", ""),
        ({"HtmlBody": "<p onclick=x>H<img src=x></p>"}, "M", "<p>H</p>"),
    ],
)
def test_the_bodies_fill_each_other(
    changes: dict[str, Any], text: str | None, html: str | None
) -> None:
    made = message(**{"message": "M", **changes})
    assert (made.text, made.html) == (text, html)


def test_text_stays_text() -> None:
    written = " if x<y & \"z\" then 'call' me\r\n\tat 5 &amp; \u202e <script>alert(1)</script> "
    assert message(message=written).text == written
    assert message(TextBody=written, message=...).text == written


@pytest.mark.parametrize(
    ("changes", "sender", "reply_to"),
    [
        ({}, "Relay <relay@example.gov>", "resident@example.com"),
        ({"sender": "Desk"}, "Desk <relay@example.gov>", "resident@example.com"),
        (
            {"from_address": "A Resident <resident@example.com>"},
            "Relay <relay@example.gov>",
            "A Resident <resident@example.com>",
        ),
        ({"from_address": "clerk@example.gov"}, "clerk@example.gov", "clerk@example.gov"),
        (
            {"from_address": "Sanitation <someone@example.gov>"},
            "Sanitation <someone@example.gov>",
            "Sanitation <someone@example.gov>",
        ),
        (
            {"from_address": "Sanitation <someone@example.gov>", "sender": "Registry"},
            "Registry <someone@example.gov>",
            "Sanitation <someone@example.gov>",
        ),
        (
            {"from_address": "a@evil-example.gov"},
            "Relay <relay@example.gov>",
            "a@evil-example.gov",
        ),
        ({"reply_to": "x@example.com"}, "Relay <relay@example.gov>", "x@example.com"),
        (
            {"reply_to": "x@example.com, Y <y@example.com>"},
            "Relay <relay@example.gov>",
            "x@example.com, Y <y@example.com>",
        ),
    ],
)
def test_the_writer_stands_in_from_only_where_senders_list_them(
    changes: dict[str, str], sender: str, reply_to: str
) -> None:
    made = message(**changes)
    assert str(made.sender) == sender
    assert ", ".join(map(str, made.reply_to)) == reply_to


def test_a_server_may_have_a_reply_to_of_its_own() -> None:
    answers = Address("answers@example.gov")
    server = Server(name="d", plugins=(), sender=SERVER.sender, reply_to=(answers,))
    assert message(server).reply_to == (answers,)
    assert message(server, reply_to="x@example.com").reply_to == (Address("x@example.com"),)


def test_recipients_tag_and_headers_are_mapped() -> None:
    made = message(
        to_address='"Doe, Jane" <j@example.gov>, desk@example.gov',
        cc="c@example.gov",
        bcc="b@example.gov,b2@example.gov",
        tag="Birth Certificate",
    )
    assert made.to == (Address("j@example.gov", "Doe, Jane"), DESK)
    assert made.cc == (Address("c@example.gov"),)
    assert made.bcc == (Address("b@example.gov"), Address("b2@example.gov"))
    assert made.tag == "Birth Certificate"
    assert (made.id, made.metadata) == ("", {})


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        ([{"Name": "X-Form", "Value": "a"}], (("X-Form", "a"),)),
        (
            [{"Name": "X-Form", "Value": "a"}, {"Name": "x-form", "Value": "b"}],
            (("X-Form", "a"), ("x-form", "b")),
        ),
        ({"X-Form": "a", "X-Other": " b "}, (("X-Form", "a"), ("X-Other", "b"))),
        ([{"Name": "X-Form", "Value": "=?x?q?y?="}], (("X-Form", "=?x?q?y?="),)),
        ([], ()),
    ],
)
def test_headers_are_a_list_or_an_object(given: Any, headers: tuple[tuple[str, str], ...]) -> None:
    assert message(headers=given).headers == headers


@pytest.mark.parametrize(
    ("given", "template"),
    [
        (23904341, 23904341),
        ("1005", 1005),
        (" 7 ", 7),
        ("007", 7),
        ("9" * 18, 10**18 - 1),
        ("welcome", "welcome"),
        ("Birth.certificate_2-b", "Birth.certificate_2-b"),
        ("a1", "a1"),
    ],
)
def test_a_template_of_digits_is_a_number_and_any_other_an_alias(
    given: Any, template: int | str
) -> None:
    assert message(template_id=given).template == template


def test_with_a_template_the_message_is_its_model() -> None:
    made = message(
        template_id="23904341",
        name="A Resident",
        sender="Registry",
        useHtml="1",
        token_session="4503599627370496",
        key="page-key",
        return_to="thanks",
        contact="",
        units=[{"count": 2}],
        nothing=None,
    )
    assert made == Message(
        sender=Address("relay@example.gov", "Registry"),
        to=(DESK,),
        reply_to=(WRITER,),
        template=23904341,
        model={
            "to_address": "desk@example.gov",
            "from_address": "resident@example.com",
            "message": "Make the roads green.",
            "name": "A Resident",
            "sender": "Registry",
            "units": ({"count": 2},),
            "nothing": None,
            "subject": "I have a great idea",
            "TextBody": "Make the roads green.",
            "HtmlBody": "Make the roads green.",
            "ReplyTo": "resident@example.com",
        },
    )


@pytest.mark.parametrize(
    ("changes", "kept", "dropped"),
    [
        ({}, {"TextBody": "M", "subject": "S"}, {"HtmlBody"}),
        ({"subject": ...}, {"TextBody": "M"}, {"subject", "HtmlBody"}),
        ({"message": ...}, {"subject": "S"}, {"TextBody", "HtmlBody", "message"}),
        ({"HtmlBody": "<p onclick=x>H</p>"}, {"HtmlBody": "<p>H</p>"}, set()),
        ({"HtmlBody": "<script>x</script>"}, {"HtmlBody": ""}, set()),
        ({"HtmlBody": "<p>H</p>", "useHtml": 0}, {"TextBody": "M"}, {"HtmlBody", "useHtml"}),
        ({"TemplateID": "9", "template_id": ...}, {"subject": "S"}, {"TemplateID", "template_id"}),
        ({"template_alias": "9", "template_id": 9}, None, set()),
        ({"contact": "robot"}, {}, {"contact"}),
        ({"ReplyTo": "evil"}, {"ReplyTo": "resident@example.com"}, set()),
        ({"to": "desk@example.gov", "to_address": ...}, {"to": "desk@example.gov"}, {"to_address"}),
        ({"subject": " S\u200b "}, {"subject": "S"}, set()),
        ({"sender": " De\u202esk"}, {"sender": "Desk"}, set()),
    ],
)
def test_the_model_holds_what_was_submitted_and_no_control_field(
    changes: dict[str, Any], kept: dict[str, Any] | None, dropped: set[str]
) -> None:
    given = {"subject": "S", "message": "M", "template_id": 9, **changes}
    if kept is None:
        assert refused(**given).keys() == {"template_id"}
        return
    model = message(**given).model
    assert model is not None
    assert kept.items() <= model.items()
    assert not dropped & model.keys()


def test_html_that_a_plugin_declares_is_cleaned_in_the_model_too() -> None:
    class Listing(EmailForm):
        description = Html(load_default=None)
        title = Line(load_default=None)
        notes = Text(load_default=None)
        count = fields.Integer(load_default=None)

    form = load(
        Listing(),
        template_id="listing",
        description="<b onclick=x>new</b><script>alert(1)</script>",
        title=" a\u202e ",
        notes="x < y ",
        count="5",
        other="<b onclick=x>",
    )
    model = base_message(form, SERVER).model
    assert model is not None
    assert model["description"] == "<b>new</b>"
    assert model["title"] == "a"
    assert model["notes"] == "x < y "
    assert model["count"] == "5"
    assert model["other"] == "<b onclick=x>"


def test_a_form_knows_which_of_its_fields_were_read() -> None:
    form = load(name="A Resident")
    assert form.used == set()
    assert form["name"] == "A Resident"
    assert form.used == {"name"}
    assert "Make the roads green." not in repr(form)
    base_message(form, SERVER)
    assert {"to_address", "subject", "message", "useHtml"} <= form.used


def test_a_server_without_a_sender_is_an_error_and_no_mail() -> None:
    with pytest.raises(ValueError):
        message(Server(name="d", plugins=()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("to_address", ",".join(f"a{n}@b{n}.co" for n in range(17_000))),
        ("to_address", '"' + '\\"' * 130_000 + '" <a@example.gov>'),
        ("from_address", "<" * 262_144),
        ("from_address", '"' + "\\" * 262_144 + '" <a@example.gov>'),
        ("subject", "\u200b" * 80_000),
        ("message", "x" * 262_144),
        ("HtmlBody", "<div>" * 50_000),
        ("template_id", "0" * 262_144),
        ("headers", {f"X-{n}": "a" for n in range(10_000)}),
    ],
)
def test_a_hostile_field_costs_little(name: str, value: Any) -> None:
    started = time.process_time()
    with contextlib.suppress(ValidationError):
        message(**{name: value, "useHtml": 1})
    assert time.process_time() - started < 0.5


class Required(EmailForm):
    street = Line(required=True)
    words = Html(required=True)


@pytest.mark.parametrize("street", ["", " ", "\u200b", " \ufeff\u2060 "])
def test_a_required_line_that_nobody_sees_is_missing(street: str) -> None:
    missing = {"street": ["Missing data for required field."]}
    assert refused(Required(), street=street, words="<p>x</p>") == missing


@pytest.mark.parametrize("words", ["<script>x</script>", "<p> </p>", "<p>&#8203;</p>", "<br>"])
def test_required_html_of_which_nothing_is_left_is_missing(words: str) -> None:
    missing = {"words": ["Missing data for required field."]}
    assert refused(Required(), street="Elm", words=words) == missing


def test_an_optional_field_that_nobody_sees_was_not_given() -> None:
    form = load(tag="\u200b", cc=" \u200b", TextBody="\u200b\n")
    assert (form["tag"], form["cc"], form["TextBody"]) == (None, (), None)
    assert "message" in refused(message="\u200b\n\u200b")


def test_a_required_line_of_any_schema_is_more_than_invisible_characters() -> None:
    row = Schema.from_dict({"street": Line(required=True)})
    with pytest.raises(ValidationError, match="Missing data for required field"):
        row().load({"street": "\u200b"})


def test_headers_whose_brackets_do_not_count_from_zero_are_headers_all_the_same() -> None:
    given = {"2": {"Name": "X-Form", "Value": "a"}, "5": {"Name": "X-Page", "Value": "b"}}
    assert load(headers=given)["headers"] == (("X-Form", "a"), ("X-Page", "b"))
    assert load(headers={"X-Form": "a"})["headers"] == (("X-Form", "a"),)
