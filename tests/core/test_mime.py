"""Mail as bytes: every header is the text it was given, and there is no header besides."""

import base64
import re
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message as Parsed
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.addresses import Address
from relay.core.file_types import file_name, media_type
from relay.core.ids import message_id, timestamp
from relay.core.message import Attachment, Message
from relay.core.mime import as_bytes
from relay.core.text import is_storable, line
from tests.support.generated import examples

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


LINES = st.text(max_size=120).filter(is_storable).map(lambda text: re.sub(r"[\r\n\t]", "", text))
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
    st.text(max_size=200).filter(is_storable),
    st.text(min_size=1, max_size=200).filter(is_storable) | st.none(),
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


def test_a_message_with_a_rendered_template_is_shown_as_its_parts() -> None:
    model = {"subject": "model", "TextBody": "model", "HtmlBody": "model"}
    parsed = sent(subject="Größe", text="t", html="<p>h</p>", template="welcome", model=model)
    assert shown(parsed, "Subject") == "Größe"
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    assert [content(part) for part in parts] == ["t", "<p>h</p>"]


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


PDF = Attachment("plan.pdf", "application/pdf", base64.b64encode(b"%PDF-1.7\n\x00\xff").decode())
LOGO = Attachment("logo.png", "image/png", base64.b64encode(b"\x89PNG").decode(), "cid:logo.png")
FILE_HEADERS = ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition"]


def tree(part: Parsed) -> object:
    """The content types of a mail, as it is built."""
    if not part.is_multipart():
        return part.get_content_type()
    return [part.get_content_subtype(), *map(tree, part.get_payload())]  # type: ignore[arg-type]


def attached(parsed: Parsed) -> list[Parsed]:
    return [part for part in parsed.walk() if part.get_content_disposition()]


@pytest.mark.parametrize(
    ("values", "built"),
    [
        ({"attachments": (PDF,)}, ["mixed", "text/plain", "application/pdf"]),
        (
            {"attachments": (PDF, PDF), "html": "<p>h</p>"},
            [
                "mixed",
                ["alternative", "text/plain", "text/html"],
                "application/pdf",
                "application/pdf",
            ],
        ),
        (
            {"attachments": (LOGO,), "html": '<img src="cid:logo.png">'},
            ["alternative", "text/plain", ["related", "text/html", "image/png"]],
        ),
        (
            {"attachments": (LOGO,), "html": '<img src="cid:logo.png">', "text": None},
            ["related", "text/html", "image/png"],
        ),
        (
            {"attachments": (PDF, LOGO, LOGO), "html": '<img src="cid:logo.png">'},
            [
                "mixed",
                ["alternative", "text/plain", ["related", "text/html", "image/png", "image/png"]],
                "application/pdf",
            ],
        ),
        ({"attachments": (LOGO,)}, ["mixed", "text/plain", "image/png"]),
        (
            {"attachments": (PDF,), "template": 7, "model": {}, "text": "t", "html": None},
            ["mixed", "text/plain", "application/pdf"],
        ),
        (
            {"attachments": (PDF,), "template": 7, "model": {"TextBody": "t"}, "subject": None},
            ["mixed", "text/plain", "application/pdf"],
        ),
    ],
)
def test_files_stand_beside_the_text_and_inline_ones_beside_the_html(
    values: dict[str, object], built: list[object]
) -> None:
    parsed = sent(**values)
    assert tree(parsed) == built
    names = [name for name in HEADERS if name != "Subject" or parsed["Subject"]]
    assert parsed.keys() == [*BOTH, *names]
    for part in attached(parsed):
        given = PDF if part.get_content_type() == "application/pdf" else LOGO
        assert part.get_filename() == given.name
        assert part.get_payload(decode=True) == base64.b64decode(given.content)
    raw = as_bytes(mail(**values))
    assert raw == as_bytes(mail(**values))
    assert all(len(written) <= 998 for written in raw.split(b"\n"))


