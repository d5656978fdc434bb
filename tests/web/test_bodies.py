"""Request bodies: what is read, what is refused, and that the five spellings of a field agree."""

import gc
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from relay.core.errors import InvalidSubmission, MalformedBody, SubmissionError, UnsupportedMedia
from relay.core.submission import File
from relay.core.text import is_storable
from relay.web.bodies import MULTIPART, URLENCODED, Body, parse
from tests.support.generated import examples

JSON = "application/json"
BOUNDARY = "----boundary"
MULTIPART_TYPE = f"{MULTIPART}; boundary={BOUNDARY}"

# A name that a multipart header, a bracket and a JSON key can all carry: `email[0]` is a list.
NAME = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters='[]"\\'),
    min_size=1,
    max_size=12,
).filter(lambda name: name == name.strip() and name not in ("email", "0"))
VALUE = st.text(max_size=20).filter(is_storable)
SHORT = st.text(max_size=5).filter(is_storable)
FIELDS = st.dictionaries(NAME, VALUE, max_size=6)


def part(name: str, value: bytes, headers: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{headers}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def multipart(fields: dict[str, str]) -> bytes:
    parts = [part(name, value.encode()) for name, value in fields.items()]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def in_email(fields: dict[str, Any]) -> dict[str, Any]:
    return {f"email[{name}]": value for name, value in fields.items()}


def parsed_or_refused(media: str, body: bytes) -> Body | SubmissionError:
    try:
        return parse(media, body)
    except SubmissionError as error:
        return error


def spellings(fields: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Every way in which a caller may write the same fields."""
    wrapped = in_email(fields)
    return [
        (URLENCODED, urlencode(fields).encode()),
        (URLENCODED, urlencode(wrapped).encode()),
        (URLENCODED, urlencode({**fields, **wrapped}).encode()),
        (MULTIPART_TYPE, multipart(fields)),
        (MULTIPART_TYPE, multipart(wrapped)),
        (JSON, json.dumps(fields).encode()),
        (JSON, json.dumps(fields, ensure_ascii=False).encode()),
        (JSON, json.dumps(wrapped).encode()),
        (JSON, json.dumps({"email": fields}).encode()),
        (JSON, json.dumps({"email": fields, **fields, **wrapped}).encode()),
    ]


@examples(150)
@given(FIELDS)
@example({"subject": "= & + %41 é 😀 \u202e", "Größe 한국": "1\r\n2\n3\t4"})
def test_a_field_reads_the_same_however_it_is_spelled(fields: dict[str, str]) -> None:
    for media, body in spellings(fields):
        assert parse(media, body).fields == fields, (media, body)


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (URLENCODED, "email[headers][0][Name]=X-Form&email[headers][0][Value]=a"),
        (URLENCODED, "headers[0][Name]=X-Form&headers[0][Value]=a"),
        (JSON, '{"email[headers][0][Name]": "X-Form", "email[headers][0][Value]": "a"}'),
        (JSON, '{"email": {"headers[0][Name]": "X-Form", "headers[0][Value]": "a"}}'),
        (JSON, '{"email": {"headers": [{"Name": "X-Form", "Value": "a"}]}}'),
        (JSON, '{"email[headers]": [{"Name": "X-Form", "Value": "a"}]}'),
        (JSON, '{"headers": [{"Name": "X-Form", "Value": "a"}]}'),
    ],
)
def test_nested_fields_agree_too(media: str, body: str) -> None:
    expected = {"headers": [{"Name": "X-Form", "Value": "a"}]}
    assert parse(media, body.encode()).fields == expected


@pytest.mark.parametrize(
    "value",
    [
        {"units": [{"unit_count": 2}, {"unit_count": "3"}]},
        {"current_units": {"0": {"relist_unit": True}}},
        {"deep": {"a[b]": [[], {}, None, 1.5, -1, False]}},
        {"list": [], "object": {}, "null": None, "zero": 0, "empty": ""},
        {"text": 'x<y \\ " \n \r\n \t é 😀'},
    ],
)
def test_what_json_holds_comes_through_unchanged(value: dict[str, Any]) -> None:
    assert parse(JSON, json.dumps(value).encode()).fields == value
    assert parse(JSON, json.dumps({"email": value}).encode()).fields == value


@pytest.mark.parametrize("value", ["resident@example.com", ["a", "b"], [], 1, None, False])
def test_an_email_field_of_json_that_is_no_object_is_an_ordinary_field(value: Any) -> None:
    assert parse(JSON, json.dumps({"email": value, "a": 1}).encode()).fields == {
        "email": value,
        "a": 1,
    }


@pytest.mark.parametrize("media", [URLENCODED, MULTIPART_TYPE, JSON])
def test_an_email_field_that_is_a_scalar_is_an_ordinary_field(media: str) -> None:
    fields = {"email": "resident@example.com", "subject": "Hi"}
    bodies = {
        URLENCODED: urlencode(fields).encode(),
        MULTIPART_TYPE: multipart(fields),
        JSON: json.dumps(fields).encode(),
    }
    assert parse(media, bodies[media]).fields == fields


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ({"email": {"email": "a@example.com"}}, {"email": "a@example.com"}),
        ({"email": {"email": {"a": 1}}}, {"email": {"a": 1}}),
        ({"email": {"": "x"}}, {"": "x"}),
        ({"email": {"x[": "1", "y]": "2"}}, {"x[": "1", "y]": "2"}),
        ({"email": {"a": 1}, "email[b]": 2, "c": 3}, {"a": 1, "b": 2, "c": 3}),
        ({"email": {}}, {}),
    ],
)
def test_the_fields_of_an_email_object_are_fields(
    content: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert parse(JSON, json.dumps(content).encode()).fields == fields


@pytest.mark.parametrize(
    ("media", "body", "name"),
    [
        (URLENCODED, "a=1&a=2", "a"),
        (URLENCODED, "a=1&email[a]=2", "a"),
        (URLENCODED, "email[a]=2&a=1", "a"),
        (URLENCODED, "email[a]=1&email[a]=2", "email"),
        (URLENCODED, "a=1&a[b]=1", "a"),
        (URLENCODED, "email=x&email[a]=1", "email"),
        (URLENCODED, "a=&a=1", "a"),
        (URLENCODED, "email[a][0]=1&a[0]=1&a[1]=2", "a"),
        (JSON, '{"a": "1", "email[a]": "2"}', "a"),
        (JSON, '{"a": "1", "email": {"a": "2"}}', "a"),
        (JSON, '{"email": {"a": "1"}, "email[a]": "2"}', "a"),
        (JSON, '{"a": [1], "email": {"a": [2]}}', "a"),
        (JSON, '{"a[b]": 1, "a": 2}', "a"),
    ],
)
def test_one_field_with_two_values_is_refused_by_name(media: str, body: str, name: str) -> None:
    with pytest.raises(InvalidSubmission) as raised:
        parse(media, body.encode())
    assert raised.value.fields == {name: ["given twice with different values"]}


def test_multipart_fields_with_two_values_are_refused_by_name() -> None:
    body = part("a", b"1") + part("email[a]", b"2") + f"--{BOUNDARY}--".encode()
    with pytest.raises(InvalidSubmission) as raised:
        parse(MULTIPART_TYPE, body)
    assert list(raised.value.fields) == ["a"]


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (URLENCODED, "a=1&a=1&email[a]=1&email[a]=1"),
        (JSON, '{"a": "1", "email[a]": 1, "email": {"a": "1"}}'),
    ],
)
def test_the_same_value_twice_is_no_contradiction(media: str, body: str) -> None:
    assert parse(media, body.encode()).fields == {"a": "1"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (" ", "malformed JSON"),
        ("{", "malformed JSON"),
        ('{"a": 1} x', "malformed JSON"),
        ('{"a": 1}{}', "malformed JSON"),
        ('{"a": 1,}', "malformed JSON"),
        ("{'a': 1}", "malformed JSON"),
        ('{"a": "\\q"}', "malformed JSON"),
        ('{"a": "\\u12"}', "malformed JSON"),
        ('{"a": "line\nbreak"}', "malformed JSON"),
        ('{"a": 1, "a": 1}', "malformed JSON"),
        ('{"x": {"a": 1, "a": 2}}', "malformed JSON"),
        ('{"a": NaN}', "malformed JSON"),
        ('{"a": Infinity}', "malformed JSON"),
        ('{"a": -Infinity}', "malformed JSON"),
        ('{"a": 1e400}', "malformed JSON"),
        ('{"a": -1e400}', "malformed JSON"),
        ('{"a": 1_000}', "malformed JSON"),
        ('{"a": ' + "9" * 4301 + "}", "malformed JSON"),
        ('\ufeff\ufeff{"a": 1}', "malformed JSON"),
        ("\ufeff", "malformed JSON"),
        ('{\ufeff"a": 1}', "malformed JSON"),
        ("[]", "the JSON must be an object"),
        ('[{"to_address": "a@example.gov"}]', "the JSON must be an object"),
        ('"text"', "the JSON must be an object"),
        ("1", "the JSON must be an object"),
        ("null", "the JSON must be an object"),
    ],
)
def test_json_that_is_not_one_plain_object_is_malformed(body: str, words: str) -> None:
    with pytest.raises(MalformedBody) as raised:
        parse(JSON, body.encode())
    assert str(raised.value) == words


@pytest.mark.parametrize(
    "body",
    [
        '{"a": "é"}'.encode("latin-1"),
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\x80"}',
        b'{"a": "\xf5\x80\x80\x80"}',
    ],
)
def test_json_in_any_other_encoding_than_utf_8_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse(JSON, body)


@pytest.mark.parametrize("shape", ["[{}]", '{{"a":{}}}'])
def test_json_may_nest_32_deep_and_no_deeper(shape: str) -> None:
    opening, closing = shape.replace("{{", "{").replace("}}", "}").split("{}")
    for depth in (31, 32):
        body = '{"top":' + opening * depth + "1" + closing * depth + "}"
        answer = parsed_or_refused(JSON, body.encode())
        assert isinstance(answer, Body if depth == 31 else MalformedBody)


def test_brackets_inside_strings_are_no_nesting() -> None:
    fields = {"a": "[{" * 5000, 'b"\\': '"[[[' * 5000, "c": "\\" * 999 + "[" * 50}
    assert parse(JSON, json.dumps(fields).encode()).fields == fields


def test_many_lists_beside_each_other_are_no_nesting() -> None:
    fields = {"a": [[{}]] * 200}
    assert parse(JSON, json.dumps(fields).encode()).fields == fields


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deep_json_is_refused_before_it_is_parsed(depth: int) -> None:
    with pytest.raises(MalformedBody) as raised:
        parse(JSON, b'{"a":' + b"[" * depth)
    assert str(raised.value) == "nested deeper than 32"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a=%ff", "a: not UTF-8, and no charset is declared"),
        (b"%ff=a", "a field's name: not UTF-8, and no charset is declared"),
        (b"a=\xe9", "a: not UTF-8, and no charset is declared"),
        (b"\xe9=a", "a field's name: not UTF-8, and no charset is declared"),
        (b"a=%C3%28", "a: not UTF-8, and no charset is declared"),
        (b"a=%ED%A0%80&b=1", "a: not UTF-8, and no charset is declared"),
        (b"a=%E9&_charset_=", "a: not UTF-8, and no charset is declared"),
        (b"a=%E9&_charset_=utf-8", "a: not UTF-8"),
        (b"a=%81&_charset_=windows-1252", "a: not windows-1252"),
    ],
)
def test_a_form_that_is_not_what_it_declares_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(MalformedBody) as raised:
        parse(URLENCODED, body)
    assert str(raised.value) == words


def test_a_form_keeps_its_values_as_they_are() -> None:
    body = b"a=+x%20y+&b=%2B&c=%zz&d=&e&f=1%0D%0A2%09%0A"
    fields = parse(URLENCODED, body).fields
    assert fields == {"a": " x y ", "b": "+", "c": "%zz", "d": "", "e": "", "f": "1\r\n2\t\n"}


@pytest.mark.parametrize("count", [200, 201])
@pytest.mark.parametrize("kind", ["urlencoded", "bare", "nested", "both"])
def test_a_submission_has_200_fields_at_most(kind: str, count: int) -> None:
    fields = {f"field{number}": "x" for number in range(count)}
    half = dict(list(fields.items())[: count // 2])
    rest = dict(list(fields.items())[count // 2 :])
    media, body = {
        "urlencoded": (URLENCODED, urlencode(fields)),
        "bare": (JSON, json.dumps(fields)),
        "nested": (JSON, json.dumps({"email": fields})),
        "both": (JSON, json.dumps({"email": half} | rest)),
    }[kind]
    if count == 200:
        assert parse(media, body.encode()).fields == fields
        return
    with pytest.raises(MalformedBody) as raised:
        parse(media, body.encode())
    assert str(raised.value) == "more than 200 fields"


@pytest.mark.parametrize("length", [100, 101])
def test_a_name_has_100_characters_at_most(length: int) -> None:
    for media, body in spellings({"é" * length: "x"}):
        if length == 100:
            assert parse(media, body).fields == {"é" * 100: "x"}
        else:
            with pytest.raises(MalformedBody):
                parse(media, body)


@pytest.mark.parametrize("media", [URLENCODED, JSON])
@pytest.mark.parametrize("twice", [True, False])
def test_a_name_too_long_is_never_repeated_to_the_caller(media: str, twice: bool) -> None:
    name = "a" * 5000
    if media == JSON:
        content = {name: "1", "email": {name: "2" if twice else "1"}}
        body = json.dumps(content).encode()
    else:
        body = urlencode([(name, "1"), (name, "2" if twice else "1")]).encode()
    with pytest.raises(MalformedBody) as raised:
        parse(media, body)
    assert name not in str(raised.value)


UNSTORABLE = ["\x00", "\x01", "\x08", "\x0e", "\x1f", "\ud800"]


@pytest.mark.parametrize("character", UNSTORABLE)
def test_what_no_store_can_hold_is_taken_out_of_a_text(character: str) -> None:
    bad, kept = f"x{character}y", "x\ufffdy" if character == "\ud800" else "xy"
    content = {"value": bad, "nested": {"a": bad}, "list": ["good", {"b": [bad]}]}
    expected = {"value": kept, "nested": {"a": kept}, "list": ["good", {"b": [kept]}]}
    for body in (content, {"email": content}):
        assert parse(JSON, json.dumps(body).encode()).fields == expected
    if character != "\ud800":
        assert parse(URLENCODED, urlencode({"a": bad}).encode()).fields == {"a": kept}
        assert parse(MULTIPART_TYPE, multipart({"a": bad})).fields == {"a": kept}


@pytest.mark.parametrize("character", UNSTORABLE)
@pytest.mark.parametrize("where", ["name", "nested name", "in a list"])
def test_a_name_that_no_store_can_hold_is_refused(character: str, where: str) -> None:
    bad = f"x{character}y"
    content: dict[str, Any] = {
        "name": {bad: "1"},
        "nested name": {"a": {bad: 1}},
        "in a list": {"a": ["good", {"b": [{bad: 1}]}]},
    }[where]
    for body in (content, {"email": content}):
        with pytest.raises(MalformedBody if where == "name" else InvalidSubmission) as raised:
            parse(JSON, json.dumps(body).encode())
        assert str(raised.value).isprintable()
        if where != "name":
            assert list(getattr(raised.value, "fields", {})) == ["a"]


@pytest.mark.parametrize("twice", ['{"\\ud800": 1, "email": {"\\ud800": 2}}', '{"\\u0000[": 1}'])
def test_an_unusable_name_is_never_repeated_to_the_caller(twice: str) -> None:
    with pytest.raises(MalformedBody) as raised:
        parse(JSON, twice.encode())
    assert str(raised.value).isprintable()


def test_too_many_brackets_are_refused_by_name() -> None:
    with pytest.raises(InvalidSubmission) as raised:
        parse(URLENCODED, b"a[b][c][d][e][f][g][h][i]=1")
    assert list(raised.value.fields) == ["a"]
    assert "deeper" in str(raised.value)


@pytest.mark.parametrize(
    "media",
    [
        "",
        "text/plain",
        "text/json",
        "application/xml",
        "application/jsonx",
        "multipart/mixed; boundary=x",
        "application/octet-stream",
        "application/vnd.api+json",
        "json",
        ";charset=utf-8",
        "application/json, text/plain",
        'application/json; charset="utf-16"',
        "application/json; charset=utf-7",
        "application/x-www-form-urlencoded; charset=utf-16le",
        "application/x-www-form-urlencoded; charset=shift_jis",
        "application/x-www-form-urlencoded; charset=idna",
        "application/x-www-form-urlencoded; charset=rot13",
        "application/x-www-form-urlencoded; charset=cp037",
    ],
)
def test_other_media_types_and_charsets_are_unsupported(media: str) -> None:
    with pytest.raises(UnsupportedMedia):
        parse(media, b"{}")


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json; charset=utf-8", b'{"a": "1"}'),
        ("Application/JSON;charset=UTF-8", b'{"a": "1"}'),
        ('application/json; charset="utf8"', b'{"a": "1"}'),
        (" application/json ; odata=verbose", b'{"a": "1"}'),
        ("application/x-www-form-urlencoded; charset=UTF-8", b"a=1"),
        ("APPLICATION/X-WWW-FORM-URLENCODED", b"a=1"),
        (f'multipart/form-data; boundary="{BOUNDARY}"', multipart({"a": "1"})),
        (f"Multipart/Form-Data; charset=utf-8; boundary={BOUNDARY}", multipart({"a": "1"})),
    ],
)
def test_media_types_are_read_without_regard_to_case_and_parameters(
    media: str, body: bytes
) -> None:
    assert parse(media, body).fields == {"a": "1"}


@pytest.mark.parametrize("media", ["", URLENCODED, JSON, MULTIPART_TYPE])
def test_no_body_is_an_empty_submission(media: str) -> None:
    assert parse(media, b"") == Body({})


@pytest.mark.parametrize(
    ("media", "body", "is_form"),
    [
        (URLENCODED, b"a=1", True),
        (MULTIPART_TYPE, multipart({"a": "1"}), True),
        (JSON, b'{"a": "1"}', False),
    ],
)
def test_a_form_is_told_from_an_application(media: str, body: bytes, is_form: bool) -> None:
    assert parse(media, body).is_form is is_form


END = f"--{BOUNDARY}--\r\n".encode()
GOOD = part("a", b"1")


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (MULTIPART, GOOD + END),
        (f"{MULTIPART}; boundary=", GOOD + END),
        (f"{MULTIPART}; boundary=other", GOOD + END),
        (MULTIPART_TYPE, GOOD),
        (MULTIPART_TYPE, b"junk"),
        (MULTIPART_TYPE, b"junk" + GOOD + END),
        (MULTIPART_TYPE, GOOD.replace(b"\r\n\r\n", b"\r\n") + END),
        (MULTIPART_TYPE, GOOD.replace(b"form-data", b"attachment") + END),
        (MULTIPART_TYPE, GOOD.replace(b'; name="a"', b"") + END),
        (MULTIPART_TYPE, GOOD.replace(b'"a"', b'""') + END),
        (MULTIPART_TYPE, GOOD.replace(b"form-data;", b"form-data;\r X: y\r;") + END),
        (MULTIPART_TYPE, GOOD.replace(b'"a"', b'"a\rb"') + END),
        (MULTIPART_TYPE, GOOD.replace(b'"a"', b'"\xff"') + END),
        (MULTIPART_TYPE, GOOD.replace(b'"a"', b'"a\x00"') + END),
        (MULTIPART_TYPE, part("a", b"\xff") + END),
        (MULTIPART_TYPE, b"".join(part(f"a{n}", b"1") for n in range(101)) + END),
        (MULTIPART_TYPE, part("x", b"1", "; x=" + "y" * 20_000) + END),
    ],
)
def test_multipart_that_is_broken_or_too_much_is_malformed(media: str, body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse(media, body)


def test_a_multipart_body_has_a_hundred_parts_at_most() -> None:
    fields = {f"field{number}": "x" for number in range(99)}
    assert parse(MULTIPART_TYPE, multipart(fields)).fields == fields


@pytest.mark.parametrize("name", ["größe", "Ж", "名前", "😀", "\x80", "a b;c=d"])
def test_multipart_names_are_utf_8_as_browsers_write_them(name: str) -> None:
    assert parse(MULTIPART_TYPE, multipart({name: "1"})).fields == {name: "1"}


def test_a_part_with_a_file_is_kept_with_its_bare_fields_name() -> None:
    body = GOOD + part("photo", b"\xff\xd8", '; filename="x.jpg"\r\nContent-Type: image/jpeg')
    body += part("email[größe]", b"x", '; filename="x.txt"') + END
    files = (
        File("photo", "x.jpg", "image/jpeg", b"\xff\xd8"),
        File("größe", "x.txt", "application/unknown", b"x"),
    )
    assert parse(MULTIPART_TYPE, body) == Body({"a": "1"}, files, is_form=True)


def test_a_file_field_that_was_left_empty_is_a_blank_field() -> None:
    body = part("photo", b"", '; filename=""\r\nContent-Type: application/octet-stream') + END
    assert parse(MULTIPART_TYPE, body) == Body({"photo": ""}, is_form=True)


@pytest.mark.parametrize("name", ["x" * 101, "x\x01"])
def test_a_file_under_an_unusable_name_is_malformed(name: str) -> None:
    with pytest.raises(MalformedBody):
        parse(MULTIPART_TYPE, part(name, b"x", '; filename="x.txt"') + END)


@examples(300)
@given(
    st.sampled_from([JSON, URLENCODED, MULTIPART_TYPE, "text/plain", ""]),
    st.binary(max_size=200)
    | st.text('{}[]",:\\01eE.-nulltrue \ud800', max_size=60).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
    | st.text("a[]email=&%+0f", max_size=60).map(str.encode),
)
def test_any_bytes_make_a_body_or_a_refusal(media: str, body: bytes) -> None:
    answer = parsed_or_refused(media, body)
    if isinstance(answer, Body):
        json.dumps(answer.fields)
    else:
        assert str(answer).isprintable()


PIECES = [
    f"--{BOUNDARY}\r\n",
    f"--{BOUNDARY}--",
    "Content-Disposition: form-data",
    '; name="a"',
    '; name="email[b]"',
    '; filename="f"',
    "; name*=unicode_escape''%5Cud800",
    "; name*=utf-8''%E2%82%AC",
    "; name*0=a; name*1=b",
    "; name*=x''%00",
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    "Content-Type: text/plain\r\n",
    "x",
    "é",
    "\x00",
]


@examples(300)
@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_multipart_makes_a_body_or_a_refusal(pieces: list[str]) -> None:
    body = "".join([PIECES[0], PIECES[2], *pieces]).encode()
    for whole in (body, body + END):
        answer = parsed_or_refused(MULTIPART_TYPE, whole)
        if isinstance(answer, Body):
            assert all(is_storable(file.field_name) for file in answer.files)
        else:
            assert str(answer).isprintable()


@examples(200)
@given(
    st.dictionaries(
        SHORT,
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(-9, 9) | SHORT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_generated_json_without_brackets_comes_through_unchanged(content: dict[str, Any]) -> None:
    assume(not any("[" in name or name == "email" for name in content))
    assert parse(JSON, json.dumps(content).encode()).fields == content


KILOBYTES = 256 * 1024


@pytest.mark.parametrize(
    ("media", "start", "shape"),
    [
        (JSON, "[" * 33, '\\"'),
        (JSON, "[" * 33, '"\\'),
        (JSON, "[]" * 33 + '"', '\\"'),
        (JSON, "[]" * 33 + '"', "\\"),
        (JSON, '{"a":', "["),
        (JSON, '{"a":[', "[],"),
        (JSON, '{"a":1.', "1"),
        (JSON, '{"a":', "9"),
        (URLENCODED, "a[", "["),
        (URLENCODED, "a[", "]["),
        (URLENCODED, "", "a[]=1&"),
        (URLENCODED, "a=", "%"),
        (MULTIPART_TYPE, "", f"--{BOUNDARY}\r\n"),
        (MULTIPART_TYPE, PIECES[0] + PIECES[2], "; a=b"),
        (MULTIPART_TYPE, PIECES[0] + PIECES[2], '; a="\\"'),
    ],
)
def test_a_hostile_body_costs_next_to_nothing(media: str, start: str, shape: str) -> None:
    body = (start + shape * (KILOBYTES // len(shape))).encode()[:KILOBYTES]
    gc.freeze()  # what other tests left behind is not looked through again and again meanwhile
    try:
        started = time.process_time()
        parsed_or_refused(media, body)
        assert time.process_time() - started < 0.5
    finally:
        gc.unfreeze()


def test_a_body_of_many_members_costs_little() -> None:
    content = {"email": {f"a[][{number}]": 1 for number in range(15_000)}}
    started = time.process_time()
    with pytest.raises(MalformedBody):
        parse(JSON, json.dumps(content).encode())
    assert time.process_time() - started < 0.5
