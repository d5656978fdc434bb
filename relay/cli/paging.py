"""Lists that are longer than a screen: a page at a time, by key."""

from collections.abc import Callable
from typing import Any

import click

from relay.store.queries.listing import Page


def paged(limit: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add to a command the options `--limit`, with this default, and `--below`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        below = click.option("--below", help="Only what is older than this id: the next page.")
        return click.option("--limit", default=limit, show_default=True)(below(command))

    return decorate


def print_page(page: Page[Any], line: Callable[[Any], str]) -> None:
    """Print a line for each row, and on stderr how to get the next page."""
    for row in page.rows:
        click.echo(line(row))
    if page.below:
        click.echo(f"more: --below {page.below}", err=True)
