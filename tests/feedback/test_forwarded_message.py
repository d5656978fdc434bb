"""Answers: was it a person, and the message that passes it on and says nothing more."""

import base64
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
    assert made == (
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
        ),
        0,
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


def test_html_that_is_too_much_is_left_out_where_there_is_a_text() -> None:
    made = answered(staff(html="<p>" * 3000)).message
    assert (made.html, made.text) == (None, "We will.")


@pytest.mark.parametrize(
    "changes",
    [{"text": "x" * 1_000_001}, {"text": "", "html": "<p>" * 3000}],
    ids=["text", "html"],
)
def test_a_giant_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        answered(staff(**changes))


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
    made = answered(staff(attachments=tuple(files)))
    assert len(made.message.attachments) == kept
    assert made.left_out == len(files) - kept
    assert all(one.content_id is None for one in made.message.attachments)


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
