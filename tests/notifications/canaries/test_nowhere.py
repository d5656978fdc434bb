"""Canaries count nowhere: whatever is listed, counted or told is without them."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from relay.core.errors import DeliveryDeferred, DeliveryFailed
from relay.core.message import ProviderEvent
from relay.core.states import State
from relay.intake.outbox import Outgoing
from relay.notifications.alerts import digest
from relay.notifications.alerts.digest import Span
from relay.notifications.canaries import form
from relay.operators import measurements, overview
from relay.site import Site
from relay.store import receipts, webhooks
from relay.store.engine.database import Connection
from relay.store.maintenance.audit import audit
from relay.store.outbox import unsent
from relay.store.outbox.unsent import Selection
from relay.store.queries import causes, listing, search, statistics, word_search
from relay.store.queries.search import Search
from relay.store.queries.word_search import Term, Wanted
from relay.store.words import index
from tests.conftest import FORM, Post
from tests.notifications.alerts.conftest import script
from tests.notifications.canaries.conftest import DAY, DUE, HOUR, TO, Watched
from tests.support.stored import by, rows
from tests.support.webhook_receiver import SECRET as WHSEC

JOURNAL = """
from relay import hookimpl

seen = []

@hookimpl
def accepted(message, server):
    seen.append(("accepted", message.id))

@hookimpl
def sent(message, receipt, server):
    seen.append(("sent", message.id))

@hookimpl
def deferred(message, error, server):
    seen.append(("deferred", message.id))

@hookimpl
def failed(message, error, server):
    seen.append(("failed", message.id))

@hookimpl
def bounced(event, server):
    seen.append(("bounced", event.message))
"""

pytestmark = pytest.mark.parametrize("flies", ["scripted"], indirect=True)

SERVERS = ["scripted", "boxed"]
# What the store says, by where it is shown.
READ: Mapping[str, Callable[[Connection, Site, float], Any]] = {
    "days": lambda store, site, now: statistics.days(store, ""),
    "last hour": lambda store, site, now: statistics.last_hour(store, now + HOUR / 2),
    "waiting": lambda store, site, now: statistics.waiting(store, SERVERS),
    "undecided": lambda store, site, now: statistics.undecided(store),
    "oldest": lambda store, site, now: statistics.oldest_waiting(store, SERVERS, now + DAY),
    "last accepted": lambda store, site, now: statistics.last_accepted(store, SERVERS),
    "ended": lambda store, site, now: statistics.ended(store, list(State), 0.0, now + DAY),
    "accepted": lambda store, site, now: statistics.accepted(store, 0.0),
    "unsent": lambda store, site, now: statistics.unsent(store, 0.0),
    "digest": lambda store, site, now: _digest(store, site, now),
    "mailbox": lambda store, site, now: listing.mailbox(store, None, 50),
    "count of unsent": lambda store, site, now: listing.count_unsent(store),
    "queue": lambda store, site, now: unsent.page(store, Selection(dismissed=True), None, 50),
    "queue's counts": lambda store, site, now: unsent.counts(store),
    "to do": lambda store, site, now: causes.groups(store, now + DAY),
    "list": lambda store, site, now: _found(store, Wanted()),
    "list of a server": lambda store, site, now: _found(store, Wanted(servers=["scripted"])),
    "list of failed": lambda store, site, now: _found(store, Wanted(states=[State.FAILED])),
    "words": lambda store, site, now: _found(store, Wanted([Term(("canary",))])),
    "Postmark's search": lambda store, site, now: search.find(store, Search("scripted"), 0, 50),
    "overview": lambda store, site, now: _overview(store, site, now),
    "receipts": lambda store, site, now: receipts.waiting(store, "", 50),
    "calls": lambda store, site, now: webhooks.page(store, "crm", None, 50),
    "audit": lambda store, site, now: audit(store),
}


def _found(store: Connection, wanted: Wanted) -> Any:
    return word_search.find(store, wanted, None, 50)


def _digest(store: Connection, site: Site, now: float) -> Any:
    made = digest.make(store, Span(0.0, now + DAY, 0, 2**31), site.settings.alerts)
    return made.model["servers"], made.model["title"]


def _overview(store: Connection, site: Site, now: float) -> Any:
    standing = overview.read(store, site.configuration.servers, now + HOUR / 2)
    return standing.servers, standing.hour, standing.to_do


@pytest.fixture
def without_canaries(without_canaries: str, tmp_path: Path) -> str:
    (tmp_path / "plugins" / "journal.py").write_text(JOURNAL, encoding="utf-8")
    crm = """
