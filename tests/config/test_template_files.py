"""Template files: a byte order mark that an editor wrote is none of their words."""

from pathlib import Path

import pytest

from relay.config.template_files import AlertTexts, content, forget, template_file
from relay.core.errors import ConfigurationError
from relay.core.server import Server

MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (MARK + b"Hello {{name}}", "Hello Ann"),
        (MARK + b"{{name}}", "Ann"),
        (MARK + b"\nHello", "\nHello"),
        (MARK, ""),
        (MARK + "Größe\n".encode(), "Größe\n"),
        (b"Hello " + MARK, "Hello \ufeff"),
        (MARK + MARK + b"x", "\ufeffx"),
    ],
)
def test_a_byte_order_mark_is_skipped(tmp_path: Path, written: bytes, words: str) -> None:
    forget()
    (tmp_path / "hello.txt").write_bytes(written)
    server = Server("registry", (), templates=(str(tmp_path),))
    assert template_file(server, "hello.txt").render({"name": "Ann"}, escape=False) == words


def test_an_alerts_own_text_may_have_one(tmp_path: Path) -> None:
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts/test.txt").write_bytes(MARK + b"A test\n\nIt works.\n")
    assert AlertTexts([str(tmp_path)]).render("test", {}).startswith("A test\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "latin-1", "cp1252"])
def test_another_encoding_is_a_mistake(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "hello.txt"
    path.write_bytes("Größe, später".encode(encoding))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        content(path)
