"""Minimum fill time: who posts at once is a robot, but only where that can be known."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.core.errors import ConfigurationError
from relay.core.submission import Decoy, Submission
from relay.hooks.chain import Chain

BuildChain = Callable[..., Chain]


def built(chain: BuildChain, **settings: Any) -> Chain:
    return chain(plugins=["bearer_token", "fill_time", "contactform", "mailbox"], **settings)


def screened(chain: Chain, age: float | None) -> Decoy | None:
    return chain.screen(Submission("contactform", {}, token_age=age))


@pytest.mark.parametrize("age", [0, 0.5, 2.999])
def test_a_form_that_was_filled_in_at_once_is_a_robots(chain: BuildChain, age: float) -> None:
    assert screened(built(chain), age) == Decoy("fill_time")


@pytest.mark.parametrize("age", [3, 3.1, 3600, -1, -0.001, None])
def test_everything_else_passes(chain: BuildChain, age: float | None) -> None:
    assert screened(built(chain), age) is None


def test_a_server_sets_its_own_time(chain: BuildChain) -> None:
    assert screened(built(chain, min_fill_seconds=10), 9.9) == Decoy("fill_time")
    assert screened(built(chain, min_fill_seconds=0), 0) is None


@pytest.mark.parametrize("value", [-1, 601, "soon"])
def test_a_time_that_is_none_is_told_at_the_start(chain: BuildChain, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="min_fill_seconds"):
        built(chain, min_fill_seconds=value)
