"""Forms: /rest/email_session/{server}, /rest/email/{server} and the old /emails."""

import time
from collections.abc import Collection
from functools import cached_property
from typing import Any

from relay.core.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    InvalidSubmission,
    MessageRefused,
    OriginRefused,
    SubmissionError,
    SubmissionKept,
    TooManyRequests,
    Unavailable,
    UnknownServer,
)
from relay.core.message import Message
from relay.core.metrics import BROKEN, Metric
from relay.core.server import Server
from relay.core.states import State
from relay.core.submission import Submission
from relay.core.text import without_addresses
from relay.forms.attachments import FIELD
from relay.intake.acceptance import Accepted
from relay.intake.authentication import identify
from relay.intake.idempotency import Repeat
from relay.web import bodies, responses, return_page
from relay.web.base import RelayHandler
from relay.web.bodies import Body

# 2021-01-01, when the original's documentation declared /emails deprecated; RFC 9745.
DEPRECATED_SINCE = "@1609459200"

# What files grow by as base64 with line ends; and how long a body with files may take to arrive.
ENCODED = 1.4
FILES_SECONDS = 120


class FormHandler(RelayHandler):
    """Takes a form with a key; answers what became of it within the wait."""

    session = False

    def initialize(self) -> None:
        super().initialize()
        self.return_url: str | None = None
        self._texts_bytes = self.configuration.settings.limits.form_bytes
        self._files_bytes = 0
        self._raw: bytes | None = None
        self._began = 0.0
        self._refusal: SubmissionError | None = None
        self._refusal_of_files: SubmissionError | None = None

    @property
    def server_name(self) -> str:
        """The name of the server, as the path has it."""
        return self.path_args[0] if self.path_args else ""

    @cached_property
    def server(self) -> Server:
        """The server that takes this post, whatever is read from the settings meanwhile."""
        return self.configuration.chain(self.server_name).server

    @property
    def watched(self) -> str | None:
        try:
            return self.server.name
        except UnknownServer:
            return None

    def check_page(self) -> None:
        """Raise OriginRefused, or keep it: the page that the body names is told of it."""
        try:
            super().check_page()
        except OriginRefused as error:
            if self.request.method != "POST" or not self._may_name_a_page:
                raise
            self._refusal = error

    def origins(self) -> Collection[str]:
        return self.server.origins

    @property
    def _may_name_a_page(self) -> bool:
        """Whether a visitor without JavaScript may come back to a page, which the body names."""
        return bool(self.server.return_to) and return_page.may_be_named(self.content_type)

    def check_size(self) -> None:
        """Raise BodyTooLarge; where the body may name a page, once so much of it has come."""
        if not self._may_name_a_page:
            super().check_size()

    def _refuse_now(self, error: Exception) -> None:
        self._find_page(b"".join(self._chunks))
        super()._refuse_now(error)

    def raw_body(self) -> bytes:
        raw = super().raw_body()
        self._find_page(raw)
        if len(raw) <= self._texts_bytes:  # nobody signs files: they would be kept twice
            self._raw = raw
        return raw

    def _find_page(self, raw: bytes) -> None:
        """Find the page to come back to, in a body that perhaps cannot be read."""
        if self.server.return_to:
            self.return_url = return_page.named_in(self.content_type, raw, self.server.return_to)

    @property
    def max_bytes(self) -> int:
        """How large a body may be: with files, where the server takes them."""
        return self._texts_bytes + self._files_bytes

    @property
    def body_seconds(self) -> float:
        """How long a body may take to arrive: a telephone sends files slowly."""
        return FILES_SECONDS if self._files_bytes else super().body_seconds

    def judge(self) -> None:
        """Raise a refusal, or keep it: a visitor without JavaScript comes back to a page with it.

        The body names that page.
        """
        try:
            super().judge()
        except (TooManyRequests, Unavailable) as error:
            if not self._may_name_a_page:
                raise
            self._refusal, self._files_bytes = error, 0
            self.expect_body()

    def admit(self) -> None:
        super().admit()
        self.check_room()
        self.check_outbox()

    def authenticate(self) -> None:
        """Allow files to those who bring a key, where they must bring it in a header."""
        rules = None if self._refusal else self.server.attachments
        self._files_bytes = 0 if rules is None else int(rules.max_bytes * ENCODED)
        if rules is None or (self.session and "Authorization" not in self.request.headers):
            return
        try:
            identify(self.configuration.chain(self.server_name), self._head)
        except AuthenticationFailed as error:
            self._files_bytes, self._refusal_of_files = 0, error

    def limit(self) -> None:
        self.configuration.post_limiter.take(self.caller)

    @property
    def over_limit(self) -> Exception:
        return self._refusal or self._refusal_of_files or super().over_limit

    @property
    def _head(self) -> Submission:
        """What is known of a submission before its body is read."""
        return self.submission(self.server_name, Body({}), session=self.session)

    async def post(self, *args: str) -> None:
        body = await self.body()
        if self._size > self._texts_bytes:
            self._check_texts(body)
        self.return_url = self._return_url(body)
        if self._refusal is not None:
            raise self._refusal
        self._began = time.perf_counter()
        accepted = await self._accept(body)
        self.site.metrics.observe(Metric.ACCEPT_SECONDS, time.perf_counter() - self._began)
        self.site.metrics.count(Metric.SUBMISSIONS, self.server.name, accepted.result)
        if accepted.message is not None:
            self.site.event_counts.post_taken(self.server.name, self.started_at)
        try:
            result = await self._result(accepted)
            self._respond(accepted, result)
            if accepted.request is not None:
                # After the response, which does not wait for it.
                await self.site.idempotency.answered(accepted.request, result, accepted.id)
        finally:
            if accepted.request is not None:
                self.site.idempotency.end(accepted.request)

    def count_error(self, error: BaseException) -> None:
        super().count_error(error)
        if not isinstance(error, MessageRefused):  # it was accepted, or repeated
            result = BROKEN if responses.status(error) == 500 else "refused"
            self.site.metrics.count(Metric.SUBMISSIONS, self.watched or "", result)

    def _respond(self, accepted: Accepted, result: str) -> None:
        """Respond with what became of a submission."""
        self.set_header("X-Relay-Message-Id", accepted.id)
        if accepted.reference:
            self.set_header("X-Relay-Reference", accepted.reference)
        if self.return_url:
            self._go_back(self.return_url, result, reference=accepted.reference)
        else:
            self.write_json(responses.success(result, accepted.id))
            self.finish()

    def _go_back(self, url: str, result: str, **more: str) -> None:
        """Respond with the page that a form without JavaScript comes back to."""
        self.redirect(return_page.with_result(url, result, **more), status=303)

    def _check_texts(self, body: Body) -> None:
        """Raise BodyTooLarge for texts that are not small, whatever the files are."""
        texts = {name: value for name, value in body.fields.items() if name != FIELD}
        if bodies.text_bytes(texts) > self._texts_bytes:
            raise BodyTooLarge

    async def _accept(self, body: Body) -> Accepted:
        waiters = self.site.dispatcher.waiters
        expected: list[str] = []

        def expect(message: Message) -> None:
            if message.send_at is None:  # nobody waits for what is sent later
                waiters.open(message.id)
                expected.append(message.id)

        submission = self.submission(self.server_name, body, session=self.session, raw=self._raw)
        try:
            return await self.site.acceptance.accept(
                submission, expect, self.plain_path, has_page=self.return_url is not None
            )
        except BaseException:
            for id in expected:
                waiters.close(id)
            raise

    async def _result(self, accepted: Accepted) -> str:
        """Return what became of it, after the first attempt if there is one now.

        A robot is told what a clean post would be told now. Raise MessageRefused.
        """
        dispatcher, name = self.site.dispatcher, self.server.name
        if accepted.repeat is not None:
            return _result_of(accepted.repeat)
        if accepted.scheduled:
            return State.SCHEDULED
        if accepted.message is None:
            return State.SENT if dispatcher.is_healthy(name) else State.QUEUED
        # What it took to verify the form counts, too.
        taken = time.perf_counter() - self._began
        wait = self.configuration.settings.wait - taken if dispatcher.can_deliver(name) else 0
        outcome = await dispatcher.waiters.wait(accepted.id, max(wait, 0))
        if outcome.result == State.FAILED:
            if accepted.request is not None:
                await self.site.idempotency.drop(accepted.request)
            raise MessageRefused(without_addresses(outcome.words))
        return outcome.result

    def _return_url(self, body: Body) -> str | None:
        """Find the page that a form without JavaScript comes back to, by its name."""
        name = body.fields.pop(return_page.FIELD, None) if body.is_form else None
        if not name:
            return None
        if not isinstance(name, str) or name not in self.server.return_to:
            self.return_url = None
            raise InvalidSubmission({return_page.FIELD: ["no page of that name"]})
        return self.server.return_to[name]

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self.return_url is None:
            super().write_error(status_code, **kwargs)
            return
        self.decorate()
        error = kwargs.get("exc_info", (None, None, None))[1]
        self._go_back(self.return_url, "error", reason=return_page.reason(error))


