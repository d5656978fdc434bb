"""The command line: what each command is called and takes; what it does stands beside it."""

import logging
import os
import sqlite3
import sys
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Any

import click
import structlog

from relay import __version__
from relay.cli.terminal import say, visible
from relay.config.settings import shipped
from relay.core.errors import ConfigurationError, RelayError
from relay.store.engine.newer_schema import NewerSchema

# Where in relay.cli each one stands.
COMMANDS = {
    "acts": "acts.acts",
    "alerts": "alerts.alerts",
    "audit": "audit.audit",
    "backup": "backup.backup",
    "check": "check.check",
    "find": "find.find",
    "init": "init.init",
    "keys": "keys.keys",
    "mailbox": "mailbox.mailbox",
    "move-store": "move.move_store",
    "operators": "operators.operators",
    "pause": "daemon.pause",
    "person": "person.person",
    "plugins": "check.plugins",
    "queue": "queue.queue",
    "reload": "daemon.reload",
    "restore": "backup.restore",
    "resume": "daemon.resume",
    "screened": "screened.screened",
    "serve": "serve.serve",
    "status": "status.status",
    "suppressions": "suppressions.suppressions",
    "templates": "templates.templates",
    "try": "try_form.try_form",
    "webhooks": "webhooks.webhooks",
}


class Commands(click.Group):
    """Imports a command when it is called: most need a part of the program, and start sooner."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; where the database is a newer program's, say how to put back its copy."""
        try:
            return super().invoke(ctx)
        except NewerSchema as error:
            if error.copy is None:
                raise
            command = f"run.py --settings {quote(str(ctx.obj))} restore {quote(str(error.copy))}"
            raise ConfigurationError(f"{error}; `{command}` puts that back") from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(import_module(f"relay.cli.{module}"), name)
        return command


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from relay.store.engine import migrate  # its library takes long to import

        schema, sqlite = migrate.newest_schema(), sqlite3.sqlite_version
        say(f"relay {__version__} (schema {schema}, SQLite {sqlite})")
        context.exit()


def _own_settings() -> Path:
    """Return a checkout's settings.toml; of an installed package, that of the folder one is in."""
    own = shipped("settings.toml")
    return own if own.with_name("run.py").exists() else Path("settings.toml")


@click.group(cls=Commands, invoke_without_command=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="The version, the database's schema and SQLite's version.",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    help="The settings file; else RELAY_SETTINGS, else settings.toml beside run.py or here.",
)
@click.pass_context
def relay(context: click.Context, settings: Path | None) -> None:
    """Stand between web forms and the mail provider. Without a command: serve."""
    # A command's output is its own; `serve` configures the log for itself.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    context.obj = settings or Path(os.environ.get("RELAY_SETTINGS") or _own_settings())
    if context.invoked_subcommand is None:
        context.invoke(import_module("relay.cli.serve").serve)


def main() -> None:
    """Run a command; a mistake in the settings is one line and exit code 2."""
    try:
        relay.main(standalone_mode=False)
    except click.ClickException as error:
        error.message = visible(error.message)  # type: ignore[misc]
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except RelayError as error:
        say(f"relay: {error}", err=True)
        sys.exit(2)
