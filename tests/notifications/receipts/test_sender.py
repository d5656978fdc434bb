"""What writers are told: when, once, how often, and never in words of their own."""

import asyncio
import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from relay.config import settings as relay_settings
from relay.config.settings import Settings
from relay.core import ids
from relay.core.errors import ConfigurationError, Unavailable
from relay.core.ids import as_reference, reference_number
from relay.intake import message_builder
from relay.site import Site, open_site
from relay.store.engine.database import Store
from relay.store.maintenance import audit
from relay.store.outbox import enqueue, operator_actions, references, retention
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.operator_actions import Order
from relay.store.outbox.references import NewReceipt
from relay.store.outbox.retention import Clearing
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.daemon import SHIPPED, Daemon
from tests.support.fake_postmark import FakePostmark
from tests.support.generated import examples
from tests.support.stored import happened, rows

# That of several daemons one writes a receipt is tested with their races.
pytestmark = pytest.mark.sqlite

WITH_RECEIPT = SETTINGS.replace(
    "return_to = {",
    "receipt = { per_address_per_hour = 3, per_address_per_day = 5 }\nreturn_to = {",
)
POSTMARK = """
[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["*"]

[servers.contactform]
plugins = ["bearer_token", "contactform", "postmark"]
sender = "Contact form <contactform@example.gov>"
recipients = ["@example.gov"]
postmark_token = { env = "POSTMARK_TOKEN" }
postmark_url = "POSTMARK_URL"
receipt = true

[servers.member]
plugins = ["bearer_token", "default"]
group = "contactform"
sender = "Member <member@example.gov>"
reply_to = "help@example.gov"
recipients = ["@example.gov"]
receipt = true
"""
PATH = "/rest/email/contactform"
HOUR, DAY = 3600.0, 86_400.0
REFUSED = (422, {"ErrorCode": 300, "Message": "Invalid email request"})
BUSY = (503, {"ErrorCode": 100, "Message": "Maintenance"})


@pytest.fixture
def settings_toml() -> str:
    return WITH_RECEIPT


@pytest.fixture
def settings(
    load: Callable[[str], Settings], settings_toml: str, request: pytest.FixtureRequest
) -> Settings:
    if "postmark" not in request.fixturenames:
        return load(settings_toml)
    fake: FakePostmark = request.getfixturevalue("postmark")
    return load(POSTMARK.replace("POSTMARK_URL", fake.url))


def told(site: Site | Store) -> list[dict[str, Any]]:
    """The receipts as stored, oldest first."""
    store = site.store if isinstance(site, Site) else site
    return rows(store, "SELECT * FROM receipts ORDER BY message")


def letters(outbox: Outbox) -> list[dict[str, Any]]:
    """The mail to writers, oldest first."""
    return [row for row in outbox.rows() if "resident" in row["recipients"]]


async def sent(site: Site) -> None:
    """Have everything delivered that waits."""
    waiting = "SELECT 1 FROM messages WHERE state IN ('queued', 'sending')"
    async with asyncio.timeout(20):
        while rows(site.store, waiting):
            await site.dispatcher.deliver_waiting()


def settle(site: Site, state: str) -> str:
    """Bring the last posted message into a state, as an operator or a crash would; give its id."""
    [last] = rows(site.store, "SELECT max(message) AS id FROM receipts")

    def change(connection: Any, batch: Any) -> Any:
        words = text("UPDATE messages SET state = :state WHERE id = :id")
        connection.execute(words, {"state": state, "id": last["id"]})
        return batch

    site.store.write_now(change, [None])
    return str(last["id"])


@examples(200)
@given(st.integers())
def test_a_reference_has_nothing_that_looks_like_something_else(seed: int) -> None:
    reference = reference_number()
    assert re.fullmatch(r"(?:[A-Z3-9]{3}-){2}[A-Z3-9]{3}", reference)
    assert not set(reference) & set("0OQ1IL5S2Z8BUVAEG") - {"Q"}


