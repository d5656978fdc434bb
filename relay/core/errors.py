"""Every error of Relay. Nothing here knows HTTP: web.responses maps errors to statuses.

    RelayError
    ├── ConfigurationError      startup only: one line, exit code 2
    │     PluginNotFound, PluginConflict
    ├── SubmissionError         the client's fault, or ours at the door; answered over HTTP
    │     AuthenticationFailed, WebhookRefused, TokenRefused, VerificationFailed, OriginRefused,
    │     UnknownServer, InvalidSubmission, MalformedBody, TooManyValues, MessageRefused,
    │     BodyTooLarge, UnsupportedMedia, TooManyRequests, ServerDayUsed, Unavailable,
    │     IdempotencyKeyInvalid, IdempotencyConflict, IdempotencyRunning, UnknownMessage,
    │     NotCancellable
    ├── SubmissionKept          a plugin failed at a form, which is kept: 500
    ├── TemplateError           a template's author's, or its model's
    │   │ TemplateSyntaxError, TemplateRenderError
    │   └── StoredTemplateError what is asked of the stored templates cannot be done
    │         TemplateNotFound, TemplateEmpty, TemplateIncomplete, TemplateTooLong,
    │         TemplateInvalid, TemplateConflict, TooManyTemplates, LayoutInUse,
    │         LayoutPlaceholder, NothingToPush, TypesDiffer
    ├── KeyRefused              a key cannot be made or revoked
    ├── AccountError            a provider's account elsewhere: unreachable, or it refuses
    └── DeliveryError           a provider's answer: for the outbox, never HTTP by itself
          DeliveryDeferred, DeliveryFailed, RecipientsInactive, RecipientsSuppressed,
          DeliveryInDoubt, MessageBroken

`reason` is the word that a refusal's log line carries; docs/reference/errors.md says what to do
about each.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

# Every reason, also of the errors that HTTP has of its own: by these alone refusals are counted.
REASONS = frozenset(
    {
        *("webhook_secret", "webhook_network", "no_header", "unknown_key", "key_expired"),
        *("key_revoked", "wrong_server", "key_kind"),
        *("token_missing", "token_unknown", "token_expired", "token_used", "origin"),
        *("not_verified", "proof_used", "unsure", "verify_busy"),
        *("recipient", "sender", "header", "invalid", "malformed", "too_large", "media_type"),
        *("attachments", "stream_unknown", "stream_type", "template", "refused", "scheduling"),
        *("idempotency_key", "idempotency_conflict", "idempotency_running", "unknown_message"),
        *("not_cancellable", "limit", "outbox_full", "disk_full", "store", "store_slow", "busy"),
        *("stopping", "unknown_server", "unknown_path", "method"),
        *("host", "forwarded", "cross_site", "csrf", "role"),
    }
)


class RelayError(Exception):
    """The root: everything Relay raises on purpose."""


class ConfigurationError(RelayError):
    """The settings cannot be used; the message is one line that names the place."""


class PluginNotFound(ConfigurationError):
    """A plugin named in the settings exists nowhere."""


class PluginConflict(ConfigurationError):
    """A plugin's name is taken twice."""


