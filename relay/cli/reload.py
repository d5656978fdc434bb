"""`reload`: what SIGHUP does, with an answer."""

from pathlib import Path

import click

from relay.cli.control_client import ask_running
from relay.core.errors import ConfigurationError


@click.command()
@click.pass_obj
def reload(path: Path) -> None:
    """Have the running daemon read its settings again; say what is wrong with them."""
    problem = ask_running(path, "POST", "/reload")["problem"]
    if problem:
        raise ConfigurationError(problem)
    click.echo("settings read")
