"""The values that travel through Relay. All are frozen: a plugin gets them and returns new ones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Any, Literal

from relay.addresses import Address
from relay.mustachio import Template
from relay.secret import Secret

KeyKind = Literal["secret", "publishable", "account"]


def freeze(value: Any) -> Any:
    """Make nested dicts and lists read-only: mappings and tuples of the same content."""
    if isinstance(value, dict):
        return MappingProxyType({name: freeze(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(freeze(member) for member in value)
    return value


def thaw(value: Any) -> Any:
    """Make plain dicts and lists of frozen values, for JSON."""
    if isinstance(value, Mapping):
        return {name: thaw(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(member) for member in value]
    return value


@dataclass(frozen=True, slots=True)
class Key:
    """Who may call. `digests` are SHA-256, several while an old and a new secret live together."""

    id: str
    kind: KeyKind
    servers: frozenset[str]
    digests: tuple[bytes, ...] = field(repr=False)

    def opens(self, server: str) -> bool:
        """Tell whether this key is good for a server; `*` is good for all."""
        return server in self.servers or "*" in self.servers


@dataclass(frozen=True, slots=True)
class AttachmentRules:
    """Which files a server's forms may bring: how many, how large each and in all, of what kinds.

    `types` are file extensions in lower case.
    """

    max_files: int
    max_file_bytes: int
    max_bytes: int
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReceiptTerms:
    """How a server's writers are told what became of their messages.

    `template` and `failure_template` name template files; `per_address_per_hour` and `_per_day`
    are how many such mails one address gets.
    """

    template: str
    subject: Template
    failure_template: str
    failure_subject: Template
    office: str
    form_name: str
    time_zone: tzinfo
    per_address_per_hour: int
    per_address_per_day: int


@dataclass(frozen=True, slots=True)
class Server:
    """A named table of the settings: everything that a plugin may know about its server.

    `recipients` None means any, `attachments` None none; `options` holds what the plugins' own
    `settings` hooks read. `replies` is the address that reply addresses are made of, None where
    answers go straight to the writer, and `reply_seconds` how long each is good. `backup` is who
    gets an office's mail while its own address takes none; `webhook_digests` are those of the
    secrets that the provider may call with, `webhook_networks` where it must call from, empty for
    anywhere. `templates` are the folders with template files, first match wins; `keep` is how long
    contents are kept in a final state, where they are cleared at all; `expect_mail` is after how
    long without mail the operator is told, 0 for never. Times are in seconds.
    """

    name: str
    plugins: tuple[str, ...]
    group: str = ""
    sender: Address | None = None
    senders: frozenset[str] = frozenset()
    reply_to: tuple[Address, ...] = ()
    replies: Address | None = None
    reply_seconds: float = 90 * 86400.0
    recipients: frozenset[str] | None = None
    backup: Address | None = None
    webhook_digests: tuple[bytes, ...] = field(default=(), repr=False)
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    origins: frozenset[str] = frozenset()
    session_key: Literal["required", "optional"] = "required"
    return_to: Mapping[str, str] = field(default_factory=dict)
    headers: frozenset[str] = frozenset()
    attachments: AttachmentRules | None = None
    # None: writers are told nothing.
    receipt: ReceiptTerms | None = None
    enabled: bool = True
    queue_enabled: bool = True
    retry: tuple[float, ...] = ()
    deadline: float = 25.0
    max_age: float = 72 * 3600.0
    expect_mail: float = 0.0
    settle: tuple[float, ...] = (120.0, 600.0, 1800.0)
    in_doubt: Literal["look_up", "hold", "resend"] = "look_up"
    keep: Mapping[str, float] = field(default_factory=dict)
    scheduling: bool = True
    keys: tuple[Key, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file that came with a form: nothing of it is believed yet, neither name nor type."""

    field_name: str
    name: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Submission:
    """What came in, before anybody judged it.

    `fields` are the body's, with brackets resolved and the `email` wrapper taken off. `files` are
    those of a multipart body. `session` tells a post that must bring a session token; `token_age`
    is how many seconds ago that was made, None without one. `address` is the client's, as believed
    through the trusted proxies.
    """

    server: str
    fields: Mapping[str, Any]
    session: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: tuple[File, ...] = ()
    address: str = ""
    request_id: str = ""
    received_at: float = 0.0
    token_age: float | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling: the key's id and kind, or `anonymous` where a session needs no key."""

    key: str
    kind: Literal["secret", "publishable", "anonymous"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A session token that the host is to look up, and to spend when it stores the message."""

    token: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Decoy:
    """A robot was here: it is told that all went well, and the submission is kept for review."""

    reason: str


@dataclass(frozen=True, slots=True)
class Account:
    """The provider's account that a server's mail goes through: its API's URL and its token."""

    url: str
    token: Secret


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message; `content` is base64 without line breaks.

    `content_id` (`cid:logo.png`) is how the HTML part refers to an inline one.
    """

    name: str
    content_type: str
    content: str = field(repr=False)
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """An email. `template` (number or alias) and `model` stand for subject and parts.

    Where the template is stored here, subject and parts are there too, rendered. `stream` is
    Postmark's MessageStream, `inline_css` tells whether a rendered HTML part gets its styles
    inlined. `send_at` is when to send it, in epoch seconds; None is at once. `writer` is who wrote
    a form, for what he is told and answered; it is not stored with the message. `id` is the host's:
    a plugin leaves it empty in `compose` and may read it in `deliver`; so is what the host adds to
    `metadata`. Where some have a message already, an attempt's `to`, `cc` and `bcc` are the others,
    and `addressed` is to and cc as everybody sees them.
    """

    sender: Address
    to: tuple[Address, ...]
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    tag: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    template: int | str | None = None
    model: Mapping[str, Any] | None = None
    inline_css: bool = True
    attachments: tuple[Attachment, ...] = ()
    track_opens: bool | None = None
    track_links: str | None = None
    stream: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    send_at: float | None = None
    # No part of the mail: the same mail may come of another writer.
    writer: Address | None = field(default=None, compare=False)
    id: str = ""
    addressed: tuple[tuple[Address, ...], tuple[Address, ...]] | None = None

    @property
    def is_rendered(self) -> bool:
        """Tell whether a message with a template has its subject and parts too."""
        return self.template is not None and self.subject is not None

    def without(self, emails: Collection[str]) -> "Message":
        """Give the same message without some recipients; `emails` are in lower case."""
        to, cc, bcc = (
            tuple(one for one in addresses if one.email.lower() not in emails)
            for addresses in (self.to, self.cc, self.bcc)
        )
        return replace(self, to=to, cc=cc, bcc=bcc)

    @property
    def recipients(self) -> tuple[Address, ...]:
        """Everybody who gets it: to, cc and bcc."""
        return (*self.to, *self.cc, *self.bcc)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider took the message, under its own id.

    `dropped` names recipients that it took the message without. `words` are the provider's, for
    the message's history, without addresses. `later` names those for whom it is to be tried again:
    all others have it now.
    """

    provider_id: str
    dropped: tuple[str, ...] = ()
    words: str = ""
    later: tuple[str, ...] = ()


class Absent(Enum):
    """What `find` says of a message that the provider certainly does not have."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
