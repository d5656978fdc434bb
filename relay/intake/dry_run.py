"""A submission taken through a server's chain as far as its message; nothing is stored or sent."""

from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.message import Message
from relay.core.policy import check_policy
from relay.core.submission import Claim, Decoy, Identity, Submission
from relay.hooks.chain import Chain
from relay.intake.authentication import claimed, identify
from relay.intake.message_builder import composed


@dataclass(frozen=True, slots=True)
class DryRun:
    """The same steps as a daemon's, in the same order; each raises what a daemon would answer."""

    chain: Chain
    submission: Submission

    def admit(self) -> tuple[Identity, Claim | None]:
        """Return who posts, and which session token would be looked up."""
        identity = identify(self.chain, self.submission)
        return identity, claimed(self.chain, self.submission, identity)

    def screen(self) -> Decoy | None:
        """Return whether a robot posts."""
        return self.chain.screen(self.submission)

    def compose(self, identity: Identity | None = None) -> tuple[Mapping[str, object], Message]:
        """Return the validated form, and the message that would be stored; identity: who posts."""
        form, message = composed(self.chain, self.submission, identity)
        check_policy(message, self.chain.server, session=self.submission.session)
        return form, message
