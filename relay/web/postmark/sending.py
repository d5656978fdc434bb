"""Sending, as Postmark's clients do it: one message or a batch, with its parts or a template."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import structlog

from relay.core.addresses import NO_DOMAINS
from relay.core.errors import RelayError, TemplateNotFound
from relay.core.ids import message_id
from relay.core.message import Message
from relay.core.metrics import BROKEN, Metric
from relay.intake.api_messages import MessageOrError, Once, check_stream
from relay.intake.idempotency import HEADER, Repeat, Request, fingerprint_of
from relay.web import bodies
from relay.web.postmark import errors, outcomes
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.handler import MEGABYTE, SERVER_TOKEN, PostmarkHandler
from relay.web.postmark.messages import MAX_MESSAGE, Submitted, check_size, read
from relay.web.postmark.reading import Fields, json_value, wrong_type

# The token with which everything is checked and nothing is stored.
TEST_TOKEN = "POSTMARK_API_TEST"  # noqa: S105 - everybody's

# What everybody may have read here: 500 short messages.
TEST_BYTES = 256 * 1024
TEST_STRUCTURE = 5_000

MAX_BATCH = 500

log = structlog.get_logger()

Read = Submitted | RelayError
ItemResponse = dict[str, Any] | RelayError


class SendingHandler(PostmarkHandler):
    """Takes messages, stores them and responds; their delivery nobody waits for.

    A kind of call says how to `read` a body's JSON, and how to `write` the responses.
    """

    methods = ("POST",)
    templated: ClassVar[bool] = False
    testing = False

    @property
    def max_bytes(self) -> int:
        return TEST_BYTES if self.testing else self.largest

    @property
    def on_loop_bytes(self) -> int:
        return TEST_BYTES if self.testing else super().on_loop_bytes

    @property
    def max_structure(self) -> int:
        return TEST_STRUCTURE if self.testing else super().max_structure

    def _authenticate(self) -> None:
        token = self.request.headers.get(SERVER_TOKEN, "").strip()
        self.testing = token.upper() == TEST_TOKEN
        if self.testing:
            self.configuration.post_limiter.take(self.caller)
        else:
            super()._authenticate()

    def admit(self) -> None:
        super().admit()
        self.check_outbox()

    async def post(self) -> None:
        given, fingerprint = await self.aside(self._parsed, self.raw_body())
        if self.testing or self.request.headers.get(HEADER) is None:
            await self._send(given, None)
            return
        scope = ("api", self.key.id, self.chain.server.name, self.plain_path)
        begun = await self.site.idempotency.begin(
            self.request.headers[HEADER], scope, lambda: fingerprint, self.started_at
        )
        if isinstance(begun, Repeat):
            self._count_as("repeated")
            self.respond_text(begun.answer)
        else:
            try:
                await self._send(given, begun)
            finally:
                self.site.idempotency.end(begun)

    def _parsed(self, body: bytes) -> tuple[Sequence[Read], bytes]:
        """Read a body; return its fingerprint too, where the caller named the request."""
        value = json_value(self.content_type, body, self.max_structure)
        # In a smaller body no message can be too large.
        given = self.read(value, measured=len(body) > MAX_MESSAGE)
        return given, fingerprint_of(value) if HEADER in self.request.headers else b""

    def read(self, value: Any, *, measured: bool) -> Sequence[Read]:
        """Read the messages of a call; measured: whether each must be checked for its size."""
        raise NotImplementedError

    def write_responses(self, responses: Sequence[ItemResponse]) -> Any:
        """Return the whole response to a call for its messages; may raise their refusal."""
        raise NotImplementedError

    def read_one(self, value: Any) -> Submitted:
        """Read a message; raise RelayError."""
        domains = NO_DOMAINS if self.testing else self.chain.server.named_domains
        return read(value, templated=self.templated, domains=domains)

    async def _send(self, given: Sequence[Read], request: Request | None) -> None:
        """Send what could be read, and respond."""

        def response(results: Sequence[MessageOrError]) -> str:
            return bodies.json_text(self.write_responses(self._responses(given, results)))

        messages = [one.message for one in given if isinstance(one, Submitted)]
        once = None if request is None else Once(request, response)
        if self.testing:
            results = [_tested(message) for message in messages]
        else:
            began = time.perf_counter()
            results = await self.site.api_messages.send(
                messages, self.chain, self.group_chain, self.key.id, once
            )
            self.site.metrics.observe(Metric.ACCEPT_SECONDS, time.perf_counter() - began)
        responses = self._responses(given, results)
        whole = self.write_responses(responses)
        self._count(responses)
        self.respond(whole)
        refused = [one for one in responses if isinstance(one, RelayError)]
        if refused:
            codes = sorted({errors.refusal(error).code for error in refused})
            log.info("messages.refused", count=len(refused), of=len(given), codes=codes)

    def _count(self, responses: Sequence[ItemResponse]) -> None:
        refused = sum(isinstance(one, RelayError) for one in responses)
        self._count_as("accepted", len(responses) - refused)
        self._count_as("refused", refused)

    def _count_as(self, result: str, number: int = 1) -> None:
        """Count messages by what they were answered; those of tests are none."""
        if number and not self.testing:
            server = self.chain.server.name if "chain" in self.__dict__ else ""
            self.site.metrics.count(Metric.SUBMISSIONS, server, result, number=number)

    def count_error(self, error: BaseException) -> None:
        super().count_error(error)
        self._count_as(BROKEN if errors.refusal(error).status == 500 else "refused")

    def _responses(
        self, given: Sequence[Read], results: Sequence[MessageOrError]
    ) -> list[ItemResponse]:
        """Return each message's response or refusal, in order."""
        each = iter(results)
        return [
            self._response(one, next(each)) if isinstance(one, Submitted) else one for one in given
        ]

    def _response(self, submitted: Submitted, result: MessageOrError) -> ItemResponse:
        if isinstance(result, Message):
            words = outcomes.words_for(submitted.message, result)
            words = "Test job accepted" if self.testing else words
            return outcomes.accepted(submitted, result, words)
        server = None if self.testing else self.chain.server
        return outcomes.in_postmarks_words(result, submitted.message, server)


