"""`status`: whether a daemon runs, and what it does."""

from pathlib import Path

import click

from relay.cli.control_client import ask_running


@click.command()
@click.pass_obj
def status(path: Path) -> None:
    """Show the running daemon; exit code 1 if there is none."""
    for name, value in ask_running(path, "GET", "/status").items():
        click.echo(f"{name:10} {', '.join(value) if isinstance(value, list) else value}")
