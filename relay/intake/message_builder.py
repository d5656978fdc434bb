"""Makes what a submission asks for: the message as it will be delivered."""

from dataclasses import replace

from relay.core.errors import InvalidSubmission, TemplateNotFound, TemplateRenderError
from relay.core.ids import reference_number
from relay.core.message import Message
from relay.core.policy import check_policy
from relay.core.reply_address import routed
from relay.core.secret import Secret
from relay.core.submission import Submission
from relay.hooks.chain import Chain
from relay.intake.composition import compose
from relay.intake.outbox import Outgoing
from relay.store.engine.database import Store
from relay.store.outbox import references
from relay.templates.library import Library, Warnings


class MessageBuilder:
    """Makes messages of submissions; nothing is stored by it.

    library: the stored templates. secret: what reply addresses are signed with.
    """

    def __init__(self, store: Store, library: Library, secret: Secret) -> None:
        self._store = store
        self._library = library
        self._secret = secret

    async def make(
        self,
        chain: Chain,
        submission: Submission,
        key: str,
        *,
        token: bytes | None = None,
        id: str | None = None,
    ) -> Outgoing:
        """Make the message of an accepted submission.

        key: the id of the caller's key. token: the digest of the session token that it spends. id:
        the message's; a new one where none is given. Raise SubmissionError.
        """
        reference = await self._reference(chain)
        message = compose(chain, submission, reference)
        check_policy(message, chain.server)
        receipt = None
        if reference:
            headers = (*message.headers, (references.REFERENCE_HEADER, reference))
            message = replace(message, headers=headers)
            receipt = references.receipt(reference, message.writer)
        message, route = routed(message, chain.server, self._secret, submission.received_at)
        message, warnings = await self._rendered(message, chain)
        return Outgoing(message, chain, key, id, warnings, (), token, route, receipt)

    async def _reference(self, chain: Chain) -> str:
        """Make a reference number that no message has; "" where writers are told nothing."""
        while chain.server.receipt is not None:
            reference = reference_number()
            if await self._store.read(references.find, reference) is None:
                return reference
        return ""

    async def _rendered(self, message: Message, chain: Chain) -> tuple[Message, Warnings]:
        """Render a message whose template is stored here."""
        if message.template is None:
            return message, ()
        try:
            return await self._library.rendered(message, chain.server.group)
        except TemplateNotFound:
            return message, ()  # the provider may have it
        except TemplateRenderError as error:
            raise InvalidSubmission({"template_id": [str(error)]}, reason="template") from None
