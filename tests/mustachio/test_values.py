"""How values print, and how they are escaped."""

import math
from collections import OrderedDict
from enum import IntEnum
from types import MappingProxyType

import pytest

from relay.mustachio import parse

VALUE = parse("{{v}}")


def printed(value: object) -> str:
    return VALUE.render({"v": value})


NUMBERS = {
    "2": 2.0,
    "0": 0.0,
    "-0": -0.0,
    "0.1": 0.1,
    "-1.5": -1.5,
    "100": 100.0,
    "1E+21": 1e21,
    "1E-07": 1e-7,
    "1.25E-05": 0.0000125,
    "0.0001": 0.0001,
    "0.00012": 0.00012,
    "100000000000000": 1e14,
    "1E+15": 1e15,
    "1234567890123456": 1234567890123456.0,
    "1.2345678901234568E+17": 123456789012345680.0,
    "0.30000000000000004": 0.1 + 0.2,
    "1.7976931348623157E+308": 1.7976931348623157e308,
    "5E-324": 5e-324,
    "-1E+100": -1e100,
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
    "9223372036854775807": 2**63 - 1,
    "-12": -12,
}


@pytest.mark.parametrize(("text", "value"), NUMBERS.items())
def test_a_number_prints_as_in_dotnet(text: str, value: float) -> None:
    assert printed(value) == text


def test_a_number_too_long_to_write_is_infinite() -> None:
    assert (printed(10**5000), printed(-(10**5000))) == ("Infinity", "-Infinity")


class Level(IntEnum):
    LOW = 1


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError

    __format__ = __repr__ = __str__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"),
        (False, "False"),
        (None, ""),
        ([1], ""),
        ({"a": 1}, ""),
        ((1, 2), ""),
        (b"bytes", ""),
        (object(), ""),
        (Level.LOW, "1"),
        (Loud("quiet"), "quiet"),
    ],
)
def test_a_value_prints(value: object, text: str) -> None:
    assert printed(value) == text


ESCAPED = {
    "<b>&\"'</b>": "&lt;b&gt;&amp;&quot;&#39;&lt;/b&gt;",
    "é\u00a0ÿ": "&#233;&#160;&#255;",
    "\x80\x9f\u0100": "\x80\x9f\u0100",
    "😀\U0010ffff": "&#128512;&#1114111;",
    "€ λ 漢 / ` = \t\n\x00": "€ λ 漢 / ` = \t\n\x00",
    "&amp;": "&amp;amp;",
    "a\ud800b": "a\ufffdb",
}


@pytest.mark.parametrize(("raw", "escaped"), ESCAPED.items())
def test_a_string_is_escaped(raw: str, escaped: str) -> None:
    template = parse("{{v}}{{#each l}}{{.}}{{/each}}")
    assert template.render({"v": raw, "l": [raw]}) == escaped * 2


@pytest.mark.parametrize("raw", ESCAPED)
def test_a_string_is_left_alone_where_that_is_asked_for(raw: str) -> None:
    assert parse("{{{v}}}{{&v}}").render({"v": raw}) == raw * 2
    assert parse("{{v}}{{{v}}}").render({"v": raw}, escape=False) == raw * 2


def test_only_values_are_escaped() -> None:
    assert parse("<é>{{v}}").render({"v": ""}) == "<é>"


def test_mappings_and_sequences_of_every_kind_will_do() -> None:
    template = parse("{{a.b}}{{#each l}}{{c}}{{/each}}{{#l}}+{{/l}}")
    model = MappingProxyType({"a": OrderedDict(b=1), "l": (MappingProxyType({"c": 2}),) * 2})
    assert template.render(model) == "122+"
    assert template.render({"l": range(3), "a": OrderedDict()}) == "+"
