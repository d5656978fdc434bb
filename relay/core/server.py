"""A server and what it is made of: all that a plugin may know of the settings."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal

from relay.core.addresses import Address
from relay.core.secret import Secret

KeyKind = Literal["secret", "publishable", "account"]


@dataclass(frozen=True, slots=True)
class Key:
    """Who may call. `digests` are SHA-256, several while an old and a new secret live together.

    `expires_at` and `revoked_at` are epoch seconds, None of what does not end or did not.
    """

    id: str
    kind: KeyKind
    servers: frozenset[str]
    digests: tuple[bytes, ...] = field(repr=False)
    expires_at: float | None = None
    revoked_at: float | None = None

    def opens(self, server: str) -> bool:
        """Return whether this key is good for a server; `*` is good for all."""
        return server in self.servers or "*" in self.servers

    def is_public_at(self, server: str) -> bool:
        """Return whether everybody who sees a page may post to this server by it."""
        return self.kind == "publishable" and self.opens(server)

    def ended(self, now: float) -> Literal["", "revoked", "expired"]:
        """Return why this key is good for nothing any more; "" while it is good."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else ""


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
    are how many such mails one address gets, `per_hour` all
    together. The subjects are templates of one line.
    """

    template: str
    subject: str
    failure_template: str
    failure_subject: str
    office: str
    form_name: str
    time_zone: tzinfo
    per_address_per_hour: int
    per_address_per_day: int
    per_hour: int


@dataclass(frozen=True, slots=True)
class Server:
    """A named table of the settings: everything that a plugin may know about its server.

    `named_domains` are those whose addresses are read even if they are special-use domains or hosts
    without a dot. `recipients` None means any, `attachments` None none; `options` holds what the
    plugins' own `settings` hooks read. `replies` is the address that reply addresses are made of,
    None where answers go straight to the writer, and `reply_seconds` how long each is good.
    `backup` is who gets an office's mail while its own address takes none; `webhook_digests` are
    those of the secrets that the provider may call with, `webhook_networks` where it must call
    from, empty for anywhere. `templates` are the folders with template files, first match wins;
    `keep` is how long contents are kept in a final state, where they are cleared at all;
    `expect_mail` is after how long without mail the operator is told, 0 for never.
    `canary_seconds` is from one canary to the next, 0 for none, `canary_to` who gets them and
    `canary_fields` what their forms have besides what all forms need. `verify` says
    which submissions are verified, and `verify_seconds` how long `verify` has; what becomes of
    those that it is unsure of is `when_unsure`. Times are in seconds.
    """

    name: str
    plugins: tuple[str, ...]
    group: str = ""
    sender: Address | None = None
    senders: frozenset[str] = frozenset()
    named_domains: frozenset[str] = frozenset()
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
    canary_seconds: float = 0.0
    canary_to: Address | None = None
    canary_fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    settle: tuple[float, ...] = (120.0, 600.0, 1800.0)
    in_doubt: Literal["look_up", "hold", "resend"] = "look_up"
    keep: Mapping[str, float] = field(default_factory=dict)
    scheduling: bool = True
    verify: Literal["all", "sessions"] = "all"
    verify_seconds: float = 2.0
    when_unsure: Literal["pass", "hold", "refuse"] = "hold"
    keys: Collection[Key] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """The provider's account that a server's mail goes through: its API's URL and its token."""

    url: str
    token: Secret
