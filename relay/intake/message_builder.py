"""Makes what a submission asks for: the message as it will be delivered, and its row."""

from dataclasses import replace

from relay.core.errors import InvalidSubmission, TemplateNotFound, TemplateRenderError
from relay.core.ids import reference_number
from relay.core.message import Message
from relay.core.policy import check_policy
from relay.core.reply_address import ReplyRoute, routed
from relay.core.secret import Secret
from relay.core.submission import Submission
from relay.hooks.chain import Chain
from relay.intake.composition import compose
from relay.store.engine.database import Store
from relay.store.outbox import records, references
from relay.store.outbox.enqueue import NewMessage
from relay.templates.library import Library, Warnings


class MessageBuilder:
    """Makes messages of submissions; nothing is stored by it.

    library: the stored templates. secret: what reply addresses are signed with. metadata_key: the
    name under which a message carries its own id to the provider.
    """

    def __init__(self, store: Store, library: Library, secret: Secret, metadata_key: str) -> None:
        self._store = store
        self._library = library
        self._secret = secret
        self._metadata_key = metadata_key

    async def make(
        self,
        chain: Chain,
        submission: Submission,
        key: str,
        *,
        token: bytes | None = None,
        id: str | None = None,
    ) -> tuple[Message, NewMessage]:
        """Make the message of an accepted submission, and its row.

        key: the id of the caller's key. token: the digest of the session token that it spends. id:
        the message's; a new one where none is given. Raise SubmissionError.
        """
        reference = await self._reference(chain)
        message, warnings, route = await self._message(chain, submission, id, reference)
        row = records.record(message, chain.server, key, warnings, token)
        if route is not None:
            row = replace(row, reply_route=route)
        if reference:
            row = replace(row, receipt=references.receipt(reference, message.writer))
        return message, row

    async def _reference(self, chain: Chain) -> str:
        """Make a reference number that no message has; "" where writers are told nothing."""
        while chain.server.receipt is not None:
            reference = reference_number()
            if await self._store.read(references.find, reference) is None:
                return reference
        return ""

    async def _message(
        self, chain: Chain, submission: Submission, id: str | None, reference: str
    ) -> tuple[Message, Warnings, ReplyRoute | None]:
        """Make the message, rendered where its template is stored here, and the way of answers."""
        message = compose(chain, submission, reference)
        check_policy(message, chain.server)
        message = records.referenced(message, reference)
        message, route = routed(message, chain.server, self._secret, submission.received_at)
        message = records.identified(message, self._metadata_key, id)
        if message.template is None:
            return message, (), route
        try:
            return *await self._library.rendered(message, chain.server.group), route
        except TemplateNotFound:
            return message, (), route  # the provider may have it
        except TemplateRenderError as error:
            raise InvalidSubmission({"template_id": [str(error)]}, reason="template") from None
