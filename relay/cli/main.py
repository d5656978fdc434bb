"""The command line: what each command is called and takes; what it does stands beside it."""

import logging
import os
import sys
from importlib import import_module
from pathlib import Path

import click
import structlog

from relay.core.errors import RelayError

# Where in relay.cli each one stands.
COMMANDS = {
    "alerts": "alerts.alerts",
    "audit": "audit.audit",
    "backup": "backup.backup",
    "check": "check.check",
    "keys": "keys.keys",
    "mailbox": "mailbox.mailbox",
    "pause": "pause.pause",
    "plugins": "plugins.plugins",
    "queue": "queue.queue",
    "reload": "reload.reload",
    "restore": "backup.restore",
    "resume": "pause.resume",
    "screened": "screened.screened",
    "serve": "serve.serve",
    "status": "status.status",
    "suppressions": "suppressions.suppressions",
    "templates": "templates.templates",
    "try": "try_form.try_form",
}

OWN_SETTINGS = Path(__file__).parents[2] / "settings.toml"


class Commands(click.Group):
    """Imports a command when it is called: most need a part of the program, and start sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(import_module(f"relay.cli.{module}"), name)
        return command


@click.group(cls=Commands, invoke_without_command=True)
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    help="The settings file; else RELAY_SETTINGS, else settings.toml beside run.py.",
)
@click.pass_context
def relay(context: click.Context, settings: Path | None) -> None:
    """Stand between web forms and the mail provider. Without a command: serve."""
    # A command's output is its own; `serve` configures the log for itself.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    context.obj = settings or Path(os.environ.get("RELAY_SETTINGS") or OWN_SETTINGS)
    if context.invoked_subcommand is None:
        context.invoke(import_module("relay.cli.serve").serve)


def main() -> None:
    """Run a command; a mistake in the settings is one line and exit code 2."""
    try:
        relay.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except RelayError as error:
        click.echo(f"relay: {error}", err=True)
        sys.exit(2)
