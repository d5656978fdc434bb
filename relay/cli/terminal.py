"""What commands share where a person looks on: safe text, pages, questions, progress."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

Row = TypeVar("Row")

# Also what turns the direction of all that follows on the line.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Show a text on a terminal: what would be a command to it is written out."""
    lines = text.replace("\r\n", "\n")
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), lines)


def say(text: str = "", *, err: bool = False) -> None:
    """Print a text; all that commands print goes through here, and is made visible."""
    click.echo(visible(text), err=err)


def hand_over(content: bytes) -> None:
    """Write a whole document to standard output: as it is, unless a person looks on."""
    if sys.stdout.isatty():
        say(content.decode(errors="replace"))
    else:
        click.echo(content)


def paged(limit: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add to a command the options `--limit`, with this default, and `--below`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        below = click.option("--below", help="Only what is older than this id: the next page.")
        return click.option("--limit", default=limit, show_default=True)(below(command))

    return decorate


def print_page(rows: Iterable[Any], below: str | None, line: Callable[[Any], str]) -> None:
    """Print a line for each row, and on stderr how to get the next page."""
    for row in rows:
        say(line(row))
    if below:
        say(f"more: --below {below}", err=True)


def agree(question: str, *, agreed: bool, option: str) -> None:
    """Ask, unless it is agreed already; end the command without a terminal to ask on."""
    if agreed:
        return
    if not sys.stdin.isatty():
        words = f"nothing was changed: no terminal to ask on; give {option}"
        raise click.ClickException(f"{question} {words}")
    click.confirm(visible(question), abort=True, err=True)


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
    with click.progressbar(length=length, label=visible(words), file=sys.stderr) as bar:
        yield bar.update


def counting(words: str, rows: Sequence[Row]) -> Iterator[Row]:
    """Go through rows, and show how far."""
    with progress(words, len(rows)) as went_on:
        for row in rows:
            yield row
            went_on(1)