@examples(200)
@given(st.lists(st.sampled_from(ids.REFERENCE_CHARACTERS), min_size=9, max_size=9), st.data())
def test_a_reference_is_read_in_any_case_and_grouping(
    characters: list[str], data: st.DataObject
) -> None:
    plain = "".join(characters)
    written = "".join(
        data.draw(st.sampled_from([one, one.lower(), f"{one}-", f" {one}"])) for one in characters
    )
    assert as_reference(written) == f"{plain[:3]}-{plain[3:6]}-{plain[6:]}"


@pytest.mark.parametrize("text", ["", "K7M-4QX-9R", "K7M-4QX-9RDD", "K7M-4QX-9RO", "K7M/4QX/9RD"])
def test_anything_else_is_no_reference(text: str) -> None:
    assert as_reference(text) is None


@pytest.mark.gen_test
async def test_the_office_gets_the_message_first_and_then_the_writer_is_told(
    site: Site, post: Post, outbox: Outbox, postmark: FakePostmark
) -> None:
    postmark.answers = [BUSY]
    reply = await post(PATH, FORM)
    assert reply.words == "Message queued"
    assert await site.receipts.look(time.time()) == 0
    assert [message["To"] for message in postmark.messages] == ["desk@example.gov"]
    await site.dispatcher.deliver_waiting(time.time() + HOUR)
    assert outbox.states() == ["sent"]
    assert await site.receipts.look(time.time()) == 1
    await sent(site)
    taken = [message.body for message in postmark.accepted]
    assert [message["To"] for message in taken] == ["desk@example.gov", "resident@example.com"]
    [receipt] = told(site)
    assert receipt["reference"] in taken[1]["Subject"]
    assert receipt["receipt"] == outbox.last()["id"]
    assert await site.receipts.look(time.time()) == 0


@pytest.mark.gen_test
async def test_a_receipt_names_itself_automatic_and_comes_from_the_server(
    site: Site, post: Post, postmark: FakePostmark
) -> None:
    for server in ("contactform", "member"):
        await post(f"/rest/email/{server}", FORM)
        await site.receipts.look()
        await sent(site)
    receipts = [one.body for one in postmark.accepted if one.body["To"] == "resident@example.com"]
    for receipt in receipts:
        headers = {one["Name"]: one["Value"] for one in receipt["Headers"]}
        assert headers["Auto-Submitted"] == "auto-replied"
        assert headers.keys() == {"Auto-Submitted", "X-Relay-Reference"}
        assert not {"Cc", "Bcc"} & receipt.keys()
    assert [one["From"] for one in receipts] == [
        "Contact form <contactform@example.gov>",
        "Member <member@example.gov>",
    ]
    assert [one.get("ReplyTo") for one in receipts] == [None, "help@example.gov"]


