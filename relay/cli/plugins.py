"""`plugins`: each server's chain, as it will be called."""

from pathlib import Path

import click

from relay.cli.context import built


@click.command()
@click.pass_obj
def plugins(path: Path) -> None:
    """Print, per server, each hook and its plugins in call order."""
    _, chains = built(path)
    for name, chain in chains.items():
        group = chain.server.group
        click.echo(f"{name}" + (f" (delivers through {group})" if group != name else ""))
        for hook, names in chain.describe().items():
            if names:
                click.echo(f"  {hook:12} {', '.join(names)}")
