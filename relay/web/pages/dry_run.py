"""What a server would make of a form that is typed here, with files; nothing is stored or sent."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tornado.web import HTTPError

from relay.core import clock
from relay.core.errors import SubmissionError
from relay.core.immutable import freeze
from relay.core.logs import raised_by
from relay.core.message import Message
from relay.core.server import Server
from relay.core.submission import Submission
from relay.forms.email_form import CONTROL_FIELDS
from relay.hooks.chain import Chain
from relay.intake.dry_run import DryRun, headers
from relay.intake.message_builder import NoMessage
from relay.web.forms import ENCODED
from relay.web.pages.handler import PageHandler
from relay.web.pages.trial import recipient

FILES = "attachments"
# What a schema without fields of its own is shown with: those that all forms share.
USUAL = ("to_address", "from_address", "name", "subject", "message")


class Rehearsed(NamedTuple):
    """What came of it: a message and what is to be said of it; or why there is none."""

    problem: str = ""
    message: Message | None = None
    headers: Sequence[tuple[str, str]] = ()
    decoy: str = ""
    warnings: Sequence[str] = ()
    unused: Sequence[str] = ()


class DryRunHandler(PageHandler):
    """GET /try/{server}: its fields; POST /try/{server}: the message that they would become."""

    methods = ("GET", "POST")

    @property
    def max_bytes(self) -> int:
        rules = self.server.attachments
        return super().max_bytes + (int(rules.max_bytes * ENCODED) if rules else 0)

    @property
    def chain(self) -> Chain:
        chain = self.configuration.chains.get(self.path_args[0].lower())
        if chain is None or not chain.has_forms:
            raise HTTPError(404)
        return chain

    @property
    def server(self) -> Server:
        return self.chain.server

    def get(self, name: str) -> None:
        self._show({"to_address": recipient(self.server)})

    async def post(self, name: str) -> None:
        body = await self.body()
        typed = {name: value for name, value in body.fields.items() if value not in ("", None)}
        submission = Submission(
            self.server.name, freeze(typed), files=body.files, received_at=clock.now()
        )
        self._show(typed, rehearsed(DryRun(self.chain, submission)))

    def _show(self, typed: Mapping[str, Any], came: Rehearsed | None = None) -> None:
        rules = self.server.attachments
        self.render(
            "dry_run.html",
            server=self.server,
            names=field_names(self.chain),
            typed=typed,
            came=came,
            kinds=",".join(f".{one}" for one in sorted(rules.types)) if rules else None,
        )


def field_names(chain: Chain) -> list[str]:
    """Name what a server's schema reads, the fields that all forms share first."""
    known = getattr(chain.schema, "fields", {})
    names = [name for name in known if name not in CONTROL_FIELDS and name != FILES]
    first = [name for name in USUAL if name in names]
    return first + sorted(set(names) - set(first)) if names else list(USUAL)


def rehearsed(rehearsal: DryRun) -> Rehearsed:
    """Take a submission through a chain, whoever posts it; say what came of it."""
    try:
        decoy = rehearsal.screen()
        form = rehearsal.validate()
        message = rehearsal.compose(form)
    except SubmissionError as error:
        return Rehearsed(f"It would be refused: {error}")
    except NoMessage:
        return Rehearsed("No plugin makes a message of it: it would be answered 500.")
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises that is being written
        words = f"{type(error).__name__}{raised_by(error)}"
        return Rehearsed(f"{words}: it would be answered 500, and kept.")
    return Rehearsed(
        message=message,
        headers=list(headers(message)),
        decoy=decoy.reason if decoy else "",
        warnings=rehearsal.warnings,
        unused=rehearsal.unused(form),
    )


ROUTES = [(r"/try/([^/]+)", DryRunHandler)]
