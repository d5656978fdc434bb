"""The plugins of docs/plugins/signatures.md, against the running app: who is let in, who is not."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.core.submission import Identity
from relay.hooks import loader
from relay.intake.dry_run import DryRun
from relay.site import Site
from relay.web.bodies import submission_of
from tests.conftest import FORM, Outbox, Post, Reply
from tests.support.docs import block
from tests.support.keys import key

PAGE = "plugins/signatures"
SECRET = "shared-by-shop-and-orders-0123456789"
RSA, EC = RSAKey.generate_key(2048), ECKey.generate_key("P-256")
OTHER_RSA, OTHER_EC = RSAKey.generate_key(2048), ECKey.generate_key("P-256")
HMAC_TOML = block(PAGE, "toml", "# A server for calls that")
JWT_TOML = block(PAGE, "toml", "# A server for calls with")
PEM = re.compile(r"-----BEGIN.*-----\n", re.DOTALL)


def with_key(toml: str, pem: str) -> str:
    return PEM.sub(pem, toml)


def pem_of(made: RSAKey | ECKey) -> str:
    return made.as_pem(private=False).decode()


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    """The page's servers, and a second one with tokens, whose issuer's key is of RSA."""
    (tmp_path / "plugins").mkdir()
    for name in ("hmac_signature", "jwt_token"):
        plugin = block(PAGE, "python", f"# plugins/{name}.py")
        (tmp_path / "plugins" / f"{name}.py").write_text(plugin, encoding="utf-8")
    second = JWT_TOML.replace("[servers.notices]", "[servers.rsa]")
    return "\n".join(
        (
            "[relay.limits]\nposts_per_minute = 0\nform_bytes = 5000\n",
            HMAC_TOML,
            with_key(JWT_TOML, pem_of(EC)),
            with_key(second, pem_of(RSA)),
            key("application", "notices"),
        )
    )


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "ORDERS_SECRET": SECRET}


def reasons(events: list[dict[str, Any]]) -> list[str]:
    return [one["reason"] for one in events if one["event"] == "submission.refused"]


def signed(body: bytes, moment: str, request: str, server: str = "orders") -> dict[str, str]:
    content = f"{server}\n{moment}\n{request}\n".encode("latin-1") + body
    signature = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    return {"Idempotency-Key": request, "X-Timestamp": moment, "X-Signature": signature}


BODY = json.dumps(FORM).encode()


@pytest.mark.gen_test
async def test_a_signed_call_is_let_in_once(post: Post, base_url: str, outbox: Outbox) -> None:
    caller: dict[str, Any] = {}
    exec(block(PAGE, "python", "# The caller of HMAC"), caller)  # noqa: S102 - the page's own
    reply = await asyncio.to_thread(caller["signed_call"], base_url, "orders", SECRET, FORM)
    assert (reply.status_code, reply.json()["response"]) == (200, "Message sent")
    assert [(row["key"], row["state"]) for row in outbox.rows()] == [("shop", "sent")]
    overheard = {**reply.request.headers}
    for _ in range(2):
        headers = {name: overheard[name] for name in signed(b"", "", "")}
        again = await send(post, reply.request.body, headers)
        assert (again.status, again.words) == (200, "Message sent")
    assert len(outbox.rows()) == 1


async def send(post: Post, body: bytes, headers: dict[str, str], server: str = "orders") -> Reply:
    path = server if server.startswith("/") else f"/rest/email/{server}"
    return await post(path, body=body, media="application/json", key=None, headers=headers)


@pytest.mark.gen_test
async def test_a_call_that_is_not_signed_right_is_refused(
    post: Post, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    now = int(time.time())
    good = signed(BODY, str(now), "a")
    moved = signed(b"b." + BODY, str(now), "a")
    refused: list[tuple[bytes, dict[str, str], str]] = [
        (BODY, {}, "no_header"),
        (BODY, {**good, "X-Signature": ""}, "unknown_key"),
        (BODY, {**good, "X-Signature": "0" * 64}, "unknown_key"),
        (BODY, {**good, "X-Signature": good["X-Signature"].upper()}, "unknown_key"),
        (BODY, {**good, "X-Signature": good["X-Signature"][:-1]}, "unknown_key"),
        (BODY, {**good, "X-Signature": "\xe9\xff"}, "unknown_key"),
        (BODY + b" ", good, "unknown_key"),
        (BODY.replace(b"desk@", b"disk@"), good, "unknown_key"),
        (BODY, {**good, "Idempotency-Key": "b"}, "unknown_key"),
        (BODY, {**good, "X-Timestamp": str(now + 1)}, "unknown_key"),
        (BODY, {name: good[name] for name in good if name != "X-Timestamp"}, "unknown_key"),
        (BODY, {name: good[name] for name in good if name != "Idempotency-Key"}, "unknown_key"),
        (BODY, {**moved, "Idempotency-Key": "a\tb."}, "unknown_key"),
        (BODY, signed(BODY, str(now), "a", "notices"), "unknown_key"),
        (BODY, signed(BODY, str(now - 302), "a"), "key_expired"),
        (BODY, signed(BODY, str(now + 310), "a"), "key_expired"),
        (BODY, signed(BODY, "0", "a"), "key_expired"),
        (BODY, signed(BODY, "", "a"), "unknown_key"),
        (BODY, signed(BODY, str(now), ""), "unknown_key"),
        (BODY, signed(BODY, f"-{now}", "a"), "unknown_key"),
        (BODY, signed(BODY, f"{now}.0", "a"), "unknown_key"),
        (BODY, signed(BODY, "nan", "a"), "unknown_key"),
        (BODY, signed(BODY, "\xb2", "a"), "unknown_key"),
        (BODY, signed(BODY, "9" * 5000, "a"), "unknown_key"),
    ]
    for body, headers, reason in refused:
        events.clear()
        reply = await send(post, body, headers)
        assert (reply.status, reply.words) == (401, "could not authenticate"), headers
        assert reasons(events) == [reason], headers
    session = await send(post, BODY, good, "/rest/email_session/orders")
    assert session.status == 401
    assert outbox.rows() == []
    assert (await send(post, BODY, good)).status == 200  # each of them lacked one thing alone
    assert SECRET not in str(events)


def test_a_signature_can_be_tried_without_a_daemon(site: Site) -> None:
    headers = signed(BODY, str(int(time.time())), "a")
    rehearsal = DryRun(site.chains["orders"], submission_of("orders", BODY, headers=headers))
    assert rehearsal.admit() == (Identity("shop", "secret"), None)


# What a header may say of itself that the library takes for a list.
CRITICAL = (1, True, 1.5, None, "exp", ["exp"], {"exp": 1}, [[]])
CLAIMS = {"iss": "https://login.example.gov", "aud": "relay"}


def token(signer: Any, algorithm: str = "ES256", *without: str, **others: Any) -> str:
    claims = {**CLAIMS, "exp": int(time.time()) + 600, **others}
    for name in without:
        del claims[name]
    return jwt.encode({"alg": algorithm}, claims, signer, algorithms=[algorithm])


def unsigned(header: dict[str, Any], signature: str = "", **others: Any) -> str:
    parts = (header, {**CLAIMS, "exp": int(time.time()) + 600, **others})
    return ".".join([*(encoded(json.dumps(part).encode()) for part in parts), signature])


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed_by_the_public_key(made: RSAKey | ECKey) -> str:
    """The classic: a verifier that believes the header takes the public key for a secret."""
    start = unsigned({"alg": "HS256", "typ": "JWT"})[:-1]
    signature = hmac.new(made.as_pem(private=False), start.encode(), hashlib.sha256).digest()
    return f"{start}.{encoded(signature)}"


async def bring(post: Post, brought: str, server: str = "notices") -> Reply:
    return await post(
        f"/rest/email/{server}",
        content=FORM,
        key=None,
        headers={"Authorization": f"Bearer {brought}"},
    )


@pytest.mark.gen_test
async def test_a_good_token_lets_in(post: Post, outbox: Outbox) -> None:
    now = int(time.time())
    for brought, server in (
        (token(EC), "notices"),
        (token(EC, aud=["other", "relay"], nbf=now - 5, iat=now - 5, exp=now + 3590), "notices"),
        (token(EC, exp=now + 60.5), "notices"),
        (token(RSA, "RS256"), "rsa"),
    ):
        assert (await bring(post, brought, server)).status == 200
    assert {row["key"] for row in outbox.rows()} == {"https://login.example.gov"}
    assert (await post("/rest/email/notices", FORM)).status == 200  # a key, by the next plugin
    assert outbox.last()["key"] == "application"


@pytest.mark.gen_test
async def test_no_other_token_lets_in(
    post: Post, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    now = int(time.time())
    good = token(EC)
    start, middle, end = good.split(".")
    forged = encoded(json.dumps({**CLAIMS, "exp": now + 600, "sub": "mayor"}).encode())
    refused: list[tuple[str, str, str]] = [
        (token(EC, exp=now - 1), "notices", "key_expired"),
        (token(EC, exp=0), "notices", "key_expired"),
        (token(EC, exp=now + 7200), "notices", "unknown_key"),
        (token(EC, exp=10**400), "notices", "unknown_key"),
        (token(EC, exp=str(now + 600)), "notices", "unknown_key"),
        (token(EC, exp=True), "notices", "unknown_key"),
        (token(EC, exp=None), "notices", "unknown_key"),
        (token(EC, exp=float("nan")), "notices", "unknown_key"),
        (token(EC, "ES256", "exp"), "notices", "unknown_key"),
        (token(EC, "ES256", "aud"), "notices", "unknown_key"),
        (token(EC, "ES256", "iss"), "notices", "unknown_key"),
        (token(EC, aud="other"), "notices", "unknown_key"),
        (token(EC, aud=["other"]), "notices", "unknown_key"),
        (token(EC, aud={"relay": 1}), "notices", "unknown_key"),
        (token(EC, aud="relay2"), "notices", "unknown_key"),
        (token(EC, iss="https://login.example.com"), "notices", "unknown_key"),
        (token(EC, iss=["https://login.example.gov"]), "notices", "unknown_key"),
        (token(EC, nbf=now + 600), "notices", "unknown_key"),
        (token(EC, iat=now + 600), "notices", "unknown_key"),
        (token(OTHER_EC), "notices", "unknown_key"),
        (token(OTHER_RSA, "RS256"), "rsa", "unknown_key"),
        (token(RSA, "RS256"), "notices", "unknown_key"),
        (token(EC), "rsa", "unknown_key"),
        (token(RSA, "RS512"), "rsa", "unknown_key"),
        (token(RSA, "PS256"), "rsa", "unknown_key"),
        (token(OctKey.generate_key(256), "HS256"), "notices", "unknown_key"),
        (signed_by_the_public_key(EC), "notices", "unknown_key"),
        (signed_by_the_public_key(RSA), "rsa", "unknown_key"),
        *((unsigned({"alg": none}), "notices", "unknown_key") for none in ("none", "None", "")),
        (unsigned({"alg": "ES256"}), "notices", "unknown_key"),
        (unsigned({"alg": "ES256"}, encoded(b"\0" * 64)), "notices", "unknown_key"),
        (unsigned({"alg": ["ES256"]}), "notices", "unknown_key"),
        (unsigned({"alg": "ES256", "jwk": OTHER_EC.as_dict()}, "x"), "notices", "unknown_key"),
        (unsigned({}), "notices", "unknown_key"),
        *(
            (unsigned({"alg": "ES256", "crit": crit}), "notices", "unknown_key")
            for crit in CRITICAL
        ),
        (f"{start}.{forged}.{end}", "notices", "unknown_key"),
        (f"{start}.{middle}.{end[:-2]}", "notices", "unknown_key"),
        (f"{start}.{middle}.", "notices", "unknown_key"),
        (f"{start}..{end}", "notices", "unknown_key"),
        ("..", "notices", "unknown_key"),
        ("a.b.c", "notices", "unknown_key"),
        ("\xe9.\xff.\xe9", "notices", "unknown_key"),
        (f"{encoded(b'[' * 5000)}.{middle}.{end}", "notices", "unknown_key"),
        (f"{encoded(b'[]')}.{middle}.{end}", "notices", "unknown_key"),
        (f"{encoded(bytes(range(200, 256)))}.{middle}.{end}", "notices", "unknown_key"),
        (f"{good}.{end}", "notices", "unknown_key"),
        (f"{good[:-1]}", "notices", "unknown_key"),
    ]
    for brought, server, reason in refused:
        events.clear()
        reply = await bring(post, brought, server)
        assert (reply.status, reply.words) == (401, "could not authenticate"), brought
        assert reasons(events) == [reason], brought
        assert brought not in str(events)
    assert outbox.rows() == []


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "x",
        pem_of(EC)[:-40],
        EC.as_pem(private=True).decode(),
        RSA.as_pem(private=True).decode(),
        "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\\n",
    ],
)
def test_a_key_that_is_none_is_named_at_the_start(
    settings_toml: str, load: Callable[[str], Settings], pem: str
) -> None:
    read = load(with_key(settings_toml, pem.replace("\n", "\\n")))
    with pytest.raises(ConfigurationError, match="jwt_key: must be a public key"):
        loader.build(read, read.keys)
