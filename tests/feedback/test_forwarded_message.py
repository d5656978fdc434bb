"""Answers: was it a person, and the message that passes it on and says nothing more."""

import base64
import html
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import mime
from relay.core.addresses import Address
from relay.core.message import Attachment, Message, Reply
from relay.core.server import Server
from relay.feedback import forwarded_message
from relay.feedback.forwarded_message import ForwardedReply, not_written
from relay.intake.outbox import identified
from relay.store import documents
from tests.support.generated import examples

CODE = "abcdefghijklmnop.abcdefghij"
EMAIL = f"r+{CODE}@inbound.example.gov"
WRITER = Address("resident@example.com", "Resident, A")
OFFICE = Address("desk@example.gov")
SERVER = Server(
    "contactform",
    ("contactform",),
    sender=Address("contactform@example.gov", "Contact form"),
    replies=Address("r@inbound.example.gov"),
)

HEADERS = (
    ("Return-Path", "<desk@example.gov>"),
    ("Received", "from mail.example.gov"),
    ("Message-ID", "<answer@example.gov>"),
    ("In-Reply-To", "<form@example.gov>"),
    ("References", "<first@example.gov>\r\n <form@example.gov>"),
    ("Auto-Submitted", "no"),
    ("Precedence", "normal"),
    ("X-Relay-Hop", "0"),
    ("X-Auto-Response-Suppress", "OOF"),
    ("X-Originating-IP", "10.0.0.1"),
    ("Reply-To", "somebody@example.com"),
    ("Bcc", "somebody@example.com"),
)


def answered(
    given_message: Message, headers: tuple[tuple[str, str], ...] = HEADERS
) -> ForwardedReply:
    reply = Reply("id", EMAIL, given_message, headers)
    return forwarded_message.answer(reply, WRITER, OFFICE, SERVER)


def staff(**changes: Any) -> Message:
    values = {"subject": "Re: An idea", "text": "We will.", "sender": Address("desk@example.gov")}
    return Message(**{**values, "to": (), **changes})


def test_an_answer_goes_from_the_servers_sender_to_the_writer_alone() -> None:
    made = answered(staff(sender=Address("desk@example.gov", "Jane Doe"), html="<p>We will.</p>"))
    assert made == ForwardedReply(
        Message(
            sender=Address("contactform@example.gov", "Jane Doe"),
            to=(WRITER,),
            reply_to=(OFFICE,),
            subject="Re: An idea",
            text="We will.",
            html="<p>We will.</p>",
            headers=(
                ("In-Reply-To", "<form@example.gov>"),
                ("References", "<first@example.gov> <form@example.gov>"),
                ("X-Relay-Hop", "1"),
            ),
        )
    )
    assert answered(staff()).message.sender.name == "Contact form"


def test_a_persons_answer_is_told_from_a_machines() -> None:
    assert not_written(HEADERS) is None


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("Auto-Submitted", "auto-replied", "automatic"),
        ("auto-submitted", "Auto-Generated; x=y", "automatic"),
        ("Auto-Submitted", "", "automatic"),
        ("Return-Path", "<>", "automatic"),
        ("Return-Path", "", "automatic"),
        ("Precedence", "bulk", "automatic"),
        ("precedence", " JUNK ", "automatic"),
        ("Precedence", "list", "automatic"),
        ("Precedence", "auto_reply", "automatic"),
        ("X-Autoreply", "yes", "automatic"),
        ("X-Autorespond", "Out of office", "automatic"),
        ("X-Relay-Hop", "1", "loop"),
        ("x-relay-hop", "7", "loop"),
        ("X-Relay-Hop", "many", "loop"),
    ],
)
def test_what_a_machine_wrote_is_no_answer(name: str, value: str, why: str) -> None:
    others = tuple(header for header in HEADERS if header[0].lower() != name.lower())
    assert not_written((*others, (name, value))) == why


@pytest.mark.parametrize("value", ["no", "No", " no ", "no; comment", "no (a person)"])
def test_mail_that_says_a_person_wrote_it_is_believed(value: str) -> None:
    assert not_written((("Auto-Submitted", value),)) is None


