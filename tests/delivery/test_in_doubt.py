"""Messages in doubt: what is looked up and when, what each answer does, and what a crash leaves."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from relay.core.errors import DeliveryDeferred
from relay.core.message import ABSENT, Confirmation
from relay.delivery.in_doubt import InDoubtResolver
from relay.site import Site
from relay.store.outbox import claims, outcomes, recovery
from relay.store.outbox import in_doubt as doubts
from relay.store.outbox.batching import ClaimOrder, Lane
from relay.store.outbox.in_doubt import Decision
from tests.conftest import FORM, Outbox, Post
from tests.support.fake_postmark import FakePostmark, Taken, error
from tests.support.keys import APPLICATION_KEY

SERVERS = ("registry", "member", "notices", "eager", "scripted", "blind")

POSTMARK = """
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
deadline = 1.5
"""

SETTINGS = """
[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[servers.registry]
plugins = ["bearer_token", "default", "postmark"]
sender = "registry@example.gov"
recipients = ["@example.gov"]
POSTMARK
[servers.member]
plugins = ["bearer_token", "default"]
group = "registry"
sender = "member@example.gov"
recipients = ["@example.gov"]
settle = [5]

[servers.notices]
plugins = ["bearer_token", "default", "postmark"]
sender = "notices@example.gov"
recipients = ["@example.gov"]
in_doubt = "hold"
POSTMARK
[servers.eager]
plugins = ["bearer_token", "default", "postmark"]
sender = "eager@example.gov"
recipients = ["@example.gov"]
in_doubt = "resend"
retry = [10]
POSTMARK
[servers.scripted]
plugins = ["bearer_token", "default", "journal", "scripted"]
sender = "scripted@example.gov"
recipients = ["@example.gov"]
max_age_hours = 72

[servers.blind]
plugins = ["bearer_token", "default", "blind"]
sender = "blind@example.gov"
recipients = ["@example.gov"]
""".replace("POSTMARK", POSTMARK)

# Providers whose answers a test writes down: values are returned, exceptions raised.
SCRIPTED = """
from relay import DeliveryInDoubt, hookimpl

answers, asked, given = [], [], []

def answer(script, default):
    value = script.pop(0) if script else default
    if isinstance(value, Exception):
        raise value
    return value

@hookimpl
def deliver(messages, server):
    return [answer(given, DeliveryInDoubt("no answer")) for message in messages]
"""

FINDING = """
@hookimpl
def find(message, server):
    asked.append((message.id, server.name))
    return answer(answers, None)
"""

JOURNAL = """
from relay import hookimpl

seen = []

@hookimpl
def sent(message, receipt, server):
    seen.append((message.subject, receipt.provider_id, server.name))

@hookimpl
def expired(message, error):
    seen.append((message.subject, "expired", type(error).__name__))
"""

LOOKS = (120.0, 600.0, 1800.0)
HOUR = 3600.0
OUTAGE = DeliveryDeferred("busy", code="503/100")


@pytest.fixture
def settings_toml(postmark: FakePostmark, tmp_path: Path) -> str:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "scripted.py").write_text(SCRIPTED + FINDING, encoding="utf-8")
    (folder / "blind.py").write_text(SCRIPTED, encoding="utf-8")
    (folder / "journal.py").write_text(JOURNAL, encoding="utf-8")
    return SETTINGS.format(url=postmark.url)


@pytest.fixture
def settler(site: Site) -> InDoubtResolver:
    """What settles the site's doubts, with no loop around it."""
    return InDoubtResolver(
        site.store, lambda: site.chains, site.dispatcher.revived, site.dispatcher.settled
    )


def scripted(name: str = "scripted") -> Any:
    """The module of a plugin whose answers a test writes down."""
    return sys.modules[f"relay_plugins.{name}"]


class Case:
    """One message in doubt: its row, its events, the times of looks."""

    def __init__(self, site: Site, settler: InDoubtResolver, id: str) -> None:
        self.site = site
        self.settler = settler
        self.id = id
        self.lost_at: float = self.row["due_at"] - 120

    @property
    def row(self) -> dict[str, Any]:
        [row] = self._all("SELECT * FROM messages WHERE id = :id")
        return row

    @property
    def state(self) -> str:
        return str(self.row["state"])

    @property
    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]

    @property
    def events(self) -> list[dict[str, Any]]:
        return self._all("SELECT kind, words, at FROM events WHERE message = :id ORDER BY id")

    def _all(self, query: str) -> list[dict[str, Any]]:
        rows = self.site.store.read_now(
            lambda connection: connection.execute(text(query), {"id": self.id}).all()
        )
        return [dict(row._mapping) for row in rows]

    def change(self, **values: Any) -> None:
        """Write into the row what a test needs to be so."""
        setting = ", ".join(f"{name} = :{name}" for name in values)
        statement = text(f"UPDATE messages SET {setting} WHERE id = :id")  # noqa: S608 - own names
        self.site.store.write_now(
            lambda connection, batch: [connection.execute(statement, batch[0])],
            [{**values, "id": self.id}],
        )

    async def look(self, seconds: float) -> int:
        """Look up what is due so long after the answer was lost, and a second more."""
        return await self.settler.look(self.lost_at + seconds + 1)


