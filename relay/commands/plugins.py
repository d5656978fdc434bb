"""`plugins`: each server's chain, as it will be called."""

from pathlib import Path

import click

from relay import keys as made_keys
from relay import plugins as chains
from relay import settings


@click.command()
@click.pass_obj
def plugins(path: Path) -> None:
    """Print, per server, each hook and its plugins in call order."""
    read = settings.load(path)
    keys = read.keys or tuple(made.key for made in made_keys.made(read.data, make=False).values())
    for name, chain in chains.build(read, keys).items():
        group = chain.server.group
        click.echo(f"{name}" + (f" (delivers through {group})" if group != name else ""))
        for hook, names in chain.describe().items():
            if names:
                click.echo(f"  {hook:12} {', '.join(names)}")
