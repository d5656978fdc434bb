"""Keys: which header or field opens which server, for which kind of post."""

from collections.abc import Callable
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders

from relay.core.errors import AuthenticationFailed
from relay.core.submission import Identity, Submission
from relay.hooks.chain import Chain
from tests.support.keys import ACCOUNT_KEY, APPLICATION_KEY, OTHER_KEY, PAGE_KEY

BuildChain = Callable[..., Chain]

APPLICATION = Identity("application", "secret")
PAGE = Identity("page", "publishable")
ANONYMOUS = Identity("", "anonymous")


def identity(
    chain: Chain, header: str | None, *, session: bool = False, **fields: Any
) -> Identity | None:
    headers = HTTPHeaders({} if header is None else {"AUTHORIZATION": header})
    return chain.authenticate(
        Submission("contactform", fields=fields, session=session, headers=headers)
    )


def reason(chain: Chain, header: str | None, *, session: bool = False, **fields: Any) -> str:
    with pytest.raises(AuthenticationFailed) as raised:
        identity(chain, header, session=session, **fields)
    assert str(raised.value) == "could not authenticate"
    return raised.value.reason


@pytest.mark.parametrize("session", [True, False])
@pytest.mark.parametrize("scheme", ["token", "Token", "TOKEN", "Bearer", "bearer", "BEARER"])
def test_a_secret_key_opens_every_post_in_either_scheme(
    chain: BuildChain, scheme: str, session: bool
) -> None:
    assert identity(chain(), f"{scheme} {APPLICATION_KEY}", session=session) == APPLICATION


@pytest.mark.parametrize("where", ["header", "field"])
def test_a_publishable_key_opens_session_posts_alone(chain: BuildChain, where: str) -> None:
    built = chain()
    header = f"token {PAGE_KEY}" if where == "header" else None
    fields = {"key": PAGE_KEY} if where == "field" else {}
    assert identity(built, header, session=True, **fields) == PAGE
    if where == "header":
        assert reason(built, header) == "key_kind"
    else:
        assert identity(built, header, **fields) is None


@pytest.mark.parametrize(
    ("header", "word"),
    [
        (f"token {OTHER_KEY}", "wrong_server"),
        (f"token {ACCOUNT_KEY}", "key_kind"),
        (f"token {APPLICATION_KEY[:-1]}", "unknown_key"),
        (f"token {APPLICATION_KEY}x", "unknown_key"),
        (f"token {APPLICATION_KEY.upper()}", "unknown_key"),
        (f"token {APPLICATION_KEY[:17]}", "unknown_key"),
        (f"token {APPLICATION_KEY} {APPLICATION_KEY}", "unknown_key"),
        (f"token {APPLICATION_KEY},token {APPLICATION_KEY}", "unknown_key"),
        (APPLICATION_KEY, "unknown_key"),
        (f"Basic {APPLICATION_KEY}", "unknown_key"),
        (f"token:{APPLICATION_KEY}", "unknown_key"),
        ("token", "unknown_key"),
        ("token ", "unknown_key"),
        ("x" * 65_000, "unknown_key"),
        ("token é\xff", "unknown_key"),
    ],
)
@pytest.mark.parametrize("session", [True, False])
@pytest.mark.parametrize("session_key", ["required", "optional"])
def test_a_header_that_does_not_open_is_refused_with_its_reason(
    chain: BuildChain, header: str, word: str, session: bool, session_key: str
) -> None:
    assert reason(chain(session_key=session_key), header, session=session) == word


@pytest.mark.parametrize("header", [None, "", "  "])
def test_nobody_is_nobody_except_where_a_session_needs_no_key(
    chain: BuildChain, header: str | None
) -> None:
    required, optional = chain(), chain(session_key="optional")
    for session in (True, False):
        assert identity(required, header, session=session) is None
    assert identity(optional, header, session=True) == ANONYMOUS
    assert identity(optional, header, session=False) is None


@pytest.mark.parametrize("key", [None, "", 5, ["x"], {"x": "y"}, True])
def test_a_key_field_that_is_no_text_is_no_key(chain: BuildChain, key: Any) -> None:
    assert identity(chain(), None, session=True, key=key) is None
    assert identity(chain(session_key="optional"), None, session=True, key=key) == ANONYMOUS


def test_a_wrong_key_field_is_refused_even_where_no_key_is_needed(chain: BuildChain) -> None:
    built = chain(session_key="optional")
    assert reason(built, None, session=True, key="wrong") == "unknown_key"
    assert reason(built, None, session=True, key=OTHER_KEY) == "wrong_server"
    assert reason(built, None, session=True, key="größe") == "unknown_key"


def test_the_header_wins_over_the_field(chain: BuildChain) -> None:
    built = chain()
    assert identity(built, f"token {APPLICATION_KEY}", session=True, key="x") == APPLICATION
    assert reason(built, "token x", session=True, key=PAGE_KEY) == "unknown_key"


def test_a_server_without_the_plugin_knows_nobody(chain: BuildChain) -> None:
    assert identity(chain("default"), f"token {APPLICATION_KEY}") is None