@pytest.fixture
def in_doubt(site: Site, post: Post, settler: InDoubtResolver) -> Callable[..., Any]:
    """Post a message whose answer is lost."""

    async def lose(server: str = "scripted", form: dict[str, Any] = FORM) -> Case:
        reply = await post(f"/rest/email/{server}", form)
        assert reply.words == "Message queued"
        return Case(site, settler, reply.headers["X-Relay-Message-Id"])

    return lose


PutInDoubt = Callable[..., Any]


@pytest.mark.gen_test
async def test_what_the_provider_took_is_found_and_sent_with_its_own_id(
    site: Site, in_doubt: PutInDoubt, postmark: FakePostmark, outbox: Outbox, events: list[Any]
) -> None:
    postmark.answers = [Taken("reset")]
    case = await in_doubt("registry")
    assert case.state == "in_doubt"
    assert case.row["due_at"] == pytest.approx(time.time() + 120, abs=5)
    assert await case.look(117) == 0
    assert postmark.searches == []
    assert await case.look(120) == 1
    assert case.state == "sent"
    assert case.row["provider_id"] == postmark.accepted[0].id
    assert case.row["delivery"] == "postmark"
    assert not case.row["maybe_twice"]
    assert case.kinds == ["found"]
    [found] = [event for event in events if event["event"] == "message.found"]
    assert (found["id"], found["server"], found["looks"]) == (case.id, "registry", 1)
    assert len(postmark.accepted) == 1
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_what_the_provider_does_not_have_twice_is_sent_again_with_a_warning(
    site: Site, in_doubt: PutInDoubt, postmark: FakePostmark, events: list[Any]
) -> None:
    postmark.answers = ["reset"]
    case = await in_doubt("registry")
    assert await case.look(120) == 1
    assert (case.state, case.row["absences"], case.row["looks"]) == ("in_doubt", 1, 1)
    assert case.row["due_at"] == pytest.approx(case.lost_at + 601, abs=5)
    assert await case.look(590) == 0
    assert await case.look(605) == 1
    row = case.row
    assert (row["state"], row["maybe_twice"], row["absences"]) == ("queued", 1, 0)
    assert row["due_at"] == pytest.approx(case.lost_at + 605, abs=5)
    assert case.kinds == ["absent", "absent", "resent"]
    assert "may be delivered twice" in case.events[-1]["words"]
    [resent] = [event for event in events if event["event"] == "message.resent"]
    assert (resent["log_level"], resent["note"]) == ("warning", "may be delivered twice")
    assert site.dispatcher.waiting == 1
    assert await site.dispatcher.deliver_waiting(case.lost_at + 700) == 1
    assert case.state == "sent"
    assert len(postmark.accepted) == 1
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_what_the_index_shows_late_is_found_by_the_second_look_and_not_sent_again(
    in_doubt: PutInDoubt, postmark: FakePostmark
) -> None:
    postmark.answers = [Taken("reset")]
    postmark.lag_searches = 1
    case = await in_doubt("registry")
    await case.look(120)
    assert (case.state, case.row["absences"]) == ("in_doubt", 1)
    await case.look(605)
    assert (case.state, case.kinds) == ("sent", ["absent", "found"])
    assert len(postmark.accepted) == 1