@pytest.mark.gen_test
async def test_the_office_sees_the_reference(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    await post(PATH, {**FORM, "useHtml": "1"})
    await post(PATH, {**FORM, "template_id": "idea", "reference": "the writer's own"})
    first, second = told(site)
    staff, templated = (one.body for one in postmark.accepted)
    assert {"Name": "X-Relay-Reference", "Value": first["reference"]} in staff["Headers"]
    assert f"Reference: {first['reference']}" in staff["TextBody"]
    assert f"Reference: {first['reference']}" in staff["HtmlBody"]
    assert templated["TemplateModel"]["reference"] == second["reference"]
    assert {"Name": "X-Relay-Reference", "Value": second["reference"]} in templated["Headers"]


@pytest.mark.gen_test
async def test_nothing_that_the_writer_wrote_is_in_a_receipt(
    site: Site, post: Post, outbox: Outbox
) -> None:
    names = ("subject", "message", "name", "phone", "url", "browser", "sender", "extra")
    form = {**FORM, **{name: f"canary-{name}" for name in names}}
    form |= {"from_address": "canary-display <resident@example.com>", "tag": "canary-tag"}
    form["reply_to"] = "canary-reply@example.com"
    for state in ("sent", "failed"):
        await post(PATH, form)
        settle(site, state)
        assert await site.receipts.look() == 1
        assert "canary-" not in str(letters(outbox)[-1])
    assert "canary-" in str(outbox.rows()[0])


@pytest.mark.parametrize("state", ["failed", "expired", "quarantined", "suppressed"])
@pytest.mark.gen_test
async def test_a_writer_whose_message_was_not_delivered_is_told_so(
    site: Site, post: Post, outbox: Outbox, state: str
) -> None:
    await post(PATH, FORM)
    id = settle(site, state)
    assert await site.receipts.look() == 1
    [letter] = letters(outbox)
    [receipt] = told(site)
    assert letter["subject"] == f"Your message was not delivered ({receipt['reference']})"
    assert "could not be delivered" in letter["document"]["text"]
    assert "html" not in letter["document"]
    assert ("receipt", f"the writer is told that it was not delivered, by {letter['id']}") in (
        happened(site.store, id)
    )
    settle(site, "sent")
    assert await site.receipts.look() == 0


@pytest.mark.gen_test
async def test_whoever_was_told_at_once_that_it_failed_is_not_told_again(
    site: Site, post: Post, outbox: Outbox, postmark: FakePostmark
) -> None:
    postmark.answers = [REFUSED]
    assert (await post(PATH, FORM)).status == 400
    assert await site.receipts.look(time.time() + DAY) == 0
    assert outbox.states() == ["failed"]
    assert told(site)[0]["done_at"] is not None


@pytest.mark.gen_test
async def test_a_refusal_by_the_provider_is_told(
    site: Site, post: Post, outbox: Outbox, postmark: FakePostmark
) -> None:
    postmark.answers = [(503, b""), REFUSED]
    assert (await post(PATH, FORM)).words == "Message queued"
    await site.dispatcher.deliver_waiting(time.time() + 60)
    assert await site.receipts.look() == 1
    await sent(site)
    assert outbox.states() == ["failed", "sent"]
    assert "not delivered" in postmark.accepted[0].body["Subject"]


@pytest.mark.parametrize("state", ["queued", "scheduled", "sending", "in_doubt", "held"])
@pytest.mark.gen_test
async def test_while_a_messages_fate_is_open_its_writer_is_told_nothing(
    site: Site, post: Post, outbox: Outbox, state: str
) -> None:
    await post(PATH, FORM)
    settle(site, state)
    assert await site.receipts.look(time.time() + 100 * DAY) == 0
    assert told(site)[0]["done_at"] is None
    settle(site, "sent")
    assert await site.receipts.look() == 1


@pytest.mark.gen_test
async def test_whoever_cancels_a_message_tells_its_writer_himself(
    site: Site, post: Post, outbox: Outbox
) -> None:
    await post(PATH, {**FORM, "senddatetime": "+2 days"})
    id = told(site)[0]["message"]
    site.store.write_now(operator_actions.cancel, [Order([id], time.time())])
    assert await site.receipts.look() == 0
    assert happened(site.store, id)[-1] == (
        "receipt",
        "the writer is told nothing: it was cancelled",
    )
    assert letters(outbox) == []


@pytest.mark.gen_test
async def test_a_writer_is_told_of_a_scheduled_message_once_it_was_sent(
    site: Site, post: Post, outbox: Outbox
) -> None:
    await post(PATH, {**FORM, "senddatetime": "+2 days"})
    assert await site.receipts.look(time.time() + DAY) == 0
    await site.dispatcher.deliver_waiting(time.time() + 3 * DAY)
    assert await site.receipts.look(time.time() + 3 * DAY) == 1


@pytest.mark.gen_test
async def test_a_mailbox_gets_so_many_receipts_an_hour_and_a_day_and_no_more(
    site: Site, post: Post, outbox: Outbox
) -> None:
    now = time.time()
    counts = []
    for hour in range(4):
        for number in range(4):
            address = f"Resident+{number}@example.com"
            await post(PATH, {**FORM, "from_address": address})
        counts.append(await site.receipts.look(now + hour * (HOUR + 1)))
    assert counts == [3, 2, 0, 0]
    await post(PATH, {**FORM, "from_address": "other@example.com"})
    assert await site.receipts.look(now + 4 * HOUR) == 1
    await post(PATH, FORM)
    assert await site.receipts.look(now + 2 * DAY) == 1
    refused = [
        words
        for row in told(site)
        for kind, words in happened(site.store, row["message"])
        if kind == "receipt" and row["receipt"] is None
    ]
    assert len(refused) == 11
    assert refused[0] == "the writer is not told: the address had 3 receipts within the hour"
    assert refused[-1] == "the writer is not told: the address had 5 receipts within the day"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("a.resident@gmail.com", "aresident@gmail.com"),
        ("a.r.e.s.ident@gmail.com", "aresident@gmail.com"),
        ("A.Resident@GMail.com", "aresident@gmail.com"),
        ("aresident@googlemail.com", "aresident@gmail.com"),
        ("a.resident+form.1@googlemail.com", "aresident@gmail.com"),
        ("aresident+x@gmail.com", "aresident@gmail.com"),
        ("a.resident@example.com", "a.resident@example.com"),
        ("a.resident@gmail.com.example.com", "a.resident@gmail.com.example.com"),
        ("a.resident+x@notgmail.com", "a.resident@notgmail.com"),
        ("", ""),
    ],
)
def test_a_mailbox_is_one_under_all_its_addresses(address: str, expected: str) -> None:
    assert references.mailbox(address) == expected


