"""`init`: settings to begin with, in a folder of one's own."""

import shutil
from pathlib import Path

import click

from relay.cli.terminal import say
from relay.config.settings import shipped


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Put the settings that Relay comes with into FOLDER, or here; nothing is overwritten."""
    target = folder / "settings.toml"
    folder.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise click.ClickException(f"{target} is there already; it stays as it is")
    shutil.copyfile(shipped("settings.toml"), target)
    say(f"{target}: the daemon starts with `relay`, in this folder")
