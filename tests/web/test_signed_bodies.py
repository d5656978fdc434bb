"""Who signs a body is let in by it: a plugin sees the bytes as they came."""

import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from relay.web.bodies import submission_of
from tests.conftest import FORM, Outbox, Post
from tests.web.test_forms import multipart

SECRET = b"shared-with-who-signs"
PLUGIN = f'''
"""Callers who sign the body they send."""

import hashlib
import hmac

from relay import Identity, hookimpl


@hookimpl
def authenticate(submission, server):
    """Let in who signed the body."""
    if submission.body is None:
        return None
    wanted = hmac.new({SECRET!r}, submission.body, hashlib.sha256).hexdigest()
    given = submission.headers.get("x-signature", "")
    good = hmac.compare_digest(given.encode(), wanted.encode())
    return Identity("signer", "secret") if good else None
'''

SERVERS = """
[relay.limits]
form_bytes = 5000
posts_per_minute = 0

[servers.signed]
plugins = ["signed", "contactform", "mailbox"]
sender = "Relay <relay@example.gov>"

[servers.files]
plugins = ["signed", "contactform", "mailbox"]
sender = "Relay <relay@example.gov>"
attachments = { types = ["txt"], max_bytes = 20000 }
"""

JSON, FORM_MEDIA = "application/json", "application/x-www-form-urlencoded"
LOOSE = json.dumps(FORM, indent=3).replace("roads", "r\\u006fads").encode() + b"\n \n"


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "signed.py").write_text(PLUGIN, encoding="utf-8")
    return SERVERS


def signature(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/rest/email/signed", "/rest/email/files"])
async def test_a_body_is_signed_as_it_came(path: str, post: Post, outbox: Outbox) -> None:
    bodies = [
        (json.dumps(FORM).encode(), JSON),
        (LOOSE, JSON),
        ("\ufeff".encode() + LOOSE, JSON),
        (urlencode({f"email[{name}]": value for name, value in FORM.items()}).encode(), FORM_MEDIA),
        multipart(FORM),
    ]
    for number, (body, media) in enumerate(bodies):
        headers = {"X-Signature": signature(body)}
        reply = await post(path, body=body, media=media, key=None, headers=headers)
        assert (reply.status, reply.words) == (200, "Message sent"), (number, reply.body)
        for forged in (body + b" ", body.replace(b"green", b"grey "), b""):
            reply = await post(path, body=forged, media=media, key=None, headers=headers)
            assert (reply.status, reply.words) == (401, "could not authenticate")
    assert len(outbox.rows()) == len(bodies)
    assert {row["key"] for row in outbox.rows()} == {"signer"}


@pytest.mark.gen_test
async def test_files_count_as_long_as_the_whole_body_is_no_larger_than_a_form(
    post: Post, outbox: Outbox
) -> None:
    for length, status in ((100, 200), (6000, 401)):
        body, media = multipart(FORM, {"plan": "x" * length})
        headers = {"X-Signature": signature(body)}
        reply = await post("/rest/email/files", body=body, media=media, key=None, headers=headers)
        assert reply.status == status, reply.body
    assert len(outbox.rows()) == 1


def test_what_is_tried_out_has_its_body_too() -> None:
    assert submission_of("signed", LOOSE).body == LOOSE
    assert submission_of("signed", LOOSE, media=JSON).body == LOOSE