@pytest.mark.gen_test
async def test_dots_make_no_other_mailbox(site: Site, post: Post) -> None:
    for address in ("resi.dent@gmail.com", "re.sident@gmail.com", "r.esident@googlemail.com"):
        await post(PATH, {**FORM, "from_address": address})
    await post(PATH, {**FORM, "from_address": "residen.t+1@gmail.com"})
    assert await site.receipts.look() == 3


@pytest.mark.gen_test
async def test_a_server_sends_so_many_receipts_an_hour(
    site: Site, post: Post, load: Callable[[str], Settings], settings_toml: str
) -> None:
    few = settings_toml.replace("per_address_per_day = 5", "per_address_per_day = 5, per_hour = 4")
    site.reload(load(few))
    now = time.time()
    for number in range(6):
        await post(PATH, {**FORM, "from_address": f"resident{number}@example.com"})
    assert await site.receipts.look(now) == 4
    refused = [row["message"] for row in told(site) if row["receipt"] is None]
    words = "the writer is not told: contactform sent 4 receipts within the hour"
    assert [("receipt", words) in happened(site.store, id) for id in refused] == [True, True]
    for number in range(6):
        await post(PATH, {**FORM, "from_address": f"other{number}@example.com"})
    assert await site.receipts.look(now + HOUR + 1) == 4


@pytest.mark.gen_test
async def test_a_robot_is_told_nothing(site: Site, post: Post, outbox: Outbox) -> None:
    await post(PATH, {**FORM, "contact": "me"})
    assert outbox.states() == ["screened"]
    assert told(site) == []
    assert await site.receipts.look() == 0


@pytest.mark.gen_test
async def test_a_server_without_the_setting_tells_its_writers_nothing(
    site: Site, post: Post, outbox: Outbox
) -> None:
    await post("/rest/email/default", FORM)
    assert told(site) == []
    assert await site.receipts.look() == 0
    assert "headers" not in outbox.last()["document"]