def test_the_reply_address_stays_between_relay_and_the_office() -> None:
    email = EMAIL
    quoted = f"To: {email}\nmailto:{email.upper().replace('+', '%2B').replace('@', '%40')}"
    made = answered(
        staff(
            sender=Address("desk@example.gov", f"Jane {email}"),
            subject=f"Re: {email}",
            text=quoted,
            html=f'<a href="mailto:{email}">{email}</a>',
        )
    ).message
    left = repr(made).lower()
    assert email not in left
    assert CODE not in left
    assert made.text == "To: resident@example.com\nmailto:resident@example.com"
    assert made.subject == "Re: resident@example.com"


def test_html_is_cleaned_and_gives_the_text_that_is_missing() -> None:
    markup = '<p onclick="x">We <b>will</b>.</p><script>x</script><img src="cid:logo">'
    made = answered(staff(text="", html=markup)).message
    assert (made.html, made.text) == ("<p>We <b>will</b>.</p>", "We will.")


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>answer</p>" + "<div><span>x</span></div>" * 1_250, "answer\n\n" + "x\n" * 1_250),
        ("<p>answer</p>" + "<table><tr><td><p>a</p>" * 2_501, "answer" + "\n\na" * 2_501),
        ("<p>answer</p><p>" + "<div>" * 20_000 + "deep", "answer\n\ndeep"),
        ("<p>answer</p><div>" + "x" * 100_000 + "</div>", "answer\n\n" + "x" * 100_000),
        ("<style>p{}" + "y" * 100_000 + "</style><p>answer</p>", "answer"),
        ("answer" + "<o:p>&nbsp;</o:p>" * 2_501 + "<br>end", "answer" + "\xa0" * 2_501 + "\nend"),
        ("<p>answer</p>" + "&amp;" * 10_001, "answer\n\n" + "&" * 10_001),
        ('<p>answer</p><img src="data:image/png;base64,' + "A" * 100_000 + '">', "answer"),
        ("<jane@example.gov>" + "<i>x</i>" * 1_251, "<jane@example.gov>" + "x" * 1_251),
    ],
    ids=["lines", "tables", "deep", "long", "styles", "Word", "entities", "image", "no element"],
)  # fmt: skip
def test_html_that_is_too_much_is_passed_on_as_text(markup: str, text: str) -> None:
    made = answered(staff(text="", html=markup))
    assert (made.message.html, made.lacks_html, made.held) == (None, True, "")
    assert [line.rstrip() for line in made.message.text.splitlines()] == [
        line.rstrip() for line in text.splitlines()
    ]


@pytest.mark.parametrize("markup", ["<p>" * 3000, "x" * 100_001])
def test_html_that_is_too_much_is_left_out_where_there_is_a_text(markup: str) -> None:
    made = answered(staff(html=markup))
    assert (made.message.html, made.message.text) == (None, "We will.")
    assert (made.lacks_html, made.held) == (True, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "x" * 1_234_567},
        {"text": "x" * 1_234_567, "html": "<p>short</p>"},
        {"text": "", "html": "<p>" + "x" * 1_234_567},
        {"text": " ", "html": f"<b>{'x' * 9_721}</b>" * 127},
        {"text": "x" * 1_234_567, "attachments": (Attachment("a.exe", "x/x", "eHh4"),)},
    ],
    ids=["text", "text beside html", "html", "html of many tags", "text and files"],
)
def test_of_a_giant_the_beginning_is_kept_for_a_person(changes: dict[str, Any]) -> None:
    made = answered(staff(**changes))
    assert made.held == "an answer of 1,234,567 characters, of which 1,000,000 can be passed on"
    assert made.message.html is None
    assert made.message.text.endswith("x" * 1_000_000)
    assert len(made.message.text) < 1_001_000


def test_the_reply_address_is_taken_out_of_a_giant_before_it_is_cut() -> None:
    made = answered(staff(text="x" * 999_980 + f" {EMAIL} and more" + "x" * 100))
    assert made.held
    assert CODE[:5] not in made.message.text


