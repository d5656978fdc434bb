"""A submission taken through a server's chain as far as its message; nothing is stored or sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from relay.config.template_files import noticing, unfilled_names
from relay.core.message import Message
from relay.core.policy import check_policy
from relay.core.submission import (
    Claim,
    Decoy,
    Identity,
    Refused,
    Submission,
    Unsure,
    Verified,
)
from relay.core.times import shown
from relay.hooks.chain import Chain
from relay.intake import field_mapping
from relay.intake.authentication import claimed, identify
from relay.intake.message_builder import composed, validated


@dataclass(slots=True)
class DryRun:
    """The same steps as a daemon's, in the same order; each raises what a daemon would answer.

    `warnings`: what is said of names in template files that print nothing, once composed.
    """

    chain: Chain
    submission: Submission
    warnings: Sequence[str] = ()

    def admit(self) -> tuple[Identity, Claim | None]:
        """Return who posts, and which session token would be looked up."""
        identity = identify(self.chain, self.submission)
        return identity, claimed(self.chain, self.submission, identity)

    def screen(self) -> Decoy | None:
        """Return whether a robot posts."""
        return self.chain.screen(self.submission)

    def verify(self) -> Verified | Refused | Unsure:
        """Ask the plugins whether it may pass, and with that perhaps somebody else."""
        return self.chain.verify(self.submission)

    def validate(self, identity: Identity | None = None) -> Mapping[str, object]:
        """Return the validated form; identity: who posts."""
        return validated(self.chain, self.submission, identity)

    def compose(self, form: Mapping[str, object]) -> Message:
        """Return the message that would be stored."""
        with noticing() as noticed:
            message = composed(self.chain, self.submission, form)
        # Where the settings declare the fields, it is known of all forms and not of this one alone.
        self.warnings = unfilled_names(self.chain.server) or list(noticed)
        check_policy(message, self.chain.server, session=self.submission.session)
        return message

    def unused(self, form: Mapping[str, object]) -> list[str]:
        """Name the submitted fields that neither the mapping nor the chain before it read."""
        return field_mapping.unused(form, self.submission.fields)


def headers(message: Message) -> Iterator[tuple[str, str]]:
    """Return what a message's reader sees above its text, and whoever tries a form out."""
    yield "From", str(message.sender)
    for name, addresses in (
        ("To", message.to),
        ("Cc", message.cc),
        ("Bcc", message.bcc),
        ("Reply-To", message.reply_to),
    ):
        if addresses:
            yield name, ", ".join(map(str, addresses))
    for name, value in (("Subject", message.subject), ("Tag", message.tag)):
        if value:
            yield name, value
    if message.send_at is not None:
        yield "To be sent", shown(message.send_at)
    yield from message.headers
    for one in message.attachments:
        yield "Attachment", f"{one.name} ({one.content_type})"
    if message.template is not None:
        yield "Template", str(message.template)
