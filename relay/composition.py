"""From a submission's fields to a message: validated by the schema, composed by the plugin."""

from collections.abc import Mapping

from marshmallow import ValidationError

from relay.chain import Chain
from relay.errors import InvalidSubmission, UnknownServer
from relay.message import Message, Submission


def compose(chain: Chain, submission: Submission) -> Message:
    """Validate a submission's fields and make its message; raise InvalidSubmission."""
    if submission.files:
        words = ["files are not taken here"]
        raise InvalidSubmission(dict.fromkeys(submission.files, words), reason="attachments")
    message = chain.compose(validate(chain, submission.fields))
    if not isinstance(message, Message):
        raise TypeError(f"compose of server {chain.server.name} gave no Message")
    return message


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
