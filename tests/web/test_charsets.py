"""Which declared charsets are read, wherever they are declared."""

from urllib.parse import quote_from_bytes

import pytest

from relay.core.errors import InvalidSubmission, MalformedBody, UnsupportedMedia
from relay.web import webhooks
from relay.web.bodies import JSON, MULTIPART, URLENCODED, parse, submission_of
from tests.conftest import Outbox, Post

READ = [
    ("utf-8", "é€Ж", "utf-8"),
    ("UTF8", "é€Ж", "utf-8"),
    ("ISO-8859-1", "é ÿ £", "latin-1"),
    ("iso-8859-1", "€5 „so“ …", "cp1252"),
    ("latin1", "Größe", "latin-1"),
    ("us-ascii", "€ „so“", "cp1252"),
    ("ASCII", "plain", "ascii"),
    ("windows-1252", "€ „so“ €5", "cp1252"),
    ("cp1252", "€ „so“ €5", "cp1252"),
    ("x-cp1252", "€ „so“ €5", "cp1252"),
    ("ISO-8859-15", "€ œ", "iso8859-15"),
    ("iso8859_15", "€ œ", "iso8859-15"),
    ("iso-8859-2", "Łódź", "iso8859-2"),
    ("windows-1250", "Łódź", "cp1250"),
    ("windows-1251", "Москва", "cp1251"),
    ("koi8-r", "Москва", "koi8-r"),
    ("iso-8859-7", "Αθήνα", "iso8859-7"),
    ("iso-8859-9", "İstanbul", "cp1254"),
    ("windows-1255", "שלום", "cp1255"),
]
UNREAD = ["utf-7", "utf-16", "UTF-16LE", "utf-32", "shift_jis", "gbk", "cp037", "idna", "hex", "x"]
UNDECLARED = "not UTF-8, and no charset is declared"


def part(name: bytes, value: bytes, headers: bytes = b"") -> bytes:
    return b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
        name,
        headers,
        value,
    )


def declarations(label: str, value: bytes) -> list[tuple[str, bytes]]:
    """Every way to declare the charset of a form with the field `a`."""
    typed = f"\r\nContent-Type: text/plain; charset={label}".encode()
    charset = label.encode()
    multipart = f"{MULTIPART}; boundary=B"
    return [
        (f"{URLENCODED}; charset={label}", b"a=" + value),
        (f'{URLENCODED};charset="{label}"', b"a=" + quote_from_bytes(value).encode()),
        (URLENCODED, b"_charset_=" + charset + b"&a=" + value),
        (URLENCODED, b"a=" + value + b"&_charset_=" + charset),
        (f"{JSON}; charset={label}", b'{"a":"' + value + b'"}'),
        (f"{multipart}; charset={label}", part(b"a", value) + b"--B--"),
        (multipart, part(b"a", value, typed) + b"--B--"),
        (multipart, part(b"_charset_", charset) + part(b"a", value) + b"--B--"),
        (multipart, part(b"a", value) + part(b"_charset_", charset) + b"--B--"),
    ]


@pytest.mark.parametrize(("label", "text", "codec"), READ)
def test_a_declared_charset_is_decoded_as_declared(label: str, text: str, codec: str) -> None:
    for media, body in declarations(label, text.encode(codec)):
        assert parse(media, body).fields == {"a": text}, (media, body)


@pytest.mark.parametrize("label", UNREAD)
def test_other_charsets_are_unsupported(label: str) -> None:
    for media, body in declarations(label, b"1"):
        with pytest.raises(UnsupportedMedia):
            parse(media, body)


@pytest.mark.parametrize("value", [b"\xe9", b"\xc3(", b"\xed\xa0\x80", b"\xff", b"it\x92s"])
def test_a_declared_utf_8_is_strict(value: bytes) -> None:
    for media, body in declarations("utf-8", value):
        with pytest.raises(MalformedBody) as raised:
            parse(media, body)
        assert str(raised.value) in ("a: not UTF-8", "not UTF-8")


@pytest.mark.parametrize("value", [b"\xe9", b"\xc3(", b"\xed\xa0\x80", b"\xff", b"it\x92s"])
def test_what_is_undeclared_and_not_utf_8_is_refused_by_name(value: bytes) -> None:
    for media, body in [
        (URLENCODED, b"a=" + value),
        (f"{MULTIPART}; boundary=B", part(b"a", value) + b"--B--"),
    ]:
        with pytest.raises(MalformedBody) as raised:
            parse(media, body)
        assert str(raised.value) == f"a: {UNDECLARED}"