@pytest.mark.gen_test
async def test_a_message_that_is_refused_leaves_no_reference(
    site: Site, post: Post, new_token: Callable[[], Any]
) -> None:
    form = {**FORM, "token_session": str(await new_token())}
    for status in (200, 403):
        reply = await post("/rest/email_session/contactform", form)
        assert reply.status == status
    assert len(told(site)) == 1


@pytest.mark.gen_test
async def test_a_repeated_request_makes_one_receipt(site: Site, post: Post) -> None:
    for _ in range(2):
        await post(PATH, FORM, headers={"Idempotency-Key": "once"})
    assert await site.receipts.look() == 1


@pytest.mark.gen_test
async def test_a_receipt_has_no_receipt_of_its_own_and_its_failure_is_told_to_nobody(
    site: Site, post: Post, outbox: Outbox, postmark: FakePostmark
) -> None:
    await post(PATH, FORM)
    postmark.answers = [REFUSED]
    await site.receipts.look()
    await sent(site)
    assert outbox.states() == ["sent", "failed"]
    assert await site.receipts.look() == 0
    assert len(told(site)) == 1


@pytest.mark.gen_test
async def test_receipts_are_in_the_balance(site: Site, post: Post) -> None:
    await post(PATH, FORM)
    await site.receipts.look()
    await sent(site)
    found = site.store.read_now(audit.audit)
    assert found.faults == []
    assert [balance.accepted for balance in found.balances.values()] == [2]