def test_an_inline_file_is_found_under_its_content_id() -> None:
    parsed = sent(attachments=(LOGO,), html='<img src="cid:logo.png">')
    [part] = attached(parsed)
    assert part.keys() == [*FILE_HEADERS, "Content-ID"]
    assert part["Content-ID"] == "<logo.png>"
    assert part.get_content_disposition() == "inline"
    [related] = [part for part in parsed.walk() if part.get_content_subtype() == "related"]
    assert related.get_param("type") == "text/html"


@pytest.mark.parametrize("id", ["", "cid:", "cid:a b", "cid:a>\nBcc: x", "a>", "cid:é", "x" * 600])
def test_a_content_id_that_is_none_makes_an_ordinary_file(id: str) -> None:
    one = Attachment("logo.png", "image/png", LOGO.content, id)
    parsed = sent(attachments=(one,), html="<p>h</p>")
    [part] = attached(parsed)
    assert part.keys() == FILE_HEADERS
    assert part.get_content_disposition() == "attachment"
    assert b"Bcc" not in as_bytes(mail(attachments=(one,), html="<p>h</p>"))


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("text/plain", "text/plain"),
        ("text/plain; charset=utf-8", 'text/plain; charset="utf-8"'),
        ('text/plain; charset="utf-8"', 'text/plain; charset="utf-8"'),
        ("TEXT/Plain;CHARSET=x; charset=y", 'TEXT/Plain; charset="x"'),
        ("text/calendar; method=REQUEST; charset=utf-8", None),
        ("image/svg+xml", "image/svg+xml"),
        ("application/vnd.ms-excel.sheet.12", "application/vnd.ms-excel.sheet.12"),
        (" image/png ", "image/png"),
        ("text/plain; name=evil.exe; charset=utf-8", 'text/plain; charset="utf-8"'),
        ("text/plain; boundary=x", "text/plain"),
        ('text/plain; charset="a\nBcc: x"', "text/plain"),
        ("text/plain; charset=a b", "text/plain"),
        ("text/plain\nBcc: evil@evil.com", "application/octet-stream"),
        ("text/plain\r\n\r\n<script>", "application/octet-stream"),
        ("text/plain;\nBcc: evil@evil.com", "text/plain"),
        ("multipart/mixed; boundary=x", "application/octet-stream"),
        ("message/rfc822", "application/octet-stream"),
        ("Message/Partial; id=1", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("pdf", "application/octet-stream"),
        ("a/b/c", "application/octet-stream"),
        ("text/é", "application/octet-stream"),
        ("x" * 900 + "/y", "application/octet-stream"),
    ],
)
def test_a_content_type_says_what_it_is_and_nothing_else(given: str, written: str | None) -> None:
    expected = written or 'text/calendar; method="REQUEST"; charset="utf-8"'
    assert media_type(given) == expected
    one = Attachment("a.txt", given, PDF.content)
    parsed = sent(attachments=(one,))
    assert parsed.keys() == [*BOTH, *HEADERS]
    [part] = attached(parsed)
    assert part.keys() == FILE_HEADERS
    assert re.sub(r"\n", "", part["Content-Type"]) == expected
    assert part.get_payload(decode=True) == base64.b64decode(PDF.content)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("plan.pdf", "plan.pdf"),
        ("Lageplan für Größe.pdf", "Lageplan für Größe.pdf"),
        ("市役所 😀.pdf", "市役所 😀.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\plan.pdf", "plan.pdf"),
        ("/", "attachment"),
        ("..", "attachment"),
        ("", "attachment"),
        (" . ", "attachment"),
        (".htaccess", "htaccess"),
        ("plan.pdf ", "plan.pdf"),
        ("\u00a0", "attachment"),
        ("x" * 199 + " y", "x" * 199),
        ("a .pdf", "a.pdf"),
        ('a"b.pdf', "a_b.pdf"),
        ("a\r\nBcc: evil@evil.com", "a__Bcc_ evil@evil.com"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("a\x00b\x9f.pdf", "a_b_.pdf"),
        ("=?utf-8?q?x?=", "=_utf-8_q_x_="),
        ("a\ud800b", "a_b"),
        ("x" * 500 + ".pdf", "x" * 196 + ".pdf"),
        ("é" * 500 + ".pdf", "é" * 98 + ".pdf"),
        ("x." + "y" * 500, "x." + "y" * 198),
        ("100%; filename=evil.exe", "100%; filename=evil.exe"),
    ],
)
def test_a_file_has_a_name_without_a_path_and_without_tricks(given: str, written: str) -> None:
    assert file_name(given) == written
    assert file_name(written) == written
    parsed = sent(attachments=(Attachment(given, "application/pdf", PDF.content),))
    [part] = attached(parsed)
    assert part.keys() == FILE_HEADERS
    assert part.get_content_disposition() == "attachment"
    name = part.get_filename()
    assert name is not None
    assert name == written


