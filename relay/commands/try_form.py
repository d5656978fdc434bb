"""`try`: what a payload would become; nothing is stored and nothing is sent."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from relay.chain import Chain
from relay.commands.opened import built
from relay.composition import validate
from relay.errors import ConfigurationError, RelayError, SubmissionError
from relay.forms import ALIASES, CONTROL_FIELDS, Form
from relay.message import Message, Submission, freeze
from relay.policy import check_policy
from relay.web import bodies


@click.command("try")
@click.option("--key", default="", help="A key, as the caller would bring it.")
@click.option("--session", is_flag=True, help="As a post to /rest/email_session.")
@click.argument("server")
@click.argument("file", type=click.File("rb"))
@click.pass_obj
def try_form(path: Path, server: str, file: Any, key: str, *, session: bool) -> None:
    """Run FILE (JSON or urlencoded, - for standard input) through SERVER's chain.

    Print each hook's verdict, the fields that nobody used, and the message.
    """
    read, chains = built(path)
    chain = chains.get(server.lower())
    if chain is None or not chain.takes_forms:
        raise ConfigurationError(f"{read.path.name}: no server {server} takes forms")
    content = file.read().strip()
    media = "application/json" if content.startswith(b"{") else bodies.URLENCODED
    headers = {"authorization": f"token {key}"} if key else {}
    try:
        body = bodies.parse(media, content)
        submission = Submission(
            chain.server.name, freeze(body.fields), session=session, headers=headers
        )
        for line in _run(chain, submission):
            click.echo(line)
    except SubmissionError as error:
        raise click.ClickException(f"refused: {error}") from None


def _run(chain: Chain, submission: Submission) -> Iterator[str]:
    try:
        identity = chain.authenticate(submission)
        yield f"authenticate  {identity or 'None: refused with 401; --key brings one'}"
        if identity is not None:
            claim = chain.check_token(submission, identity)
            none = "None: refused with 403" if submission.session else "None: no token needed"
            yield f"check_token   {'a token, to be looked up' if claim else none}"
    except RelayError as error:
        yield f"refused       {error} ({getattr(error, 'reason', '')})"
    decoy = chain.screen(submission)
    yield f"screen        {f'a robot: {decoy.reason}' if decoy else 'None: passes'}"
    form = validate(chain, submission.fields)
    yield f"schema        {type(chain.schema).__name__}: in order"
    message = chain.compose(form)
    if message is None:
        yield "compose       None: no plugin makes a message of it, answered 500"
        return
    check_policy(message, chain.server)
    yield "compose       a message"
    yield f"unused fields {', '.join(_unused(form, submission.fields)) or 'none'}"
    yield ""
    yield from _shown(message)


def _unused(form: Mapping[str, Any], submitted: Mapping[str, Any]) -> list[str]:
    """Name the submitted fields that neither the mapping nor the chain before it read."""
    used = form.used if isinstance(form, Form) else set(form)
    unread = [name for name in submitted if ALIASES.get(name, name) not in used]
    return sorted(set(unread) - used - CONTROL_FIELDS)


def _shown(message: Message) -> Iterator[str]:
    yield f"From: {message.sender}"
    for name, addresses in (
        ("To", message.to),
        ("Cc", message.cc),
        ("Bcc", message.bcc),
        ("Reply-To", message.reply_to),
    ):
        if addresses:
            yield f"{name}: {', '.join(map(str, addresses))}"
    for name, value in (("Subject", message.subject), ("Tag", message.tag)):
        if value:
            yield f"{name}: {value}"
    yield from (f"{name}: {value}" for name, value in message.headers)
    if message.template is not None:
        yield f"Template: {message.template}"
        yield json.dumps(message.model, indent=2, ensure_ascii=False, default=dict)
    for name, part in (("text", message.text), ("html", message.html)):
        if part:
            yield f"\n--- {name} ---\n{part}"
