"""`templates`: what is stored, how it looks, and the way to and from folders and accounts."""

from typing import Any

import click

from relay.cli.templates.checking import validate
from relay.cli.templates.stored import list_templates, preview, restore, show
from relay.cli.templates.transfer import pull, push
from relay.core.errors import AccountError, TemplateError, Unavailable


class _Templates(click.Group):
    """Ends a command that templates or an account refuse with one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (TemplateError, AccountError) as error:
            raise click.ClickException(str(error)) from None
        except Unavailable:
            words = "the database cannot be read; a daemon that starts brings an old one up to date"
            raise click.ClickException(words) from None


@click.group(cls=_Templates)
def templates() -> None:
    """Show, check and move the stored templates.

    SERVER is a server of the settings; its group's templates are meant. REFERENCE is a template's
    number or its alias.
    """


for command in (list_templates, show, restore, preview, validate, pull, push):
    templates.add_command(command)
