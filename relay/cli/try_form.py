"""`try`: what a payload would become; nothing is stored and nothing is sent."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from relay.cli.context import built
from relay.cli.terminal import say
from relay.config.settings import Settings
from relay.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    SubmissionError,
    TemplateNotFound,
    TemplateRenderError,
)
from relay.core.message import Message
from relay.core.submission import Refused, Verified
from relay.hooks.chain import Chain
from relay.intake.dry_run import DryRun, headers
from relay.intake.message_builder import NoMessage
from relay.store.engine.database import Store, StoreUnreadable
from relay.templates.parts import Cache
from relay.templates.rendering import render_message
from relay.web.bodies import submission_of


@click.command("try")
@click.option("--key", default="", help="A key, as the caller would bring it.")
@click.option("--session", is_flag=True, help="As a post to /rest/email_session.")
@click.option("--verify", is_flag=True, help="Ask those who verify, which may burn a proof.")
@click.argument("server")
@click.argument("file", type=click.File("rb"))
@click.pass_obj
def try_form(path: Path, server: str, file: Any, key: str, *, session: bool, verify: bool) -> None:
    """Run FILE (JSON or urlencoded, - for standard input) through SERVER's chain.

    Print each hook's verdict, the fields that nobody used, and the message.
    """
    read, chains = built(path, stored=True)
    chain = chains.get(server.lower())
    if chain is None or not chain.has_forms:
        raise ConfigurationError(f"{read.path.name}: no server {server} takes forms")
    try:
        submission = submission_of(chain.server.name, file.read(), key=key, session=session)
        rehearsal = DryRun(chain, submission)
        for line in _run(rehearsal, partial(_lacking, read, chain), verify=verify):
            say(line)
    except SubmissionError as error:
        raise click.ClickException(f"refused: {error}") from None


def _lacking(read: Settings, chain: Chain, message: Message) -> Sequence[str]:
    """Say what a stored template would print nothing for, as far as there is a store to read."""
    store = Store(read.database, read.data)
    if message.template is None or store.is_missing:
        return []
    try:
        return store.read_now(render_message, message, chain.server.group, Cache())[1]
    except (TemplateNotFound, TemplateRenderError, StoreUnreadable) as error:
        return [str(error)]


def _run(
    rehearsal: DryRun, stored: Callable[[Message], Sequence[str]], *, verify: bool
) -> Iterator[str]:
    """Go through the steps; who is not let in sees what would become of the form all the same.

    stored: says what is amiss with the stored template that a message names. verify: whether to
    ask the plugins that may ask others.
    """
    identity = None
    try:
        identity, claim = rehearsal.admit()
        yield f"authenticate  {identity}"
        yield f"check_token   {'a token, to be looked up' if claim else 'None: no token needed'}"
    except AuthenticationFailed as error:
        hint = "; --key brings one" if error.reason == "no_header" else ""
        yield f"authenticate  None: refused with 401 ({error.reason}{hint})"
    except SubmissionError as error:
        yield f"check_token   refused: {error} ({error.reason})"
    decoy = rehearsal.screen()
    yield f"screen        {f'a robot: {decoy.reason}' if decoy else 'None: passes'}"
    form = rehearsal.validate(identity)
    yield f"schema        {type(rehearsal.chain.schema).__name__}: in order"
    yield f"verify        {_verified(rehearsal, verify=verify)}"
    try:
        message = rehearsal.compose(form)
    except NoMessage:
        yield "compose       None: no plugin makes a message of it, answered 500"
        return
    yield "compose       a message"
    for words in (*rehearsal.warnings, *stored(message)):
        yield f"warning       {words}"
    yield f"unused fields {', '.join(rehearsal.unused(form)) or 'none'}"
    yield ""
    yield from _shown(message)


def _verified(rehearsal: DryRun, *, verify: bool) -> str:
    """Say what the plugins make of it that verify, where they are to be asked."""
    chain = rehearsal.chain
    if not chain.verifiers:
        return "None: passes"
    if not verify:
        return f"not asked: {', '.join(chain.verifiers)}; --verify asks"
    verdict = rehearsal.verify()
    if isinstance(verdict, Verified):
        return "verified: passes"
    if isinstance(verdict, Refused):
        return f"refused with 403: {verdict.reason}"
    return f'unsure: {verdict.reason}; when_unsure = "{chain.server.when_unsure}"'


def _shown(message: Message) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in headers(message))
    if message.template is not None:
        yield json.dumps(message.model, indent=2, ensure_ascii=False, default=dict)
    for name, part in (("text", message.text), ("html", message.html)):
        if part:
            yield f"\n--- {name} ---\n{part}"
