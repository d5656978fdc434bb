"""A real identity provider, of Node, and a browser of somebody who signs in there."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from tornado.testing import bind_unused_port

from tests.support.node import installed

SCRIPT = Path(__file__).with_suffix(".mjs")
CLIENT_SECRET = "secret-of-this-client-at-the-provider"


class IdentityProvider:
    """The provider's process; `issuer` is its address."""

    def __init__(self, issuer: str, process: subprocess.Popen[str]) -> None:
        self.issuer, self.process = issuer, process

    def lie(self, about: str) -> None:
        """Let it lie about `keys` or `issuer`, or sign by `none` or `HS256`; "" is the truth."""
        requests.get(f"{self.issuer}/lie", {"about": about}, timeout=10)

    def sign_in(self, address: str, who: str) -> str:
        """Follow an address that Relay made, sign in; return where the provider sends one back."""
        browser = requests.Session()
        answer: Any = browser.get(address, timeout=10, allow_redirects=False)
        while (place := answer.headers.get("Location")) is not None:
            address = urljoin(address, place)
            if not address.startswith(self.issuer):
                return address
            answer = browser.get(address, timeout=10, allow_redirects=False)
            if "/interaction/" in address and answer.ok and not answer.is_redirect:
                prompt = "consent" if 'value="consent"' in answer.text else "login"
                form = {"prompt": prompt, "login": who, "password": "any"}
                answer = browser.post(address, form, timeout=10, allow_redirects=False)
        raise AssertionError(f"{answer.status_code} at {address}: {answer.text}")


@contextmanager
def identity_provider(folder: Path) -> Iterator[IdentityProvider]:
    """Run a provider on a free port, or skip the test."""
    installed(folder, "oidc-provider@9")
    script = shutil.copy(SCRIPT, folder)
    socket, port = bind_unused_port()
    socket.close()
    process = subprocess.Popen(
        ["node", script, str(port), CLIENT_SECRET],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield IdentityProvider(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