class SingleHandler(SendingHandler):
    """`POST /email`: one message."""

    def read(self, value: Any, *, measured: bool) -> Sequence[Read]:
        return [self.read_one(value)]

    def write_responses(self, responses: Sequence[ItemResponse]) -> Any:
        [response] = responses
        if isinstance(response, RelayError):
            raise response
        return response


class SingleTemplateHandler(SingleHandler):
    """`POST /email/withTemplate`: one message, its parts made from a template."""

    templated = True


class BatchHandler(SendingHandler):
    """`POST /email/batch`: a list of messages, each with a response of its own."""

    largest = 50 * MEGABYTE

    def write_responses(self, responses: Sequence[ItemResponse]) -> Any:
        return [outcomes.refused(one) if isinstance(one, RelayError) else one for one in responses]

    def read(self, value: Any, *, measured: bool) -> Sequence[Read]:
        items = self._items(value)
        if len(items) > MAX_BATCH:
            words = f"You may only send up to {MAX_BATCH} messages in a single batched request."
            raise PostmarkError(410, words)
        return [self._read_one(item, measured=measured) for item in items]

    def _items(self, value: Any) -> Sequence[Any]:
        if not isinstance(value, list):
            raise wrong_type("$")
        return value

    def _read_one(self, item: Any, *, measured: bool) -> Read:
        try:
            if measured:
                check_size(item)
            return self.read_one(item)
        except RelayError as error:
            return error


class BatchTemplatesHandler(BatchHandler):
    """`POST /email/batchWithTemplates`: an object with the list of messages."""

    templated = True

    def _items(self, value: Any) -> Sequence[Any]:
        fields = Fields(value)
        if fields.raw("Messages") is None:
            raise wrong_type("Messages")
        return fields.items("Messages")


class BulkHandler(PostmarkHandler):
    """`/email/bulk`: for accounts that Postmark approved for it, so for none here."""

    methods = ("GET", "POST")

    def get(self, *args: str) -> None:
        raise PostmarkError(14, "This account is not approved for bulk sending.")

    post = get


def _tested(message: Message) -> MessageOrError:
    """Judge a message that no server is to send; return it with an id."""
    try:
        check_stream(message.stream, None)
    except RelayError as error:
        return error
    if message.template is not None:
        return TemplateNotFound("No server, no templates.")
    return replace(message, id=message_id())


ROUTES = [
    (r"(?i)/email/?", SingleHandler),
    (r"(?i)/email/withTemplate/?", SingleTemplateHandler),
    (r"(?i)/email/batch/?", BatchHandler),
    (r"(?i)/email/batchWithTemplates/?", BatchTemplatesHandler),
    (r"(?i)/email/bulk/?(?:/[^/]*)?", BulkHandler),
]
