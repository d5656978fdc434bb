"""Keys that were made here, as rows: one good one of a name, revoked ones known for a while."""

import pytest

from relay.core.errors import KeyRefused
from relay.core.secret import digest
from relay.store import keys
from relay.store.cluster import versions
from relay.store.engine.database import Store
from relay.store.keys import KeyRow, NewKey

DAY = 86400


def new(name: str, secret: str = "", **others: object) -> NewKey:
    values = {"kind": "secret", "servers": ["contactform"], "made_at": 1.5, "expires_at": None}
    return NewKey(name, digest=digest((secret or name).encode()), **{**values, **others})  # type: ignore[arg-type]


def changes(store: Store) -> int:
    return store.read_now(versions.numbers).get("keys", 0)


def rows(store: Store) -> list[KeyRow]:
    return [*store.read_now(keys.listed)]


def test_a_key_is_read_as_it_was_made_by_name(store: Store) -> None:
    store.write_now(keys.add, [new("web", servers=["a", "b"], kind="publishable", expires_at=9.0)])
    store.write_now(keys.add, [new("app", servers=[])])
    [app, web] = rows(store)
    assert (app.key.id, app.key.servers, app.key.expires_at) == ("app", frozenset(), None)
    assert (web.key.kind, web.key.servers, web.key.digests, web.key.expires_at) == (
        "publishable",
        {"a", "b"},
        (digest(b"web"),),
        9.0,
    )
    assert (web.made_at, web.used_day, web.key.revoked_at) == (1.5, None, None)
    assert changes(store) == 2


def test_a_name_has_one_good_key_and_may_have_another_once_that_is_revoked(store: Store) -> None:
    store.write_now(keys.add, [new("app", "one")])
    [refused] = store.write_now(keys.add, [new("app", "two")])
    assert isinstance(refused, KeyRefused)
    assert str(refused) == "there is a key app already: revoke it first"
    store.write_now(keys.revoke, [("app", 2.0)])
    store.write_now(keys.add, [new("app", "three")])
    assert [row.key.revoked_at for row in rows(store)] == [2.0, None]
    assert changes(store) == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [("app", "app is revoked already"), ("ap", "did you mean app"), ("", "no key  was made here")],
)
def test_what_cannot_be_revoked_is_told_and_nobody_hears_of_it(
    store: Store, name: str, words: str
) -> None:
    store.write_now(keys.add, [new("app")])
    store.write_now(keys.revoke, [("app", 2.0)])
    [refused] = store.write_now(keys.revoke, [(name, 3.0)])
    assert isinstance(refused, KeyRefused)
    assert words in str(refused)
    assert (changes(store), rows(store)[0].key.revoked_at) == (2, 2.0)


def test_the_day_of_the_last_use_only_goes_on_and_is_of_one_key(store: Store) -> None:
    store.write_now(keys.add, [new("app", "one")])
    store.write_now(keys.revoke, [("app", 2.0)])
    store.write_now(keys.add, [new("app", "two")])
    before = changes(store)
    [old, good] = rows(store)
    for id, day in ((good.id, 20_000), (good.id, 20_002), (good.id, 20_001), (old.id, 5)):
        store.write_now(keys.note_use, [(id, day)])
    assert [row.used_day for row in rows(store)] == [5, 20_002]
    assert changes(store) == before


def test_a_revoked_key_is_forgotten_after_ninety_days_and_no_other(store: Store) -> None:
    for name in ("late", "long", "good", "expired"):
        store.write_now(keys.add, [new(name, expires_at=1.0 if name == "expired" else None)])
    now = 1000.0 * DAY
    store.write_now(keys.revoke, [("late", now - 89 * DAY)])
    store.write_now(keys.revoke, [("long", now - 91 * DAY)])
    assert store.write_now(keys.forget, [now]) == [1]
    assert [row.key.id for row in rows(store)] == ["expired", "good", "late"]
