"""What commands share where a person looks on: safe text, questions, progress."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str | None) -> str:
    """Show a text on a terminal: what would be a command to it is written out."""
    lines = (text or "").replace("\r\n", "\n")
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", lines)


def agree(question: str, *, agreed: bool, option: str) -> None:
    """Ask, unless it is agreed already; end the command without a terminal to ask on."""
    if agreed:
        return
    if not sys.stdin.isatty():
        words = f"nothing was changed: no terminal to ask on; give {option}"
        raise click.ClickException(f"{question} {words}")
    click.confirm(question, abort=True, err=True)


def counted(count: int, noun: str) -> str:
    """Write a number of things: `1 message`, `1,234 messages`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextmanager
def progress(words: str, length: int) -> Iterator[Callable[[int], None]]:
    """Show how far a long work is, on stderr, where that is a terminal; return what to tell it.

    It is told by how much it went on.
    """
    if not sys.stderr.isatty() or not length:
        yield lambda step: None
        return
    with click.progressbar(length=length, label=words, file=sys.stderr) as bar:
        yield bar.update
