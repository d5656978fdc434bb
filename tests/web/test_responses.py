"""Every error has a status, and every leaf of the tree is in its picture."""

import re
from typing import Any

import pytest
from tornado.web import HTTPError

from relay.core import errors
from relay.web import responses
from tests.conftest import Post


def leaves(root: type) -> list[type]:
    below = root.__subclasses__()
    return [leaf for kind in below for leaf in leaves(kind)] if below else [root]


EVERY = [
    kind
    for module in (errors, responses)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", leaves(errors.SubmissionError))
def test_every_submission_error_has_a_status_of_its_own(kind: type) -> None:
    assert kind in responses.STATUS
    assert 400 <= responses.STATUS[kind] < 600


def test_the_docstring_draws_the_whole_tree() -> None:
    for kind in EVERY:
        if not kind.__name__.startswith("_") and issubclass(kind, errors.RelayError):
            drawn = errors.__doc__ if kind.__module__ == errors.__name__ else responses.__doc__
            assert re.search(rf"\b{kind.__name__}\b", drawn)


def test_a_subclass_is_answered_like_its_parent() -> None:
    class Stricter(errors.InvalidSubmission):
        pass

    assert responses.status(Stricter({"a": ["b"]})) == 400


def test_what_is_not_in_the_table_says_nothing_of_itself() -> None:
    for error in (RuntimeError("secret"), errors.ConfigurationError("secret"), KeyError("secret")):
        assert responses.status(error) == 500
        assert responses.failure(error) == {"status": "error", "response": "internal server error"}
    assert responses.failure(HTTPError(400, "secret")) == {
        "status": "error",
        "response": "bad request",
    }


def test_an_invalid_submission_names_every_field_and_what_is_wrong() -> None:
    error = errors.InvalidSubmission({"to_address": ["Missing.", "Really."], "cc": ["Bad."]})
    words = "to_address: Missing. Really.; cc: Bad."
    assert responses.failure(error) == {"status": "error", "response": words}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path",
    [
        *("/rest/email/contactform", "/rest/email_session/contactform", "/emails"),
        *("/rest/email_cancel/contactform", "/rest/email/postmark/contactform/inbound"),
        *("/rest/challenge/contactform", "/rest/email_token/create", "/healthz", "/email"),
    ],
)
async def test_a_method_that_no_http_has_is_refused_like_any_other(
    path: str, post: Post, events: list[dict[str, Any]]
) -> None:
    reply = await post(path, method="BREW")
    assert reply.status == 405
    assert reply.headers["Allow"]
    assert [one for one in events if one["log_level"] == "error"] == []
