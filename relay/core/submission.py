"""What comes in by a form, and what the plugins say of it before it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


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
    through the trusted proxies. `body` is the body as it came, for whoever checks a signature over
    it; None where it has not come yet, is larger than a form without files may be, or is no longer
    there: whoever needs it lets nobody in then. `reference` is the number by which the writer may
    ask for it, "" where writers are told none.
    """

    server: str
    fields: Mapping[str, Any]
    session: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: tuple[File, ...] = ()
    body: bytes | None = field(default=None, repr=False)
    address: str = ""
    request_id: str = ""
    received_at: float = 0.0
    token_age: float | None = None
    reference: str = ""


IdentityKind = Literal["secret", "publishable", "anonymous"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling: the key's id and kind, or `anonymous` where a session needs no key."""

    key: str
    kind: IdentityKind


@dataclass(frozen=True, slots=True)
class Claim:
    """A session token that the host is to look up, and to spend when it stores the message."""

    token: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Decoy:
    """A robot was here: it is told that all went well, and the submission is kept for review."""

    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """Whoever posts has proved what was asked of them.

    `proof` is what they proved it with, where that is good for one message only: the host stores
    its digest with the message, and refuses the next one that brings it. It is remembered for a
    day after `expires_at`, from when on its plugin takes it no more.
    """

    proof: str = field(default="", repr=False)
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """Whoever posts has not proved it; `reason` is a few words for the log, without secrets."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """It cannot be told now: the server's `when_unsure` decides; `reason` is for log and review."""

    reason: str
