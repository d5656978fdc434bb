"""`reload`: what SIGHUP does, with an answer."""

from pathlib import Path

import click

from relay import settings
from relay.commands.daemon import ask
from relay.errors import ConfigurationError


@click.command()
@click.pass_obj
def reload(path: Path) -> None:
    """Have the running daemon read its settings again; say what is wrong with them."""
    answer = ask(settings.load(path).data, "POST", "/reload")
    if answer is None:
        raise click.ClickException("no daemon runs on these settings")
    if answer["problem"]:
        raise ConfigurationError(answer["problem"])
    click.echo("settings read")
