"""Mail as bytes: every header is the text it was given, and there is no header besides."""

import re
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message as Parsed
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.addresses import Address
from relay.ids import message_id, timestamp
from relay.message import Message
from relay.mime import as_bytes
from relay.text import line, storable
from tests.generated import examples

ID = "019aa5c2-7d8e-7abc-8def-0123456789ab"
SENDER = Address("relay@example.gov", "Relay")
DESK = Address("desk@example.gov")
HEADERS = ["Message-ID", "Date", "From", "To", "Subject", "X-Relay-Message-Id"]
PLAIN = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
BOTH = ["Content-Type", "MIME-Version"]


def mail(**values: object) -> Message:
    given = {"sender": SENDER, "to": (DESK,), "subject": "Hi", "text": "Hello.", "id": ID}
    return Message(**(given | values))  # type: ignore[arg-type]


def sent(**values: object) -> Parsed:
    return message_from_bytes(as_bytes(mail(**values)))


def shown(parsed: Parsed, name: str) -> str:
    """A header as a reader shows it: unfolded and decoded."""
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", parsed[name])
    return str(make_header(decode_header(unfolded.strip())))


def content(part: Parsed) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8")


LINES = st.text(max_size=120).filter(storable).map(lambda text: re.sub(r"[\r\n\t]", "", text))
ONE_LINE = LINES.filter(lambda text: not re.search("[\x7f-\x9f\u2028\u2029]", text)).map(line)
TRICKY = st.lists(
    st.sampled_from(["=?utf-8?q?", "=?", "?=", "=0A", "=\n".strip(), "Bcc:", "é", "a", " ", "  "]),
    max_size=30,
).map(lambda pieces: line("".join(pieces)))


@pytest.mark.parametrize(
    "subject",
    [
        "I have a great idea.",
        "Größe & 市役所 😀",
        "=?utf-8?q?Bcc=3A_evil=40evil.com?=",
        "=?utf-8?b?CkJjYzogZXZpbEBldmlsLmNvbQ==?=",
        "=?us-ascii?q?=0ABcc:_evil@evil.com?=",
        "=?utf-8?q?a?= =?utf-8?q?b?=",
        "é =?utf-8?q?a?= é",
        "=?",
        "?=",
        "Subject: x",
        "a" * 997,
        "a" * 2000,
        "b " + "a" * 899 + " " + "c" * 900,
        "é" * 2000,
        "word " * 400 + "end",
        "a" + " " * 200 + "b",
        "a" + "\u00a0" * 200 + "b",
        "a  b   c",
        ": , ; \" ' \\ <x@y.z>",
        "%s {} $x",
    ],
)
def test_a_subject_is_shown_as_the_text_it_is(subject: str) -> None:
    raw = as_bytes(mail(subject=subject))
    parsed = message_from_bytes(raw)
    assert all(len(written) <= 998 for written in raw.split(b"\n"))
    assert parsed.keys() == [*PLAIN, *HEADERS]
    assert shown(parsed, "Subject") == subject


@examples(300)
@given(ONE_LINE | TRICKY)
@example("=?utf-8?q?=0ABcc=3A_x=40y.co?=")
@example("0 " * 40 + "=?x?q?y?=")
def test_every_subject_reads_back_and_makes_no_header(subject: str) -> None:
    raw = as_bytes(mail(subject=subject))
    parsed = message_from_bytes(raw)
    names = [*PLAIN, *(name for name in HEADERS if subject or name != "Subject")]
    assert parsed.keys() == names
    if subject:
        assert shown(parsed, "Subject") == subject
    head = raw.split(b"\n\n", 1)[0]
    assert head.isascii()
    assert all(len(written) <= 998 for written in head.split(b"\n"))
    assert all(written.strip() for written in head.split(b"\n"))


@examples(300)
@given(ONE_LINE | TRICKY | st.text('"\\<>@,;:() .=?', max_size=20).map(line))
@example('Doe, "Jane" <x@evil.com>')
def test_every_name_reads_back_beside_its_own_address(name: str) -> None:
    parsed = sent(sender=Address("relay@example.gov", name), to=(Address("a@b.co", name), DESK))
    assert parsed.keys() == [*PLAIN, *HEADERS]
    from_, to = shown(parsed, "From"), shown(parsed, "To")
    assert from_.endswith("relay@example.gov>" if name else "relay@example.gov")
    assert to.endswith(", desk@example.gov")
    written = from_.removesuffix(" <relay@example.gov>")
    plain = name.isascii() and "=?" not in name
    if plain and written.startswith('"'):
        written = re.sub(r"\\(.)", r"\1", written[1:-1])
    assert not name or written == name
    if not plain:
        words = r"\s*(=\?utf-8\?[bq]\?[^ ?]*\?=\s*)+<relay@example.gov>"
        assert re.fullmatch(words, parsed["From"], re.IGNORECASE)


