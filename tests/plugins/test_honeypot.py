"""The honeypot: filled in is a robot, everything else a writer."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.core.immutable import freeze
from relay.core.submission import Decoy, Submission
from relay.hooks.chain import Chain

BuildChain = Callable[..., Chain]


def screened(chain: Chain, fields: dict[str, Any]) -> Decoy | None:
    return chain.screen(Submission("contactform", freeze(fields)))


@pytest.mark.parametrize(
    "value",
    ["http://buy.example.com", "0", "x", " x ", 1, True, ["x"], {"x": "y"}, [""], "\u200b"],
    ids=repr,
)
def test_a_filled_field_is_a_robot(chain: BuildChain, value: Any) -> None:
    assert screened(chain(), {"contact": value}) == Decoy("honeypot")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"contact": ""},
        {"contact": " \t\n"},
        {"contact": None},
        {"contact": False},
        {"contact": 0},
        {"contact": []},
        {"contact": {}},
        {"Contact": "x"},
        {"contacts": "x"},
        {"website": "x"},
    ],
    ids=repr,
)
def test_a_missing_or_empty_field_is_no_robot(chain: BuildChain, fields: dict[str, Any]) -> None:
    assert screened(chain(), fields) is None


def test_a_server_may_name_the_field_itself(chain: BuildChain) -> None:
    built = chain(honeypot="website")
    assert screened(built, {"website": "x"}) == Decoy("honeypot")
    assert screened(built, {"contact": "x"}) is None


def test_a_server_without_the_plugin_screens_nobody(chain: BuildChain) -> None:
    assert screened(chain("default"), {"contact": "x"}) is None