@pytest.mark.gen_test
async def test_two_looks_are_as_far_apart_as_the_list_has_them_however_late_the_first_is(
    in_doubt: PutInDoubt,
) -> None:
    case = await in_doubt()
    scripted().answers[:] = [ABSENT, ABSENT]
    assert await case.look(HOUR) == 1
    assert case.row["due_at"] == pytest.approx(case.lost_at + HOUR + 480, abs=5)
    assert await case.look(HOUR + 470) == 0
    assert await case.look(HOUR + 485) == 1
    assert case.state == "queued"


@pytest.mark.gen_test
async def test_a_message_is_settled_by_its_own_servers_times_through_its_groups_plugin(
    in_doubt: PutInDoubt, postmark: FakePostmark
) -> None:
    postmark.answers = ["reset"]
    case = await in_doubt("member")
    case.lost_at = case.row["due_at"] - 5
    assert await case.look(3) == 0
    assert await case.look(5) == 1
    assert await case.look(11) == 1
    assert (case.state, len(postmark.searches)) == ("queued", 2)


OUTAGES: list[Any] = [OUTAGE, ValueError("secret"), "junk", True]


@pytest.mark.gen_test
@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: type(outage).__name__)
async def test_a_search_that_fails_is_no_absence_and_breaks_no_row_of_them(
    in_doubt: PutInDoubt, outage: Any, events: list[Any]
) -> None:
    case = await in_doubt()
    scripted().answers[:] = [outage, ABSENT, outage, ABSENT]
    seen = []
    for seconds in (120, 610, 1820, 3700):
        assert await case.look(seconds) == 1
        seen.append((case.state, case.row["looks"], case.row["absences"]))
    assert seen == [("in_doubt", 1, 0), ("in_doubt", 2, 1), ("in_doubt", 3, 1), ("queued", 0, 0)]
    assert case.kinds == ["looked_up", "absent", "looked_up", "absent", "resent"]
    assert "secret" not in json.dumps([case.events, events])


@pytest.mark.gen_test
async def test_the_last_step_of_the_list_holds_for_all_later_looks(in_doubt: PutInDoubt) -> None:
    case = await in_doubt()
    scripted().answers[:] = [OUTAGE] * 5
    gaps, at = [], 120.0
    for _ in range(5):
        await case.look(at)
        gaps.append(round(case.row["due_at"] - (case.lost_at + at + 1), -1))
        at += gaps[-1] + 5
    assert gaps == [480, 1200, 1800, 1800, 1800]


@pytest.mark.gen_test
async def test_six_hours_without_a_search_send_a_message_again_once_and_then_hold_it(
    site: Site, in_doubt: PutInDoubt, postmark: FakePostmark, events: list[Any]
) -> None:
    postmark.answers = ["reset", "reset"]
    postmark.down = (503, error(100, "Maintenance"))
    case = await in_doubt("registry")
    await case.look(120)
    await case.look(120 + 6 * HOUR - 60)
    assert (case.state, case.row["maybe_twice"]) == ("in_doubt", 0)
    await case.look(120 + 8 * HOUR)
    assert (case.state, case.row["maybe_twice"]) == ("queued", 1)
    assert case.kinds == ["looked_up"] * 3 + ["resent"]
    assert site.dispatcher.waiting == 1
    await site.dispatcher.deliver_waiting(case.lost_at + 9 * HOUR)
    assert (case.state, case.row["looks"]) == ("in_doubt", 0)
    await case.look(9 * HOUR + 150)
    await case.look(18 * HOUR)
    assert case.state == "held"
    assert case.kinds[-1] == "held"
    assert [event["log_level"] for event in events if event["event"] == "message.held"] == [
        "warning"
    ]
    assert await case.look(99 * HOUR) == 0
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_one_failed_search_after_a_long_stop_sends_nothing_again(
    in_doubt: PutInDoubt,
) -> None:
    case = await in_doubt()
    scripted().answers[:] = [OUTAGE, ABSENT, OUTAGE]
    await case.look(50 * HOUR)
    await case.look(59 * HOUR)
    await case.look(61 * HOUR)
    assert (case.state, case.kinds) == ("in_doubt", ["looked_up", "absent", "looked_up"])


