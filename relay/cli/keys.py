"""`keys`: who may call, and new secrets for those who shall."""

from pathlib import Path

import click

from relay.cli.terminal import say
from relay.config import keys as made_keys
from relay.config import settings
from relay.core.server import KeyKind


@click.group(invoke_without_command=True)
@click.pass_context
def keys(context: click.Context) -> None:
    """List the keys; their secrets are not shown."""
    if context.invoked_subcommand is not None:
        return
    read = settings.load(context.obj)
    made = made_keys.made(read.data, make=False)
    for key in read.keys or tuple(one.key for one in made.values()):
        origin = "settings" if read.keys else str(read.data / "keys.json")
        servers = ", ".join(sorted(key.servers)) or "no server"
        say(f"{key.id:16} {key.kind:12} {servers:24} {origin}")


@keys.command()
@click.option("--kind", type=click.Choice(["secret", "publishable", "account"]), default="secret")
@click.argument("name")
def new(name: str, kind: KeyKind) -> None:
    """Make a secret for the key NAME; put it where settings.toml looks for it."""
    say(made_keys.random_key(kind, name))


@keys.command()
@click.pass_obj
def show(path: Path) -> None:
    """Show the secrets that this installation made for itself at its first start."""
    for id, made in made_keys.made(settings.load(path).data, make=False).items():
        say(f"{id:16} {made.secret.reveal()}")
