"""`run.py find`: what a person types, and what is said of a search that did not see all."""

import pytest

from relay.cli import find
from relay.core.states import State
from relay.store.engine.database import Store
from relay.store.queries.word_search import Found
from relay.store.words import index
from tests.support.daemon import Daemon
from tests.support.stored import CREATED, put

# Noon of 2026-11-28, in UTC.
NOON = 1795867200.0
DAY = 86400.0


@pytest.mark.parametrize(
    ("given", "since", "before"),
    [
        (["bridge"], None, None),
        (["2026-11-28"], NOON - DAY / 2, NOON + DAY / 2),
        (["today", "bridge"], NOON - DAY / 2, NOON + DAY / 2),
        (["Yesterday", "today"], NOON - 1.5 * DAY, NOON + DAY / 2),
        (["2026-11-20", "2026-11-28"], NOON - 8.5 * DAY, NOON + DAY / 2),
        (["after:2026-11-28", "state:sent"], NOON - DAY / 2, None),
        (["2026-02-30"], None, None),
    ],
)
def test_days_stand_among_the_words(
    given: list[str], since: float | None, before: float | None
) -> None:
    wanted = find._wanted(given, NOON)
    assert (wanted.since, wanted.before) == (since, before)


def test_what_the_shell_gives_as_one_stands_beside_each_other() -> None:
    [term] = find._wanted(["the bridge"], NOON).terms
    assert term.words == ("the", "bridge")
    assert len(find._wanted(["the", "bridge"], NOON).terms) == 2
    wanted = find._wanted(["subject:the bridge", "state:sent"], NOON)
    assert [one.words for one in wanted.terms] == [("the", "bridge")]
    assert wanted.states == (State.SENT,)


@pytest.mark.parametrize(
    ("found", "below", "said"),
    [
        (Found([], None), None, ["nothing found"]),
        (Found([], None), "id", ["nothing more found"]),
        (Found([], "id", CREATED), None, ["searched back to 2026-09-21 14:13:20Z"]),
        (
            Found([], None, unindexed=[(None, CREATED), (CREATED, CREATED + 1)]),
            None,
            [
                "nothing found",
                "not indexed yet: before 2026-09-21 14:13:20Z",
                "not indexed yet: 2026-09-21 14:13:20Z to 2026-09-21 14:13:21Z",
            ],
        ),
    ],
)
def test_what_was_not_searched_is_said(found: Found, below: str | None, said: list[str]) -> None:
    assert list(find._notes(found, below)) == said


@pytest.mark.slow
def test_the_command_lists_what_it_finds(offline: Daemon) -> None:
    store = Store(f"sqlite:///{offline.folder}/var/relay.db", offline.folder / "var")
    (offline.folder / "var").mkdir()
    store.open()
    id = put(store, 1, "failed")
    put(store, 2, "sent", server="permits")
    store.write_now(index.follow, [CREATED + DAY])
    store.write_now(index.go_back, [None])
    store.close()
    ran = offline.command("find", "an", "ide*", "state:failed")
    assert (ran.returncode, ran.stderr) == (0, "")
    line = f"2026-09-21 14:13:20Z  failed       contactform       {id}  -  An idea"
    assert ran.stdout.splitlines() == [line]
    assert offline.command("find", "nobody").stderr == "nothing found\n"
    ran = offline.command("find", "before:soon")
    assert ran.returncode == 2
    assert "before: is not a date" in ran.stderr