[webhooks.crm]
url = "https://crm.example.gov"
secret = { env = "CRM_SECRET" }
events = ["accepted", "sent", "failed", "held", "delivered", "bounced"]
"""
    return (
        without_canaries.replace('"default", "provider"', '"default", "journal", "provider"') + crm
    )


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "CRM_SECRET": WHSEC}


async def seen(site: Site, now: float) -> dict[str, Any]:
    """What is shown everywhere."""
    for until in (now - DAY, now + DAY):
        await site.store.write(index.follow, until)
    await site.webhooks._make_calls(now)
    found = {name: site.store.read_now(read, site, now) for name, read in READ.items()}
    found["index of words"] = rows(site.store, "SELECT count(*) FROM words")
    text = (await site.measurements.text([])).decode()
    found["metrics"] = re.findall(
        r"^relay_(?:submissions|messages|attempts|attempt_seconds_count|waiting|oldest)\S* .*$",
        text,
        re.MULTILINE,
    )
    found["person"] = asdict(await site.persons.find(TO))
    found["observers"] = list(sys.modules["relay_plugins.journal"].seen)
    taken = site.event_counts.take()
    site.event_counts.give_back(taken)
    found["alerts' counts"] = taken
    return found


async def fly(watched: Watched, now: float) -> list[str]:
    """Make canaries that come to every end; return their ids."""
    site = watched.site
    await watched.look(now)
    sent = watched.outbox.last()["id"]
    bounce = ProviderEvent(
        "bounced", "1", message=sent, recipient="desk@example.gov", permanent=True
    )
    await site.provider_events.take([bounce], site.chains["scripted"], site.chains, now)
    script("provider").answers[:] = [DeliveryFailed("no")]
    await watched.look(now + DUE)
    script("provider").answers[:] = [DeliveryDeferred("busy", code="503/0")] * 9
    await watched.look(now + 2 * DUE)
    return [row["id"] for row in watched.outbox.rows()[1:]]


@pytest.fixture(autouse=True)
def read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics that read the store whenever they are asked for."""
    monkeypatch.setattr(measurements, "READ_SECONDS", -1.0)
    monkeypatch.setattr(measurements, "SPARED", 0)


@pytest.mark.slow
@pytest.mark.gen_test(timeout=30)
async def test_they_are_in_no_list_and_no_count(
    watched: Watched, site: Site, post: Post, now: float
) -> None:
    assert (await post("/rest/email/scripted", FORM)).words == "Message sent"
    before = await seen(site, now)
    ids = await fly(watched, now)
    assert [row["state"] for row in watched.all] == ["sent", "failed", "queued"]
    after = await seen(site, now)
    for place, shown in before.items():
        assert after[place] == shown, place
    verdicts = await site.orders.messages("cancel", ids, by("jo"))
    assert [one.words for one in verdicts] == ["there is no such message"] * 3


@pytest.mark.slow
@pytest.mark.gen_test(timeout=30)
async def test_every_place_would_show_them(
    watched: Watched, site: Site, post: Post, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = form.canary

    async def mail(*given: Any) -> Outgoing:
        return replace(await made(*given), canary=False)

    monkeypatch.setattr(form, "canary", mail)
    assert (await post("/rest/email/scripted", FORM)).words == "Message sent"
    before = await seen(site, now)
    await fly(watched, now)
    after = await seen(site, now)
    # Of another delivery, and of who is told what became of their message.
    assert {name for name in before if after[name] == before[name]} == {"mailbox", "receipts"}
