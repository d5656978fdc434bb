"""One message's life between attempts, crashes and look-ups, against a small model of the rules."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from tornado.ioloop import IOLoop

from relay.core.addresses import Address
from relay.core.errors import DeliveryDeferred, DeliveryFailed, DeliveryInDoubt
from relay.core.message import Confirmation, Message
from relay.delivery import outcomes
from relay.delivery.in_doubt import InDoubtResolver
from relay.site import Site
from relay.store import documents
from relay.store.outbox import claims, enqueue
from relay.store.outbox import outcomes as settling
from relay.store.outbox.batching import ClaimOrder, Lane
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.outcomes import Claimed
from tests.support.generated import examples

SERVER = """
[servers.scripted]
plugins = ["scripted"]
retry = [10, 100]
"""

SCRIPTED = """
from relay import hookimpl

state = {"copies": 0, "view": "honest"}

@hookimpl
def deliver(messages, server):
    raise NotImplementedError

@hookimpl
def find(message, server):
    from relay.provider import ABSENT, Confirmation, DeliveryDeferred
    if state["view"] == "down":
        raise DeliveryDeferred("busy")
    if state["view"] == "broken":
        raise KeyError("broken")
    return Confirmation("found") if state["copies"] and state["view"] == "honest" else ABSENT
"""

HOUR = 3600.0
MAX_AGE = 72 * HOUR
START = 1_800_000_000.0
FINAL = ("sent", "failed", "expired", "quarantined", "held")

Fate = Literal["sent", "lost", "raised", "deferred", "failed"]
View = Literal["honest", "lagging", "down", "broken"]

RESULTS: dict[str, Callable[[], Any]] = {
    "sent": lambda: Confirmation("answered"),
    "lost": lambda: DeliveryInDoubt("no answer"),
    "raised": lambda: ValueError("broken"),
    "deferred": lambda: DeliveryDeferred("busy"),
    "failed": lambda: DeliveryFailed("no"),
}


class Model:
    """What the rules say of one message; `copies` is how many the provider took."""

    def __init__(self) -> None:
        self.state = "queued"
        self.since = self.due = START
        self.tries = self.crashes = self.copies = self.looks = self.absences = 0
        self.twice = False
        self.excused = 0  # copies that a late index or a blind resend allows
        self.failing: float | None = None

    def doubt(self, now: float, *, crashed: bool) -> None:
        self.state, self.due = "in_doubt", now + 120
        self.crashes += crashed
        self.looks = self.absences = 0
        self.failing = None

    def settle(self, fate: Fate, now: float) -> None:
        self.tries += 1
        if fate in ("lost", "raised"):
            self.doubt(now, crashed=fate == "raised")
        elif fate == "deferred" and now - self.since > MAX_AGE:
            self.state = "expired"
        elif fate == "deferred":
            self.state, self.due = "queued", now + (10 if self.tries == 1 else 100)
        else:
            self.state = fate

    def look(self, view: View, now: float) -> None:
        if view == "honest" and self.copies:
            self.state = "sent"
        elif view in ("honest", "lagging"):
            self.failing = None
            self.absences += 1
            if self.absences == 2:
                return self.again(now)
        elif self.failing is not None and now - self.failing >= 6 * HOUR:
            if self.twice:
                self.state = "held"
                return None
            return self.again(now)
        elif self.failing is None:
            self.failing = now
        self.looks += 1
        self.due = now + {1: 480, 2: 1200}.get(self.looks, 1800)
        return None

    def again(self, now: float) -> None:
        self.excused += 1 if self.copies else 0
        if self.crashes >= 4:
            self.state = "quarantined"
        elif self.twice and now - self.since > MAX_AGE:
            self.state = "expired"
        else:
            self.state, self.due, self.twice = "queued", now, True


class Life(RuleBasedStateMachine):
    """Drives one message through the real store, the real outcomes and the real look-ups."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self.world = world
        self.now = START
        self.model = Model()
        self.claimed: Claimed | None = None
        self.stale: list[Claimed] = []
        self.ended_as: str | None = None
        world.clear()
        self.id = world.insert()

    @initialize(crashes=st.integers(0, 3), twice=st.booleans())
    def begin(self, crashes: int, twice: bool) -> None:
        """Begin with a past, so that the last chances are within reach."""
        self.world.provider["copies"] = 0
        self.model.crashes, self.model.twice = crashes, twice
        self.world.change(crashes=crashes, maybe_twice=twice)

    @precondition(lambda self: self.model.state == "queued")
    @rule()
    def claim(self) -> None:
        # A look takes a moment, and what a dead daemon had accepted is not anybody's at once.
        self.now = max(self.now, self.model.due + claims.OWNED_SECONDS + 5)
        self.claimed = self.world.claim(self.now)
        assert self.claimed is not None
        assert self.claimed.id == self.id
        self.model.state, self.model.due = "sending", self.now + 150

    @precondition(lambda self: self.model.state == "sending")
    @rule(
        fate=st.sampled_from(["sent", "lost", "raised", "deferred", "failed"]), took=st.booleans()
    )
    def settle(self, fate: Fate, took: bool) -> None:
        assert self.claimed is not None
        self.now += 1
        self.take(fate == "sent" or (took and fate in ("lost", "raised")))
        assert self.world.settle(self.claimed, RESULTS[fate](), self.now)
        self.model.settle(fate, self.now)
        self.waits(self.model.state == "queued")

    @precondition(lambda self: self.model.state == "sending")
    @rule(took=st.booleans())
    def crash(self, took: bool) -> None:
        assert self.claimed is not None
        self.take(took)
        self.stale.append(self.claimed)
        self.world.dies()
        assert self.world.doubts.interrupted(self.now) == 1
        self.model.doubt(self.now, crashed=True)
        self.waits(False)

    @precondition(lambda self: self.model.state == "sending")
    @rule(took=st.booleans())
    def lapse(self, took: bool) -> None:
        assert self.claimed is not None
        self.take(took)
        self.stale.append(self.claimed)
        self.now += 151
        self.world.look(self.now)
        self.model.doubt(self.now, crashed=False)

    @precondition(lambda self: self.model.state == "in_doubt")
    @rule(view=st.sampled_from(["honest", "lagging", "down", "broken"]))
    def look(self, view: View) -> None:
        self.now = max(self.now, self.model.due + 5)
        self.world.provider["view"] = view
        assert self.world.look(self.now) == 1
        self.model.look(view, self.now)

    @rule()
    def look_early(self) -> None:
        if self.model.state == "in_doubt" or self.model.state == "sending":
            self.now = min(self.now, self.model.due - 60)
        self.world.provider["view"] = "lagging"
        assert self.world.look(self.now) == 0

    @precondition(lambda self: self.model.state == "in_doubt")
    @rule()
    def outage(self) -> None:
        """Let the search be down for longer than a message may wait for it."""
        for _ in range(2):
            if self.model.state == "in_doubt":
                self.look("down")
                self.now += 6.07 * HOUR

    @rule(hours=st.sampled_from([0.11, 1.03, 6.07, 30.3]))
    def wait(self, hours: float) -> None:
        if self.model.state != "sending":
            self.now += hours * HOUR

    @precondition(lambda self: self.stale)
    @rule(fate=st.sampled_from(["sent", "lost", "deferred", "failed"]))
    def settle_late(self, fate: Fate) -> None:
        assert not self.world.settle(self.stale[-1], RESULTS[fate](), self.now)

    @precondition(lambda self: self.model.state != "sending")
    @rule()
    def restart(self) -> None:
        assert self.world.doubts.interrupted(self.now) == 0

    def take(self, took: bool) -> None:
        self.model.copies += took
        self.world.provider["copies"] = self.model.copies

    def waits(self, still: bool) -> None:
        """Count as delivery does, which is not running here."""
        self.world.waiting -= 0 if still else 1

    @invariant()
    def the_row_is_as_the_rules_say(self) -> None:
        row, model = self.world.row(self.id), self.model
        assert row["state"] == model.state
        assert bool(row["maybe_twice"]) is model.twice
        assert row["crashes"] == model.crashes
        if model.state == "in_doubt":
            assert (row["looks"], row["absences"]) == (model.looks, model.absences)
        if model.state in ("in_doubt", "sending", "queued"):
            assert row["due_at"] == pytest.approx(model.due, abs=30)

    @invariant()
    def nothing_is_sent_twice_but_what_is_flagged_and_has_its_reason(self) -> None:
        assert self.model.copies <= 1 or self.world.row(self.id)["maybe_twice"]
        assert self.model.copies <= 1 + self.model.excused

    @invariant()
    def nothing_is_lost(self) -> None:
        state = self.world.row(self.id)["state"]
        assert state != "sent" or self.model.copies >= 1
        assert self.world.waiting == (state in ("queued", "sending"))

    @invariant()
    def a_final_state_stays(self) -> None:
        state = self.world.row(self.id)["state"]
        assert self.ended_as in (None, state)
        if state in FINAL:
            self.ended_as = state

    @invariant()
    def every_decision_has_its_event(self) -> None:
        kinds = self.world.kinds(self.id)
        last = {"held": "held", "quarantined": "quarantined"}.get(self.model.state)
        assert last is None or kinds[-1] == last
        assert kinds.count("resent") <= kinds.count("absent") // 2 + 1
        assert "resent" not in kinds or self.model.twice


