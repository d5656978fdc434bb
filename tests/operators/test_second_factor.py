"""Codes of an app and recovery codes: right ones, wrong ones, used ones."""

import json
from typing import Any

import pyotp
import pytest

from relay.operators import second_factor
from relay.store.operators import Person

# RFC 6238, appendix B: the secret of its SHA-1 examples, of whose 8 digits an app shows the last 6.
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
NOW = 1_790_000_000.0
STEP = int(NOW) // 30
CODES = ["abcde-fghjk", "mnpqr-stuvw"]


def person(**values: Any) -> Person:
    row: dict[str, Any] = dict.fromkeys(Person._fields)
    row |= {"id": 1, "name": "jo", "totp_secret": SECRET, "totp_step": 0}
    row |= {"recovery_codes": second_factor.digests(CODES), **values}
    return Person(**row)


def code(step: int) -> str:
    return pyotp.TOTP(SECRET).generate_otp(step)


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_rfc(at: int, shown: str) -> None:
    assert second_factor.step_of(SECRET, shown, at) == at // 30


@pytest.mark.parametrize(
    ("typed", "used", "left"),
    [
        (code(STEP), {"totp_step": STEP}, 2),
        (code(STEP - 1), {"totp_step": STEP - 1}, 2),
        (code(STEP + 1), {"totp_step": STEP + 1}, 2),
        (f" {code(STEP)[:3]} {code(STEP)[3:]} ", {"totp_step": STEP}, 2),
        ("abcde-fghjk", None, 1),
        ("ABCDE FGHJK", None, 1),
        ("abcdefghjk", None, 1),
    ],
)
def test_a_right_code_is_used_up(typed: str, used: dict[str, int] | None, left: int) -> None:
    spent = second_factor.spent(person(), typed, NOW)
    assert spent is not None
    if used is not None:
        assert spent == used
    assert second_factor.left(person(**spent)) == left
    assert second_factor.spent(person(**spent), typed, NOW) is None


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "000000",
        code(STEP - 2),
        code(STEP + 2),
        code(STEP)[:5],
        code(STEP) + "0",
        "abcde",
        "é" * 9,
    ],
)
def test_a_wrong_code_is_none(typed: str) -> None:
    assert second_factor.spent(person(), typed, NOW) is None


def test_of_two_codes_that_are_good_the_older_one_is_not_after_the_newer() -> None:
    after = person(totp_step=STEP)
    assert second_factor.spent(after, code(STEP - 1), NOW) is None
    assert second_factor.spent(after, code(STEP + 1), NOW) == {"totp_step": STEP + 1}


@pytest.mark.parametrize("typed", ["", "000000", "abcde-fghjk"])
def test_who_has_no_second_factor_needs_no_code(typed: str) -> None:
    assert second_factor.spent(person(totp_secret=None), typed, NOW) == {}


def test_recovery_codes_are_many_different_and_kept_as_digests() -> None:
    codes = second_factor.recovery_codes()
    assert len(set(codes)) == second_factor.RECOVERY_CODES
    assert not [one for one in codes if one in second_factor.digests(codes)]
    assert len(json.loads(second_factor.digests(codes))) == len(codes)


def test_what_is_offered_is_of_one_session_and_one_person() -> None:
    offers = {
        second_factor.offered("one", person()),
        second_factor.offered("two", person()),
        second_factor.offered("one", person(id=2)),
        second_factor.offered("one", person(totp_step=1)),
    }
    assert len(offers) == 4
    assert second_factor.offered("one", person()) in offers
    assert {len(one) for one in offers} == {32}


def test_the_picture_is_an_image_without_styles() -> None:
    picture = second_factor.picture(SECRET, "jo")
    assert picture.startswith("data:image/svg+xml")
    assert "style" not in picture
