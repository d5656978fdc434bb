"""Secrets: read from where they may stand, and never shown."""

import json
import os
import stat
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.core.secret import Secret, digest, keyed_digest, private_file, resolve

CANARY = "canary-0123456789"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Let new files have every right they ask for."""
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.mark.parametrize("form", ["{}", "{!r}", "{!s:>9}", "{!a}"])
def test_a_secret_does_not_show_itself(form: str) -> None:
    assert CANARY not in form.format(Secret(CANARY))
    assert CANARY not in form.format(f"{[Secret(CANARY)]}")
    assert Secret(CANARY).reveal() == CANARY


def test_a_secret_cannot_be_written_as_json_or_looked_into() -> None:
    with pytest.raises(TypeError):
        json.dumps({"secret": Secret(CANARY)})
    with pytest.raises(TypeError):
        vars(Secret(CANARY))


def test_secrets_are_equal_by_value_and_to_nothing_else() -> None:
    assert Secret("ä" * 40) == Secret("ä" * 40)
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize("value", [CANARY, f"  {CANARY}\n", "größe-" + CANARY])
def test_a_secret_is_read_from_the_environment_or_a_file_without_the_blanks_around_it(
    tmp_path: Path, value: str
) -> None:
    private_file(tmp_path / "key", value)
    absolute = str(tmp_path / "key")
    for reference in ({"env": "KEY"}, {"file": "key"}, {"file": absolute}):
        assert resolve(reference, {"KEY": value}, tmp_path).reveal() == value.strip()


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (CANARY, "a secret stands elsewhere"),
        (None, "a secret stands elsewhere"),
        ([CANARY], "a secret stands elsewhere"),
        ({}, "a secret stands elsewhere"),
        ({"env": "KEY", "file": "key"}, "a secret stands elsewhere"),
        ({"value": CANARY}, "write { env"),
        ({"env": 5}, "write { env"),
        ({"env": ""}, "write { env"),
        ({"file": ["key"]}, "write { env"),
        ({"env": "MISSING"}, "MISSING is not set"),
        ({"env": "EMPTY"}, "EMPTY is empty"),
        ({"env": "BLANK"}, "BLANK is empty"),
        ({"env": "BYTES"}, "BYTES is not UTF-8"),
        ({"file": "missing"}, "FileNotFoundError"),
        ({"file": "."}, "IsADirectoryError"),
        ({"file": "empty"}, "empty is empty"),
        ({"file": "latin"}, "UnicodeDecodeError"),
        ({"file": "a\0b"}, "null"),
    ],
)
def test_a_reference_that_gives_no_secret_is_refused_in_words_without_it(
    tmp_path: Path, reference: Any, words: str
) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "latin").write_bytes(CANARY.encode() + b"\xff")
    environment = {"EMPTY": "", "BLANK": " \t", "BYTES": CANARY + "\udcff"}
    with pytest.raises(ValueError, match=words) as raised:
        resolve(reference, environment, tmp_path)
    assert CANARY not in "".join(traceback.format_exception(raised.value))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("mode", "taken"),
    [(0o600, True), (0o400, True), (0o644, True), (0o620, False), (0o602, False), (0o666, False)],
)
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int, taken: bool) -> None:
    path = tmp_path / "key"
    path.write_text(CANARY)
    path.chmod(mode)
    if taken:
        assert resolve({"file": "key"}, {}, tmp_path) == Secret(CANARY)
        return
    with pytest.raises(ValueError, match="chmod go-w"):
        resolve({"file": "key"}, {}, tmp_path)


@pytest.mark.usefixtures("open_umask")
def test_a_private_file_is_its_owners_alone_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("old" * 1000)
    path.chmod(0o666)
    private_file(path, "größe\n")
    assert path.read_bytes() == "größe\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("open_umask")
def test_what_a_crash_left_behind_neither_stops_nor_opens_a_private_file(tmp_path: Path) -> None:
    left = tmp_path / f"key.{os.getpid()}"
    left.write_text("half")
    left.chmod(0o666)
    private_file(tmp_path / "key", CANARY)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_private_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    private_file(path, "old")
    with pytest.raises(UnicodeEncodeError):
        private_file(path, "\ud800")
    assert path.read_text() == "old"


def test_digests_are_sha_256_and_keyed_ones_need_the_key() -> None:
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(b"abc").hex() == known
    keyed = keyed_digest(Secret("key"), "The quick brown fox jumps over the lazy dog")
    known = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert keyed.hex() == known
    assert keyed_digest(Secret("a"), "x") != keyed_digest(Secret("b"), "x")
