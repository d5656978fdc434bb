"""A proof of work by ALTCHA: the writer's browser computes for a moment, and nobody is asked."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from altcha import Payload, create_challenge, verify_solution
from marshmallow import ValidationError, fields
from marshmallow.validate import Range

from relay import Refused, Server, Submission, Verified, hookimpl, setting
from relay.provider import Secret, SecretReference

FIELD = "altcha"
ALGORITHM = "PBKDF2/SHA-256"


def _is_long(key: Secret) -> None:
    """Refuse a key that somebody could find by trying, who has a challenge that it signed."""
    if len(key.reveal()) < 32:
        raise ValidationError("must have 32 characters and more")


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """`altcha_key`, `altcha_cost` and `altcha_minutes`: signed with what, how hard, how long."""
    cost, minutes = Range(100, 1_000_000), Range(1, 1440)
    return {
        "altcha_key": setting(
            SecretReference(validate=_is_long),
            ...,
            "a secret of your own, of 32 characters and more, that challenges are signed with",
        ),
        "altcha_cost": setting(
            fields.Integer(validate=cost),
            5000,
            "how hard they are: rounds of PBKDF2 for one try; a browser tries 256 times on average",
        ),
        "altcha_minutes": setting(
            fields.Integer(validate=minutes), 60, "how long a challenge is good"
        ),
    }


@hookimpl
def challenge(token: str, server: Server) -> Mapping[str, Any]:
    """Make a challenge that is good for one server and one session token."""
    made = create_challenge(
        ALGORITHM,
        server.options["altcha_cost"],
        expires_at=int(time.time()) + 60 * server.options["altcha_minutes"],
        data=_bound(token, server),
        hmac_secret=_key(server),
    )
    return made.to_dict()


@hookimpl
def verify(submission: Submission, server: Server) -> Verified | Refused:
    """Check the solution in the field `altcha`; the host sees to it that it is used once."""
    given = submission.fields.get(FIELD)
    if not isinstance(given, str) or not given:
        return Refused("no proof")
    result = verify_solution(given, _key(server))
    if result.expired:
        return Refused("expired")
    if not result.verified:
        return Refused("forged" if result.invalid_signature else "not solved")
    solved = Payload.from_base64(given).challenge
    token = str(submission.fields.get("token_session", "")) if submission.session else ""
    if solved.parameters.data != _bound(token, server):
        return Refused("for another form or token")
    # Of a challenge the signature is written in one way, and of its solutions one counts.
    return Verified(str(solved.signature), float(solved.parameters.expires_at or 0))


def _bound(token: str, server: Server) -> dict[str, str]:
    """Return what a challenge is for; of the token a digest, which nobody can turn back."""
    digest = hmac.new(_key(server), f"token {token}".encode(), hashlib.sha256).hexdigest()
    return {"server": server.name, "for": digest if token else ""}


def _key(server: Server) -> bytes:
    key: str = server.options["altcha_key"].reveal()
    return key.encode()
