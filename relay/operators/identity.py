"""The other way to sign in: by an identity provider, as OpenID Connect has it.

The code flow with PKCE. What the provider says counts only with its signature, for this client, for
this attempt, and in its time. Everything here blocks: it is called in a thread.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from relay.config.settings import OidcSettings
from relay.core import clock
from relay.operators.people import Known, Refused
from relay.operators.roles import Role, role_of

# What a provider may take to answer, and how far its clock may be off.
SECONDS = 10
LEEWAY_SECONDS = 60
# Signatures with the provider's own keys; not those with the client's secret, and not none.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
MOST_SUBJECT = 500

UNREACHABLE = "the identity provider cannot be reached, or answers nothing that can be read"
NOT_THE_ISSUER = "the identity provider is another one than `issuer` names"
NOT_TAKEN = "the identity provider does not take back what it gave: begin again"
NOT_TRUSTED = "what the identity provider says cannot be trusted"


class Attempt(NamedTuple):
    """What is kept of an attempt until it comes back: each is random, and for this one alone."""

    state: str
    nonce: str
    verifier: str


def new_attempt() -> Attempt:
    """Return an attempt that begins."""
    return Attempt(generate_token(32), generate_token(32), generate_token(64))


def address(settings: OidcSettings, attempt: Attempt, back: str) -> str:
    """Return where somebody is sent to; `back` is where the provider sends him. Raise Refused."""
    endpoint = _endpoint(_metadata(settings), "authorization_endpoint")
    with _client(settings, back) as client:
        url, _ = client.create_authorization_url(
            endpoint, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
        )
    return str(url)


def known(settings: OidcSettings, attempt: Attempt, back: str, code: str) -> Known:
    """Return who it is that came back with a code; raise Refused."""
    metadata = _metadata(settings)
    with _client(settings, back) as client:
        token = _token(client, metadata, code, attempt)
        claims = _claims(settings, metadata, token, attempt)
        if not {settings.name_claim, settings.role_claim} <= claims.keys():
            claims = {**_user_info(client, metadata, claims["sub"]), **claims}
    subject = f"{settings.issuer} {claims['sub']}"
    name = claims.get(settings.name_claim)
    if not isinstance(name, str) or len(subject) > MOST_SUBJECT:
        raise Refused(f"{NOT_TRUSTED}: it has no `{settings.name_claim}`")
    return Known(subject, name, _role(settings, _found(claims, settings.role_claim)))


def _role(settings: OidcSettings, said: Any) -> Role | None:
    """Return the highest of the roles that what a claim says stands for."""
    values = said if isinstance(said, list) else [said]
    given = [
        settings.roles[one] for one in values if isinstance(one, str) and one in settings.roles
    ]
    return max(map(role_of, given), default=None)


def _found(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim; a name with dots may lead into tables: `realm_access.roles`."""
    found: Any = claims
    for part in [name] if name in claims else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _client(settings: OidcSettings, back: str) -> Any:
    client = OAuth2Session(
        settings.client_id,
        settings.client_secret.reveal(),
        scope=" ".join(settings.scopes),
        redirect_uri=back,
        code_challenge_method="S256",
    )
    client.trust_env = False  # no proxy and no password of the environment
    return client


def _fetched(url: str) -> dict[str, Any]:
    with requests.Session() as client:
        client.trust_env = False
        return _json(client, url)


def _metadata(settings: OidcSettings) -> Mapping[str, Any]:
    path = "/.well-known/openid-configuration"
    metadata = _fetched(f"{settings.issuer.rstrip('/')}{path}")
    if metadata.get("issuer") != settings.issuer:
        raise Refused(NOT_THE_ISSUER)
    secure = urlsplit(settings.issuer).scheme
    for name, value in metadata.items():
        if name.endswith(("_endpoint", "jwks_uri")) and urlsplit(str(value)).scheme != secure:
            raise Refused(NOT_THE_ISSUER)
    return metadata


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    if not isinstance(metadata.get(name), str):
        raise Refused(UNREACHABLE)
    return str(metadata[name])


def _json(client: Any, url: str) -> dict[str, Any]:
    try:
        response = client.get(url, timeout=SECONDS, allow_redirects=False)
        found = response.json() if response.status_code == requests.codes.ok else None
    except (requests.RequestException, AuthlibBaseError, ValueError):
        raise Refused(UNREACHABLE) from None
    if not isinstance(found, dict):
        raise Refused(UNREACHABLE)
    return found


def _token(
    client: Any, metadata: Mapping[str, Any], code: str, attempt: Attempt
) -> Mapping[str, Any]:
    methods: Sequence[str] = metadata.get("token_endpoint_auth_methods_supported") or ()
    if methods and "client_secret_basic" not in methods:
        client.token_endpoint_auth_method = "client_secret_post"  # noqa: S105 - a method's name
    try:
        token: Mapping[str, Any] = client.fetch_token(
            _endpoint(metadata, "token_endpoint"),
            code=code,
            code_verifier=attempt.verifier,
            timeout=SECONDS,
            allow_redirects=False,
        )
    except AuthlibBaseError:
        raise Refused(NOT_TAKEN) from None
    except (requests.RequestException, ValueError):
        raise Refused(UNREACHABLE) from None
    return token


def _claims(
    settings: OidcSettings, metadata: Mapping[str, Any], token: Mapping[str, Any], attempt: Attempt
) -> Mapping[str, Any]:
    """Return what an ID token says; raise Refused unless all of it can be trusted."""
    keys: Any = _fetched(_endpoint(metadata, "jwks_uri"))
    must: Any = {
        "iss": {"essential": True, "value": settings.issuer},
        "aud": {"essential": True, "value": settings.client_id},
    }
    params: dict[str, Any] = {"nonce": attempt.nonce, "client_id": settings.client_id}
    params["access_token"] = token.get("access_token")
    try:
        signed = jwt.decode(
            str(token.get("id_token")), KeySet.import_key_set(keys), algorithms=[*ALGORITHMS]
        )
        claims = CodeIDToken(signed.claims, signed.header, must, params)
        claims.validate(now=int(clock.now()), leeway=LEEWAY_SECONDS)
    except (JoseError, AuthlibBaseError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{NOT_TRUSTED} ({type(error).__name__})") from None
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise Refused(f"{NOT_TRUSTED}: it has no `sub`")
    return dict(claims)


def _user_info(client: Any, metadata: Mapping[str, Any], subject: str) -> Mapping[str, Any]:
    """Return what the provider says besides, if anything; it must be of the same person."""
    if "userinfo_endpoint" not in metadata:
        return {}
    said = _json(client, _endpoint(metadata, "userinfo_endpoint"))
    if said.get("sub") != subject:
        raise Refused(f"{NOT_TRUSTED}: it speaks of two people")
    return said