class SessionFormHandler(FormHandler):
    """Takes a form with a session token, and a key where the server asks for one.

    Anybody can post it: how much is stored of it has limits.
    """

    session = True

    def limit(self) -> None:
        super().limit()
        self._check_bytes(self.declared_size)

    async def _accept(self, body: Body) -> Accepted:
        """Accept a form whose bytes count, until it turns out that they are not stored."""
        self._check_bytes(self._size)
        self._count(self._size)
        try:
            return await super()._accept(body)
        except SubmissionKept:
            raise
        except BaseException:
            self._count(-self._size)
            raise

    def _count(self, size: int) -> None:
        self.site.visitor_bytes.add(self.caller, self.server.name, size)

    def _check_bytes(self, size: int) -> None:
        limits = self.configuration.settings.limits
        per_hour, per_day = limits.address_bytes_per_hour, limits.server_bytes_per_day
        try:
            self.site.visitor_bytes.check(self.caller, self.server.name, size, per_hour, per_day)
        except TooManyRequests as error:
            self.site.event_counts.refused(self.server.name, error)
            raise


class LegacyFormHandler(FormHandler):
    """The old path: one server, named by the settings, and a hint to its successor."""

    @property
    def server_name(self) -> str:
        name = self.configuration.settings.legacy_server
        if not name:
            raise UnknownServer
        return name

    def decorate(self) -> None:
        super().decorate()
        base = self.configuration.settings.public_url or ""
        successor = f"{base}/rest/email/{self.configuration.settings.legacy_server}"
        self.set_header("Deprecation", DEPRECATED_SINCE)
        self.set_header("Link", f'<{successor}>; rel="successor-version"')


def _result_of(repeat: Repeat) -> str:
    if repeat.answer == State.FAILED:
        raise MessageRefused(without_addresses(repeat.words))
    return repeat.answer


ROUTES = [
    (r"/rest/email_session/([^/]+)/?", SessionFormHandler),
    (r"/rest/email/([^/]+)/?", FormHandler),
    (r"/emails/?", LegacyFormHandler),
]
