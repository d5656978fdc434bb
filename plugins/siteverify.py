"""CAPTCHA services that are asked whether a page's answer is good: the call they have in common."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from marshmallow import fields
from marshmallow.validate import OneOf, Range

from relay import Refused, Server, Submission, Unsure, Verified, hookimpl, setting
from relay.provider import DeliveryError, SecretReference, call_json


class Service(NamedTuple):
    """Where a service is asked, and the field in which its widget brings an answer."""

    url: str
    field: str


SERVICES = {
    "turnstile": Service(
        "https://challenges.cloudflare.com/turnstile/v0/siteverify", "cf-turnstile-response"
    ),
    "hcaptcha": Service("https://api.hcaptcha.com/siteverify", "h-captcha-response"),
    "recaptcha": Service("https://www.google.com/recaptcha/api/siteverify", "g-recaptcha-response"),
    "friendly": Service(
        "https://global.frcapi.com/api/v2/captcha/siteverify", "frc-captcha-response"
    ),
}
# What is wrong with the service or with the settings. Anything else is the answer's own fault: a
# stranger could else write one at which the service is at a loss, and get by.
OURS = frozenset(
    {
        *("missing-input-secret", "invalid-input-secret", "sitekey-secret-mismatch"),
        *("internal-error", "auth_required", "auth_invalid", "sitekey_invalid"),
    }
)
THEIRS = frozenset({400, 413, 422})

# What the widgets write; nobody is asked about anything else.
ANSWER = re.compile(r"[!-~]{1,16384}", re.ASCII)
# No service takes an answer for longer.
ANSWER_SECONDS = 600.0


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """`captcha`, its secret, and what an answer must be like."""
    hostnames = fields.List(fields.String())
    return {
        "captcha": setting(fields.String(validate=OneOf(SERVICES)), ..., "the service"),
        "captcha_secret": setting(
            SecretReference(), ..., "the secret key (Friendly Captcha: the API key)"
        ),
        "captcha_url": setting(
            fields.URL(require_tld=False), None, "where it is asked, if elsewhere than usual"
        ),
        "captcha_hostnames": setting(
            hostnames, [], "the hosts whose pages' answers count; none: those of `origins`"
        ),
        "captcha_score": setting(
            fields.Float(validate=Range(0, 1)), 0.5, "what reCAPTCHA v3 must give at least"
        ),
    }


@hookimpl
def verify(submission: Submission, server: Server) -> Verified | Refused | Unsure:
    """Ask the service; it is told the answer and nothing else of the writer."""
    given = submission.fields.get(SERVICES[server.options["captcha"]].field)
    if not isinstance(given, str) or not ANSWER.fullmatch(given):
        return Refused("no proof")
    try:
        status, said = _asked(given, server)
    except DeliveryError as error:
        return Unsure(str(error))
    if not isinstance(said.get("success"), bool):
        return Refused(f"answered {status}") if status in THEIRS else Unsure(f"answered {status}")
    if not said["success"]:
        code = _code(said)
        return Unsure(code) if code in OURS else Refused(code)
    return _judged(said, server) or Verified(given, time.time() + ANSWER_SECONDS)


def _asked(given: str, server: Server) -> tuple[int, Mapping[str, Any]]:
    """Return the service's status and its JSON object, empty where there is none."""
    options = server.options
    secret = options["captcha_secret"].reveal()
    form, headers = {"response": given}, {"Content-Type": "application/x-www-form-urlencoded"}
    if options["captcha"] == "friendly":
        headers["X-API-Key"] = secret
    else:
        form["secret"] = secret
    url = options["captcha_url"] or SERVICES[options["captcha"]].url
    content = urlencode(form).encode()
    answer = call_json("POST", url, headers, server.verify_seconds, content)
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return answer.status, {}
    return answer.status, said if isinstance(said, dict) else {}


def _code(said: Mapping[str, Any]) -> str:
    """Return the first of the service's words for what is wrong."""
    error, codes = said.get("error"), said.get("error-codes")
    if isinstance(error, dict):
        codes = [error.get("error_code")]
    return str(codes[0]) if isinstance(codes, list) and codes else "not solved"


def _judged(said: Mapping[str, Any], server: Server) -> Refused | None:
    """Refuse an answer that is good, but another page's, or a robot's by its score."""
    wanted = server.options["captcha_hostnames"] or [
        urlsplit(origin).hostname for origin in server.origins
    ]
    hostname = _hostname(said)
    if wanted and hostname not in wanted:
        return Refused(f"of another page: {hostname or 'none'}")
    score = said.get("score")
    if server.options["captcha"] == "recaptcha" and isinstance(score, int | float):
        return Refused(f"score {score}") if score < server.options["captcha_score"] else None
    return None


def _hostname(said: Mapping[str, Any]) -> str:
    """Return the host whose page the answer was given on; "" where the service does not say."""
    try:
        origin = said["data"]["challenge"]["origin"]
    except (KeyError, TypeError):
        origin = said.get("hostname", "")
    return re.sub(r"^.*//|[:/].*", "", str(origin).lower())
