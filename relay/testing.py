"""A pytest plugin for whoever writes form plugins: post to a server, get the message.

    pytest -p relay.testing tests/test_permits.py

Nothing is stored and nothing is sent; no daemon runs.
"""

import json
import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay.config import settings
from relay.core.errors import ConfigurationError, SubmissionError
from relay.core.message import Message
from relay.core.secret import digest
from relay.core.server import Key
from relay.core.submission import Unsure
from relay.hooks import loader
from relay.hooks.chain import Chain
from relay.intake.dry_run import DryRun
from relay.intake.verification import decided
from relay.store import documents
from relay.web import responses
from relay.web.bodies import JSON, submission_of

SETTINGS = "settings.toml"
# As session_token takes it; there is no store here to look it up in.
TOKEN = 2**52


class Refused(Exception):
    """What a client would be told: `status`, the reply's `words`, and the log line's `reason`."""

    def __init__(self, error: SubmissionError) -> None:
        self.status = responses.status(error)
        self.words = str(error)
        self.reason = error.reason
        super().__init__(f"{self.status}: {self.words}")


class Screened(Exception):
    """The submission was taken for a robot's: answered like a message, and kept for review."""


@dataclass(frozen=True, slots=True)
class FormServer:
    """A server of the settings, as a client meets it."""

    chain: Chain
    key: str = field(repr=False)

    def post(
        self,
        content: Mapping[str, Any] | str | bytes,
        *,
        media: str | None = None,
        session: bool = False,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        verify: bool = False,
    ) -> Message:
        """Post a form and give the message that would be stored; raise Refused or Screened.

        content: fields, sent as JSON; or a body: JSON or urlencoded, or what `media` says. session:
        post as a web page does, with a token, which a body must bring itself. key: instead of the
        right one; "" brings none. verify: let the plugins verify it that can, which may ask others;
        of one that is unsure the server's `when_unsure` decides. Any other exception is a mistake
        in a plugin, which the daemon answers 500.
        """
        if isinstance(content, Mapping):
            token = {"token_session": TOKEN} if session else {}
            content, media = json.dumps({**token, **content}), media or JSON
        body = content.encode() if isinstance(content, str) else content
        try:
            submission = submission_of(
                self.chain.server.name,
                body,
                media=media,
                key=self.key if key is None else key,
                session=session,
                headers=headers,
            )
            return self._composed(DryRun(self.chain, submission), verify=verify)
        except SubmissionError as error:
            raise Refused(error) from None

    def _composed(self, rehearsal: DryRun, *, verify: bool) -> Message:
        identity, _ = rehearsal.admit()
        decoy = rehearsal.screen()
        if decoy is not None:
            raise Screened(decoy.reason)
        form = rehearsal.validate(identity)
        if verify:
            verdict = decided(self.chain.server, rehearsal.verify())
            if isinstance(verdict, Unsure) and self.chain.server.when_unsure == "hold":
                raise Screened(verdict.reason)
        message = rehearsal.compose(form)
        for words in rehearsal.warnings:
            warnings.warn(words, stacklevel=3)
        documents.dump(message)  # what cannot be written down cannot be accepted
        return message

    def refused(self, content: Mapping[str, Any] | str | bytes, **options: Any) -> Refused:
        """Post a form that must be refused, and give what the client is told."""
        try:
            message = self.post(content, **options)
        except Refused as refused:
            return refused
        raise AssertionError(f"it was taken: {message.subject or message.template}")


class _MadeUp(dict[str, str]):
    """An environment in which every variable that the settings name for a secret is set.

    And none of those that override settings.
    """

    def __missing__(self, name: str) -> str:
        return os.environ.get(name) or secrets.token_urlsafe(32)

    def __contains__(self, name: object) -> bool:
        return name not in settings.OVERRIDES and name != settings.LISTEN


@pytest.fixture
def form_server(request: pytest.FixtureRequest) -> Callable[..., FormServer]:
    """Return a server of settings.toml by its name: `form_server("permits")`.

    The settings are those in the nearest folder above the test that has some; `plugins/` and
    `templates/` stand beside them. `form_server("permits", text)` reads a text as if it stood
    there. Secrets that the environment lacks are made up; `environment` sets some. Raise
    ConfigurationError, as the daemon would.
    """
    folder = _installation(request.path)

    def find(
        name: str, text: str | None = None, *, environment: Mapping[str, str] | None = None
    ) -> FormServer:
        read = settings.load(folder / SETTINGS, _MadeUp(environment or {}), text)
        secret = secrets.token_urlsafe(32)
        key = Key("testing", "secret", frozenset({"*"}), (digest(secret.encode()),))
        chain = loader.build(read, [*read.keys, key]).get(name.lower())
        if chain is None or not chain.has_forms:
            raise ConfigurationError(f"{SETTINGS}: no server {name} takes forms")
        return FormServer(chain, secret)

    return find


def _installation(path: Path) -> Path:
    for folder in path.parents:
        if (folder / SETTINGS).is_file():
            return folder
    return path.parent