@pytest.mark.parametrize(
    "header",
    [
        {"subject": "a\nBcc: evil@evil.com"},
        {"subject": "a\r\nBcc: evil@evil.com"},
        {"subject": "a\n\nbody"},
        {"subject": "é\nBcc: evil@evil.com"},
        {"sender": Address("a@example.gov", "x\nBcc: evil@evil.com")},
        {"sender": Address("a@example.gov\nBcc: evil@evil.com")},
        {"to": (Address("a@example.gov", "x\n\nbody"),)},
        {"cc": (Address("a@example.gov\nBcc: evil@evil.com"),)},
        {"reply_to": (Address("a@example.gov", "x\r\nBcc: evil@evil.com"),)},
        {"headers": (("X-Form", "a\nBcc: evil@evil.com"),)},
        {"headers": (("X-Form\nBcc", "evil@evil.com"),)},
        {"headers": (("X-Form: a\nBcc", "evil@evil.com"),)},
        {"id": ID + "\nBcc: evil@evil.com"},
    ],
)
def test_what_breaks_out_of_its_header_is_not_sent(header: dict[str, object]) -> None:
    try:
        parsed = sent(**header)
    except ValueError:
        return
    assert "Bcc" not in parsed
    assert parsed.keys()[: len(PLAIN)] == PLAIN
    assert content(parsed) == "Hello."


def test_addresses_and_chosen_headers_are_written_and_bcc_is_not() -> None:
    parsed = sent(
        to=(DESK, Address("b@example.gov", "Doe, Jane")),
        cc=(Address("c@example.gov", "Zoë"),),
        bcc=(Address("secret@example.gov"),),
        reply_to=(Address("resident@example.com", "A Resident"),),
        headers=(("X-Form", "first"), ("X-Form", "second =?x?q?y?="), ("X-Empty", "")),
    )
    expected = [*PLAIN, "Message-ID", "Date", "From", "To", "Cc", "Reply-To", "Subject"]
    assert parsed.keys() == [*expected, "X-Relay-Message-Id", "X-Form", "X-Form"]
    assert shown(parsed, "To") == 'desk@example.gov, "Doe, Jane" <b@example.gov>'
    assert shown(parsed, "Cc") == "Zoë <c@example.gov>"
    assert parsed["Reply-To"] == "A Resident <resident@example.com>"
    values = [str(make_header(decode_header(value))) for value in parsed.get_all("X-Form", [])]
    assert values == ["first", "second =?x?q?y?="]
    assert b"secret@example.gov" not in as_bytes(mail(bcc=(Address("secret@example.gov"),)))


def test_every_attempt_has_the_same_message_id_and_date() -> None:
    id = message_id()
    parsed = sent(id=id)
    assert parsed["Message-ID"] == f"<{id}@relay>"
    assert parsed["X-Relay-Message-Id"] == id
    assert parsedate_to_datetime(parsed["Date"]).timestamp() == int(timestamp(id))
    assert as_bytes(mail(id=id)) == as_bytes(mail(id=id))
    other = message_from_bytes(as_bytes(mail(id=id), "mail.example.gov"))
    assert other["Message-ID"] == f"<{id}@mail.example.gov>"


@pytest.mark.parametrize(
    ("values", "kinds", "names"),
    [
        ({"text": "t"}, ["text/plain"], PLAIN),
        ({"text": None, "html": "<p>h</p>"}, ["text/html"], PLAIN),
        ({"text": "t", "html": "<p>h</p>"}, ["text/plain", "text/html"], BOTH),
        ({"text": None, "html": None}, ["text/plain"], PLAIN),
        ({"text": "", "html": "<p>h</p>"}, ["text/plain", "text/html"], BOTH),
    ],
)
def test_a_mail_has_the_parts_of_its_message(
    values: dict[str, str | None], kinds: list[str], names: list[str]
) -> None:
    parsed = sent(**values)
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in parts] == kinds
    assert parsed.keys() == [*names, *HEADERS]
    assert parsed.get_content_type() == ("multipart/alternative" if names == BOTH else kinds[0])
    given = {"text/plain": values["text"] or "", "text/html": values.get("html")}
    assert [content(part) for part in parts] == [given[kind] for kind in kinds]
    assert all(part.get_content_charset() == "utf-8" for part in parts)


@examples(200)
@given(
    st.text(max_size=200).filter(storable),
    st.text(min_size=1, max_size=200).filter(storable) | st.none(),
)
@example("From me\n.\n..\n--\n=20 \t\n", None)
@example("a" * 5000, "é" * 5000)
def test_every_body_reads_back_but_for_the_kind_of_its_line_ends(
    text: str, html: str | None
) -> None:
    raw = as_bytes(mail(text=text, html=html))
    parsed = message_from_bytes(raw)
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    for part, written in zip(parts, [text, html], strict=False):
        assert content(part) == re.sub("\r\n?", "\n", written or "")
    assert raw.isascii()
    assert all(len(written) <= 998 for written in raw.split(b"\n"))


def test_a_message_with_a_template_is_shown_as_its_model() -> None:
    model = {"subject": "Größe", "TextBody": "t", "HtmlBody": "<p>h</p>", "units": ["a"]}
    parsed = sent(subject=None, text=None, template="welcome", model=model)
    assert shown(parsed, "Subject") == "Größe"
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    assert [content(part) for part in parts] == ["t", "<p>h</p>"]


@pytest.mark.parametrize("model", [None, {}, {"subject": 5, "TextBody": ["x"], "HtmlBody": None}])
def test_a_model_without_words_makes_an_empty_mail(model: dict[str, object] | None) -> None:
    parsed = sent(subject=None, text=None, template=7, model=model)
    assert "Subject" not in parsed
    assert content(parsed) == ""


def test_a_subject_of_two_lines_in_a_model_is_not_sent() -> None:
    with pytest.raises(ValueError):
        sent(subject=None, template=7, model={"subject": "a\nBcc: evil@evil.com"})
