"""Where a message came from and what became of a form's fields: names alone, and no values."""

import json
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from relay.core.submission import Claim, Identity, Submission

# A page's script, a form that its browser posts itself, or anything else that speaks HTTP.
Client = Literal["script", "form", "application", ""]

MAX_PAGE = 300


class Origin(NamedTuple):
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
    fields: Mapping[str, str] = MappingProxyType({})
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
    client, page, kind, authenticators, has_token, token_age, screens, _, _ = origin
    parts = [_caller(client, kind, authenticators, screens, has_token)]
    if page:
        parts.append(f'"page":{_quoted(page)}')
    if token_age is not None:
        parts.append(f'"token_age":{token_age:.1f}')
    if fields:
        # By hand: an encoder that is made anew for every message takes several times as long.
        named = ",".join([f'{_quoted(name)}:"{where}"' for name, where in fields.items()])
        parts.append(f'"fields":{{{named}}}')
    if more:
        parts.append(f'"more":{more}')
    return ",".join(parts) + "}"


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
    if isinstance(given, str) and given.startswith("http") and url.count("/") < 4:
        is_of_it = not url or given.startswith(f"{url.rstrip('/')}/")
        url = given if is_of_it else url
    if len(url) > MAX_PAGE:
        url = url[:MAX_PAGE]
    # What stands behind may be a secret, and so may what stands before an @.
    for end in "?#":
        if end in url:
            url = url.partition(end)[0]
    if "@" in url:
        scheme, _, rest = url.partition("//")
        host, slash, path = rest.partition("/")
        url = f"{scheme}//{host.rpartition('@')[2]}{slash}{path}"
    return url if (url.isprintable() and "//" in url) or url == "null" else ""


# Made once: json.dumps would make one for every set of callers.
_encode = json.JSONEncoder(separators=(",", ":")).encode
