"""`status`: whether a daemon runs, and what it does."""

from pathlib import Path

import click

from relay import settings
from relay.commands.daemon import ask


@click.command()
@click.pass_obj
def status(path: Path) -> None:
    """Show the running daemon; exit code 1 if there is none."""
    answer = ask(settings.load(path).data, "GET", "/status")
    if answer is None:
        raise click.ClickException("no daemon runs on these settings")
    for name, value in answer.items():
        click.echo(f"{name:10} {', '.join(value) if isinstance(value, list) else value}")
