"""Where templates are moved to: the relay's store, or an account elsewhere.

What moving them would change there is told before anything is changed.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click

from relay.cli.context import built, reading, server_of
from relay.cli.templates import common
from relay.cli.terminal import counting
from relay.config import settings
from relay.core.errors import AccountError, TypesDiffer
from relay.core.secret import Secret
from relay.core.server import Account
from relay.operators.acting import system_user
from relay.templates.changes import Change
from relay.templates.library import Library
from relay.templates.remote import RemoteTemplates
from relay.templates.rules import TemplateDraft


class Step(NamedTuple):
    """A draft, and what it changes."""

    draft: TemplateDraft
    change: Change


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that would make a place hold some drafts, layouts first; and what would stay.

    unchanged: those of the drafts that it holds already. others: what only it has.
    """

    steps: Sequence[Step]
    unchanged: Sequence[str]
    others: Sequence[str]


def planned(drafts: Sequence[TemplateDraft], there: Sequence[TemplateDraft], place: str) -> Plan:
    """Compare whole drafts with the whole templates of a place; raise TypesDiffer.

    They are matched by alias. One that has none, on either side, is matched by its number.
    """
    steps, unchanged, matched = [], [], set()
    for draft in sorted(drafts, key=lambda draft: draft.type != "Layout"):
        known = _match(draft, there)
        if known is not None and known.type != draft.type:
            words = f"{label(draft)} is a {known.type} in {place}, not a {draft.type}"
            raise TypesDiffer(words)
        matched.add(known.id if known else None)
        if known is not None and _same(known, draft):
            unchanged.append(label(draft))
        else:
            steps.append(Step(draft, _change(draft, known)))
    return Plan(steps, unchanged, [label(one) for one in there if one.id not in matched])


def _match(draft: TemplateDraft, there: Sequence[TemplateDraft]) -> TemplateDraft | None:
    for known in there:
        if draft.alias and known.alias:
            if draft.alias == known.alias:
                return known
        elif draft.id == known.id:
            return known
    return None


def label(draft: TemplateDraft) -> str:
    """Name a template for people: by its alias, or by its number."""
    return draft.alias or f"number {draft.id}"


def _change(draft: TemplateDraft, known: TemplateDraft | None) -> Change:
    kind = "Layout" if draft.type == "Layout" else "Standard"
    id = None if known is None else known.id
    action = "Create" if known is None else "Edit"
    return Change(action, id, draft.alias or "", draft.name or "", kind)  # type: ignore[arg-type]


def _same(one: TemplateDraft, other: TemplateDraft) -> bool:
    return all(
        (getattr(one, part) or "") == (getattr(other, part) or "")
        for part in ("name", "subject", "html", "text", "layout")
    )


class TemplatePlace(Protocol):
    """Holds templates; `name` is for people."""

    name: str

    def fetch(self) -> Sequence[TemplateDraft]:
        """Return all templates, as whole drafts."""

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

    def apply(self, plan: Plan) -> Sequence[Change]:
        drafts = [step.draft for step in plan.steps]
        asked = {"server": self._group, "drafts": [asdict(draft) for draft in drafts]}

        async def alone(library: Library) -> dict[str, Any]:
            changes = await library.apply(self._group, drafts, system_user())
            return {"changes": [asdict(change) for change in changes]}

        answer = common.carry_out(self._read, "apply", asked, alone)
        return [Change(**change) for change in answer["changes"]]


class RemotePlace:
    """The templates of a provider's account, or of another relay."""

    def __init__(self, account: Account) -> None:
        self._remote = RemoteTemplates(account)
        self.name = self._remote.host

    def fetch(self) -> Sequence[TemplateDraft]:
        rows = counting(f"fetching from {self.name}", self._remote.listed())
        return [self._remote.fetch(row.id) for row in rows]

    def apply(self, plan: Plan) -> Sequence[Change]:
        """Make and edit one after the other; what was pushed before one is refused stays so."""
        for done, step in enumerate(counting(f"pushing to {self.name}", plan.steps)):
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
