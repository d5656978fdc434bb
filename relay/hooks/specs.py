"""Every hook, in the order in which they are called, and nothing else.

Imperative verbs decide: the first plugin of the server's list that returns anything but None wins.
Past participles observe: all plugins are called, what they return is dropped, and one that raises
is logged. A deciding hook that raises stops the submission. *startup*: once, when the settings are
read. *loop*: on the event loop, from memory only; it must not block. *thread*: in the delivery
pool, or in one for `verify`; it may block until its deadline. No hook is `async`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy
from marshmallow import Schema
from marshmallow.fields import Field

from relay.core.errors import DeliveryError, SubmissionError
from relay.core.message import Absent, Callback, Confirmation, Message, ProviderEvent, Reply
from relay.core.server import Account, Server
from relay.core.submission import (
    Claim,
    Decoy,
    Identity,
    Refused,
    Submission,
    Unsure,
    Verified,
)

hookspec = pluggy.HookspecMarker("relay")
hookimpl = pluggy.HookimplMarker("relay")


@hookspec
def settings() -> Mapping[str, Field[Any]]:  # type: ignore[empty-body]
    """Name the fields this plugin reads from its server's table, each best made by `setting`.

    Startup. All plugins' fields are merged; a key that none of them names is an error.
    """


@hookspec(firstresult=True)
def schema(server: Server) -> Schema | None:
    """Return the schema that a form of this server is validated by, best a subclass of EmailForm.

    Startup. The first plugin that has one wins; None from all: the server takes no forms.
    """


@hookspec(firstresult=True)
def account(server: Server) -> Account | None:
    """Name the provider's account that mail goes through, where it has templates of its own.

    Startup. A template that is not stored here is then left to the provider to find, and
    `run.py templates` pulls from and pushes to that account. None from all: it must be stored here.
    """


@hookspec(firstresult=True)
def authenticate(submission: Submission, server: Server) -> Identity | None:
    """Say who is calling.

    Loop. The first identity wins; if every plugin says None, the submission is refused (401). Where
    a form may bring files it is asked before, too, with the headers alone: those whom it refuses
    then may send no more than a form without files. A signature is checked over `submission.body`,
    the body's bytes as they came; that is None before they have come, and of a body larger than
    `form_bytes`: a plugin that checks signatures lets nobody in then.
    """


@hookspec(firstresult=True)
def check_token(submission: Submission, identity: Identity, server: Server) -> Claim | None:
    """Name the session token that this submission brings.

    Loop. The host looks the claim up and spends it when it stores the message. If every plugin
    says None, a session post is refused (403); other posts pass.
    """


@hookspec(firstresult=True)
def screen(submission: Submission, server: Server) -> Decoy | None:
    """Return a decoy for a robot's submission, None for a writer's.

    Loop. A decoy is answered like a message that was sent, and kept for review. None from all: it
    passes.
    """


@hookspec(firstresult=True)
def challenge(token: str, server: Server) -> Mapping[str, Any] | None:
    """Make what a page must solve, as JSON, for `verify` to check; token: the session's, or "".

    Loop. It is what `GET /rest/challenge/{server}` answers; None from all: 404. The token stands in
    the query and was not looked up; a challenge that is bound to it is good for its post alone.
    """


@hookspec(firstresult=True)
def verify(submission: Submission, server: Server) -> Verified | Refused | Unsure | None:
    """Judge what whoever posts had to prove; it may ask somebody else.

    Thread. It has `server.verify_seconds`; after that nobody waits for it, which is an Unsure. It
    is asked after the schema, so that a typo burns no proof. The first verdict wins; None from all:
    it passes. Refused is answered 403, and nothing is stored; of Unsure the server's `when_unsure`
    decides. An exception is an internal error: the submission is kept until that is mended.
    """


@hookspec(firstresult=True)
def compose(form: Mapping[str, Any], server: Server) -> Message | None:
    """Make the message out of a validated form.

    Loop. The first message wins; a wrapper may change it. None from all is an internal error.
    """


@hookspec(firstresult=True)
def deliver(
    messages: Sequence[Message], server: Server
) -> Sequence[Confirmation | DeliveryError] | None:
    """Hand messages to a provider; return one outcome for each, in order.

    Thread. One plugin of those that have this hook is asked: the first of the list, or a later
    one that stands in for it. A DeliveryError that is raised holds for all messages; any other
    exception leaves all of them in doubt; None means that all are tried again. A confirmation with
    `later` sends a message to some of its recipients; it is given again for the others alone.
    """


@hookspec(firstresult=True)
def find(message: Message, server: Server) -> Confirmation | Absent | None:
    """Look up at the provider whether it took a message whose answer was lost.

    Thread. Only the plugin that made the attempt is asked. ABSENT says that the provider certainly
    does not have it, None that it cannot be looked up at all, and a DeliveryError that is raised,
    that it cannot be looked up now. It changes nothing at the provider.
    """


@hookspec(firstresult=True)
def receive(callback: Callback, server: Server) -> Reply | Sequence[ProviderEvent] | None:
    """Read what the provider told by a webhook: an answer that came in as mail, or events.

    Loop. The first plugin that knows the kind of callback wins; None from all is logged.
    """


@hookspec
def started(server: Server) -> None:
    """Begin, for a plugin with something of its own that runs: a thread, a connection.

    Startup. Called once for each server that lists the plugin, when the daemon starts and before it
    listens; after a reload again, of the plugins as they are read then. It must not block.
    """


@hookspec
def stopping(server: Server) -> None:
    """End what `started` began: the daemon stops, or the settings were read again.

    Thread. All of them have five seconds; no observer is called any more once the daemon stops,
    but after a reload it may still be for a moment.
    """


@hookspec
def accepted(message: Message, server: Server) -> None:
    """Observe that a message was stored. Loop."""


@hookspec
def screened(submission: Submission, decoy: Decoy, server: Server) -> None:
    """Observe that a robot's submission was kept back. Loop."""


@hookspec
def refused(submission: Submission, error: SubmissionError, server: Server) -> None:
    """Observe that a submission was refused; `error.reason` says why. Loop."""


@hookspec
def sent(message: Message, receipt: Confirmation, server: Server) -> None:
    """Observe that the provider took a message. Loop."""


@hookspec
def deferred(message: Message, error: DeliveryError, server: Server) -> None:
    """Observe that an attempt did not send a message; it will be tried again. Loop."""


@hookspec
def failed(message: Message, error: DeliveryError, server: Server) -> None:
    """Observe that a message was refused for good. Loop."""


@hookspec
def expired(message: Message, error: DeliveryError, server: Server) -> None:
    """Observe that a message grew too old without being sent. Loop."""


@hookspec
def quarantined(message: Message, error: DeliveryError, server: Server) -> None:
    """Observe that a message was set aside, because our own code fails at it. Loop."""


@hookspec
def bounced(event: ProviderEvent, server: Server) -> None:
    """Observe that a message came back for good, or that its recipient complained. Loop."""
