"""Session tokens: what is claimed, and what can be no token at all."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.core.errors import TokenRefused
from relay.core.immutable import freeze
from relay.core.submission import Claim, Identity, Submission
from relay.hooks.chain import Chain

BuildChain = Callable[..., Chain]

TOKEN = 2**52 + 12345
PAGE = Identity("page", "publishable")


def claimed(chain: Chain, fields: dict[str, Any], *, session: bool = True) -> Claim | None:
    submission = Submission("contactform", freeze(fields), session=session)
    return chain.check_token(submission, PAGE)


@pytest.mark.parametrize("token", [TOKEN, str(TOKEN), 2**52, 2**53 - 1, 10**16 - 1], ids=repr)
def test_an_integer_or_its_digits_are_claimed(chain: BuildChain, token: int | str) -> None:
    assert claimed(chain(), {"token_session": token}) == Claim(int(token))


def test_a_claim_does_not_show_its_token() -> None:
    assert str(TOKEN) not in repr(Claim(TOKEN))


@pytest.mark.parametrize(
    "fields", [{}, {"token_session": None}, {"token_session": ""}, {"Token_Session": TOKEN}]
)
def test_a_session_post_without_a_token_claims_none(
    chain: BuildChain, fields: dict[str, Any]
) -> None:
    assert claimed(chain(), fields) is None


@pytest.mark.parametrize("token", [TOKEN, "nonsense", None])
def test_other_posts_claim_none_whatever_they_bring(chain: BuildChain, token: Any) -> None:
    assert claimed(chain(), {"token_session": token}, session=False) is None


@pytest.mark.parametrize(
    "token",
    [
        True,
        False,
        0,
        -TOKEN,
        float(TOKEN),
        TOKEN * 10,
        10**15 - 1,
        [TOKEN],
        {"0": TOKEN},
        f"{TOKEN}.0",
        f"+{TOKEN}",
        f"-{TOKEN}",
        f" {TOKEN}",
        f"{TOKEN} ",
        f"{TOKEN}\n",
        f"0{TOKEN}",
        f"0{str(TOKEN)[1:]}",
        f"{TOKEN:_}",
        f"{TOKEN:,}",
        hex(TOKEN),
        str(TOKEN).translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
        str(TOKEN).translate({ord("0") + digit: 0x660 + digit for digit in range(10)}),
        "4503599627370496e0",
        "x" * 16,
        " ",
        "9" * 5000,
    ],
    ids=lambda token: repr(token)[:40],
)
def test_what_can_be_no_token_is_refused(chain: BuildChain, token: Any) -> None:
    with pytest.raises(TokenRefused) as raised:
        claimed(chain(), {"token_session": token})
    assert raised.value.reason == "token_unknown"
    assert str(raised.value) == "invalid token"


def test_a_server_without_the_plugin_claims_nothing(chain: BuildChain) -> None:
    assert claimed(chain("default"), {"token_session": TOKEN}) is None