@pytest.mark.gen_test
async def test_what_no_plugin_can_look_up_is_sent_again_once_after_ten_minutes_and_then_held(
    site: Site, in_doubt: PutInDoubt
) -> None:
    case = await in_doubt("blind")
    assert await case.look(120) == 1
    assert (case.state, case.row["maybe_twice"]) == ("in_doubt", 0)
    assert await case.look(595) == 0
    assert await case.look(605) == 1
    assert (case.state, case.row["maybe_twice"]) == ("queued", 1)
    await site.dispatcher.deliver_waiting(case.lost_at + 650)
    assert case.state == "in_doubt"
    await case.look(800)
    await case.look(1400)
    assert (case.state, case.kinds[-1]) == ("held", "held")


@pytest.mark.gen_test
async def test_a_message_whose_metadata_has_no_room_for_its_id_is_held_and_nobody_is_asked(
    in_doubt: PutInDoubt, outbox: Outbox, site: Site
) -> None:
    form = {**FORM, **{f"email[metadata][key{number}]": "x" for number in range(10)}}
    case = await in_doubt("scripted", form)
    document = outbox.last()["document"]
    document["metadata"] = {f"key{number}": "x" for number in range(10)}
    statement = text("UPDATE contents SET document = :document")
    site.store.write_now(
        lambda connection, batch: [connection.execute(statement, {"document": batch[0]})],
        [json.dumps(document)],
    )
    assert await case.look(120) == 1
    assert (case.state, case.kinds) == ("held", ["held"])
    assert "metadata" in case.events[0]["words"]
    assert scripted().asked == []


@pytest.mark.gen_test
async def test_a_message_that_cannot_be_read_is_held(in_doubt: PutInDoubt, site: Site) -> None:
    case = await in_doubt()
    statement = text("UPDATE contents SET document = 'broken'")
    site.store.write_now(lambda connection, batch: [connection.execute(statement)], [None])
    assert await case.look(120) == 1
    assert (case.state, scripted().asked) == ("held", [])


@pytest.mark.gen_test
async def test_an_observer_learns_that_a_message_in_doubt_was_sent(in_doubt: PutInDoubt) -> None:
    case = await in_doubt()
    scripted().answers[:] = [Confirmation("found-1", words="Processed")]
    await case.look(120)
    assert scripted("journal").seen == [(FORM["subject"], "found-1", "scripted")]
    assert case.row["words"] == "Processed"


@pytest.mark.gen_test
async def test_only_the_plugin_that_made_the_attempt_is_asked(in_doubt: PutInDoubt) -> None:
    case = await in_doubt()
    case.change(delivery="blind")
    assert await case.look(2 * HOUR) == 0
    assert scripted().asked == []
    case.change(delivery=None)
    scripted().answers[:] = [Confirmation("found-1")]
    assert await case.look(2 * HOUR) == 1
    assert scripted().asked == [(case.id, "scripted")]
    assert case.row["delivery"] == "scripted"


@pytest.mark.gen_test
async def test_messages_of_a_server_that_is_gone_stay_in_doubt_and_are_told_of_once(
    in_doubt: PutInDoubt, settler: InDoubtResolver, site: Site, events: list[Any]
) -> None:
    case, other = await in_doubt(), await in_doubt("blind")
    left = {name: chain for name, chain in site.chains.items() if name != "scripted"}
    site.configuration = replace(site.configuration, chains=left)
    before = case.row
    assert await case.look(9 * HOUR) == 1
    assert await case.look(9 * HOUR + 1) == 0
    assert case.row == before
    assert other.row["looks"] == 1
    [told] = [event for event in events if event["event"] == "messages.unasked"]
    assert (told["server"], told["plugin"], told["count"]) == ("scripted", "scripted", 1)


