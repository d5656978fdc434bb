"""Where a message came from and what became of a form's fields: names alone, and no values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from relay.core.submission import Claim, Identity, Submission

# A page's script, a form that its browser posts itself, or anything else that speaks HTTP.
Client = Literal["script", "form", "application", ""]

MAX_PAGE = 300


@dataclass(frozen=True, slots=True)
class Origin:
    """A submission's caller, the checks that it passed, and where each of its fields went.

    page: where its visitor was, without the query. kind: the key's. authenticators: the plugins
    that are asked who calls; the first that knows it answers. has_token: whether it brought a
    session token, which was looked up; token_age: how old that was, in seconds. screens: the
    plugins that looked for a robot and let it pass. fields: by name, the parts of the message in
    which its value stands, or one of the words below; more: how many fields are not named.
    """

    client: Client = ""
    page: str = ""
    kind: str = ""
    authenticators: tuple[str, ...] = ()
    has_token: bool = False
    token_age: float | None = None
    screens: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    more: int = 0


# What became of a field whose value stands in no part of the message: it was empty; it tells Relay
# how to treat the form; it was not this caller's to say; it was read; nobody read it.
EMPTY, CONTROL, LEFT_OUT, READ, UNUSED = "empty", "control", "left_out", "read", "unused"
# The part of a message that files are.
ATTACHMENT = "attachment"


def of(
    submission: Submission,
    identity: Identity,
    claim: Claim | None,
    authenticators: tuple[str, ...],
    screens: tuple[str, ...] = (),
    *,
    has_page: bool,
) -> Origin:
    """Return where a submission comes from.

    screens: those that let it pass. has_page: whether its visitor is shown a page after it, so that
    no script posted it.
    """
    headers = submission.headers
    referer, origin = headers.get("Referer"), headers.get("Origin")
    client: Client = "application"
    if referer or origin:
        client = "form" if headers.get("Sec-Fetch-Mode") == "navigate" else "script"
    return Origin(
        "form" if has_page else client,
        _page(referer, origin, submission.fields.get("url")),
        identity.kind,
        authenticators,
        claim is not None,
        submission.token_age,
        screens,
    )


def dump(origin: Origin, fields: Mapping[str, str] | None = None, more: int = 0) -> str:
    """Write it down, with where its fields went; what is as it would be anyway is left out."""
    values: dict[str, Any] = {}
    if origin.page:
        values["page"] = origin.page
    if origin.token_age is not None:
        values["token_age"] = round(origin.token_age, 1)
    if fields:
        values["fields"] = fields
    if more:
        values["more"] = more
    caller = _caller(
        origin.client, origin.kind, origin.authenticators, origin.screens, origin.has_token
    )
    return f"{caller},{_encode(values)[1:]}" if values else caller + "}"


@lru_cache(256)
def _caller(
    client: str,
    kind: str,
    authenticators: tuple[str, ...],
    screens: tuple[str, ...],
    has_token: bool,
) -> str:
    """Return the beginning of the text, which is the same for most forms of a server."""
    values = {"client": client, "kind": kind, "has_token": has_token}
    lists = {"authenticators": authenticators, "screens": screens}
    return _encode({**values, **lists})[:-1]


def load(text: str | None) -> Origin | None:
    """Read it again; None of what no form posted, and of what was cleared."""
    if not text:
        return None
    values: dict[str, Any] = json.loads(text)
    for name in ("authenticators", "screens"):
        values[name] = tuple(values.get(name, ()))
    return Origin(**values)


def _page(referer: str | None, origin: str | None, given: Any) -> str:
    """Return the page that a form was on: most browsers name no more of it than the site."""
    url = referer or origin or ""
    if url.count("/") < 4 and isinstance(given, str) and given.startswith(("https://", "http://")):
        url = given if not url or given.startswith(url.rstrip("/")) else url
    # What stands behind may be a secret, and so may what stands before an @.
    url = url[:MAX_PAGE].partition("?")[0].partition("#")[0]
    scheme, _, rest = url.partition("//")
    host, slash, path = rest.partition("/")
    shown = f"{scheme}//{host.rpartition('@')[2]}{slash}{path}" if "@" in host else url
    return shown if shown.isprintable() else ""


# Made once: json.dumps would make one for every message.
_encode = json.JSONEncoder(separators=(",", ":")).encode
