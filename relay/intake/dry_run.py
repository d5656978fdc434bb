"""A submission taken through a server's chain as far as its message; nothing is stored or sent."""

from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.immutable import freeze
from relay.core.message import Message
from relay.core.policy import check_policy
from relay.core.submission import Claim, Decoy, Identity, Submission
from relay.hooks.chain import Chain
from relay.intake.authentication import claimed, identify
from relay.intake.composition import composed
from relay.web import bodies

JSON = "application/json"


def submission_of(
    server: str,
    content: bytes,
    *,
    media: str | None = None,
    key: str = "",
    session: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Submission:
    """Make the submission that a request would; raise SubmissionError for a body that is none.

    media: the Content-Type; without it, JSON where the body is an object, else urlencoded. key:
    what comes in the authorization header.
    """
    content = content.strip() if media is None else content
    media = media or (JSON if content.startswith(b"{") else bodies.URLENCODED)
    brought = {"authorization": f"token {key}"} if key else {}
    sent = {"content-type": media, **brought, **{k.lower(): v for k, v in (headers or {}).items()}}
    body = bodies.parse(media, content)
    return Submission(server, freeze(body.fields), session=session, headers=sent, files=body.files)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The same steps as a daemon's, in the same order; each raises what a daemon would answer."""

    chain: Chain
    submission: Submission

    def admit(self) -> tuple[Identity, Claim | None]:
        """Tell who posts, and which session token would be looked up."""
        identity = identify(self.chain, self.submission)
        return identity, claimed(self.chain, self.submission, identity)

    def screen(self) -> Decoy | None:
        """Tell whether a robot posts."""
        return self.chain.screen(self.submission)

    def compose(self) -> tuple[Mapping[str, object], Message]:
        """Give the validated form, and the message that would be stored."""
        form, message = composed(self.chain, self.submission)
        check_policy(message, self.chain.server)
        return form, message