class SubmissionError(RelayError):
    """A submission that is not accepted; nothing of it was stored.

    For its log line: `key` is the id of the caller's key, `domain` that of the address that was
    refused, `detail` what a plugin said besides; "" where there is none.
    """

    words: ClassVar[str] = "refused"
    reason: str = "refused"

    def __init__(
        self,
        words: str | None = None,
        *,
        reason: str | None = None,
        key: str = "",
        domain: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(words or self.words)
        if reason is not None:
            self.reason = reason
        self.key = key
        self.domain = domain
        self.detail = detail


class AuthenticationFailed(SubmissionError):
    """Nobody may call so: no_header, unknown_key, key_expired, key_revoked, wrong_server, key_kind.

    The words are the same for all of them.
    """

    words = "could not authenticate"
    reason = "unknown_key"


class WebhookRefused(SubmissionError):
    """A provider's call that is not let in: webhook_secret, webhook_network."""

    words = "could not authenticate"
    reason = "webhook_secret"


class SubmissionKept(RelayError):
    """A plugin failed at a submission, which is kept until that is mended; the cause is its error.

    No error of a caller's: it is answered 500.
    """


class TokenRefused(SubmissionError):
    """The session token: token_missing, token_unknown, token_expired, token_used."""

    words = "invalid token"
    reason = "token_unknown"


class VerificationFailed(SubmissionError):
    """Who posts has not proved what a plugin asks: not_verified, proof_used, unsure."""

    words = "verification failed"
    reason = "not_verified"


class OriginRefused(SubmissionError):
    """The page's origin is not among the server's `origins`."""

    words = "origin not allowed"
    reason = "origin"


class UnknownServer(SubmissionError):
    """No server of this name takes forms."""

    words = "unknown server"
    reason = "unknown_server"


class InvalidSubmission(SubmissionError):
    """Fields that cannot be used.

    `fields` maps each field's name to what is wrong with it; the error's text names them all.
    """

    reason = "invalid"

    def __init__(
        self, fields: Mapping[str, Sequence[str]], *, reason: str | None = None, domain: str = ""
    ) -> None:
        words = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in fields.items())
        super().__init__(words, reason=reason, domain=domain)
        self.fields = {name: list(messages) for name, messages in fields.items()}


class MalformedBody(SubmissionError):
    """The body does not parse, so there are no fields to name."""

    words = "malformed body"
    reason = "malformed"


class TooManyValues(MalformedBody):
    """There are more names and values in the body than are read."""

    words = "too many names and values"
    reason = "too_large"


class MessageRefused(SubmissionError):
    """The provider refused the message for good while the caller waited."""

    reason = "refused"


class BodyTooLarge(SubmissionError):
    """The body is over the limit."""

    words = "body too large"
    reason = "too_large"


class UnsupportedMedia(SubmissionError):
    """The media type or content encoding is not one that is read here."""

    words = "unsupported media type"
    reason = "media_type"


class _Later(SubmissionError):
    """A refusal that ends by itself, after `retry_after` whole seconds."""

    def __init__(self, retry_after: int, words: str | None = None, *, reason: str | None = None):
        super().__init__(words, reason=reason)
        self.retry_after = retry_after


class TooManyRequests(_Later):
    """The caller's address is over its limit."""

    words = "too many requests"
    reason = "limit"


class ServerDayUsed(TooManyRequests):
    """Visitors had as much stored as the server takes in a day."""

    words = "this form has taken in as much as it may in a day: try again later"


class Unavailable(_Later):
    """Nothing can be stored right now; the same submission may be repeated unchanged."""

    words = "cannot be stored now"
    reason = "store"


class IdempotencyKeyInvalid(SubmissionError):
    """The key that names a request is not 1 to 255 visible ASCII characters."""

    words = "Idempotency-Key: must be 1 to 255 visible ASCII characters"
    reason = "idempotency_key"


class IdempotencyConflict(SubmissionError):
    """The key names an earlier request with another content."""

    words = "idempotency key was used for another submission"
    reason = "idempotency_conflict"


class IdempotencyRunning(_Later):
    """The request that the key names has not been answered yet."""

    words = "a submission with this idempotency key is still running"
    reason = "idempotency_running"


class UnknownMessage(SubmissionError):
    """The server never scheduled a message of this id."""

    words = "unknown message"
    reason = "unknown_message"


class NotCancellable(SubmissionError):
    """The message can no longer be cancelled; the words say why."""

    words = "already sent"
    reason = "not_cancellable"


class TemplateFault(NamedTuple):
    """One thing wrong in a template: `line` and `character` count from 1.

    Characters are UTF-16 units, as Postmark counts them, and a line ends at a line feed.
    """

    message: str
    line: int
    character: int


