"""The contact form: what a resident submits -> the mail that an office gets."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from relay.core.addresses import Address
from relay.core.errors import ConfigurationError, InvalidSubmission
from relay.core.message import Message
from relay.core.submission import File, Submission
from relay.hooks.chain import Chain
from relay.intake import message_builder
from tests.plugins.conftest import CONTACTFORM

Compose = Callable[..., Message]

URLENCODED = "application/x-www-form-urlencoded"
# The form as browsers send it; %0A is the line break of its text area.
POSTED = (
    "email[useHtml]=1&email[to_address]=desk@example.gov&email[name]=Boston Resident"
    "&email[from_address]=resident@example.com&email[subject]=I have a great idea."
    "&email[message]=Why <b>are</b> the roads grey?%0AMake them green."
    "&email[url]=https://www.example.gov/somepage&email[browser]=Mozilla/5.0&email[contact]="
)
FIELDS = {name[6:-1]: value for name, value in parse_qsl(POSTED, keep_blank_values=True)}
TEXT = """\
-- Please type your reply above this line --

Why <b>are</b> the roads grey?
Make them green.

----------------------------------------
This message was sent with the contact form.
Name: Boston Resident
Email: resident@example.com
Page: https://www.example.gov/somepage

"""
QUOTED = "Why &lt;b&gt;are&lt;/b&gt; the roads grey?<br>\nMake them green."


def multipart(fields: dict[str, str]) -> bytes:
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="email[{name}]"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{parts}--x--\r\n".encode()


def test_the_form_as_posted_makes_a_mail_of_both_parts(compose: Compose) -> None:
    message = compose(POSTED.encode(), media=URLENCODED)
    assert message == Message(
        sender=Address("contactform@example.gov", "Contact form"),
        to=(Address("desk@example.gov"),),
        reply_to=(Address("resident@example.com", "Boston Resident"),),
        subject="I have a great idea.",
        tag="Contact Form",
        text=TEXT,
        html=message.html,
    )
    assert message.html is not None
    assert message.html.count(QUOTED) == 1
    for words in (
        "-- Please type your reply above this line --",
        "This message was sent with the contact form.<br>",
        "Name: Boston Resident<br>",
        "Email: resident@example.com<br>",
        "Page: https://www.example.gov/somepage<",
    ):
        assert words in message.html
    assert message.html.index("<blockquote") < message.html.index(QUOTED)
    assert message.html.index(QUOTED) < message.html.index("</blockquote>")


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (URLENCODED, POSTED.replace("[useHtml]=1", "[useHtml]=0").encode()),
        ("multipart/form-data; boundary=x", multipart({**FIELDS, "useHtml": "0"})),
        ("application/json", json.dumps({**FIELDS, "useHtml": 0}).encode()),
        ("application/json", json.dumps({"email": {**FIELDS, "useHtml": False}}).encode()),
    ],
)
def test_without_html_it_is_text_alone_however_it_is_posted(
    compose: Compose, media: str, body: bytes
) -> None:
    message = compose(body, media=media)
    assert (message.text, message.html) == (TEXT, None)


@pytest.mark.parametrize(
    ("changes", "attribute", "value"),
    [
        ({"sender": "Mayor's Office"}, "sender", "Mayor's Office <contactform@example.gov>"),
        (
            {"from_address": "desk@example.gov"},
            "sender",
            "Contact form <contactform@example.gov>",
        ),
        ({"name": ""}, "reply_to", "resident@example.com"),
        (
            {"name": "", "from_address": "A Resident <resident@example.com>"},
            "reply_to",
            "A Resident <resident@example.com>",
        ),
        (
            {"name": "Doe, Jane"},
            "reply_to",
            '"Doe, Jane" <resident@example.com>',
        ),
        (
            {"name": "x <evil@example.com>"},
            "reply_to",
            '"x <evil@example.com>" <resident@example.com>',
        ),
        ({"name": "Ja\u202ene\u200b "}, "reply_to", "Jane <resident@example.com>"),
        ({"reply_to": "other@example.com"}, "reply_to", "other@example.com"),
        ({"to_address": "a@example.gov,b@example.gov"}, "to", "a@example.gov, b@example.gov"),
        ({"cc": "c@example.gov"}, "cc", "c@example.gov"),
        ({"bcc": "b@example.gov"}, "bcc", "b@example.gov"),
    ],
)
def test_addresses_are_mapped_and_the_writer_never_stands_in_from(
    compose: Compose, changes: dict[str, str], attribute: str, value: str
) -> None:
    given = getattr(compose({**FIELDS, **changes}), attribute)
    addresses = given if isinstance(given, tuple) else (given,)
    assert ", ".join(map(str, addresses)) == value


@pytest.mark.parametrize(
    ("changes", "tag"),
    [({}, "Contact Form"), ({"tag": "Roads"}, "Roads"), ({"tag": " "}, "Contact Form")],
)
def test_a_tag_is_the_forms_or_the_servers(
    compose: Compose, changes: dict[str, str], tag: str
) -> None:
    assert compose({**FIELDS, **changes}).tag == tag
    assert compose({**FIELDS, **changes}, tag="Web").tag == tag.replace("Contact Form", "Web")


def test_the_installations_own_words_and_addresses_are_used(compose: Compose) -> None:
    message = compose(
        {**FIELDS, "phone": "617-555-0100", "name": "Zoë & <Co>"},
        form_name="the form & more",
        reply_line="Antwort darüber",
        footer="City Hall\n<1 Square>",
        logo_url='https://www.example.gov/logo.png?a="b"&c',
        reply_to="answers@example.gov, b@example.gov",
    )
    assert message.text is not None
    assert message.text.startswith("-- Antwort darüber --\n")
    assert message.text.endswith("City Hall\n<1 Square>\n")
    assert "This message was sent with the form & more." in message.text
    assert message.text.count("Phone: 617-555-0100") == 2
    assert message.html is not None
    assert "the form &amp; more." in message.html
    assert "City Hall<br>\n&lt;1 Square&gt;" in message.html
    assert "Name: Zo&#235; &amp; &lt;Co&gt;<br>" in message.html
    assert 'src="https://www.example.gov/logo.png?a=&quot;b&quot;&amp;c"' in message.html
    assert message.reply_to == (Address("answers@example.gov"), Address("b@example.gov"))


def test_without_a_logo_there_is_no_image(compose: Compose) -> None:
    assert "<img" not in (compose(FIELDS).html or "")


@pytest.mark.parametrize(
    "written",
    [
        "if x<y then call me at 5",
        "$name ${phone} $$ %s {message} \\1",
        "<script>alert(1)</script>",
        "&lt;b&gt; \"quoted\" 'too'",
        "-- Please type your reply above this line --",
    ],
)
def test_a_message_arrives_whole_and_is_never_markup_or_template(
    compose: Compose, written: str
) -> None:
    message = compose({**FIELDS, "message": written, "name": written, "url": written})
    assert message.text is not None
    assert f"\n\n{written}\n\n-----" in message.text
    assert f"Name: {written}\n" in message.text
    assert f"Page: {written}\n" in message.text
    assert message.html is not None
    assert html.unescape(message.html).count(written) >= 3
    if "<" in written:
        assert written not in message.html


@pytest.mark.parametrize(
    ("changes", "words", "markup"),
    [
        ({"message": ""}, "\n\n\n\n-----", "\n\n</blockquote>"),
        ({"TextBody": "Text."}, "Text.", QUOTED),
        ({"TextBody": "<Text>", "message": ""}, "<Text>", "&lt;Text&gt;"),
        (
            {"HtmlBody": "<p onclick=x>Hi</p></blockquote>", "message": ""},
            "Hi",
            ">\n<p>Hi</p>\n</bl",
        ),
        ({"HtmlBody": "<p>Hi</p>"}, "roads grey?", "<p>Hi</p>"),
        ({"HtmlBody": "<script>x</script>"}, "roads grey?", QUOTED),
    ],
)
def test_the_bodies_fill_each_other_inside_the_frame(
    compose: Compose, changes: dict[str, str], words: str, markup: str
) -> None:
    message = compose({**FIELDS, **changes})
    assert words in (message.text or "")
    assert markup in (message.html or "")
    assert compose({**FIELDS, **changes, "useHtml": "0"}).html is None


def test_with_a_template_the_framed_parts_are_in_the_model(compose: Compose) -> None:
    message = compose({**FIELDS, "template_id": "welcome", "extra": "kept", "key": "k"})
    assert message.template == "welcome"
    assert (message.subject, message.text, message.html) == (None, None, None)
    assert message.tag == "Contact Form"
    assert message.sender == Address("contactform@example.gov", "Contact form")
    model = dict(message.model or {})
    assert model.pop("TextBody") == TEXT
    assert QUOTED in model.pop("HtmlBody")
    assert model == {
        "to_address": "desk@example.gov",
        "name": "Boston Resident",
        "from_address": "resident@example.com",
        "subject": "I have a great idea.",
        "message": FIELDS["message"],
        "url": "https://www.example.gov/somepage",
        "browser": "Mozilla/5.0",
        "extra": "kept",
        "ReplyTo": "Boston Resident <resident@example.com>",
    }


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"subject": ""}, "subject"),
        ({"to_address": ""}, "to_address"),
        ({"from_address": ""}, "from_address"),
        ({"name": "a\nBcc: evil@example.com"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"phone": "x" * 101}, "phone"),
        ({"phone": [5]}, "phone"),
        ({"subject": "\U0001f600" * 1001}, "subject"),
        ({"browser": "a\nb"}, "browser"),
        ({"useHtml": "perhaps"}, "useHtml"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    compose: Compose, changes: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidSubmission) as raised:
        compose({**FIELDS, **changes})
    assert list(raised.value.fields) == [name]


def test_a_file_is_refused_by_its_field(chain: Callable[..., Chain]) -> None:
    submission = Submission("contactform", FIELDS, files=(File("photo", "a.png", "", b"x"),))
    with pytest.raises(InvalidSubmission) as raised:
        message_builder.compose(chain(), submission)
    assert list(raised.value.fields) == ["photo"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"logo_url": "javascript:alert(1)"}, "logo_url"),
        ({"logo_url": "logo.png"}, "logo_url"),
        ({"footer": 5}, "footer"),
        ({"fotter": "x"}, "did you mean footer"),
        ({"sender": None}, "sender"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(
    chain: Callable[..., Chain], setting: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        chain(**setting)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("Dear {{#name}}you", "line 1, character"),
        ("one\ntwo {{first-name}}", "line 2, character 5: "),
        ("{{#if name}}x{{/if}}", "line 1, character 1: "),
    ],
)
@pytest.mark.parametrize("file", ["contactform.txt", "contactform.html"])
def test_a_template_file_that_does_not_parse_is_told_at_the_start(
    chain: Callable[..., Chain], tmp_path: Path, file: str, content: str, words: str
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / file).write_text(content)
    with pytest.raises(ConfigurationError, match=words) as raised:
        chain()
    assert file in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_installation_may_have_template_files_of_its_own(
    compose: Compose, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    own = "{{browser}}|{{#name}}{{.}}{{/name}}|{{^phone}}none{{/phone}}|{{message}}"
    (tmp_path / "templates" / "contactform.txt").write_text(own)
    message = compose(FIELDS)
    assert message.text == f"Mozilla/5.0|Boston Resident|none|{FIELDS['message']}"
    assert QUOTED in (message.html or "")


def test_the_shipped_settings_name_the_plugins_that_are_tested_here() -> None:
    shipped = (Path(__file__).parents[2] / "settings.toml").read_text(encoding="utf-8")
    assert f"plugins = {json.dumps(CONTACTFORM['plugins'])}" in shipped