@pytest.mark.gen_test
async def test_a_held_policy_holds_at_once_and_asks_nobody(
    site: Site, in_doubt: PutInDoubt, postmark: FakePostmark
) -> None:
    postmark.answers = ["reset"]
    case = await in_doubt("notices")
    assert case.state == "held"
    assert await case.look(9 * HOUR) == 0
    assert (case.state, postmark.searches) == ("held", [])
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("server", "kind", "twice"), [("notices", "held", 0), ("eager", "resent", 1)]
)
async def test_what_a_crash_left_is_settled_by_the_policy_too(
    site: Site,
    in_doubt: PutInDoubt,
    settler: PutInDoubt,
    postmark: FakePostmark,
    server: str,
    kind: str,
    twice: int,
) -> None:
    postmark.answers = [(503, b"")]
    case = await in_doubt(server)
    case.change(state="sending")
    site.membership.leave()
    now = time.time()
    assert settler.interrupted(now) == 1
    assert await settler.look(now) == 1
    assert (case.kinds, case.row["maybe_twice"]) == (["interrupted", kind], twice)
    assert postmark.searches == []


@pytest.mark.gen_test
async def test_what_is_sent_again_at_once_is_held_when_it_is_too_old(
    in_doubt: PutInDoubt, settler: InDoubtResolver, postmark: FakePostmark
) -> None:
    postmark.answers = [(503, b"")]
    case = await in_doubt("eager")
    now = time.time()
    case.change(state="in_doubt", due_at=now, since=now - 73 * HOUR)
    assert await settler.look(now) == 1
    assert (case.state, case.kinds) == ("held", ["held"])


async def claimed(site: Site, server: str, now: float) -> outcomes.Claimed:
    lane = Lane(server, server, server, 1, 1, 150.0)
    order = ClaimOrder(now, 1, {server: [lane]})
    got = await site.store.write(claims.claim, order)
    [[one]] = [call.messages for call in got.calls]
    return one


def settled(one: outcomes.Claimed, now: float) -> outcomes.AttemptOutcome:
    return outcomes.AttemptOutcome(
        claimed=one,
        state="sent",
        due_at=now,
        counted=True,
        delivery="scripted",
        outcome="sent",
        words="OK",
        started_at=now,
        ended_at=now,
        provider_id="late",
    )


@pytest.mark.gen_test
async def test_a_claim_that_outlived_its_lease_is_in_doubt_and_a_late_outcome_changes_nothing(
    site: Site, in_doubt: PutInDoubt, settler: InDoubtResolver
) -> None:
    case = await in_doubt()
    now = time.time()
    case.change(state="queued", due_at=now)
    site.dispatcher._waiting += 1
    one = await claimed(site, "scripted", now)
    assert case.state == "sending"
    assert await settler.look(now + 140) == 0
    assert case.state == "sending"
    await settler.look(now + 160)
    row = case.row
    assert (row["state"], row["fence"], row["crashes"]) == ("in_doubt", one.fence + 1, 0)
    assert row["due_at"] == pytest.approx(now + 160 + 120)
    assert case.kinds == ["interrupted"]
    assert site.dispatcher.waiting == 0
    assert await site.store.write(outcomes.settle, [settled(one, now)]) == [False]
    assert case.row == row


@pytest.mark.gen_test
async def test_what_a_stopped_daemon_was_sending_is_in_doubt_with_a_crash_more(
    site: Site, in_doubt: PutInDoubt, settler: InDoubtResolver
) -> None:
    case, waiting = await in_doubt(), await in_doubt()
    now = time.time()
    case.change(state="queued", due_at=now)
    waiting.change(state="queued", due_at=now + 99)
    one = await claimed(site, "scripted", now)
    site.membership.leave()
    assert settler.interrupted(now) == 1
    row = case.row
    assert (row["state"], row["crashes"], row["fence"]) == ("in_doubt", 1, one.fence + 1)
    assert row["due_at"] == now + 120
    assert case.kinds == ["interrupted"]
    assert waiting.state == "queued"
    assert waiting.kinds == []
    assert settler.interrupted(now) == 0
    assert await site.store.write(outcomes.settle, [settled(one, now)]) == [False]
    assert case.state == "in_doubt"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("crashes", "state"), [(0, "queued"), (3, "queued"), (4, "quarantined"), (9, "quarantined")]
)
@pytest.mark.parametrize("server", ["scripted", "blind"])
async def test_a_message_with_four_crashes_is_quarantined_where_it_would_be_sent_again(
    in_doubt: PutInDoubt, server: str, crashes: int, state: str, site: Site
) -> None:
    case = await in_doubt(server)
    case.change(crashes=crashes)
    scripted().answers[:] = [ABSENT, ABSENT]
    await case.look(120)
    await case.look(605)
    assert case.state == state
    assert case.kinds[-1] == ("resent" if state == "queued" else "quarantined")
    assert site.dispatcher.waiting == (1 if state == "queued" else 0)


