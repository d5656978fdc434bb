"""Addresses that get no mail: who is left out, who is told what, and what is held for offices."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from relay import Address, Message, Server
from relay.config.settings import Settings
from relay.core.policy import offices
from relay.provider import ProviderEvent
from relay.site import Site
from relay.store import documents
from relay.store import suppressions as stored
from relay.store.maintenance.audit import audit
from relay.store.outbox import resend
from relay.store.suppressions import Suppressions, Word
from tests.conftest import FORM, Outbox, Post
from tests.support.fake_postmark import FakePostmark, error
from tests.support.stored import by, happened, put, rows

KEY = "shop-key-shop-key-shop-key-shop-key"

SETTINGS = """
[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["office", "open"]

[keys.shop]
secret = {{ env = "SHOP_KEY" }}
servers = ["shop"]

[servers.shop]
plugins = ["postmark"]
sender = "Shop <shop@example.gov>"
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
deadline = 2
retry = [60]

[servers.open]
plugins = ["bearer_token", "session_token", "default"]
group = "shop"
sender = "Open <open@example.gov>"

[servers.office]
plugins = ["bearer_token", "session_token", "default"]
group = "shop"
sender = "Office <office@example.gov>"
recipients = ["desk@example.gov", "second@example.gov", "@example.com"]
"""

DESK, SECOND, WRITER = "desk@example.gov", "second@example.gov", "writer@example.com"
INACTIVE = (
    "You tried to send to recipient(s) that have been marked as inactive. Found inactive"
    " addresses: {}. Inactive recipients are ones that have generated a hard bounce, a spam"
    " complaint, or a manual suppression."
)
MAIL = {"From": "shop@example.gov", "Subject": "An order", "TextBody": "It is on its way."}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"SHOP_KEY": KEY}


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    return SETTINGS.format(url=postmark.url)


@pytest.fixture
def send(post: Post) -> Callable[..., Any]:
    async def call(content: Any, path: str = "/email") -> Any:
        return await post(path, content=content, key=None, headers={"X-Postmark-Server-Token": KEY})

    return call


async def suppress(site: Site, *addresses: str, group: str = "shop") -> None:
    words = [Word(group, address, "bounced", time.time()) for address in addresses]
    assert await site.suppressions.note(words) == [True] * len(words)


async def settled(site: Site) -> None:
    while site.dispatcher.waiting:
        await site.dispatcher.deliver_waiting()


def faults(site: Site) -> list[str]:
    return list(site.store.read_now(audit).faults)


@pytest.mark.gen_test
async def test_a_form_to_one_who_gets_no_mail_is_refused_and_kept_as_suppressed(
    post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    await suppress(site, WRITER)
    token = (await post("/rest/email_token/create", key=None)).json["token_session"]
    form = FORM | {"to_address": WRITER, "token_session": str(token)}
    reply = await post("/rest/email_session/open", form)
    assert (reply.status, reply.words) == (400, "no mail goes to (address)")
    assert outbox.states() == ["suppressed"]
    assert WRITER in outbox.last()["words"]
    assert outbox.unspent_tokens() == 1
    assert postmark.calls == []
    assert faults(site) == []


@pytest.mark.gen_test
async def test_the_others_get_it_and_the_history_says_who_did_not(
    post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    await suppress(site, WRITER, "hidden@example.com")
    form = FORM | {"to_address": DESK, "cc": "Writer@example.com", "bcc": "hidden@example.com"}
    assert (await post("/rest/email/office", form)).words == "Message sent"
    [message] = postmark.messages
    assert message["To"] == DESK
    assert not {"Cc", "Bcc"} & message.keys()
    assert outbox.last()["words"].endswith("taken without Writer@example.com, hidden@example.com")
    assert faults(site) == []


@pytest.mark.gen_test
async def test_another_groups_addresses_are_its_own(post: Post, site: Site, outbox: Outbox) -> None:
    await suppress(site, DESK, group="elsewhere")
    assert (await post("/rest/email/office", FORM)).words == "Message sent"


@pytest.mark.gen_test
async def test_a_suppression_after_acceptance_counts_too(
    post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    await site.pauses.pause("open", by("somebody"))
    assert (await post("/rest/email/open", FORM | {"to_address": WRITER})).words == "Message queued"
    await suppress(site, WRITER)
    await site.pauses.resume("open", by("somebody"))
    await settled(site)
    assert outbox.states() == ["suppressed"]
    assert postmark.calls == []


@pytest.mark.gen_test
async def test_an_offices_mail_is_held_until_its_address_works_again(
    post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    await suppress(site, DESK, WRITER)
    for cc in ("", WRITER):
        form = FORM | {"from_address": "Writer@example.com", "cc": cc}
        reply = await post("/rest/email/office", form)
        assert reply.words == "Message queued"
    assert outbox.states() == ["held", "held"]
    assert "queue replay" in outbox.last()["words"]
    assert postmark.calls == []
    assert faults(site) == []
    servers = {name: chain.server for name, chain in site.chains.items()}
    order = resend.order("", "office", servers, time.time())
    replayed = await site.store.write(resend.replay, order)
    assert (len(replayed.ids), [word.address for word in replayed.lifted]) == (2, [DESK])
    site.suppressions.learn(replayed.lifted)
    site.dispatcher.revived(len(replayed.ids))
    await settled(site)
    assert outbox.states() == ["sent", "sent"]
    assert [message.get("Cc") for message in postmark.messages] == [None, None]
    assert faults(site) == []


@pytest.mark.gen_test
async def test_one_working_office_is_enough(
    post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    await suppress(site, DESK)
    form = FORM | {"to_address": f"{DESK}, {SECOND}"}
    assert (await post("/rest/email/office", form)).words == "Message sent"
    assert [message["To"] for message in postmark.messages] == [SECOND]


@pytest.mark.gen_test
async def test_a_copy_for_the_writer_does_not_stand_for_the_office(
    post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    await suppress(site, DESK)
    form = FORM | {"from_address": SECOND, "cc": SECOND}
    assert (await post("/rest/email/office", form)).words == "Message queued"
    assert outbox.states() == ["held"]
    assert postmark.calls == []


@pytest.mark.gen_test
async def test_the_backup_stands_in_and_is_not_asked_twice(
    post: Post,
    site: Site,
    postmark: FakePostmark,
    outbox: Outbox,
    load: Callable[[str], Settings],
    settings_toml: str,
) -> None:
    site.reload(load(settings_toml + 'backup = "Backup <backup@example.org>"\n'))
    await suppress(site, DESK)
    assert (await post("/rest/email/office", FORM)).words == "Message sent"
    assert postmark.messages[0]["To"] == "Backup <backup@example.org>"
    assert outbox.last()["words"].endswith(f"taken without {DESK}")
    await suppress(site, "backup@example.org")
    assert (await post("/rest/email/office", FORM)).words == "Message queued"
    assert outbox.states() == ["sent", "held"]


@pytest.mark.gen_test
async def test_who_the_provider_refuses_gets_nothing_for_a_day(
    post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    postmark.answers = [(422, error(406, INACTIVE.format(WRITER)))]
    form = FORM | {"to_address": WRITER}
    assert (await post("/rest/email/open", form)).status == 400
    assert (await post("/rest/email/open", form)).words == "no mail goes to (address)"
    assert outbox.states() == ["failed", "suppressed"]
    assert len(postmark.calls) == 1
    [row] = rows(site.store, "SELECT * FROM suppressions")
    assert (row["server"], row["address"], row["reason"]) == ("shop", WRITER, "refused")
    assert row["message"] == outbox.rows()[0]["id"]
    since, day = row["since"], 24 * 3600
    assert row["until"] - since == day
    to = _addresses(WRITER)
    assert site.suppressions.among(to, "shop", since + day - 60)
    assert not site.suppressions.among(to, "shop", since + day + 60)


def _addresses(*emails: str) -> list[Any]:
    return [Address(email) for email in emails]


@pytest.mark.gen_test
async def test_an_office_that_the_provider_refuses_is_not_burnt_either(
    post: Post,
    site: Site,
    postmark: FakePostmark,
    outbox: Outbox,
    load: Callable[[str], Settings],
    settings_toml: str,
) -> None:
    postmark.answers = [(422, error(406, INACTIVE.format(DESK)))]
    assert (await post("/rest/email/office", FORM)).words == "Message queued"
    assert outbox.states() == ["held"]
    await site.suppressions.note([Word("shop", DESK, "lifted", time.time())])
    site.reload(load(settings_toml + 'backup = "backup@example.org"\n'))
    postmark.answers = [(422, error(406, INACTIVE.format(DESK)))]
    assert (await post("/rest/email/office", FORM)).words == "Message queued"
    assert outbox.states() == ["held", "queued"]
    await site.dispatcher.deliver_waiting(time.time() + 600)
    assert outbox.states() == ["held", "sent"]
    assert postmark.messages[-1]["To"] == "backup@example.org"
    assert faults(site) == []


@pytest.mark.gen_test
async def test_the_api_answers_as_postmark_does_when_nobody_is_left(
    send: Any, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    await suppress(site, "a@example.com", "b@example.com")
    refused = await send(MAIL | {"To": "A@example.com", "Cc": "b@example.com"})
    assert refused.status == 422
    words = INACTIVE.format("A@example.com, b@example.com")
    assert refused.json == {"ErrorCode": 406, "Message": words}
    assert outbox.states() == []
    assert postmark.calls == []


@pytest.mark.gen_test
async def test_the_api_says_who_is_left_out(
    send: Any, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    await suppress(site, "a@example.com", "c@example.com")
    to = "A@example.com, b@example.com"
    sent = await send(MAIL | {"To": to, "Bcc": "c@example.com"})
    assert (sent.status, sent.json["ErrorCode"], sent.json["To"]) == (200, 0, to)
    assert sent.json["Message"].startswith(
        "Message OK, but will not deliver to these inactive addresses:"
        " a@example.com, c@example.com. Inactive recipients are"
    )
    await settled(site)
    assert [message["To"] for message in postmark.messages] == ["b@example.com"]
    warned = happened(site.store, sent.json["MessageID"])
    words = "not sent to A@example.com, c@example.com: no mail goes there"
    assert warned == [("warning", words)]


@pytest.mark.gen_test
async def test_a_batch_answers_for_each_message(send: Any, site: Site, outbox: Outbox) -> None:
    await suppress(site, "a@example.com")
    tos = ("b@example.com", "a@example.com", "a@example.com, b@example.com")
    answers = (await send([MAIL | {"To": to} for to in tos], "/email/batch")).json
    assert [answer["ErrorCode"] for answer in answers] == [0, 406, 0]
    assert "MessageID" not in answers[1]
    assert "Found inactive addresses: a@example.com. Inactive" in answers[1]["Message"]
    assert [answer["Message"][:11] for answer in answers] == ["OK", "You tried t", "Message OK,"]
    assert len(outbox.rows()) == 2


@pytest.mark.gen_test
async def test_a_daemon_that_starts_knows_what_the_store_has(
    site: Site, post: Post, outbox: Outbox, io_loop: Any
) -> None:
    now = time.time()
    words = [
        Word("shop", "a@example.com", "bounced", now),
        Word("shop", "b@example.com", "refused", now, now + 60),
        Word("shop", "c@example.com", "refused", now - 90, now - 30),
        Word("shop", "d@example.com", "lifted", now),
    ]
    await site.suppressions.note(words)
    fresh = Suppressions(site.store, now, site.secret)
    everybody = _addresses(*(word.address for word in words))
    assert fresh.among(everybody, "shop", now) == {"a@example.com", "b@example.com"}
    assert fresh.among(everybody, "shop", now + 61) == {"a@example.com"}
    assert not fresh.of("office")


@pytest.mark.gen_test
async def test_an_erased_address_gets_no_mail_and_no_word_brings_it_back(site: Site) -> None:
    now, email = time.time(), "a@example.com"
    erased = stored.stand_in(site.secret, "A@example.com")
    await site.suppressions.note([Word("shop", erased, "bounced", now)])
    assert site.suppressions.among(_addresses("A@Example.com"), "shop", now) == {email}
    assert site.suppressions.among(_addresses(email), "office", now) == set()
    assert await site.suppressions.about("shop", None, now) == []
    [word] = await site.suppressions.about("shop", [email], now)
    assert (word.address, word.reason) == (email, "bounced")
    await site.suppressions.note([Word("shop", email, "complained", now + 1)])
    page = site.store.read_now(stored.page, "shop", now)
    assert [(row.address, row.reason) for row in page.rows] == [(erased, "bounced")]
    await site.suppressions.note([Word("shop", email, "lifted", now + 2)])
    assert site.suppressions.among(_addresses(email), "shop", now + 3) == set()


@pytest.mark.gen_test
async def test_lists_are_paged_by_group_and_address(site: Site) -> None:
    now = time.time()
    names = [f"{number}@example.com" for number in range(5)]
    for group in ("shop", "a-group"):
        await suppress(site, *names, group=group)
    seen, after = [], None
    while True:
        page = site.store.read_now(stored.page, None, now + 1, after, 3)
        seen += [(row.server, row.address) for row in page.rows]
        after = page.after
        if after is None:
            break
    assert seen == [(group, name) for group in ("a-group", "shop") for name in names]
    assert len(site.store.read_now(stored.page, "shop", now + 1, None, 50).rows) == 5


@pytest.mark.gen_test
async def test_what_is_held_because_of_a_doubt_is_not_replayed(site: Site, outbox: Outbox) -> None:
    put(site.store, 1, "held", server="office", tries=1, tried=[("in_doubt", 1.0)])
    put(site.store, 2, "held", server="office", tries=1, tried=[("suppressed", 1.0)])
    put(site.store, 3, "suppressed", server="office", tries=1, tried=[("suppressed", 1.0)])
    servers = {name: chain.server for name, chain in site.chains.items()}
    assert site.store.read_now(resend.count, DESK) == 1
    order = resend.order(DESK, "", servers, time.time())
    assert len((await site.store.write(resend.replay, order)).ids) == 1
    assert outbox.states() == ["held", "queued", "suppressed"]


@pytest.mark.gen_test
async def test_more_than_one_chunk_is_replayed_in_turns(
    site: Site, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resend, "CHUNK", 2)
    for number in range(5):
        put(site.store, number, "held", server="office", tries=1, tried=[("suppressed", 1.0)])
    servers = {name: chain.server for name, chain in site.chains.items()}
    counts, after = [], ""
    while after is not None:
        order = resend.order("", "office", servers, time.time(), after)
        replayed = await site.store.write(resend.replay, order)
        counts.append(len(replayed.ids))
        after = replayed.after
    assert counts == [2, 2, 1]
    assert set(outbox.states()) == {"queued"}


@pytest.mark.gen_test
async def test_an_office_that_only_its_domain_names_is_one(
    post: Post,
    site: Site,
    postmark: FakePostmark,
    outbox: Outbox,
    load: Callable[[str], Settings],
    settings_toml: str,
) -> None:
    named = '"desk@example.gov", "second@example.gov", "@example.com"'
    site.reload(load(settings_toml.replace(named, '"@example.gov"')))
    await suppress(site, DESK)
    assert (await post("/rest/email/office", FORM)).words == "Message queued"
    assert outbox.states() == ["held"]
    servers = {name: chain.server for name, chain in site.chains.items()}
    replayed = await site.store.write(
        resend.replay, resend.order("", "office", servers, time.time())
    )
    assert (len(replayed.ids), [word.address for word in replayed.lifted]) == (1, [DESK])
    assert postmark.calls == []
    assert faults(site) == []


OFFICES = [
    # to, cc, writer, recipients; offices
    ([DESK], [], WRITER, ["@example.gov"], [DESK]),
    ([DESK], [SECOND], SECOND, ["@example.gov"], [DESK]),
    ([SECOND], [], "Second@example.gov", ["@example.gov"], []),
    ([DESK], [], DESK, [DESK], [DESK]),
    ([DESK, SECOND], [], DESK, [DESK, "@example.gov"], [SECOND]),
    ([WRITER], [], DESK, ["*", DESK], []),
    ([DESK], [], None, None, []),
    ([DESK, WRITER], [], None, ["@example.gov", "*"], [DESK]),
]


@pytest.mark.parametrize(("to", "cc", "writer", "recipients", "known"), OFFICES)
def test_an_office_is_whom_the_recipients_name_and_not_the_writer(
    to: list[str], cc: list[str], writer: str | None, recipients: list[str] | None, known: list[str]
) -> None:
    message = Message(
        sender=Address("office@example.gov"),
        to=tuple(_addresses(*to)),
        cc=tuple(_addresses(*cc)),
        writer=None if writer is None else Address(writer),
    )
    server = Server("office", (), recipients=None if recipients is None else frozenset(recipients))
    for one in (message, documents.load("id", documents.dump(message))):
        assert [office.email for office in offices(one, server)] == known


@pytest.mark.gen_test
async def test_what_the_provider_takes_without_the_office_is_held_for_the_office_alone(
    post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    inactive = f"will not deliver to these inactive addresses: {DESK}. Inactive recipients are"
    answer = {"MessageID": "pm-1", "ErrorCode": 0, "Message": f"Message OK, but {inactive}"}
    postmark.answers = [(200, answer)]
    form = FORM | {"from_address": WRITER, "cc": WRITER}
    assert (await post("/rest/email/office", form)).words == "Message queued"
    await site.dispatcher.deliver_waiting(time.time() + 600)
    assert outbox.states() == ["held"]
    event = ProviderEvent("delivered", "told", message=outbox.last()["id"], recipient=WRITER)
    await site.provider_events.take([event], site.chains["office"], site.chains, time.time())
    assert outbox.states() == ["held"]
    order = resend.order(DESK, "", {n: c.server for n, c in site.chains.items()}, time.time())
    replayed = await site.store.write(resend.replay, order)
    site.suppressions.learn(replayed.lifted)
    site.dispatcher.revived(len(replayed.ids))
    await settled(site)
    assert outbox.states() == ["sent"]
    [_, second] = postmark.messages
    assert (second["To"], second.get("Cc")) == (DESK, None)
    assert faults(site) == []
