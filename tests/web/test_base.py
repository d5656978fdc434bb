"""Every handler has the one base, and none an order of refusals or lines of its own."""

import sys

from tornado.web import RequestHandler

from relay.core.errors import StoredTemplateError, SubmissionError
from relay.web import control, pages
from relay.web.application import ROUTES
from relay.web.base import BaseHandler
from relay.web.console.handler import ConsoleHandler
from relay.web.postmark import errors
from relay.web.postmark.handler import UnknownPostmarkPathHandler
from tests.web.test_responses import leaves

ENDPOINTS = [handler for _, handler in (*ROUTES, *control.ROUTES, *pages.ROUTES)]


def handlers(root: type = RequestHandler) -> list[type]:
    below = [kind for kind in root.__subclasses__() if kind.__module__.startswith("relay.")]
    return below + [one for kind in below for one in handlers(kind)]


def test_every_handler_has_the_one_base() -> None:
    for kind in {*ENDPOINTS, *handlers()}:
        assert issubclass(kind, BaseHandler)


def test_an_endpoint_is_its_module_and_its_line_in_that_modules_routes() -> None:
    for kind in ENDPOINTS:
        listed = [handler for _, handler in vars(sys.modules[kind.__module__]).get("ROUTES", ())]
        assert kind in listed or issubclass(kind, UnknownPostmarkPathHandler)


def test_what_is_refused_and_how_it_is_logged_is_written_once() -> None:
    for name in ("log_exception", "on_finish", "on_connection_close"):
        assert [kind for kind in handlers() if name in vars(kind)] == [BaseHandler]
    # The console asks the store who it is, between the page and the rest.
    prepares = [kind for kind in handlers() if "prepare" in vars(kind)]
    assert {*prepares} == {BaseHandler, ConsoleHandler}


def test_no_two_handlers_of_a_listener_have_the_same_name() -> None:
    names = [
        (kind.__module__.removeprefix("relay.web.").split(".")[0], kind.__name__)
        for kind in set(handlers())
    ]
    places = {"pages", "console", "postmark", "control"}
    found = [(place if place in places else "", name) for place, name in names]
    assert sorted(found) == sorted(set(found))


def test_every_refusal_has_a_line_in_postmarks_table() -> None:
    for kind in leaves(StoredTemplateError):
        assert kind in errors.REFUSALS
    for kind in leaves(SubmissionError):
        assert 400 <= errors.refusal(kind.__new__(kind)).status < 600