@pytest.mark.gen_test
async def test_a_message_with_many_crashes_that_is_found_is_sent(in_doubt: PutInDoubt) -> None:
    case = await in_doubt()
    case.change(crashes=9)
    scripted().answers[:] = [Confirmation("found-1")]
    await case.look(120)
    assert case.state == "sent"


@pytest.mark.gen_test
async def test_a_plugin_that_breaks_on_a_message_four_times_has_it_quarantined(
    site: Site, in_doubt: PutInDoubt
) -> None:
    scripted().given[:] = [ValueError("broken")] * 4
    scripted().answers[:] = [ABSENT] * 8
    case = await in_doubt()
    now = case.lost_at
    for crashes in (1, 2, 3, 4):
        assert (case.state, case.row["crashes"]) == ("in_doubt", crashes)
        await case.settler.look(now + 200)
        await case.settler.look(now + 2000)
        now += 2 * HOUR
        await site.dispatcher.deliver_waiting(now)
    assert case.state == "quarantined"
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_a_message_that_was_sent_again_and_is_absent_when_too_old_expires(
    in_doubt: PutInDoubt,
) -> None:
    first, again = await in_doubt(), await in_doubt()
    scripted().answers[:] = [ABSENT] * 4
    for case in (first, again):
        case.change(since=case.lost_at - 73 * HOUR)
    again.change(maybe_twice=True)
    await again.look(120)
    await again.look(605)
    assert (first.state, again.state) == ("queued", "expired")
    assert again.kinds == ["absent", "absent", "expired"]
    assert scripted("journal").seen == [(FORM["subject"], "expired", "DeliveryInDoubt")]


@pytest.mark.gen_test
async def test_what_waits_for_a_later_time_waits_for_it_after_its_doubt(
    in_doubt: PutInDoubt,
) -> None:
    case = await in_doubt()
    later = case.lost_at + 5 * HOUR
    case.change(since=later)
    scripted().answers[:] = [ABSENT] * 2
    await case.look(120)
    await case.look(605)
    assert (case.state, case.row["due_at"]) == ("scheduled", later)


@pytest.mark.gen_test
async def test_a_clock_that_was_set_back_parks_no_message_in_doubt(in_doubt: PutInDoubt) -> None:
    case = await in_doubt()
    scripted().answers[:] = [Confirmation("found-1")]
    assert await case.look(-24 * HOUR) == 1
    assert case.state == "sent"


@pytest.mark.gen_test
async def test_many_messages_are_each_looked_up_once_in_a_pass(
    site: Site, in_doubt: PutInDoubt, settler: InDoubtResolver
) -> None:
    cases = await asyncio.gather(*(in_doubt() for _ in range(130)))
    for case in cases:  # a provider that does not answer is given few of them
        case.change(state="in_doubt", due_at=case.lost_at + 120)
    module = scripted()
    module.answers[:] = [Confirmation(f"found-{number}") for number in range(130)]
    assert await settler.look(time.time() + 125) == 130
    assert sorted(id for id, _ in module.asked) == sorted(case.id for case in cases)
    assert {case.state for case in cases} == {"sent"}


