"""Orders in a running site: what is done, and the act that says who did it, in one commit."""

import json

import pytest

from relay.core import clock
from relay.core.addresses import Address
from relay.site import Site
from relay.store import acts
from relay.store.acts import By, Wanted
from relay.store.maintenance.audit import audit
from relay.store.suppressions import Word
from relay.templates.rules import TemplateDraft
from tests.conftest import Outbox
from tests.support.keys import key
from tests.support.stored import CREATED, put, row

SETTINGS = (
    key("application", "contactform")
    + """
[servers.contactform]
plugins = ["bearer_token", "contactform", "mailbox"]
sender = "relay@example.gov"
recipients = ["@example.gov"]
"""
)
JO = By("jo", "console", "192.0.2.7")


@pytest.fixture
def settings_toml() -> str:
    return SETTINGS


def done(site: Site) -> list[tuple[str, ...]]:
    """All acts, oldest first: who, verb, target, before, after."""
    page = site.store.read_now(acts.page, Wanted(), 50)
    named = [(act.by.who, act.verb, act.target, act.before, act.after) for _, act in page.rows]
    return named[::-1]


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        ("retry", "failed", "queued"),
        ("release", "held", "queued"),
        ("cancel", "held", "cancelled"),
        ("found", "failed", "sent"),
        ("dismiss", "expired", "expired"),
    ],
)
@pytest.mark.gen_test
async def test_an_order_about_messages_is_an_act_for_each_that_it_was_done_to(
    site: Site, verb: str, before: str, after: str
) -> None:
    id, sent = put(site.store, 1, before), put(site.store, 2, "sent")
    verdicts = await site.orders.messages(verb, [id, sent, "nothing"], JO)
    assert [verdict.done for verdict in verdicts] == [True, False, False]
    assert done(site) == [("jo", verb, id, before, after)]


@pytest.mark.gen_test
async def test_a_pause_is_an_act_once(site: Site) -> None:
    for _ in range(2):
        await site.pauses.pause("contactform", JO)
    await site.pauses.resume("contactform", JO)
    await site.pauses.resume("contactform", JO)
    assert done(site) == [
        ("jo", "pause", "contactform", "", "paused"),
        ("jo", "resume", "contactform", "paused", ""),
    ]


@pytest.mark.gen_test
async def test_who_suppresses_an_address_is_known_and_the_address_is_not(site: Site) -> None:
    word = Word("contactform", "jane@example.com", "manual", clock.now(), words="asked to")
    assert await site.orders.suppress([word], JO) == [True]
    assert await site.orders.suppress([word], JO) == [False]
    [(who, verb, target, before, after)] = done(site)
    assert (who, verb, before, after) == ("jo", "suppress", "", "manual")
    assert target.startswith("contactform/")
    assert target.endswith("@example.com")
    assert "jane" not in target
    assert site.suppressions.among([Address("jane@example.com")], "contactform", clock.now())


@pytest.mark.gen_test
async def test_every_version_of_a_template_has_its_act(site: Site) -> None:
    draft = TemplateDraft(name="Welcome", alias="welcome", subject="Hi", text="Hello")
    new = await site.library.create("contactform", draft, JO)
    await site.library.edit("contactform", new.id, TemplateDraft(subject="Hello"), JO)
    await site.library.edit("contactform", new.id, TemplateDraft(subject="Hello"), JO)
    await site.library.delete("contactform", new.id, JO)
    await site.library.restore("contactform", new.id, 1, JO)
    name = "contactform/welcome"
    assert done(site) == [
        ("jo", "template created", name, "", "version 1"),
        ("jo", "template changed", name, "version 1", "version 2"),
        ("jo", "template deleted", name, "version 2", "version 3"),
        ("jo", "template restored", name, "version 3", "version 4"),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("failed", "failed"),
        ("expired", "expired"),
        ("held", "cancelled"),
        ("sent", "sent"),
        ("suppressed", "suppressed"),
        ("cancelled", "cancelled"),
    ],
)
@pytest.mark.gen_test
async def test_a_message_is_sent_again_to_another_address_alone(
    site: Site, outbox: Outbox, before: str, after: str
) -> None:
    tried = [("sent", CREATED + 1)] if before == "sent" else []
    first = put(site.store, 1, before, tried=tried)
    done_so = await site.orders.readdress(first, Address("front-desk@example.gov"), JO)
    assert done_so.problem == ""
    second = outbox.last()
    assert second["id"] == done_so.id
    assert second["document"]["to"] == [["front-desk@example.gov", ""]]
    assert second["document"]["text"] == "Hello."
    assert row(site.store, first)["state"] == after
    [act] = [one for one in done(site) if one[1] == "readdress"]
    assert act == ("jo", "readdress", first, before, second["id"])
    assert "front-desk" not in json.dumps(done(site))
    assert site.store.read_now(audit).faults == []


@pytest.mark.parametrize("state", ["queued", "scheduled", "sending", "in_doubt", "screened"])
@pytest.mark.gen_test
async def test_what_may_be_sent_yet_is_not_sent_to_another_address(
    site: Site, outbox: Outbox, state: str
) -> None:
    id = put(site.store, 1, state)
    said = await site.orders.readdress(id, Address("front-desk@example.gov"), JO)
    assert f"it is {state}" in said.problem
    assert len(outbox.rows()) == 1
    assert done(site) == []


@pytest.mark.gen_test
async def test_another_address_is_one_that_the_server_may_send_to(
    site: Site, outbox: Outbox
) -> None:
    id = put(site.store, 1, "failed")
    said = await site.orders.readdress(id, Address("jane@example.com"), JO)
    assert "`recipients` of contactform do not have this address" in said.problem
    assert (await site.orders.readdress("nothing", Address("a@example.gov"), JO)).problem
    assert len(outbox.rows()) == 1
    assert done(site) == []