@pytest.mark.parametrize(
    "name",
    [
        "my plan.pdf",
        "plan (1).pdf",
        "Smith & Sons.pdf",
        "site [final].pdf",
        "a, b + c = d.pdf",
        "it's 100% #1 ~ {new}.pdf",
        "a  b.pdf",
        "=_utf-8_q_x_=.pdf",
        "plan of the second floor " * 7 + "of it.pdf",
        "x" * 196 + ".pdf",
    ],
)
def test_an_ascii_name_is_written_so_that_every_reader_knows_it(name: str) -> None:
    raw = as_bytes(mail(attachments=(Attachment(name, "application/pdf", PDF.content),)))
    assert f'attachment; filename="{name}"\n'.encode() in raw
    [part] = attached(message_from_bytes(raw))
    assert part.get_filename() == name
    assert part["Content-Type"] == "application/pdf"


@pytest.mark.parametrize(
    ("name", "encoded", "fallback"),
    [
        (
            "Lageplan für Ämter.pdf",
            "Lageplan%20f%C3%BCr%20%C3%84mter.pdf",
            "Lageplan fur Amter.pdf",
        ),
        ("Größe.pdf", "Gr%C3%B6%C3%9Fe.pdf", "Gro_e.pdf"),
        ("市役所.pdf", "%E5%B8%82%E5%BD%B9%E6%89%80.pdf", "___.pdf"),
        ("e\u0301 😀.pdf", "e%CC%81%20%F0%9F%98%80.pdf", "e _.pdf"),
        ("план 1.docx", "%D0%BF%D0%BB%D0%B0%D0%BD%201.docx", "____ 1.docx"),
        ("a; filename=evil.exe", "a%3B%20filename%3Devil.exe", "a_ filename=evil.exe"),
        ("a\uff02\uff1b.pdf", "a%EF%BC%82%EF%BC%9B.pdf", "a__.pdf"),
        ("\u037e.pdf", "%CD%BE.pdf", "_.pdf"),
    ],
)
def test_any_other_name_is_written_as_rfc_2231_says_with_an_ascii_name_beside_it(
    name: str, encoded: str, fallback: str
) -> None:
    raw = as_bytes(mail(attachments=(Attachment(name, "application/pdf", PDF.content),)))
    assert f"attachment; filename*=utf-8''{encoded}\n".encode() in raw
    assert f'application/pdf; name="{fallback}"\n'.encode() in raw
    [part] = attached(message_from_bytes(raw))
    assert part.get_filename() == name


@pytest.mark.parametrize("name", ["é b.pdf", "a b.pdf"])
def test_the_name_beside_a_type_does_not_change_how_the_content_is_read(name: str) -> None:
    [part] = attached(sent(attachments=(Attachment(name, 'text/csv; charset="x"', PDF.content),)))
    assert part.get_content_type() == "text/csv"
    assert part.get_content_charset() == "x"


