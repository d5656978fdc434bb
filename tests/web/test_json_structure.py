"""What a body is made of is counted before it is parsed, and costs next to nothing to refuse."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from relay.core.errors import MalformedBody, RelayError, TooManyValues
from relay.web.bodies import JSON, MAX_STRUCTURE, URLENCODED, json_value, parse
from relay.web.json_structure import JsonStructure, check

PROSE = "Make the roads green, and: the [old] river {too}, please. "

# What may be in strings, and how much stands outside of them.
COUNTED: list[tuple[bytes, int]] = [
    (b"{}", 1),
    (b'{"a": 1, "b": [2, 3]}', 6),
    (json.dumps({"message": PROSE * 2500}).encode(), 2),
    (json.dumps({"message": "," * 10_000, "subject": "x"}).encode(), 4),
    (json.dumps({"message": '"' * 5000 + "," * 5000}).encode(), 2),
    (json.dumps({"message": "\\" * 4999 + "," * 5000}).encode(), 2),
    (json.dumps({"message": '\\"' * 2500 + "[{:,"}).encode(), 2),
    (json.dumps({"\\": "\\", "\\\\": '\\"', '"': ","}).encode(), 6),
    (json.dumps({"message": "Зелёные дороги, " * 500}).encode(), 2),
    (json.dumps({"message": "Зелёные дороги, " * 500}, ensure_ascii=False).encode(), 2),
    (b'{"a": "' + b"A" * 63 + b'\\/"}', 2),
    (b'"' + b"," * 100_000, 0),
    (b'["a", "b"', 2),
]


@pytest.mark.parametrize(("body", "count"), COUNTED, ids=lambda value: str(value)[:40])
def test_what_stands_in_strings_does_not_count(body: bytes, count: int) -> None:
    check(body, count)
    if count:
        with pytest.raises(TooManyValues):
            check(body, count - 1)


@pytest.mark.parametrize(("body", "count"), COUNTED, ids=lambda value: str(value)[:40])
def test_it_makes_no_difference_in_which_pieces_a_body_comes(body: bytes, count: int) -> None:
    for size in (1, 2, 3, 7, 1000):
        if len(body) // size > 20_000:
            continue
        structure = JsonStructure(count)
        for at in range(0, len(body), size):
            structure.add(body[at : at + size])
        assert structure.count == count


def objects(one: bytes) -> bytes:
    return b'{"a":[' + one * (250_000 // len(one)) + b"1]}"


COSTLY: list[tuple[str, str, bytes]] = [
    ("empty objects", JSON, objects(b"{},")),
    ("empty lists", JSON, objects(b"[],")),
    ("numbers", JSON, objects(b"0,")),
    ("empty strings", JSON, objects(b'"",')),
    ("small objects", JSON, objects(b'{"a":0},')),
    ("escaped names", JSON, objects(b'{"\\"\\\\":"\\""},')),
    ("names", JSON, b"{" + b'"a":1,' * 40_000 + b'"a":1}'),
    ("deep lists", JSON, b"[" * 250_000),
    ("deep objects", JSON, b'{"a":' * 50_000),
    ("brackets that do not fit", JSON, b"[}" * 125_000),
    ("strings one after the other", JSON, b'"" ' * 80_000),
    ("quotes", JSON, b'"' * 250_001),
    ("a string without its end", JSON, b'"' + b'\\"' * 125_000),
    ("many fields", URLENCODED, b"a=1&" * 60_000),
    ("many names", URLENCODED, b"&" * 250_000),
    ("many groups", URLENCODED, b"a[]=1&" * 40_000),
]


def calls_of(function: Callable[[], Any]) -> int:
    """Count the calls, of Python and of C, that a function makes."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def refused(media: str, body: bytes) -> None:
    try:
        parse(media, body)
    except RelayError:
        return
    raise AssertionError("it was taken")


@pytest.mark.parametrize(
    ("media", "body"), [one[1:] for one in COSTLY], ids=[one[0] for one in COSTLY]
)
def test_to_refuse_a_costly_body_takes_few_calls(media: str, body: bytes) -> None:
    assert calls_of(lambda: refused(media, body)) < 400


def test_as_much_as_is_read_takes_no_more_calls_than_it_has_values() -> None:
    body = b'{"a":[' + b"{}," * (MAX_STRUCTURE // 2 - 3) + b"1]}"
    assert calls_of(lambda: parse(JSON, body)) < 20 * MAX_STRUCTURE


def test_a_letter_with_ten_thousand_commas_is_taken() -> None:
    for message in ("green, " * 10_000, '"green," ' * 10_000, "\\,\n" * 10_000, "{[:," * 10_000):
        assert parse(JSON, json.dumps({"message": message}).encode()).fields == {"message": message}


@pytest.mark.parametrize("body", [b"[[],{}]", b'{"a":[[{}],[]]}', b"[" * 32 + b"]" * 32])
def test_what_is_nested_32_deep_is_read(body: bytes) -> None:
    assert json_value(body, 100) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b'[{"a":' * 17 + b"1" + b"}]" * 17,
        b"[" * 33,
        b"[" * 33 + b"}" * 33,
        b"[" + b"[]," * 20 + b"[" * 40,
        b'["[",' + b"[" * 32 + b"]" * 32 + b"]",
    ],
)
def test_what_is_nested_deeper_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        json_value(body, 1000)
