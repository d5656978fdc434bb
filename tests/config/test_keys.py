"""Keys: what a caller's header says, whose key it is, and the keys an installation makes."""

import json
import random
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.keys import (
    KeyRing,
    StoredKeys,
    find_key,
    hashing_secret,
    made,
    random_key,
    token_of,
)
from relay.core.errors import AuthenticationFailed, ConfigurationError
from relay.core.secret import Secret, digest
from relay.core.server import Key
from tests.support.generated import examples

OLD, NEW = "old-key-old-key-old-key-old-key-0", "new-key-new-key-new-key-new-key-0"
OTHER = "other-key-other-key-other-key-ö"
KEYS = (
    Key(
        "website",
        "secret",
        frozenset({"contactform"}),
        (digest(OLD.encode()), digest(NEW.encode())),
    ),
    Key("other", "publishable", frozenset({"*"}), (digest(OTHER.encode()),)),
)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("token abc", b"abc"),
        ("Token abc", b"abc"),
        ("TOKEN abc", b"abc"),
        ("Bearer abc", b"abc"),
        ("bearer abc", b"abc"),
        ("  token   abc  ", b"abc"),
        ("token a b", b"a b"),
        ("token caf\u00c3\u00a9", "café".encode()),
        ("token \u20ac", b"?"),
        ("token", b""),
        ("token ", b""),
        ("abc", b""),
        ("Basic abc", b""),
        ("token=abc", b""),
        ("tokenabc", b""),
        ("token\tabc", b""),
        ("", b""),
    ],
)
def test_a_header_of_either_scheme_holds_a_token(header: str, token: bytes) -> None:
    assert token_of(header) == token


def test_an_old_and_a_new_secret_open_the_same_key() -> None:
    for secret in (OLD, NEW):
        key = find_key(KEYS, secret.encode())
        assert key is not None
        assert key.id == "website"


def test_a_key_that_is_not_ascii_is_compared_as_its_bytes() -> None:
    key = find_key(KEYS, token_of("token " + OTHER.encode().decode("latin-1")))
    assert key is not None
    assert key.id == "other"


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ({"revoked_at": 1.0}, "key_revoked"),
        ({"expires_at": 1.0}, "key_expired"),
        ({"expires_at": 1.0, "revoked_at": 1.0}, "key_revoked"),
        ({"expires_at": 1e12, "revoked_at": 1.0}, "key_revoked"),
        ({"expires_at": 1e12}, ""),
    ],
)
def test_a_key_that_ended_is_refused_by_its_name(ended: dict[str, float], reason: str) -> None:
    key = replace(KEYS[0], **ended)
    if not reason:
        assert find_key([key], OLD.encode()) == key
        return
    with pytest.raises(AuthenticationFailed) as refused:
        find_key([KEYS[1], key], OLD.encode())
    assert (refused.value.reason, refused.value.key) == (reason, "website")
    assert str(refused.value) == str(AuthenticationFailed())


def test_a_ring_has_the_stores_keys_as_they_are_at_the_time() -> None:
    stored = StoredKeys()
    ring = KeyRing(KEYS[:1], stored)
    assert find_key(ring, OTHER.encode()) is None
    stored.now = KEYS[1:]
    assert find_key(ring, OTHER.encode()) == KEYS[1]
    assert ([*ring], len(ring), KEYS[1] in ring) == ([*KEYS], 2, True)
    stored.now = ()
    assert ([*ring], len(ring), KEYS[1] in ring) == ([*KEYS[:1]], 1, False)


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        OLD[:-1],
        OLD[1:],
        OLD[:17],
        OLD + "0",
        OLD + OLD,
        OLD.upper(),
        f"{OLD}\0",
        "-".join(reversed(OLD.split("-"))),
        OLD[4:8] + OLD[:4] + OLD[8:],
        digest(OLD.encode()).hex(),
        "x" * 65_536,
        "\xff\xfe",
        "*",
    ],
)
def test_only_the_whole_key_is_the_key(token: str) -> None:
    assert find_key(KEYS, token.encode()) is None


def test_a_thousand_keys_of_the_same_pieces_in_another_order_are_no_key() -> None:
    shuffle = random.Random(1).shuffle
    pieces = [OLD[start : start + 4] for start in range(0, len(OLD), 4)]
    for _ in range(1000):
        shuffle(pieces)
        token = "".join(pieces)
        assert (find_key(KEYS, token.encode()) is None) is (token != OLD)


@examples(300)
@given(
    st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))
)
def test_no_guessed_bytes_are_a_key(token: bytes) -> None:
    assert find_key(KEYS, token) is None


@examples(200)
@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_header_gives_bytes(header: str) -> None:
    assert isinstance(token_of(header), bytes)
    assert find_key(KEYS, token_of(header)) is None


def test_a_star_opens_every_server_and_a_name_only_its_own() -> None:
    assert KEYS[0].opens("contactform")
    assert not KEYS[0].opens("contact")
    assert not KEYS[0].opens("*")
    assert KEYS[1].opens("anything")
    assert OLD not in repr(KEYS)


@pytest.mark.parametrize(
    ("kind", "prefix"), [("secret", "rk"), ("publishable", "rp"), ("account", "ra")]
)
def test_a_made_key_tells_its_kind_and_id_and_is_random(kind: str, prefix: str) -> None:
    keys = {random_key(kind, "page") for _ in range(50)}  # type: ignore[arg-type]
    assert len(keys) == 50
    assert all(key.startswith(f"{prefix}_page_") for key in keys)
    assert all(len(key) == len(f"{prefix}_page_") + 43 for key in keys)


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    assert made(tmp_path, make=False) == {}
    assert list(tmp_path.iterdir()) == []
    first = made(tmp_path, make=True)
    assert made(tmp_path, make=True) == made(tmp_path, make=False) == first
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert {id: (one.key.kind, one.key.servers) for id, one in first.items()} == {
        "application": ("secret", {"*"}),
        "page": ("publishable", {"contactform"}),
        "contactform": ("secret", {"contactform"}),
    }
    for one in first.values():
        assert find_key([one.key], one.secret.reveal().encode()) == one.key
        assert one.secret.reveal() not in repr(one)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"application": "a"}',
        '{"application": 5, "page": "b", "contactform": "c"}',
        '{"application": null, "page": "b", "contactform": "c"}',
        '{"application": "", "page": "b", "contactform": "c"}',
        '{"application": ["a"], "page": "b", "contactform": "c"}',
        b"\xff",
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_one_line_for_the_operator(
    tmp_path: Path, content: str | bytes
) -> None:
    given = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "keys.json").write_bytes(given)
    with pytest.raises(ConfigurationError) as raised:
        made(tmp_path, make=True)
    assert str(tmp_path / "keys.json") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (tmp_path / "keys.json").read_bytes() == given


def test_keys_that_nobody_asks_for_are_ignored(tmp_path: Path) -> None:
    first = made(tmp_path, make=True)
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "extra": "x"}))
    assert made(tmp_path, make=False) == first


def test_the_hashing_secret_is_the_given_one_or_made_once_and_private(tmp_path: Path) -> None:
    assert hashing_secret(tmp_path, Secret("given")) == Secret("given")
    assert list(tmp_path.iterdir()) == []
    first = hashing_secret(tmp_path, None)
    assert hashing_secret(tmp_path, None) == first
    assert len(first.reveal()) == 43
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff"])
def test_a_hashing_secret_that_cannot_be_used_is_one_line_for_the_operator(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        hashing_secret(tmp_path, None)
    assert str(tmp_path / "secret") in str(raised.value)
