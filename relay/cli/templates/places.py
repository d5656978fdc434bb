"""Where templates are moved to: the relay's store, or an account elsewhere."""

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

import click

from relay.cli.context import built, reading, server_of
from relay.cli.templates import common
from relay.cli.templates.plans import Plan, Step, label, planned
from relay.config import settings
from relay.core.errors import AccountError
from relay.core.secret import Secret
from relay.core.server import Account
from relay.templates.changes import Change
from relay.templates.library import Library
from relay.templates.remote import RemoteTemplates
from relay.templates.rules import TemplateDraft

Row = TypeVar("Row")


class TemplatePlace(Protocol):
    """Holds templates; `name` is for people."""

    name: str

    def fetch(self) -> Sequence[TemplateDraft]:
        """Return all templates, as whole drafts."""

    def plan(self, drafts: Sequence[TemplateDraft]) -> Plan:
        """Say what `apply` would do; change nothing."""

    def apply(self, plan: Plan) -> Sequence[Change]:
        """Make and edit what differs."""


class StorePlace:
    """The templates that the relay holds for a server's group."""

    def __init__(self, path: Path, server: str) -> None:
        self._path = path
        self._read = settings.load(path)
        self._group = server_of(self._read, server).group
        self.name = f"the store of {self._group}"

    def fetch(self) -> Sequence[TemplateDraft]:
        with reading(self._path) as (_, store):
            templates = asyncio.run(common.all_of(Library(store), self._group))
        return [common.whole(template) for template in templates]

    def plan(self, drafts: Sequence[TemplateDraft]) -> Plan:
        return planned(drafts, self.fetch(), self.name)

    def apply(self, plan: Plan) -> Sequence[Change]:
        return common.apply(self._read, self._group, [step.draft for step in plan.steps])


class RemotePlace:
    """The templates of a provider's account, or of another relay."""

    def __init__(self, account: Account) -> None:
        self._remote = RemoteTemplates(account)
        self.name = self._remote.host

    def fetch(self) -> Sequence[TemplateDraft]:
        with _progress(self._remote.listed(), f"fetching from {self.name}") as rows:
            return [self._remote.fetch(row.id) for row in rows]

    def plan(self, drafts: Sequence[TemplateDraft]) -> Plan:
        return planned(drafts, self.fetch(), self.name)

    def apply(self, plan: Plan) -> Sequence[Change]:
        """Make and edit one after the other; what was pushed before one is refused stays so."""
        with _progress(plan.steps, f"pushing to {self.name}") as steps:
            for done, step in enumerate(steps):
                try:
                    self._push(step)
                except AccountError as error:
                    pushed = f"{done} of {len(plan.steps)} were pushed"
                    raise AccountError(f"{label(step.draft)}: {error} ({pushed})") from None
        return [step.change for step in plan.steps]

    def _push(self, step: Step) -> None:
        if step.change.id is None:
            self._remote.create(step.draft)
        else:
            self._remote.edit(step.change.id, step.draft)


def _progress(rows: Sequence[Row], words: str) -> AbstractContextManager[Iterable[Row]]:
    hidden = not sys.stderr.isatty()
    return click.progressbar(rows, label=words, file=sys.stderr, hidden=hidden)


def account_of(
    path: Path, server: str, *, provider: bool, url: str | None, token_env: str | None
) -> Account | None:
    """Return the account that a command's options name; None if they name none."""
    if bool(url) != bool(token_env) or (provider and url):
        raise click.UsageError("give --provider, or --url with --token-env")
    if url and token_env:
        token = os.environ.get(token_env, "").strip()
        if not url.startswith(("https://", "http://")):
            raise click.UsageError("--url begins with https:// (or http://)")
        if not token:
            raise click.UsageError(f"--token-env: the environment variable {token_env} is not set")
        return Account(url, Secret(token))
    if not provider:
        return None
    read, chains = built(path)
    group = server_of(read, server).group
    account = chains[group].account
    if account is None:
        raise click.ClickException(
            f"{group} delivers through {', '.join(chains[group].deliver_plugins)}, "
            "which has no account with templates; name one with --url and --token-env"
        )
    return account