class World:
    """A real store with one message in it, and what settles its doubts."""

    def __init__(self, site: Site, io_loop: IOLoop) -> None:
        self.site = site
        self.loop = io_loop
        self.waiting = 1
        self.doubts = InDoubtResolver(
            self.site.store, lambda: self.site.chains, self._revived, self._settled
        )
        self.provider: dict[str, Any] = sys.modules["relay_plugins.scripted"].state
        self.count = 0

    def _revived(self, count: int) -> None:
        self.waiting += count

    def _settled(self, count: int) -> None:
        self.waiting -= count

    def dies(self) -> None:
        """Let the daemon be another one from here on."""
        self.site.membership.leave()
        self.site.membership.join()

    def clear(self) -> None:
        def empty(connection: Any, batch: Any) -> list[None]:
            for table in ("messages", "contents", "attempts", "events"):
                connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - own names
            return [None]

        self.site.store.write_now(empty, [None])
        self.waiting = 1

    def insert(self) -> str:
        self.count += 1
        id = f"{self.count:036d}"
        message = Message(
            Address("a@example.gov"), (Address("b@example.gov"),), metadata={"relay-1": id}
        )
        row = NewMessage(id, "scripted", "queued", START, "", documents.dump(message))
        assert self.site.store.write_now(enqueue.add, [row]) == [None]
        return id

    def change(self, *, crashes: int, maybe_twice: bool) -> None:
        statement = text("UPDATE messages SET crashes = :crashes, maybe_twice = :twice")
        values = {"crashes": crashes, "twice": maybe_twice}
        self.site.store.write_now(
            lambda connection, batch: [connection.execute(statement, batch[0])], [values]
        )

    def claim(self, now: float) -> Claimed | None:
        lane = Lane("scripted", "scripted", "scripted", 1, 1, 150.0)
        [got] = self.site.store.write_now(claims.claim, [ClaimOrder(now, 1, {"scripted": [lane]})])
        return next((one for call in got.calls for one in call.messages), None)

    def settle(self, claimed: Claimed, answer: Any, now: float) -> bool:
        [result] = outcomes.per_message([answer] if isinstance(answer, Confirmation) else answer, 1)
        settlement = outcomes.settlement(
            claimed,
            result,
            self.site.chains["scripted"].server,
            "scripted",
            started_at=now - 1,
            now=now,
            random=0.5,
            watched=False,
        )
        [[done]] = self.site.store.write_now(settling.settle, [[settlement]])
        return done

    def look(self, now: float) -> int:
        return int(self.loop.run_sync(lambda: self.doubts.look(now)))

    def row(self, id: str) -> dict[str, Any]:
        query = text("SELECT * FROM messages WHERE id = :id")
        rows = self.site.store.read_now(lambda one: one.execute(query, {"id": id}).all())
        return dict(rows[0]._mapping)

    def kinds(self, id: str) -> list[str]:
        query = text("SELECT kind FROM events WHERE message = :id ORDER BY id")
        return list(self.site.store.read_now(lambda one: one.execute(query, {"id": id}).scalars()))


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "scripted.py").write_text(SCRIPTED, encoding="utf-8")
    return SERVER


@pytest.fixture
def world(site: Site, io_loop: IOLoop) -> Any:
    world = World(site, io_loop)
    yield world
    world.doubts.stop()


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_whatever_happens_a_message_is_neither_lost_nor_sent_twice_without_a_word(
    world: World,
) -> None:
    steps = hypothesis_settings(examples(50), stateful_step_count=50)
    run_state_machine_as_test(lambda: Life(world), settings=steps)