@pytest.mark.gen_test
async def test_a_taken_reference_is_made_anew(
    site: Site, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = iter(["K7M-4QX-9RD", "K7M-4QX-9RD", "K7M-4QX-9RF"])
    monkeypatch.setattr(message_builder, "reference_number", lambda: next(made))
    await post(PATH, FORM)
    await post(PATH, FORM)
    assert [row["reference"] for row in told(site)] == ["K7M-4QX-9RD", "K7M-4QX-9RF"]


def test_of_two_messages_with_one_reference_the_second_is_not_stored(site: Site) -> None:
    receipt = NewReceipt("K7M-4QX-9RD", "resident@example.com")
    new = [
        NewMessage(ids.message_id(), "contactform", "queued", 0.0, "", "{}", receipt=receipt)
        for _ in range(2)
    ]
    first, second = site.store.write_now(enqueue.add, new)
    assert first is None
    assert isinstance(second, Unavailable)
    assert [row["message"] for row in told(site)] == [new[0].id]
    [again] = site.store.write_now(enqueue.add, [new[1]])
    assert isinstance(again, Unavailable)
    assert site.store.read_now(references.find, "K7M-4QX-9RD") == new[0].id


@pytest.mark.gen_test
async def test_what_was_settled_before_a_crash_is_told_after_it_and_once(
    site: Site, post: Post, settings: Settings, outbox: Outbox
) -> None:
    await post(PATH, FORM)
    assert outbox.states() == ["sent"]
    site.store.close()
    counts = []
    for _ in range(2):
        with open_site(settings) as again:
            counts.append(await again.receipts.look())
            assert await again.dispatcher.stop(20)
    site.store = Store(settings.database, settings.data)
    assert counts == [1, 0]
    assert len(outbox.rows()) == 2


@pytest.mark.gen_test
async def test_what_an_operator_revives_meanwhile_is_not_told_of(
    site: Site, post: Post, outbox: Outbox
) -> None:
    await post(PATH, FORM)
    settle(site, "failed")
    page = await site.store.read(receipts_waiting)
    settle(site, "queued")
    assert await site.receipts._write(page, time.time()) == 0
    assert told(site)[0]["done_at"] is None


def receipts_waiting(connection: Any) -> Any:
    from relay.store import receipts

    return receipts.waiting(connection, "", 10)


@pytest.mark.slow
@pytest.mark.gen_test
async def test_the_loop_tells_a_writer_as_soon_as_the_message_is_sent(
    site: Site, post: Post, outbox: Outbox
) -> None:
    loop = asyncio.create_task(site.receipts.run())
    try:
        for count in (1, 2):
            await post(PATH, FORM)
            async with asyncio.timeout(20):  # far below the net's half minute for the second
                while len(letters(outbox)) < count:
                    await site.dispatcher.deliver_waiting()
    finally:
        loop.cancel()


@pytest.mark.slow
@pytest.mark.gen_test
async def test_the_loop_tells_a_writer_as_soon_as_it_is_known_that_nobody_gets_his_message(
    site: Site, post: Post, outbox: Outbox
) -> None:
    loop = asyncio.create_task(site.receipts.run())
    try:
        for count in (1, 2):
            await post(PATH, FORM)
            id = settle(site, "suppressed")
            site.chains["contactform"].note("suppressed", id=id, words="no mail goes there")
            async with asyncio.timeout(20):  # as above
                while len(letters(outbox)) < count:
                    await site.dispatcher.deliver_waiting()
    finally:
        loop.cancel()


@pytest.mark.gen_test
async def test_who_retries_what_a_writer_was_told_is_lost_is_told_that_he_hears_no_more(
    site: Site, post: Post, outbox: Outbox
) -> None:
    await post(PATH, FORM)
    known = settle(site, "failed")
    assert await site.receipts.look() == 1
    await post(PATH, FORM)
    open_one = settle(site, "failed")
    order = Order([known, open_one], time.time())
    [verdicts] = site.store.write_now(operator_actions.retry, [order])
    assert [verdict.words for verdict in verdicts] == [
        "retried; its writer was told that it was not delivered, and will hear no more of it",
        "retried",
    ]
    settle(site, "sent")
    assert await site.receipts.look() == 1
    assert len(letters(outbox)) == 2


@pytest.mark.gen_test
async def test_a_server_that_sends_no_receipts_any_more_owes_none(
    site: Site, post: Post, load: Callable[[str], Settings]
) -> None:
    await post(PATH, FORM)
    site.reload(load(SETTINGS))
    assert await site.receipts.look() == 0
    assert "sends no receipts any more" in str(happened(site.store, told(site)[0]["message"]))


@pytest.mark.gen_test
async def test_the_writers_address_goes_with_the_contents(site: Site, post: Post) -> None:
    await post(PATH, FORM)
    id = told(site)[0]["message"]
    site.store.write_now(retention.clear, [Clearing([id], time.time())])
    [receipt] = told(site)
    assert (receipt["address"], receipt["mailbox"]) == ("", "")
    assert receipt["reference"]
    assert await site.receipts.look() == 0
    assert "there is no address" in str(happened(site.store, id))


@pytest.mark.gen_test
async def test_an_installations_own_words_take_the_place_of_both_parts(
    site: Site, post: Post, outbox: Outbox, load: Callable[[str], Settings], tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "receipt.txt").write_text(
        "{{office}}: {{reference}} / {{form_name}} / {{received}}", encoding="utf-8"
    )
    terms = 'office = "City Hall", time_zone = "Asia/Tokyo", subject = "Got it: {{reference}}"'
    site.reload(load(SETTINGS.replace("return_to", f"receipt = {{ {terms} }}\nreturn_to", 1)))
    await post(PATH, FORM)
    await site.receipts.look()
    [receipt], [letter] = told(site), letters(outbox)
    text = letter["document"]["text"]
    assert text.startswith(f"City Hall: {receipt['reference']} / the contact form / 20")
    assert text.endswith(" JST")
    assert letter["subject"] == f"Got it: {receipt['reference']}"
    assert "html" not in letter["document"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ('{ template = "recept" }', "template file recept.txt is in none of"),
        ('{ template = "../receipt" }', "receipt.template: a template file's name"),
        ('{ subject = "{{#reference}}" }', "receipt.subject: "),
        ('{ subject = "two\\nlines" }', "receipt.subject: one line"),
        ('{ time_zone = "Mars" }', "receipt.time_zone: no such time zone"),
        ("{ per_address_per_hour = 0 }", "receipt.per_address_per_hour: "),
        ("{ adress = 3 }", "receipt.adress: "),
        ("3", "receipt: true, false, or a table"),
    ],
)
def test_a_mistake_in_the_settings_is_told_at_the_start(
    load: Callable[[str], Settings], given: str, problem: str
) -> None:
    read = "return_to", f"receipt = {given}\nreturn_to", 1
    with pytest.raises(ConfigurationError) as caught, open_site(load(SETTINGS.replace(*read))):
        pass
    assert problem in str(caught.value)


