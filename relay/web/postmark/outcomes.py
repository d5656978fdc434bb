"""What is answered for one message: what became of it, in Postmark's shape and words."""

from collections.abc import Sequence
from typing import Any

from relay.core.errors import InvalidSubmission, RecipientsInactive, RelayError, TemplateNotFound
from relay.core.ids import timestamp
from relay.core.message import Message
from relay.core.policy import stranger
from relay.core.server import Server
from relay.web.postmark import errors
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.history import written
from relay.web.postmark.messages import UNKNOWN_ALIAS, UNKNOWN_ID, Submitted
from relay.web.postmark.recipients import invalid_address

# What each of Postmark's fields is called where policies are checked.
FIELDS = {"to_address": "To", "cc": "Cc", "bcc": "Bcc"}

UNSIGNED = (
    "The 'From' address you supplied ({}) is not a Sender Signature on your account. Please add"
    " and confirm this address in order to be able to use it in the 'From' field of your messages."
)

# Clients read the addresses out of these words.
INACTIVE = (
    "Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual"
    " suppression."
)
TO_INACTIVE = (
    "You tried to send to recipient(s) that have been marked as inactive."
    " Found inactive addresses: "
)


def accepted(submitted: Submitted, message: Message, words: str) -> dict[str, Any]:
    """Return the answer for a message that was taken, its keys in Postmark's order."""
    others = {"Cc": submitted.cc, "Bcc": submitted.bcc}
    return {
        "To": submitted.to,
        **{name: value for name, value in others.items() if value},
        "SubmittedAt": written(timestamp(message.id)),
        "MessageID": message.id,
        **errors.envelope(0, words),
    }


def words_for(submitted: Message, stored: Message) -> str:
    """Return the words for a message that was taken, which may be for some recipients only."""
    reached = {address.email for address in stored.recipients}
    inactive = [one.email.lower() for one in submitted.recipients if one.email not in reached]
    if not inactive:
        return "OK"
    return f"Message OK, but will not deliver to these inactive addresses: {_listed(inactive)}"


def _listed(inactive: Sequence[str]) -> str:
    return f"{', '.join(inactive)}. {INACTIVE}"


def refused(error: RelayError) -> dict[str, Any]:
    """Return the answer for a message of a batch that was not taken."""
    refusal = errors.refusal(error)
    return errors.envelope(refusal.code, refusal.words or "")


def in_postmarks_words(error: RelayError, message: Message, server: Server | None) -> RelayError:
    """Say a refusal of the installation's own in Postmark's words, where there are any."""
    if isinstance(error, TemplateNotFound):
        by_number = isinstance(message.template, int)
        return PostmarkError(1101, UNKNOWN_ID if by_number else UNKNOWN_ALIAS)
    if isinstance(error, RecipientsInactive):
        return PostmarkError(406, TO_INACTIVE + _listed(error.recipients))
    if not isinstance(error, InvalidSubmission):
        return error
    if error.reason == "sender":
        return PostmarkError(400, UNSIGNED.format(message.sender.email))
    if error.reason == "stream_type":
        return PostmarkError(1236, "Sending is not supported for this stream type.")
    if error.reason == "stream_unknown":
        words = f"The stream provided: '{message.stream}' does not exist on this server."
        return PostmarkError(1235, words)
    found = stranger(message, server) if server is not None else None
    if found is None:
        return error
    field, address = found
    words = str(invalid_address(FIELDS[field], address.email))
    return PostmarkError(300, f"{words} This server does not send to it.")