@pytest.mark.gen_test
async def test_an_outage_of_one_provider_leaves_the_other_ones_messages_to_be_settled(
    in_doubt: PutInDoubt, settler: InDoubtResolver, postmark: FakePostmark
) -> None:
    cases = [await in_doubt() for _ in range(10)]
    for case in cases:
        case.change(state="in_doubt", due_at=case.lost_at + 120)
    postmark.answers = [Taken("reset")]
    other = await in_doubt("registry")
    scripted().answers[:] = [OUTAGE] * 20
    await settler.look(time.time() + 125)
    assert other.state == "sent"
    assert len(scripted().asked) <= 4  # not ten times the deadline of a provider that is down
    assert {case.state for case in cases} == {"in_doubt"}
    scripted().answers.clear()
    scripted().answers[:] = [Confirmation("found")] * 20
    await settler.look(time.time() + 700)
    assert {case.state for case in cases} == {"sent"}


def decision(doubt: doubts.Doubt, now: float, **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "doubt": doubt,
        "at": now,
        "state": "queued",
        "due_at": now,
        "looks": 0,
        "absences": 0,
        "maybe_twice": True,
        "delivery": None,
        "words": "",
        "events": (("resent", ""),),
    }
    return Decision(**{**values, **changes})


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "change", [{"state": "queued"}, {"state": "held"}, {"fence": 77}, {"looks": 1}]
)
async def test_nothing_is_decided_for_a_message_that_has_changed_since(
    in_doubt: PutInDoubt, site: Site, change: dict[str, Any]
) -> None:
    case = await in_doubt()
    now = case.lost_at + 125
    [doubt] = site.store.read_now(doubts.due, now, 1800.0, [("scripted", "scripted")])
    case.change(**change)
    before = case.row
    assert await site.store.write(doubts.decide, decision(doubt, now)) is False
    assert (case.row, case.kinds) == (before, [])


@pytest.mark.gen_test
async def test_of_two_decisions_on_the_same_look_the_first_counts(
    in_doubt: PutInDoubt, site: Site
) -> None:
    case = await in_doubt()
    now = case.lost_at + 125
    [doubt] = site.store.read_now(doubts.due, now, 1800.0, [("scripted", "scripted")])
    one = decision(doubt, now, state="sent", events=(("found", ""),))
    results = site.store.write_now(doubts.decide, [one, decision(doubt, now)])
    assert (results, case.state, case.kinds) == ([True, False], "sent", ["found"])


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_messages_in_doubt_are_found_by_their_index(site: Site) -> None:
    plans: list[str] = []

    def explain(connection: Any) -> None:
        from sqlalchemy import event

        @event.listens_for(connection, "before_cursor_execute", retval=True)
        def before(*arguments: Any) -> Any:
            _, cursor, statement, parameters, _, _ = arguments
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in rows)
            return statement, parameters

        doubts.due(connection, time.time(), 1800.0, [("scripted", "scripted")])
        recovery.any_lapsed(connection, time.time())

    site.store.read_now(explain)
    [*_, lapsed] = plans
    assert "messages_undecided" in lapsed
    assert any("messages USING INDEX messages_undecided" in plan for plan in plans[:-1])
    assert not any(plan.startswith("SCAN messages") and "INDEX" not in plan for plan in plans)


@pytest.mark.gen_test
async def test_the_loop_looks_until_it_is_stopped_and_outlives_a_store_that_fails(
    in_doubt: PutInDoubt, settler: InDoubtResolver, site: Site, events: list[Any]
) -> None:
    case = await in_doubt()
    scripted().answers[:] = [Confirmation("found-1")]
    case.change(due_at=time.time() - 1)
    running = asyncio.ensure_future(settler.run())
    while case.state != "sent":
        await site.store.read(recovery.any_lapsed, 0.0)
    settler.stop()
    await asyncio.wait_for(running, 5)
    assert not [event for event in events if event["event"] == "doubts.unsettled"]


@pytest.mark.gen_test
async def test_no_words_of_a_provider_and_no_address_stand_in_the_log(
    in_doubt: PutInDoubt, events: list[Any]
) -> None:
    case = await in_doubt()
    scripted().answers[:] = [
        DeliveryDeferred("canary desk@example.gov", code="500/0"),
        Confirmation("found-1", words="canary"),
    ]
    await case.look(120)
    await case.look(605)
    assert case.state == "sent"
    logged = json.dumps([event for event in events if event["event"] != "message.accepted"])
    assert "canary" not in logged
    assert "desk@" not in logged
    assert APPLICATION_KEY not in logged
