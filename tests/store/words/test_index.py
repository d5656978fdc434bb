"""The index of words: what is in it, by whom it was stored, and that it forgets."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from relay.core.states import State
from relay.store.engine.database import Store
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue, retention
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.retention import Clearing
from relay.store.schema import contents
from relay.store.words import index
from tests.store.person.test_person import erased
from tests.support.person import fill
from tests.support.stored import CREATED, DOCUMENT, new_id, rows

LATER = CREATED + 86400


def put(store: Store, number: int, subject: str = "A bridge", at: float = CREATED) -> str:
    id = new_id(number, at)
    new = NewMessage(id, "permits", State.SENT, at, "key", DOCUMENT, subject=subject)
    store.write_now(enqueue.add, [new])
    return id


def filled(store: Store, now: float = LATER) -> None:
    while store.write_now(index.follow, [now]) != [0]:
        pass
    while store.write_now(index.go_back, [None]) != [0]:
        pass


def indexed(store: Store) -> list[str]:
    return [row["message"] for row in rows(store, "SELECT message FROM words ORDER BY message")]


@pytest.mark.parametrize("chunk", [1, 2, 3, 200])
def test_everything_is_indexed_once_whoever_stored_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(index, "CHUNK", chunk)
    ids = [put(store, number) for number in range(5)]
    filled(store)
    reach = store.read_now(index.reach)
    assert reach is not None
    assert (reach.above, indexed(store)) == ("", ids)
    ids += [put(store, number, at=LATER + number) for number in range(5, 8)]
    filled(store, LATER + 60)
    filled(store, LATER + 60)
    assert indexed(store) == ids


def test_what_may_still_be_being_stored_is_left_for_the_next_time(store: Store) -> None:
    filled(store)
    put(store, 1, at=LATER)
    store.write_now(index.follow, [LATER + 1])
    assert indexed(store) == []
    store.write_now(index.follow, [LATER + 3])
    assert len(indexed(store)) == 1


def test_what_a_clock_that_is_behind_stored_is_found_when_one_looks_again(store: Store) -> None:
    put(store, 5, at=LATER - 10)
    filled(store)
    put(store, 3, at=LATER - 10)
    put(store, 5, at=LATER - 20)
    filled(store)
    assert len(indexed(store)) == 1
    after = ""
    while after is not None:
        [after] = store.write_now(index.look_again, [after])
    assert len(indexed(store)) == 3


def test_messages_whose_ids_have_one_number_are_each_found_and_forgotten(store: Store) -> None:
    ids = [put(store, number) for number in range(4)]
    assert len({index.number(id) for id in ids}) == 1
    filled(store)
    store.write_now(one_by_one(index.forget), [ids[1:3]])
    assert indexed(store) == [ids[0], ids[3]]


def test_numbers_sort_as_ids_do() -> None:
    ids = [
        "019acc24-3000-7000-8000-000000000001",
        "019acc24-3000-7001-8000-000000000001",
        "019acc24-3000-7fff-bfff-ffffffffffff",
        "019acc24-3001-7000-8000-000000000001",
        "7fffffff-ffff-7fff-bfff-ffffffffffff",
    ]
    numbers = [index.number(id) for id in ids]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] < 2**63 - index.NUMBERS


@pytest.mark.parametrize(
    "subject",
    ["a'b \\ \"c\" 'd':1A", "x=y server=permits", "NEAR(a b) OR * ^", "東京", "\x00 \ud7ff", ""],
)
def test_no_text_breaks_the_index(store: Store, subject: str) -> None:
    if "\x00" in subject and store.shared is not None:
        subject = subject.replace("\x00", "")
    id = put(store, 1, subject)
    filled(store)
    assert indexed(store) == [id]


def gone_from(store: Store, word: str) -> Callable[[], bool]:
    path = store.path
    assert path is not None

    def is_gone() -> bool:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        files: Sequence[Path] = [path, path.with_name(path.name + "-wal")]
        return not any(word.encode() in one.read_bytes() for one in files if one.exists())

    return is_gone


@pytest.mark.sqlite
def test_words_of_what_was_cleared_are_gone_from_the_file_a_day_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "CHUNK", 3)
    ids = [put(store, number, f"bridge{number}") for number in range(20)]
    secret = put(store, 30, "xyzzy")
    filled(store)
    is_gone = gone_from(store, "xyzzy")
    assert not is_gone()
    store.write_now(retention.clear, [Clearing([secret], LATER)])
    [[since]] = [
        row.values()
        for row in rows(store, "SELECT value FROM installation WHERE name = 'words_forgotten'")
    ]
    day_later = float(since) + index.FORGOTTEN_SECONDS
    assert store.write_now(index.purge, [day_later - 1]) == [False]
    assert not is_gone()
    while store.write_now(index.purge, [day_later + 1]) == [True]:
        pass
    assert is_gone()
    assert indexed(store) == [*ids, secret]
    check = "INSERT INTO words(words) VALUES('integrity-check')"
    store.write_now(one_by_one(lambda connection, _: connection.exec_driver_sql(check)), [None])


@pytest.mark.sqlite
def test_words_are_gone_at_once_where_that_is_asked(store: Store) -> None:
    for number in range(20):
        put(store, number, f"bridge{number}")
    id = put(store, 30, "xyzzy")
    filled(store)

    @one_by_one
    def change(connection: Connection, _: None) -> None:
        changed = update(contents).where(contents.c.id == id)
        connection.execute(changed.values(subject="nothing"))
        index.renew(connection, [id])
        index.hurry(connection)

    store.write_now(change, [None])
    while store.write_now(index.purge, [LATER]) == [True]:
        pass
    assert gone_from(store, "xyzzy")()
    found = "SELECT message FROM words WHERE words MATCH 'nothing'"
    assert [row["message"] for row in rows(store, found)] == [id]


def test_nothing_is_forgotten_where_nothing_was_indexed(store: Store) -> None:
    id = put(store, 1)
    store.write_now(one_by_one(index.forget), [[id]])
    assert rows(store, "SELECT 1 FROM installation WHERE name = 'words_forgotten'") == []
    assert store.write_now(index.purge, [LATER]) == [False]


def test_what_is_erased_of_a_person_is_in_no_word_and_others_stay(store: Store) -> None:
    address = "zebedee@x-y.gov"
    fill(store, address)
    other = put(store, 900, "Zoe's bridge")
    filled(store)
    kept = len(indexed(store))
    assert "zebedee" in str(rows(store, "SELECT * FROM words"))
    erased(store, address)
    assert "zebedee" not in str(rows(store, "SELECT * FROM words"))
    assert other in indexed(store)
    assert len(indexed(store)) == kept
    if store.shared is None:
        while store.write_now(index.purge, [LATER]) == [True]:
            pass
        assert gone_from(store, "zebedee@")()
