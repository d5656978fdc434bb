"""Postmark's contract: which error gets which status, ErrorCode and words."""

from http import HTTPStatus
from typing import Any, NamedTuple

from tornado.web import HTTPError

from relay.core import errors
from relay.web.responses import UnknownPath, WrongMethod


class PostmarkError(errors.RelayError):
    """A refusal in Postmark's own words; `status` is 422 for almost everything."""

    def __init__(self, code: int, words: str, status: int = 422) -> None:
        super().__init__(words)
        self.code = code
        self.status = status


class Refusal(NamedTuple):
    """How an error is answered: HTTP status, ErrorCode, and words if not the error's own."""

    status: int
    code: int
    words: str | None = None


# Looked up along the error's MRO. What templates are refused for speaks for itself.
REFUSALS: dict[type[Exception], Refusal] = {
    errors.AuthenticationFailed: Refusal(401, 10, "Request does not contain a valid Server token."),
    errors.BodyTooLarge: Refusal(413, 300, "The request is larger than this call may be."),
    errors.UnsupportedMedia: Refusal(415, 409, "The Content-Type must be application/json."),
    errors.MalformedBody: Refusal(422, 402, "Invalid JSON."),
    errors.TooManyValues: Refusal(413, 300, "The request is larger than this call may be."),
    UnknownPath: Refusal(404, 404, "There is nothing at this path."),
    WrongMethod: Refusal(405, 405, "This path does not take this method."),
    errors.TooManyRequests: Refusal(429, 429, "Too many requests. Slow down."),
    errors.Unavailable: Refusal(503, 100, "Nothing can be stored right now. Try again later."),
    errors.IdempotencyKeyInvalid: Refusal(400, 300),
    errors.IdempotencyRunning: Refusal(409, 100),
    errors.SubmissionError: Refusal(422, 300),
    errors.TemplateNotFound: Refusal(422, 1101),
    errors.TooManyTemplates: Refusal(422, 1105),
    errors.TemplateEmpty: Refusal(422, 1109),
    errors.TemplateIncomplete: Refusal(422, 1120),
    errors.TemplateTooLong: Refusal(422, 1121),
    errors.TemplateInvalid: Refusal(422, 1122),
    errors.TemplateRenderError: Refusal(422, 1122),
    errors.TemplateConflict: Refusal(422, 1123),
    errors.NothingToPush: Refusal(422, 1124),
    errors.TypesDiffer: Refusal(422, 1125),
    errors.LayoutInUse: Refusal(422, 1130),
    errors.LayoutPlaceholder: Refusal(422, 1131),
    Exception: Refusal(500, 101, "Something went wrong here. It was logged."),
}


def members_only_read(group: str) -> PostmarkError:
    """Make the refusal of a change to what a group shares, by a key of one of its members."""
    words = (
        f"Templates and suppressions are shared by the group of the server '{group}':"
        " only a key of that server may change them."
    )
    return PostmarkError(10, words, status=403)


def refusal(error: BaseException | None) -> Refusal:
    """Return how an error is answered; what is not in the table says nothing of itself."""
    if isinstance(error, PostmarkError):
        return Refusal(error.status, error.code, str(error))
    if isinstance(error, HTTPError):
        status = error.status_code
        return Refusal(status, 300 if status < 500 else 101, HTTPStatus(status).phrase)
    kinds = (kind for kind in type(error).__mro__ if kind in REFUSALS)
    found = REFUSALS[next(kinds, Exception)]
    return found if found.words is not None else found._replace(words=str(error))


def envelope(code: int, words: str) -> dict[str, Any]:
    """Return the body of an error, or of a success that has nothing else to say."""
    return {"ErrorCode": code, "Message": words}