def file(size: int, name: str = "plan.pdf", content: str | None = None) -> Attachment:
    encoded = base64.b64encode(b"x" * size).decode() if content is None else content
    return Attachment(name, "application/pdf", encoded, "cid:plan")


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ([file(10)], 1),
        ([file(10)] * 11, 10),
        ([file(4_000_000), file(4_000_000), file(10)], 2),
        ([file(8_000_000)], 0),
        ([file(0), file(0, content="not base64!"), file(10)], 1),
        ([file(10, "setup.EXE"), file(10, "a.vbs. "), file(10, "exe")], 0),
        ([file(10, "setup.exe.pdf"), file(10, "exe.txt")], 2),
    ],
    ids=["one", "eleven", "too many bytes", "one too large", "none", "forbidden", "not forbidden"],
)
def test_files_are_passed_on_as_far_as_a_mail_can_carry_them(
    files: list[Attachment], kept: int
) -> None:
    made = answered(staff(attachments=tuple(files), html="<p>We will.</p>"))
    assert len(made.message.attachments) == kept
    assert made.left_out == len(files) - kept
    notice = "These files of the answer could not be passed on: "
    assert made.message.text.startswith(notice) == (kept < len(files))
    assert made.message.html.startswith(f"<p>{notice}") == (kept < len(files))
    assert all(one.content_id is None for one in made.message.attachments)


@pytest.mark.parametrize(
    ("names", "notice"),
    [
        (["setup.exe"], "setup.exe"),
        (["setup.exe", "a b&c.vbs"], "setup.exe, a b&c.vbs"),
        (["<b>x</b>.exe"], "b_.exe"),
        (["x\r\nBcc: y\u202e.exe"], None),
        ([f"{EMAIL}.exe"], "resident@example.com.exe"),
        ([f"{number}.exe" for number in range(25)], None),
    ],
)
def test_files_that_are_left_out_are_named_to_the_writer(
    names: list[str], notice: str | None
) -> None:
    files = tuple(file(10, name) for name in names)
    made = answered(staff(attachments=files, html="<p>We will.</p>")).message
    said, rest = made.text.split("\n\n")
    begin, listed = said.split(": ", 1)
    assert begin == "These files of the answer could not be passed on"
    assert notice is None or listed == notice
    assert rest == "We will."
    assert made.html == f"<p>{begin}: {html.escape(listed)}</p><p>We will.</p>"
    assert not {"\u202e", "\r", "\n"} & set(listed)
    assert len(names) <= 20 or listed.endswith(", 19.exe and 5 more")
    alone = answered(staff(text="", attachments=files)).message
    assert (alone.text, alone.html) == (said, None)


def test_a_mail_of_nothing_but_a_file_has_a_text_all_the_same() -> None:
    made = answered(staff(text=None, attachments=(file(10),))).message
    assert made.text == "-"


def test_a_long_thread_keeps_its_last_ids_in_one_header() -> None:
    ids = [f"<{number:03}@example.gov>" for number in range(100)]
    made = answered(staff(), (("References", " ".join(ids)),)).message
    [(name, value), _] = made.headers
    assert name == "References"
    assert len(value) <= 900
    assert value.split() == ids[-len(value.split()) :]


LINES = st.text(max_size=60) | st.text('=?utf-8Q_ab<>@"\\,\r\n\x00\u202e\ud800 ', max_size=40)


@examples(300)
@given(LINES, LINES, LINES, LINES)
def test_whatever_came_in_can_be_stored_and_sent_with_its_headers_alone(
    name: str, subject: str, text: str, references: str
) -> None:
    given_message = staff(
        sender=Address("desk@example.gov", name), subject=subject, text=text, html=text
    )
    headers = (("References", f"<a@example.gov> {references}"), ("Bcc", text))
    made = identified(answered(given_message, headers).message, "relay-0")
    assert documents.load(made.id, documents.dump(made)) == made
    sent = mime.as_bytes(made)  # raises where a header would become several
    names = {line.partition(b":")[0] for line in sent.partition(b"\n\n")[0].split(b"\n")}
    assert b"Bcc" not in names
    assert made.to == (WRITER,)
