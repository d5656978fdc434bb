"""The command line: what each command is called and takes. What it does stands in commands/."""

import logging
import os
import sys
from pathlib import Path

import click
import structlog

from relay.commands import (
    alerts,
    audit,
    backup,
    check,
    keys,
    mailbox,
    pause,
    plugins,
    queue,
    reload,
    screened,
    serve,
    status,
    suppressions,
    templates,
    try_form,
)
from relay.errors import RelayError

OWN_SETTINGS = Path(__file__).parent.parent / "settings.toml"


@click.group(invoke_without_command=True)
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
        context.invoke(serve.serve)


for command in (
    serve.serve,
    check.check,
    plugins.plugins,
    try_form.try_form,
    keys.keys,
    mailbox.mailbox,
    queue.queue,
    audit.audit,
    alerts.alerts,
    screened.screened,
    templates.templates,
    suppressions.suppressions,
    pause.pause,
    pause.resume,
    status.status,
    reload.reload,
    backup.backup,
    backup.restore,
):
    relay.add_command(command)


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