def test_a_template_that_cannot_be_rendered_is_told_at_the_start(
    load: Callable[[str], Settings], tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    broken = tmp_path / "templates" / "not-delivered.txt"
    broken.write_text("{{#each reference}}x{{/each}}", encoding="utf-8")
    with pytest.raises(ConfigurationError), open_site(load(WITH_RECEIPT)):
        pass


OFFLINE = SHIPPED.replace("[servers.contactform]", "[servers.contactform]\nreceipt = true", 1)


@pytest.mark.slow
def test_queue_show_finds_a_message_by_what_its_writer_was_told(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, OFFLINE)
    with daemon:
        key = daemon.made_keys()["application"]
        id = daemon.post(PATH, key, data=FORM).headers["X-Relay-Message-Id"]
        shown = daemon.command("queue", "show", id).stdout
        reference = re.search(r"^reference (\S+)$", shown, re.MULTILINE)[1]
        for written in (reference, reference.replace("-", "").lower()):
            assert daemon.command("queue", "show", written).stdout.startswith(f"{id}  sent")
        assert daemon.command("queue", "show", "K7M-4QX-9RD").returncode == 1


@pytest.mark.slow
def test_check_says_that_anybody_can_have_receipts_sent(tmp_path: Path) -> None:
    words = "anybody can have a receipt sent to any address, 10 an hour and 20 a day"
    assert words not in Daemon(tmp_path, OFFLINE).command("check").stdout
    optional = OFFLINE.replace("receipt = true", 'receipt = true\nsession_key = "optional"')
    assert words in Daemon(tmp_path, optional).command("check").stdout


@pytest.mark.slow
def test_every_writer_is_told_once_however_often_the_daemon_is_killed(tmp_path: Path) -> None:
    limits = "receipt = { per_address_per_hour = 1000, per_address_per_day = 1000 }\nsettle = [0.1]"
    toml = SHIPPED.replace("[servers.contactform]", f"[servers.contactform]\n{limits}", 1)
    daemon = Daemon(tmp_path, toml + "\n[relay.limits]\nposts_per_minute = 0\n")
    for _ in range(5):
        daemon.start()
        key = daemon.made_keys()["application"]
        with ThreadPoolExecutor(4) as pool:
            posts = [pool.submit(posted, daemon, key) for _ in range(30)]
            posts[15].result()
            assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    read = relay_settings.load(daemon.settings)
    store = Store(read.database, read.data)
    with daemon:
        until = time.monotonic() + 40
        while any(row["done_at"] is None for row in told(store)):
            assert time.monotonic() < until, daemon.log()
            time.sleep(0.05)
        assert daemon.command("audit").returncode == 0
    found = told(store)
    assert len(found) >= 5 * 16
    addressed = "SELECT count(*) AS count FROM contents WHERE recipients = 'resident@example.com'"
    assert rows(store, addressed) == [{"count": len(found)}]
    assert len({row["receipt"] for row in found} - {None}) == len(found)


def posted(daemon: Daemon, key: str) -> bool:
    try:
        return daemon.post(PATH, key, data=FORM).status_code == 200
    except requests.ConnectionError:
        return False
