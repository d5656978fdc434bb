"""The second factor: codes of an app that change every 30 seconds (RFC 6238), recovery codes."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pyotp
import segno

from relay.store.operators import Person

STEP_SECONDS = 30
# Clocks of telephones go so many steps wrong.
STEPS_ASIDE = 1
RECOVERY_CODES = 10
# As pyotp and the apps expect them.
SECRET_BYTES = 20
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another


def offered(session: str, person: Person) -> str:
    """Return the secret that a person may set up in a session: another one in every session.

    It is made of the session's secret, so that it need not be kept until it is confirmed.
    """
    about = f"second factor {person.id} {person.totp_step}"
    made = hmac.new(session.encode(), about.encode(), hashlib.sha256).digest()
    return base64.b32encode(made[:SECRET_BYTES]).decode()


def picture(secret: str, name: str) -> str:
    """Return the QR code that an app reads, as the address of an image."""
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Relay")
    return segno.make(uri, micro=False).svg_data_uri(scale=5, border=4, light="white")


def step_of(secret: str, code: str, now: float, after: int = 0) -> int | None:
    """Return the step whose code this is; None for a wrong one, and for steps that are used."""
    present, known = int(now) // STEP_SECONDS, pyotp.TOTP(secret)
    for step in range(present - STEPS_ASIDE, present + STEPS_ASIDE + 1):
        right = known.generate_otp(step)
        if hmac.compare_digest(right.encode(), _plain(code).encode()) and step > after:
            return step
    return None


def spent(person: Person, code: str, now: float) -> Mapping[str, Any] | None:
    """Return what a person's row is after a code of it was used; None for a wrong code.

    Nothing changes for a person without a second factor, whatever the code.
    """
    if person.totp_secret is None:
        return {}
    step = step_of(person.totp_secret, code, now, person.totp_step)
    if step is not None:
        return {"totp_step": step}
    left = json.loads(person.recovery_codes)
    others = [one for one in left if not hmac.compare_digest(one, _digest(code))]
    return {"recovery_codes": json.dumps(others)} if len(others) < len(left) else None


def recovery_codes() -> Sequence[str]:
    """Return new recovery codes: each is good once, instead of the app's."""
    return ["-".join(_letters(5) for _ in range(2)) for _ in range(RECOVERY_CODES)]


def digests(codes: Sequence[str]) -> str:
    """Return what is kept of recovery codes."""
    return json.dumps([_digest(code) for code in codes])


def left(person: Person) -> int:
    """Count the recovery codes that a person has left."""
    return len(json.loads(person.recovery_codes))


def _letters(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def _plain(code: str) -> str:
    """Return a code as it is compared: people type spaces, and capitals."""
    return "".join(code.split()).replace("-", "").lower()[:100]


def _digest(code: str) -> str:
    return hashlib.sha256(_plain(code).encode()).hexdigest()