@pytest.mark.parametrize(
    "label", ["iso-8859-1", "windows-1252", "iso-8859-15", "us-ascii", "cp1254"]
)
def test_names_of_fields_and_files_have_the_forms_charset(label: str) -> None:
    name = "größe".encode("latin-1")
    photo = part(
        name, b"\xff\x92", b'; filename="gr\xfcn.bin"\r\nContent-Type: text/x; charset=utf-8'
    )
    charset = part(b"_charset_", label.encode())
    parsed = parse(f"{MULTIPART}; boundary=B", charset + part(b"\xe9", b"\xe8") + photo + b"--B--")
    assert parsed.fields == {"é": "è"}
    assert [(file.field_name, file.name, file.content) for file in parsed.files] == [
        ("größe", "grün.bin", b"\xff\x92")
    ]
    assert parse(f"{URLENCODED}; charset={label}", b"%E9=%E8").fields == {"é": "è"}


def test_a_parts_charset_goes_before_that_of_the_form_and_that_before_the_bodys() -> None:
    typed = b"\r\nContent-Type: text/plain; charset=utf-8"
    body = (
        part(b"a", "é".encode(), typed) + part(b"b", b"\xa4") + part(b"_charset_", b"iso-8859-15")
    )
    parsed = parse(f"{MULTIPART}; boundary=B; charset=windows-1251", body + b"--B--")
    assert parsed.fields == {"a": "é", "b": "€"}


@pytest.mark.parametrize("body", [b"a=1&_charset_=", b"a=1&_charset_=utf-8&_charset_=utf-8"])
def test_the_field_of_the_charset_is_no_field_of_the_form(body: bytes) -> None:
    assert parse(URLENCODED, body).fields == {"a": "1"}


@pytest.mark.parametrize("name", ["x" * 101, "x" * 5000])
def test_an_unusable_name_is_not_told(name: str) -> None:
    with pytest.raises(MalformedBody) as raised:
        parse(URLENCODED, name.encode() + b"=%ff")
    assert name not in str(raised.value)


def test_two_charsets_of_one_form_are_refused() -> None:
    with pytest.raises(InvalidSubmission) as raised:
        parse(URLENCODED, b"a=%E9&_charset_=utf-8&_charset_=latin1")
    assert list(raised.value.fields) == ["_charset_"]


def test_a_field_of_json_named_so_is_an_ordinary_one() -> None:
    assert parse(JSON, b'{"_charset_": "utf-16"}').fields == {"_charset_": "utf-16"}


@pytest.mark.parametrize("text", ['{"a": "x"}', ' {"a": "x"}', '\n{"a":"x"}', '{"a": "x"}\n'])
def test_a_byte_order_mark_before_json_is_skipped(text: str) -> None:
    for media in (JSON, f"{JSON}; charset=utf-8"):
        assert parse(media, b"\xef\xbb\xbf" + text.encode()).fields == {"a": "x"}


def test_a_byte_order_mark_in_a_value_stays() -> None:
    assert parse(JSON, '\ufeff{"a": "\ufeffx"}'.encode()).fields == {"a": "\ufeffx"}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("media", "body", "status"),
    [
        (URLENCODED, b"subject=%E9", 400),
        (f"{URLENCODED}; charset=utf-8", b"subject=%E9", 400),
        (f"{URLENCODED}; charset=utf-16", b"subject=x", 415),
        (URLENCODED, b"subject=x&_charset_=utf-7", 415),
        (f"{JSON}; charset=utf-16", '{"subject": "x"}'.encode("utf-16"), 415),
        (JSON, '{"subject": "x"}'.encode("utf-16"), 400),
        (f"{MULTIPART}; boundary=B", part(b"subject", b"\xe9") + b"--B--", 400),
        (f"{MULTIPART}; boundary=B", part(b"subject", b"cut of"), 400),
    ],
)
async def test_what_stays_refused_is_not_stored(
    post: Post, outbox: Outbox, media: str, body: bytes, status: int
) -> None:
    reply = await post("/rest/email/contactform", body=body, headers={"content-type": media})
    assert reply.status == status
    assert outbox.states() == []


@pytest.mark.parametrize("content", ['{"a": "x"}', '\n{"a": "x"}', '{"a": "x"}\n', "a=x", "a=x\n"])
def test_a_byte_order_mark_before_a_saved_form_is_skipped(content: str) -> None:
    submission = submission_of("contactform", f"\ufeff{content}".encode())
    assert dict(submission.fields) == {"a": "x"}


@pytest.mark.parametrize(
    ("declared", "body"),
    [
        ("application/json", '{"a": "Caf\u00e9"}'.encode()),
        ("application/json; charset=utf-8", b'\xef\xbb\xbf{"a": "Caf\xc3\xa9"}'),
        ("application/json; charset=ISO-8859-1", b'{"a": "Caf\xe9"}'),
        ("application/json;charset=windows-1252", b'{"a": "Caf\xe9"}'),
        ("application/json; charset=utf-32", '{"a": "Caf\u00e9"}'.encode()),
    ],
)
def test_a_webhook_is_read_in_the_charset_that_it_declares(declared: str, body: bytes) -> None:
    assert webhooks.read(declared, body)["a"] == "Caf\u00e9"
