"""A canary's form, and the message that its server's plugins make of it."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from relay.core.addresses import listed
from relay.core.errors import SubmissionError
from relay.core.immutable import freeze
from relay.core.logs import raised_by
from relay.core.message import Message
from relay.core.origin import Origin
from relay.core.policy import check_policy
from relay.core.server import Server
from relay.core.submission import Identity, Submission
from relay.forms.email_form import EmailForm
from relay.hooks.chain import Chain
from relay.intake.message_builder import MessageBuilder, composed, validated
from relay.intake.outbox import Outgoing

WORDS = (
    "Relay sent this to itself, to see that mail of the server {server} arrives."
    " Nobody wrote it, and there is nothing to do."
)
# What answers by itself shall not answer a canary (RFC 3834).
HEADERS = (("Auto-Submitted", "auto-generated"),)


def has_canaries(chain: Chain, chains: Mapping[str, Chain], paused: Collection[str]) -> bool:
    """Return whether a server has canaries: not where nobody wants its mail to be sent."""
    ways = (chain.server, chains[chain.server.group].server)
    rests = any(not one.enabled or one.name in paused for one in ways)
    return bool(chain.server.canary_seconds) and not rests


async def canary(builder: MessageBuilder, chain: Chain, id: str, now: float) -> Outgoing:
    """Make a canary as a form's message is made, under an id; raise what that raises."""
    posted = submission(chain, id, now)
    form = validated(chain, posted)
    made = await builder.make(chain, posted, form, Identity("", "secret"), Origin(), id=id)
    message = _addressed(made.message, chain.server, id)
    return replace(made, message=message, reply_route=None, origin=None, canary=True)


def submission(chain: Chain, id: str, now: float) -> Submission:
    """Return what a canary posts: the settings' fields, and those that all forms need."""
    server, schema = chain.server, chain.schema
    aliases = schema.aliases if isinstance(schema, EmailForm) else {}
    given = {aliases.get(name, name) for name in server.canary_fields}
    known = schema.fields if schema else {}
    needed = {
        name: value
        for name, value in _needed(server, id).items()
        if name in known and name not in given
    }
    fields = freeze({**needed, **server.canary_fields})
    return Submission(server.name, fields, received_at=now)


def objection(chain: Chain) -> str:
    """Say why no canary can be made of a server, by the names of fields; "" where one can."""
    posted = submission(chain, "", 0.0)
    try:
        message = composed(chain, posted, validated(chain, posted))
        check_policy(message, chain.server)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said
        return why(error)
    return ""


def why(error: Exception) -> str:
    """Say why no canary could be made; an error's words may be of a form's contents."""
    if isinstance(error, SubmissionError):
        return f"its form is refused: {error}"
    return f"{type(error).__name__}{raised_by(error)}"


def _needed(server: Server, id: str) -> Mapping[str, Any]:
    writer = server.sender or server.canary_to
    return {
        "to_address": _recipient(server),
        "from_address": writer.email if writer else "",
        "subject": _subject(server, id),
        "message": WORDS.format(server=server.name),
    }


def _recipient(server: Server) -> str:
    """Return whom the form names: the policy holds for it too, whoever gets its mail."""
    to, patterns = server.canary_to, sorted(server.recipients or ())
    if to is None or server.recipients is None or listed(to, server.recipients):
        return to.email if to else ""
    first = next((one for one in patterns if not one.startswith("@")), patterns[0])
    return first if not first.startswith("@") else f"canary{first}"


def _subject(server: Server, id: str) -> str:
    return f"Canary of {server.name}: {id}"


def _addressed(message: Message, server: Server, id: str) -> Message:
    """Return the message as it is sent: to the settings' address alone, and named a canary."""
    if server.canary_to is None:
        raise ValueError(f"server {server.name} has no canary_to")
    # A template that is the provider's own to render has its subject.
    is_elsewhere = message.template is not None and not message.is_rendered
    return replace(
        message,
        to=(server.canary_to,),
        cc=(),
        bcc=(),
        reply_to=(),
        attachments=(),
        headers=(*message.headers, *HEADERS),
        subject=None if is_elsewhere else _subject(server, id),
        writer=None,
        send_at=None,
    )