@examples(300)
@given(
    st.text(max_size=60).filter(is_storable) | st.text("a. \u00a0\u3000/é", max_size=300),
    st.text(max_size=60),
    st.text(max_size=30),
)
def test_no_attachment_makes_a_header_or_a_part(name: str, type: str, id: str) -> None:
    raw = as_bytes(mail(attachments=(Attachment(name, type, PDF.content, id),), html="<p>h</p>"))
    parsed = message_from_bytes(raw)
    assert parsed.keys() == [*BOTH, *HEADERS]
    [part] = attached(parsed)
    assert part.keys() in (FILE_HEADERS, [*FILE_HEADERS, "Content-ID"])
    assert part.get_filename() == file_name(name)
    assert part.get_payload(decode=True) == base64.b64decode(PDF.content)
    leaves = [one for one in parsed.walk() if not one.is_multipart()]
    assert len(leaves) == 3
    assert raw.isascii()
    assert all(len(written) <= 998 for written in raw.split(b"\n"))


@pytest.mark.parametrize("content", ["no base64", "YQ", "YQ==\n--x\n", "é"])
def test_an_attachment_that_is_no_base64_is_not_sent(content: str) -> None:
    with pytest.raises(ValueError):
        as_bytes(mail(attachments=(Attachment("a", "text/plain", content),)))


def test_a_text_cannot_end_its_part() -> None:
    boundary = message_from_bytes(as_bytes(mail(attachments=(PDF,)))).get_boundary()
    assert boundary
    text = f"\n--{boundary}\nContent-Type: text/html\n\nevil\n--{boundary}--\n"
    parsed = sent(attachments=(PDF,), text=text)
    assert parsed.get_boundary() == boundary
    assert tree(parsed) == ["mixed", "text/plain", "application/pdf"]
    [plain, _] = parsed.get_payload()
    assert content(plain) == text


OWN_ID = "<order-17@example.gov>"
KEEP = ("X-PM-KeepID", "true")


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ((("Message-ID", OWN_ID), KEEP), True),
        ((("x-pm-keepid", "True"), ("message-id", f" {OWN_ID} ")), True),
        ((("Message-ID", OWN_ID),), False),
        ((("Message-ID", OWN_ID), ("X-PM-KeepID", "false")), False),
        ((KEEP,), False),
        ((("Message-ID", "order-17"), KEEP), False),
        ((("Message-ID", "<a b@c>"), KEEP), False),
        ((("Message-ID", "<a>\nBcc: evil@evil.com"), KEEP), False),
        ((("Message-ID", "<a@b> <c@d>"), KEEP), False),
        ((("Message-ID", "<>"), KEEP), False),
        ((("Message-ID", "<é@b>"), KEEP), False),
    ],
)
def test_a_callers_message_id_is_kept_where_it_says_so(
    headers: tuple[tuple[str, str], ...], kept: bool
) -> None:
    parsed = sent(headers=headers)
    assert parsed.keys() == [*PLAIN, *HEADERS]
    assert parsed["Message-ID"] == (OWN_ID if kept else f"<{ID}@relay>")


def test_what_is_said_to_the_provider_is_not_mailed() -> None:
    parsed = sent(headers=(("X-PM-Bounce-Type", "HardBounce"), ("x-pm-tag", "a"), ("X-PMX", "b")))
    assert parsed.keys() == [*PLAIN, *HEADERS, "X-PMX"]


def test_ten_megabytes_are_written_whole() -> None:
    content = bytes(range(256)) * 40_000
    one = Attachment("big.bin", "application/octet-stream", base64.b64encode(content).decode())
    [part] = attached(sent(attachments=(one,), html="<p>h</p>"))
    assert part.get_payload(decode=True) == content


@pytest.mark.parametrize("name", ["A" * 2000, "A, b" * 500, "A" * 950 + " " + "b" * 950, "é" * 900])
def test_no_name_makes_a_line_longer_than_mail_servers_take(name: str) -> None:
    person = Address("ann@example.com", name)
    written = as_bytes(mail(sender=person, to=(person,), reply_to=(person,)))
    assert max(map(len, written.splitlines())) <= 998
    assert name in shown(message_from_bytes(written), "To").replace("\\", "")
