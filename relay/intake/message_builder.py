"""From a submission to its message: validated by the schema, composed by the plugin, rendered."""

from collections.abc import Mapping
from dataclasses import replace

from marshmallow import ValidationError

from relay.core import origin
from relay.core.errors import (
    InvalidSubmission,
    TemplateNotFound,
    TemplateRenderError,
    UnknownServer,
    UnsupportedMedia,
)
from relay.core.ids import reference_number
from relay.core.message import Message
from relay.core.origin import ATTACHMENT, Origin
from relay.core.policy import check_policy, without_recipient_names
from relay.core.reply_address import routed
from relay.core.secret import Secret
from relay.core.submission import Identity, Submission
from relay.forms import attachments
from relay.forms.email_form import EmailForm, Form
from relay.forms.fields import naming
from relay.hooks.chain import Chain
from relay.intake.field_mapping import MAX_FIELDS, MAX_NAME, mapping
from relay.intake.outbox import Outgoing
from relay.store.engine.database import Store
from relay.store.outbox import references
from relay.store.proofs import ProofUse
from relay.store.tokens import TokenUse
from relay.templates.library import Library, Warnings


class NoMessage(TypeError):
    """No plugin of a server made a message of a form: a mistake in its plugins."""


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
        form: Mapping[str, object],
        identity: Identity,
        came_from: Origin,
        *,
        token: TokenUse | None = None,
        proof: ProofUse | None = None,
        id: str | None = None,
    ) -> Outgoing:
        """Make the message of an accepted submission.

        form: its fields, validated. identity: who calls. came_from: what is known of it before its
        fields are read. token: the session token that it spends; proof: what its writer proved
        themselves with. id: the message's; a new one where none is given. Raise SubmissionError.
        """
        message = composed(chain, submission, form)
        fields = _mapped(form, submission, message)
        check_policy(message, chain.server, session=submission.session)
        receipt, reference = None, submission.reference
        if reference:
            headers = (*message.headers, (references.REFERENCE_HEADER, reference))
            message = replace(message, headers=headers)
            receipt = references.receipt(reference, message.writer)
        message, route = routed(message, chain.server, self._secret, submission.received_at)
        missing: Warnings = ()
        if message.template is not None:
            message, missing = await self._rendered(message, chain)
        warnings = (*(form.warnings if isinstance(form, Form) else ()), *missing)
        return Outgoing(
            message,
            chain,
            identity.key,
            id,
            warnings,
            token=token,
            proof=proof,
            reply_route=route,
            receipt=receipt,
            origin=origin.dump(came_from, fields, max(len(submission.fields) - MAX_FIELDS, 0)),
        )

    async def numbered(self, chain: Chain, submission: Submission) -> Submission:
        """Add the reference number that a writer is told, if they are told one: no message has it.

        A submission that was kept back has one already.
        """
        reference = submission.reference
        if chain.server.receipt is None:
            return replace(submission, reference="") if reference else submission
        while not reference:
            made = reference_number()
            if await self._store.read(references.find, made) is None:
                reference = made
        return replace(submission, reference=reference)

    async def _rendered(self, message: Message, chain: Chain) -> tuple[Message, Warnings]:
        """Render a message of a template, where that is stored here."""
        try:
            return await self._library.rendered(message, chain.server.group)
        except TemplateNotFound:
            return message, ()  # the provider may have it
        except TemplateRenderError as error:
            raise InvalidSubmission({"template_id": [str(error)]}, reason="template") from None


def compose(chain: Chain, submission: Submission, identity: Identity | None = None) -> Message:
    """Validate a submission's fields and files and make its message.

    identity: who calls, where that is known. Raise InvalidSubmission, UnsupportedMedia or
    NoMessage.
    """
    return composed(chain, submission, validated(chain, submission, identity))


def validated(
    chain: Chain, submission: Submission, identity: Identity | None = None
) -> Mapping[str, object]:
    """Return a submission's fields and files as its message may be made of; raise as `compose`."""
    _check_media(chain, submission)
    submitted = dict(submission.fields)
    files = attachments.read(submission, chain.server.attachments)
    if files:
        submitted[attachments.FIELD] = files
    form = validate(chain, submitted)
    if isinstance(form, Form):
        form.reference = submission.reference
        if submission.session:
            form.limit_choices(chooses_name=identity is not None and identity.kind == "secret")
    return form


def composed(chain: Chain, submission: Submission, form: Mapping[str, object]) -> Message:
    """Return the message that is made of a validated form; raise NoMessage."""
    message = chain.compose(form)
    if not isinstance(message, Message):
        raise NoMessage(f"compose of server {chain.server.name} gave no Message")
    if submission.session:
        message = without_recipient_names(message)
    return _scheduled(message, form)


def _mapped(
    form: Mapping[str, object], submission: Submission, message: Message
) -> Mapping[str, str]:
    """Return where the fields and files of a submission went, by name."""
    fields = mapping(form, submission.fields, message)
    for file in submission.files:
        fields[file.field_name[:MAX_NAME]] = ATTACHMENT
    return fields


def _scheduled(message: Message, form: Mapping[str, object]) -> Message:
    """Let the form say when to send a message that its plugin made without asking for that."""
    send_at = form.get("senddatetime")
    if message.send_at is None and isinstance(send_at, int | float):
        return replace(message, send_at=send_at)
    return message


def _check_media(chain: Chain, submission: Submission) -> None:
    """Refuse a media type that the server's forms do not come in."""
    schema = chain.schema
    taken = schema.media_types if isinstance(schema, EmailForm) else frozenset()
    if not taken:
        return
    media = submission.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media and media not in taken:
        raise UnsupportedMedia(f"{chain.server.name} takes {', '.join(sorted(taken))} only")


def validate(chain: Chain, submitted: Mapping[str, object]) -> Mapping[str, object]:
    """Load fields by the chain's schema; raise InvalidSubmission."""
    if chain.loader is None:
        raise UnknownServer
    try:
        with naming(chain.server.named_domains):
            form: Mapping[str, object] = chain.loader.load(submitted)
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise InvalidSubmission({name: _words(value) for name, value in messages.items()}) from None
    return form


def _words(messages: object) -> list[str]:
    """Flatten what a nested field's errors say."""
    if isinstance(messages, Mapping):
        return [word for value in messages.values() for word in _words(value)]
    return [str(message) for message in messages] if isinstance(messages, list) else [str(messages)]
