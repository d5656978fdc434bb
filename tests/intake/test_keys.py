"""Keys that operators make: what may be made, how a key looks, and when its use is written."""

import re
import zlib
from typing import Any

import pytest

from relay.core import clock
from relay.core.errors import KeyRefused
from relay.intake.keys import DAY, KINDS, AskedKey, making, random_key, revoking
from relay.site import Site
from relay.store import acts, keys
from relay.store.acts import By, Wanted
from tests.conftest import SETTINGS

BY = By("jo", "command")
OPEN = (
    '\n[servers.open]\nplugins = ["bearer_token", "default", "mailbox"]\nsender = "a@example.gov"\n'
)


@pytest.fixture
def settings_toml() -> str:
    """A server more, whose keys may mail anybody."""
    return SETTINGS + OPEN


def order(site: Site, **asked: Any) -> tuple[str, Any]:
    wanted = {"name": "shop", "kind": "secret", "servers": ["default"], "expires_at": None}
    ring = site.configuration.keys
    return making(AskedKey(**{**wanted, **asked}), site.chains, ring.named_ids, BY)


async def made(site: Site, **asked: Any) -> str:
    key, ordered = order(site, **asked)
    await site.keys.order(ordered)
    return key


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_random_and_known_by_its_prefix_and_checksum(kind: Any) -> None:
    made = {random_key(kind) for _ in range(200)}
    assert len(made) == 200
    for key in made:
        assert re.fullmatch(rf"relay_{kind}_[0-9A-Za-z]{{49}}", key)
        number = 0
        for character in key[-6:]:
            number = (
                number * 62 + int(character, 36)
                if character.isdigit()
                else (number * 62 + ord(character) - (55 if character.isupper() else 61))
            )
        assert number == zlib.crc32(key[:-6].encode())


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name has letters"),
    ({"name": " shop"}, "name has letters"),
    ({"name": "shop\n"}, "name has letters"),
    ({"name": "sh op"}, "name has letters"),
    ({"name": "-shop"}, "name has letters"),
    ({"name": "../shop"}, "name has letters"),
    ({"name": "shöp"}, "name has letters"),
    ({"name": "shop\u202e"}, "name has letters"),
    ({"name": "١"}, "name has letters"),
    ({"name": "s" * 51}, "name has letters"),
    ({"name": "application"}, "the settings have a key application already"),
    ({"kind": "root"}, "a kind is one of secret, publishable, account"),
    ({"kind": ""}, "a kind is one of"),
    ({"servers": []}, "name the servers"),
    ({"servers": ["", " "]}, "name the servers"),
    ({"servers": ["defualt"]}, "no server defualt; did you mean default?"),
    ({"servers": ["default", "nowhere"]}, "no server nowhere"),
    ({"kind": "publishable", "servers": ["open"]}, "open has no recipients"),
    ({"kind": "publishable", "servers": ["*"]}, "open has no recipients"),
    ({"expires_at": 0.0}, "expired already"),
    ({"expires_at": -1e9}, "expired already"),
]


def test_what_cannot_be_made_is_told(site: Site) -> None:
    for asked, words in REFUSED:
        with pytest.raises(KeyRefused, match=re.escape(words)):
            order(site, **asked)
    assert site.store.read_now(keys.listed) == []


@pytest.mark.gen_test
async def test_servers_are_named_as_the_settings_have_them_and_an_account_needs_none(
    site: Site,
) -> None:
    await made(site, name="both", servers=["Default", " contactform ", "default", ""])
    await made(site, name="account2", kind="account", servers=[])
    rows = await site.store.read(keys.listed)
    assert [(row.key.id, row.key.servers) for row in rows] == [
        ("account2", frozenset()),
        ("both", {"contactform", "default"}),
    ]


@pytest.mark.gen_test
async def test_making_and_revoking_are_acts_that_name_no_key(site: Site) -> None:
    key = await made(site)
    with pytest.raises(KeyRefused):
        await made(site)
    await site.keys.order(revoking("shop", (), BY))
    with pytest.raises(KeyRefused):
        await site.keys.order(revoking("shop", (), BY))
    page = await site.store.read(acts.page, Wanted(), 10)
    done = [(act.by.who, act.verb, act.target, act.after) for _, act in page.rows]
    assert done == [
        ("jo", "revoke key", "shop", "revoked"),
        ("jo", "make key", "shop", "secret default"),
    ]
    assert key not in str(page)


def test_a_key_of_the_settings_is_not_revoked_here(site: Site) -> None:
    with pytest.raises(KeyRefused, match="application stands in the settings"):
        revoking("application", site.configuration.keys.named_ids, BY)


@pytest.mark.gen_test
async def test_the_day_of_use_is_written_once_a_day_and_not_when_it_is_used(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def day() -> int | None:
        [row] = site.store.read_now(keys.listed)
        return row.used_day

    today = int(clock.now() // DAY)
    await made(site)
    site.keys.used("shop")
    site.keys.used("application")
    site.keys.used("")
    assert day() is None
    await site.keys.note()
    assert day() == today
    writes = []
    monkeypatch.setattr(site.store, "write", lambda *given: writes.append(given))
    await site.keys.read_again()
    site.keys.used("shop")
    await site.keys.note()
    assert writes == []
    monkeypatch.setattr(clock, "_ahead", 1.0 * DAY)
    site.keys.used("shop")
    monkeypatch.undo()
    await site.keys.order(revoking("shop", (), BY))  # who revokes it wants to know
    site.keys.used("shop")
    await site.keys.note()
    assert day() == today + 1