class TemplateError(RelayError):
    """A template that cannot be used, with this model or with any."""


class TemplateSyntaxError(TemplateError):
    """A template that does not parse; `errors` are sorted by line, then by character."""

    def __init__(self, errors: Iterable[TemplateFault]) -> None:
        self.errors = sorted(errors, key=lambda fault: (fault.line, fault.character))
        first = self.errors[0]
        more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        super().__init__(f"line {first.line}, character {first.character}: {first.message}{more}")


class TemplateRenderError(TemplateError):
    """A model that does not fit its template; `path` is the template's own words, "" for none."""

    def __init__(self, words: str, *, path: str = "") -> None:
        super().__init__(words)
        self.path = path


class StoredTemplateError(TemplateError):
    """What is asked of the stored templates cannot be done; the words are for who asked."""


class TemplateNotFound(StoredTemplateError):
    """The server has no template of this number or alias, or no layout of this alias."""


class TemplateEmpty(StoredTemplateError):
    """Nothing of a template was given."""


class TemplateIncomplete(StoredTemplateError):
    """A part that a template must have was not given."""


class TemplateTooLong(StoredTemplateError):
    """A part is over its limit."""


class TemplateInvalid(StoredTemplateError):
    """A type, an alias or a body that cannot be used."""


class TemplateConflict(StoredTemplateError):
    """Parts that exclude each other."""


class TooManyTemplates(StoredTemplateError):
    """The server has as many templates as it may have."""


class LayoutInUse(StoredTemplateError):
    """A layout cannot be deleted while templates stand in it."""


class LayoutPlaceholder(StoredTemplateError):
    """A layout's body must have one place for the content."""


class NothingToPush(StoredTemplateError):
    """There is no template with an alias to push, or there are too many."""


class TypesDiffer(StoredTemplateError):
    """The same alias is a layout on one server and none on the other."""


class KeyRefused(RelayError):
    """A key cannot be made or revoked; the words say why."""


class AccountError(RelayError):
    """A provider's account cannot be read or changed; for the operator who asked for it."""


class DeliveryError(RelayError):
    """What a provider answered.

    The words are for the message's history and may repeat what the provider said; `code` is for
    log lines: a status, an error number, the name of an exception.
    """

    def __init__(self, words: str, *, code: str = "") -> None:
        super().__init__(words)
        self.code = code


class DeliveryDeferred(DeliveryError):
    """Certainly not sent.

    retry_after: seconds that the provider asked for, or None for the ladder's own time.
    counted: whether this was an attempt at all, i.e. whether the provider got anything to judge.
    opens_breaker: whether the fault is the provider's or the account's, not this message's.
    """

    def __init__(
        self,
        words: str,
        *,
        code: str = "",
        retry_after: float | None = None,
        counted: bool = True,
        opens_breaker: bool = False,
    ) -> None:
        super().__init__(words, code=code)
        self.retry_after = retry_after
        self.counted = counted
        self.opens_breaker = opens_breaker


class DeliveryFailed(DeliveryError):
    """Refused for good; the words say what to mend."""


class RecipientsInactive(DeliveryFailed):
    """The provider sends nothing to the recipients: all of them bounced or complained before.

    recipients: their addresses, as far as the provider named them.
    """

    def __init__(self, words: str, *, code: str = "", recipients: Sequence[str] = ()) -> None:
        super().__init__(words, code=code)
        self.recipients = tuple(recipients)


class RecipientsSuppressed(DeliveryError):
    """Not even tried, because none of the recipients takes mail.

    held: whether it is an office's own mail, kept until its address works again.
    """

    def __init__(self, words: str, *, held: bool) -> None:
        super().__init__(words, code="suppressed")
        self.held = held


class DeliveryInDoubt(DeliveryError):
    """The provider may have taken the message: its answer was lost."""


class MessageBroken(DeliveryError):
    """No mail can be made of what is stored: certainly not sent, and nothing to try again."""
