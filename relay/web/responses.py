"""The relay's own contract: which error gets which status, and the words of every response.

HTTP has errors of its own, beside those of core.errors:

    SubmissionError
    ├── UnknownPath     no such path
    ├── WrongMethod     the path exists, the method does not
    └── VisitRefused    a page is asked for by somebody else than a person at this machine
"""

import json
from http import HTTPStatus
from typing import Any

from tornado.web import HTTPError

from relay.core import errors
from relay.core.states import State


class UnknownPath(errors.SubmissionError):
    """There is nothing at this path."""

    words = "not found"
    reason = "unknown_path"


class WrongMethod(errors.SubmissionError):
    """The path exists and takes other methods."""

    words = "method not allowed"
    reason = "method"


class VisitRefused(errors.SubmissionError):
    """A page is not for who asks for it: host, forwarded, cross_site, csrf, role."""

    reason = "host"


# Looked up along the error's MRO, so that a subclass needs no line of its own.
STATUS: dict[type[Exception], int] = {
    errors.AuthenticationFailed: 401,
    errors.WebhookRefused: 403,
    errors.TokenRefused: 403,
    errors.VerificationFailed: 403,
    errors.OriginRefused: 403,
    errors.UnknownServer: 404,
    UnknownPath: 404,
    WrongMethod: 405,
    VisitRefused: 403,
    errors.InvalidSubmission: 400,
    errors.MalformedBody: 400,
    errors.TooManyValues: 400,
    errors.MessageRefused: 400,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.TooManyRequests: 429,
    errors.ServerDayUsed: 429,
    errors.Unavailable: 503,
    errors.IdempotencyKeyInvalid: 400,
    errors.IdempotencyConflict: 422,
    errors.IdempotencyRunning: 409,
    errors.UnknownMessage: 404,
    errors.NotCancellable: 409,
    Exception: 500,
}

SUCCESS_WORDS = {
    State.SENT: "Message sent",
    State.QUEUED: "Message queued",
    State.SCHEDULED: "Message scheduled",
    State.CANCELLED: "Message cancelled",
    "noted": "Noted",
}


def status(error: BaseException | None) -> int:
    """Return the status that answers an error; what is not in the table is 500."""
    if isinstance(error, HTTPError):
        return error.status_code
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def failure(error: BaseException | None) -> dict[str, Any]:
    """Return the body that answers an error; an unexpected one says nothing of itself."""
    if isinstance(error, errors.SubmissionError):
        return {"status": "error", "response": str(error)}
    return {"status": "error", "response": HTTPStatus(status(error)).phrase.lower()}


def success(result: str, id: str = "") -> bytes:
    """Return the JSON for what became of a message: exactly these keys and words.

    id: the message's, for its caller to cancel a scheduled one by.
    """
    return _success(result, id=id) if result == State.SCHEDULED else _SUCCESS[result]


def _success(result: str, **more: str) -> bytes:
    body = {"status": "success", "response": SUCCESS_WORDS[result], **more}
    return json.dumps(body).encode()


_SUCCESS = {result: _success(result) for result in SUCCESS_WORDS}
