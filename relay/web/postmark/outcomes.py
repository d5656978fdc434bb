"""What is answered for one message: what became of it, in Postmark's shape and words."""

from typing import Any

from relay.errors import InvalidSubmission, RelayError, TemplateNotFound
from relay.ids import timestamp
from relay.message import Message, Server
from relay.policy import stranger
from relay.times import utc
from relay.web.postmark import replies
from relay.web.postmark.messages import UNKNOWN_ALIAS, UNKNOWN_ID, Submitted
from relay.web.postmark.recipients import invalid_address
from relay.web.postmark.replies import PostmarkError

# What each of Postmark's fields is called where policies are checked.
FIELDS = {"to_address": "To", "cc": "Cc", "bcc": "Bcc"}

UNSIGNED = (
    "The 'From' address you supplied ({}) is not a Sender Signature on your account. Please add"
    " and confirm this address in order to be able to use it in the 'From' field of your messages."
)


def accepted(submitted: Submitted, message: Message, words: str) -> dict[str, Any]:
    """Give the answer for a message that was taken, its keys in Postmark's order."""
    others = {"Cc": submitted.cc, "Bcc": submitted.bcc}
    return {
        "To": submitted.to,
        **{name: value for name, value in others.items() if value},
        "SubmittedAt": submitted_at(message.id),
        "MessageID": message.id,
        **replies.envelope(0, words),
    }


def refused(error: RelayError) -> dict[str, Any]:
    """Give the answer for a message of a batch that was not taken."""
    refusal = replies.refusal(error)
    return replies.envelope(refusal.code, refusal.words or "")


def submitted_at(id: str) -> str:
    """Tell when a message came in, as Postmark writes times: seven digits and an offset."""
    moment = utc(timestamp(id))
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0+00:00"


def in_postmarks_words(error: RelayError, message: Message, server: Server | None) -> RelayError:
    """Say a refusal of the installation's own in Postmark's words, where there are any."""
    if isinstance(error, TemplateNotFound):
        by_number = isinstance(message.template, int)
        return PostmarkError(1101, UNKNOWN_ID if by_number else UNKNOWN_ALIAS)
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
