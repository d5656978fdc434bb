"""From a submission's fields to a message: validated by the schema, composed by the plugin."""

from collections.abc import Mapping
from dataclasses import replace

from marshmallow import ValidationError

from relay.core.errors import InvalidSubmission, UnknownServer, UnsupportedMedia
from relay.core.message import Message
from relay.core.submission import Submission
from relay.forms import attachments
from relay.forms.email_form import EmailForm, Form
from relay.hooks.chain import Chain


class NoMessage(TypeError):
    """No plugin of a server made a message of a form: a mistake in its plugins."""


def compose(chain: Chain, submission: Submission, reference: str = "") -> Message:
    """Validate a submission's fields and files and make its message.

    reference: what its writer is told to ask by, for the message to show. Raise InvalidSubmission,
    UnsupportedMedia or NoMessage.
    """
    return composed(chain, submission, reference)[1]


def composed(
    chain: Chain, submission: Submission, reference: str = ""
) -> tuple[Mapping[str, object], Message]:
    """Return the validated form too, for whoever asks what was read of it."""
    _check_media(chain, submission)
    submitted = dict(submission.fields)
    files = attachments.read(submission, chain.server.attachments)
    if files:
        submitted[attachments.FIELD] = files
    form = validate(chain, submitted)
    if isinstance(form, Form):
        form.reference = reference
    message = chain.compose(form)
    if not isinstance(message, Message):
        raise NoMessage(f"compose of server {chain.server.name} gave no Message")
    return form, _scheduled(message, form)


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
    media = submission.headers.get("content-type", "").partition(";")[0].strip().lower()
    if taken and media and media not in taken:
        raise UnsupportedMedia(f"{chain.server.name} takes {', '.join(sorted(taken))} only")


def validate(chain: Chain, submitted: Mapping[str, object]) -> Mapping[str, object]:
    """Load fields by the chain's schema; raise InvalidSubmission."""
    if chain.schema is None:
        raise UnknownServer
    try:
        form: Mapping[str, object] = chain.schema.load(submitted)
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise InvalidSubmission({name: _words(value) for name, value in messages.items()}) from None
    return form


def _words(messages: object) -> list[str]:
    """Flatten what a nested field's errors say."""
    if isinstance(messages, Mapping):
        return [word for value in messages.values() for word in _words(value)]
    return [str(message) for message in messages] if isinstance(messages, list) else [str(messages)]
