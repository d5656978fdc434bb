"""`templates pull` and `push`: between a folder, the relay's store and an account elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from relay.cli.templates.places import (
    Plan,
    RemotePlace,
    StorePlace,
    TemplatePlace,
    account_of,
    label,
    planned,
)
from relay.cli.terminal import agree, counted, say
from relay.templates import folder as folders
from relay.templates.rules import TemplateDraft


def _command(move: Callable[..., None]) -> click.Command:
    """Make the command of a move, with the options that name the other place."""

    @click.command(move.__name__, help=move.__doc__)
    @click.option("--provider", is_flag=True, help="The account that SERVER delivers through.")
    @click.option("--url", help="Another account, or another relay.")
    @click.option("--token-env", metavar="NAME", help="With --url: the variable of its token.")
    @click.option("--force", is_flag=True, help="Do not ask.")
    @click.argument("server")
    @click.argument("folder", type=click.Path(path_type=Path), required=False)
    @click.pass_obj
    def command(
        path: Path,
        server: str,
        folder: Path | None,
        url: str | None,
        token_env: str | None,
        *,
        provider: bool,
        force: bool,
    ) -> None:
        account = account_of(path, server, provider=provider, url=url, token_env=token_env)
        store = StorePlace(path, server)
        if account is None and folder is None:
            raise click.UsageError("name a FOLDER, or an account: --provider, or --url")
        move(folder, store, RemotePlace(account) if account else store, force=force)

    return command


@_command
def pull(folder: Path | None, store: StorePlace, other: TemplatePlace, *, force: bool) -> None:
    """Copy templates to FOLDER; without one, from an account into the relay's store.

    They come from the relay's store, or with --provider or --url from that account.
    """
    drafts = _some(other.fetch(), other.name)
    if folder is None:
        _move(drafts, store, force=force)
    else:
        _write(drafts, folder, force=force)


@_command
def push(folder: Path | None, store: StorePlace, other: TemplatePlace, *, force: bool) -> None:
    """Copy the templates of FOLDER into the relay's store; without one, those of the store.

    With --provider or --url they are copied to that account instead.
    """
    if folder is None:
        drafts = _some(store.fetch(), store.name)
    else:
        drafts = _some([template.draft for template in folders.read_all(folder)], str(folder))
    _move(drafts, other, force=force)


def _some(drafts: Sequence[TemplateDraft], place: str) -> Sequence[TemplateDraft]:
    if not drafts:
        raise click.ClickException(f"{place} has no templates")
    return drafts


def _move(drafts: Sequence[TemplateDraft], destination: TemplatePlace, *, force: bool) -> None:
    """Show what would change, ask, do it, and say where numbers differ."""
    plan = planned(drafts, destination.fetch(), destination.name)
    _print(plan)
    if not plan.steps:
        say("nothing to do")
        return
    agree(
        f"Change {_templates(len(plan.steps))} in {destination.name}?",
        agreed=force,
        option="--force",
    )
    changes = destination.apply(plan)
    say(f"{_templates(len(changes))} changed in {destination.name}")
    if isinstance(destination, StorePlace):
        numbers = {change.alias: change.id for change in changes}
        for draft in drafts:
            number = numbers.get(draft.alias or "", draft.id)
            if draft.id is not None and number != draft.id:
                say(f"note: {draft.alias} has the number {number}, not {draft.id}", err=True)


def _print(plan: Plan) -> None:
    for draft, change in plan.steps:
        name = f"{label(draft)}  {change.name}"
        say(f"{change.action:6}  {change.type:8}  {name}")
    for words, templates in (("unchanged", plan.unchanged), ("left alone", plan.others)):
        if templates:
            say(f"{words}: {', '.join(templates)}")


def _write(drafts: Sequence[TemplateDraft], folder: Path, *, force: bool) -> None:
    """Write the files that are missing or differ; ask before one is overwritten."""
    files = folders.differing(folder, drafts)
    if not files:
        say(f"nothing to do: {folder} holds {_templates(len(drafts))}")
        return
    there = [path for path in files if path.exists()]
    for path in there:
        say(f"differs: {path}")
    if there:
        agree(f"Overwrite {counted(len(there), 'file')}?", agreed=force, option="--force")
    folders.write(files)
    say(f"{_templates(len(drafts))} in {folder}, {counted(len(files), 'file')} written")


def _templates(count: int) -> str:
    return counted(count, "template")
