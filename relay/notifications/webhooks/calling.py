"""One call to a webhook: signed, within a time, to an address that was looked at."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from standardwebhooks import Webhook as Signer

from relay.config.webhooks import Target
from relay.core import clock
from relay.core.errors import DeliveryError
from relay.core.networks import objection
from relay.delivery.transport.http import HTTPResponse, post_to_stranger
from relay.store.webhooks import Call

# How long a call may take, from looking the name up to the answer.
CALL_SECONDS = 10.0
GONE = 410
# No target is left alone for longer than this, whatever it asks for.
MOST_RETRY_SECONDS = 86400.0

# What an operator is told of how a call failed, by the name of the exception.
_NO_HTTP, _HUNG_UP = "its answer is no HTTP", "it hung up without an answer"
_WORDS = {
    "gaierror": "its name is not known",
    "ConnectionRefusedError": "nobody listens there",
    "SSLCertVerificationError": "its certificate is not trusted",
    "SSLError": "it speaks no TLS that is good enough",
    **dict.fromkeys(("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError"), _HUNG_UP),
    **dict.fromkeys(("BadStatusLine", "LineTooLong", "HTTPException"), _NO_HTTP),
}
_TOO_LATE = ("TimeoutError", "ReadTimeoutError", "ConnectTimeoutError")


class Answer(NamedTuple):
    """What a target said: whether it took the call, and in which words."""

    taken: bool
    words: str
    gone: bool = False
    retry_after: float | None = None


def make(call: Call, target: Target) -> Answer:
    """Make a call; return what came of it."""
    content = call.body.encode()
    headers = {"Content-Type": "application/json", "User-Agent": "Relay"}
    if target.secrets:
        headers |= _signed(call, target)
    try:
        response = post_to_stranger(
            target.url.reveal(),
            content,
            headers,
            CALL_SECONDS,
            lambda address: objection(address, target.networks),
        )
    except DeliveryError as error:
        late = f"no answer within {CALL_SECONDS:g} s" if error.code in _TOO_LATE else ""
        return Answer(False, late or _WORDS.get(error.code, str(error)))
    return _read(response)


def _signed(call: Call, target: Target) -> Mapping[str, str]:
    """Return the headers of Standard Webhooks; one signature for each secret."""
    now = int(clock.now())
    at = datetime.fromtimestamp(now, UTC)
    signatures = [Signer(secret.reveal()).sign(call.id, at, call.body) for secret in target.secrets]
    return {
        "webhook-id": call.id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(signatures),
    }


def _read(response: HTTPResponse) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer(True, str(status))
    words = f"{status}: redirects are not followed" if 300 <= status < 400 else str(status)
    after = response.retry_after
    wait = None if after is None else min(after, MOST_RETRY_SECONDS)
    return Answer(False, words, status == GONE, wait)
