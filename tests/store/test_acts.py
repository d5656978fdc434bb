"""What people ordered: listed newest first, found by who, what, or to what; with what was done."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection

from relay.store import acts
from relay.store.acts import Act, Acted, By, Wanted
from relay.store.engine.database import Store

JO = By("jo", "console", "192.0.2.7")


def noted(store: Store, *done: Act) -> None:
    def add(connection: Connection, batch: Sequence[Act]) -> Sequence[None]:
        acts.add(connection, batch)
        return [None] * len(batch)

    store.write_now(add, done)


def verbs(store: Store, wanted: Wanted, limit: int = 50) -> list[str]:
    return [act.verb for _, act in store.read_now(acts.page, wanted, limit).rows]


def test_acts_are_listed_newest_first_and_paged_by_key(store: Store) -> None:
    noted(store, *(Act(float(at), JO, f"verb {at}", "contactform") for at in range(5)))
    first = store.read_now(acts.page, Wanted(), 2)
    assert [act.verb for _, act in first.rows] == ["verb 4", "verb 3"]
    second = store.read_now(acts.page, Wanted(below=first.below), 2)
    assert [act.verb for _, act in second.rows] == ["verb 2", "verb 1"]
    last = store.read_now(acts.page, Wanted(below=second.below), 2)
    assert [act.verb for _, act in last.rows] == ["verb 0"]
    assert last.below is None


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("jo", ["pause"]),
        ("registry", ["resume", "pause"]),
        ("pause", ["pause"]),
        ("nobody", []),
        ("", ["lift", "resume", "pause"]),
        ("regis", []),
        ("192.0.2.7", []),
    ],
)
def test_a_word_is_who_did_it_what_was_done_or_to_what(
    store: Store, word: str, found: list[str]
) -> None:
    noted(
        store,
        Act(1.0, JO, "pause", "registry", "", "paused"),
        Act(2.0, By("ada", "command"), "resume", "registry", "paused"),
        Act(3.0, By("website", "api"), "lift", "other"),
    )
    assert verbs(store, Wanted(word)) == found


def test_times_bound_what_is_listed(store: Store) -> None:
    noted(store, *(Act(float(at), JO, str(at), "x") for at in range(5)))
    assert verbs(store, Wanted(since=1.0, before=3.0)) == ["2", "1"]


def test_what_is_too_long_is_cut_and_all_comes_back_as_it_was(store: Store) -> None:
    act = Act(1.5, JO, "readdress", "t" * 300, "failed", "n" * 300)
    noted(store, act)
    kept = act._replace(target="t" * 200, after="n" * 200)
    assert store.read_now(lambda connection: list(acts.everything(connection))) == [kept]
    assert store.read_now(acts.of, "t" * 200) == [kept]


def test_an_operation_and_its_act_are_one_commit(store: Store) -> None:
    def fails(connection: Connection, batch: Sequence[str]) -> Sequence[str]:
        noted = [Act(1.0, JO, "half", one) for one in batch]
        acts.add(connection, noted)
        raise ValueError("it fails")

    def works(connection: Connection, batch: Sequence[str]) -> Sequence[str]:
        return [one.upper() for one in batch]

    with pytest.raises(ValueError, match="it fails"):
        store.write_now(acts.acted, [Acted(fails, "a", lambda result: [])])
    done = Acted(works, "a", lambda result: [Act(2.0, JO, "shout", result)])
    assert store.write_now(acts.acted, [done]) == ["A"]
    assert verbs(store, Wanted()) == ["shout"]
