"""What a provider tells: who may tell it, what is refused, and that each told thing counts once."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text

from relay import hookimpl
from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.hooks import loader
from relay.provider import ProviderEvent
from relay.site import Site
from relay.store.maintenance import housekeeping
from relay.store.maintenance.audit import audit
from relay.store.outbox import resend
from relay.store.schema import metadata
from tests.conftest import FORM, Outbox, Post, Reply
from tests.support.fake_postmark import FakePostmark, Taken
from tests.support.stored import happened, put, rows
from tests.web.postmark.conftest import settled

SECRET = "webhook-secret-webhook-secret-0001"
SECOND = "webhook-secret-webhook-secret-0002"
PATH = "/rest/email/postmark/registry/outbound"
GONE = "gone@example.gov"
AT = "2026-11-21T16:33:54.9070259Z"

SETTINGS = """
[relay.limits]
posts_per_minute = 3
webhook_bytes = 200000

[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[servers.registry]
plugins = ["bearer_token", "session_token", "default", "postmark", "postmark_webhooks"]
sender = "Registry <registry@example.gov>"
recipients = ["@example.gov", "desk@example.org"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
webhook_secrets = [{{ env = "WEBHOOK_SECRET" }}, {{ env = "SECOND_SECRET" }}]
deadline = 1
settle = [120]

[servers.member]
plugins = ["bearer_token", "default"]
group = "registry"
sender = "Member <member@example.gov>"
recipients = ["@example.gov"]

[servers.boxed]
plugins = ["bearer_token", "default", "mailbox"]
sender = "Boxed <boxed@example.gov>"
recipients = ["@example.gov"]

[servers.near]
plugins = ["bearer_token", "default", "mailbox", "postmark_webhooks"]
sender = "Near <near@example.gov>"
recipients = ["@example.gov"]
webhook_secrets = [{{ env = "WEBHOOK_SECRET" }}]
webhook_networks = ["192.0.2.0/24"]
"""


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_SECRET": SECRET, "SECOND_SECRET": SECOND}


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    return SETTINGS.format(url=postmark.url)


def basic(secret: str, user: str = "postmark") -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"}


def bounce(**changed: Any) -> dict[str, Any]:
    return {
        "RecordType": "Bounce",
        "ID": 42,
        "Type": "HardBounce",
        "TypeCode": 1,
        "Name": "Hard bounce",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Description": "The server was unable to deliver your message.",
        "Details": f"550 5.1.1 <{GONE}> unknown user",
        "Email": "Gone@Example.gov",
        "BouncedAt": AT,
        "Inactive": True,
        "CanActivate": True,
        "Metadata": {},
        **changed,
    }


def delivery(**changed: Any) -> dict[str, Any]:
    return {
        "RecordType": "Delivery",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Recipient": "desk@example.gov",
        "DeliveredAt": AT,
        "Details": "250 OK",
        "Metadata": {},
        **changed,
    }


def subscription(*, stops: bool, at: str = AT, **changed: Any) -> dict[str, Any]:
    return {
        "RecordType": "SubscriptionChange",
        "MessageID": "00000000-0000-0000-0000-000000000000",
        "Recipient": GONE,
        "ChangedAt": at,
        "Origin": "Recipient",
        "SuppressSending": stops,
        "SuppressionReason": "ManualSuppression" if stops else None,
        "Metadata": {},
        **changed,
    }


@pytest.fixture
def tell(post: Post) -> Callable[..., Any]:
    async def tell_relay(content: Any, path: str = PATH, **options: Any) -> Reply:
        options.setdefault("headers", basic(SECRET))
        return await post(path, content=content, key=None, **options)

    return tell_relay


def count(site: Site, table: str) -> int:
    query = select(func.count()).select_from(metadata.tables[table])
    return site.store.read_now(lambda connection: connection.execute(query).scalar_one())


def suppressed(site: Site) -> list[tuple[str, str, str]]:
    query = "SELECT server, address, reason FROM suppressions WHERE reason != 'lifted'"
    return [tuple(row.values()) for row in rows(site.store, query)]


async def in_doubt(post: Post, postmark: FakePostmark, outbox: Outbox) -> dict[str, Any]:
    """Post a form whose answer from the provider is lost."""
    postmark.answers = [Taken("reset")]
    reply = await post("/rest/email/registry", FORM)
    assert reply.words == "Message queued"
    assert outbox.last()["state"] == "in_doubt"
    return outbox.last()


LETTING_IN = {
    "Basic": basic(SECRET),
    "any user name": basic(SECRET, "anybody at all"),
    "the second secret": basic(SECOND),
    "a header": {"X-Relay-Webhook-Secret": SECRET},
    "basic in lower case": {"Authorization": basic(SECRET)["Authorization"].replace("B", "b", 1)},
}


@pytest.mark.gen_test
@pytest.mark.parametrize("headers", LETTING_IN.values(), ids=LETTING_IN)
async def test_who_knows_a_secret_is_let_in(tell: Any, site: Site, headers: dict[str, str]) -> None:
    reply = await tell(delivery(), headers=headers)
    assert (reply.status, reply.json) == (200, {"status": "success", "response": "Noted"})
    assert count(site, "callbacks") == 1


NOT_LETTING_IN = {
    "nothing": {},
    "a wrong secret": basic("x" * 34),
    "a part of it": basic(SECRET[:-1]),
    "more than it": basic(SECRET + "1"),
    "the user name": {"Authorization": f"Basic {base64.b64encode(f'{SECRET}:'.encode()).decode()}"},
    "no colon": {"Authorization": f"Basic {base64.b64encode(SECRET.encode()).decode()}"},
    "not base64": {"Authorization": "Basic \u00e9\u00e9\u00e9"},
    "another scheme": {"Authorization": f"Bearer {SECRET}"},
    "a wrong header": {"X-Relay-Webhook-Secret": "x" * 34},
    "a header that is not ASCII": {"X-Relay-Webhook-Secret": "\u00e9" * 34},
    "a key of the API": {"Authorization": "token application-key-application-key-0"},
}


@pytest.mark.gen_test
@pytest.mark.parametrize("headers", NOT_LETTING_IN.values(), ids=NOT_LETTING_IN)
async def test_who_knows_none_is_refused_and_nothing_is_stored(
    tell: Any, site: Site, events: list[dict[str, Any]], headers: dict[str, str]
) -> None:
    reply = await tell(bounce(), headers=headers)
    assert (reply.status, reply.words) == (403, "could not authenticate")
    assert (count(site, "callbacks"), count(site, "suppressions")) == (0, 0)
    [refused] = [event for event in events if event["event"] == "submission.refused"]
    assert refused["reason"] == "webhook_secret"
    assert SECRET not in json.dumps(events)


@pytest.mark.gen_test
@pytest.mark.parametrize("odd", ["\ud800", "x\udfff", "\x00", "a\x1bb", "\x7f\x85\v"])
async def test_what_cannot_be_stored_is_taken_out_of_every_text(
    tell: Any, site: Site, odd: str
) -> None:
    for told in (
        bounce(MessageID=odd, Details=odd, Type=odd, Metadata={"relay-id": odd, odd: odd}),
        delivery(MessageID=odd, Recipient=f"{odd}@example.gov", Details=odd),
        subscription(stops=True, Origin=odd, SuppressionReason=odd),
        {"RecordType": odd, "MessageID": odd},
    ):
        reply = await tell(told)
        assert (reply.status, reply.words) == (200, "Noted")
    assert count(site, "callbacks") == 3


@pytest.mark.gen_test
async def test_a_server_without_secrets_of_its_own_is_not_there(tell: Any, site: Site) -> None:
    for server in ("boxed", "member", "nobody"):
        reply = await tell(bounce(), f"/rest/email/postmark/{server}/outbound")
        assert (reply.status, reply.words) == (404, "unknown server")
    assert count(site, "callbacks") == 0


@pytest.mark.gen_test
async def test_a_network_is_a_second_fence(
    tell: Any, site: Site, load: Callable[[str], Settings], settings_toml: str
) -> None:
    path = "/rest/email/postmark/near/outbound"
    assert (await tell(bounce(), path)).status == 403
    assert count(site, "suppressions") == 0
    trusting = f"[relay]\ntrusted_proxies = ['127.0.0.1']\n{settings_toml}"
    site.reload(load(trusting))
    for address, status in (("192.0.2.7", 200), ("198.51.100.7", 403)):
        reply = await tell(bounce(), path, headers=basic(SECRET) | {"X-Forwarded-For": address})
        assert reply.status == status
    wrong = await tell(bounce(), path, headers=basic("x" * 34) | {"X-Forwarded-For": "192.0.2.7"})
    assert wrong.status == 403


@pytest.mark.gen_test
async def test_wrong_secrets_are_limited_and_the_right_one_is_not(
    tell: Any, site: Site, load: Callable[[str], Settings], settings_toml: str
) -> None:
    site.reload(load(f"[relay]\ntrusted_proxies = ['127.0.0.1']\n{settings_toml}"))
    elsewhere = {"X-Forwarded-For": "198.51.100.7"}
    statuses = [
        (await tell(delivery(), headers=basic("x" * 34) | elsewhere)).status for _ in range(5)
    ]
    assert statuses == [403, 403, 403, 429, 429]
    for _ in range(5):
        assert (await tell(delivery(), headers=basic(SECRET) | elsewhere)).status == 200


MALFORMED = {
    "no JSON": b"{",
    "a list": b"[]",
    "a name twice": b'{"RecordType": "Bounce", "RecordType": "Delivery"}',
    "NaN": b'{"RecordType": "Bounce", "ID": NaN}',
    "too deep": b'{"a":' * 40 + b"1" + b"}" * 40,
    "UTF-16": json.dumps({"RecordType": "Bounce"}).encode("utf-16"),
    "a byte order mark alone": b"\xef\xbb\xbf",
    "nothing": b"",
}


@pytest.mark.gen_test
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_is_read_as_strictly_as_any_other(tell: Any, site: Site, body: bytes) -> None:
    reply = await tell(None, body=body, media="application/json")
    assert (reply.status, reply.json["status"]) == (400, "error")
    assert count(site, "callbacks") == 0


@pytest.mark.gen_test
@pytest.mark.parametrize("start", ["", " ", "\n", "\r\n", "\t"])
async def test_a_byte_order_mark_before_json_is_skipped(tell: Any, site: Site, start: str) -> None:
    body = (start + json.dumps(delivery())).encode("utf-8-sig")
    assert (await tell(None, body=body, media="application/json")).status == 200
    assert count(site, "callbacks") == 1


@pytest.mark.gen_test
async def test_the_other_doors_keep_their_answers(tell: Any, post: Post) -> None:
    assert (await tell(None, method="GET")).status == 405
    assert (await tell(None, body=b"a=1", media="text/plain")).status == 415
    assert (await post("/rest/email/postmark", FORM)).words == "unknown server"
    assert (await post("/rest/email/registry", FORM)).words == "Message sent"


@pytest.mark.gen_test
async def test_a_giant_is_refused_with_a_body_and_nothing_is_stored(tell: Any, site: Site) -> None:
    giant = bounce(Content="x" * 200_000)
    reply = await tell(giant)
    assert (reply.status, reply.words) == (413, "body too large")
    assert count(site, "suppressions") == 0
    assert (await tell(bounce(Content="x" * 150_000))).status == 200
    assert count(site, "suppressions") == 1


@pytest.mark.gen_test
async def test_a_store_that_fails_is_503_so_that_the_provider_repeats(
    tell: Any, site: Site
) -> None:
    def broken(connection: Any, batch: Any) -> Any:
        connection.execute(text("ALTER TABLE callbacks RENAME TO hidden"))
        return [None] * len(batch)

    await site.store.write(broken, None)
    reply = await tell(bounce())
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")

    def mended(connection: Any, batch: Any) -> Any:
        connection.execute(text("ALTER TABLE hidden RENAME TO callbacks"))
        return [None] * len(batch)

    await site.store.write(mended, None)
    assert suppressed(site) == []
    assert (await tell(bounce())).status == 200
    assert suppressed(site) == [("registry", GONE, "bounced")]


@pytest.mark.gen_test
async def test_while_the_daemon_stops_the_provider_is_to_repeat(tell: Any, site: Site) -> None:
    site.stopping = True
    assert (await tell(bounce())).status == 503
    assert count(site, "callbacks") == 0


EFFECTS = [
    (bounce(), ("registry", GONE, "bounced")),
    (bounce(Type="BadEmailAddress", Inactive=False), ("registry", GONE, "bounced")),
    (bounce(Type="SpamComplaint"), ("registry", GONE, "complained")),
    (
        bounce(RecordType="SpamComplaint", Type="SpamComplaint"),
        ("registry", GONE, "complained"),
    ),
    (subscription(stops=True), ("registry", GONE, "unsubscribed")),
    (
        subscription(stops=True, SuppressionReason="HardBounce"),
        ("registry", GONE, "bounced"),
    ),
    (
        subscription(stops=True, SuppressionReason="SpamComplaint"),
        ("registry", GONE, "complained"),
    ),
    (subscription(stops=True, Origin="Admin"), ("registry", GONE, "manual")),
    (bounce(Type="SoftBounce", Inactive=False), None),
    (bounce(Type="Transient", Inactive=False), None),
    (bounce(Type="DMARCPolicy", Inactive=False), None),
    (bounce(Email=""), None),
    (bounce(Email=None), None),
    (bounce(Email="no address"), None),
    (bounce(Email=["a@example.gov"]), None),
    (subscription(stops=False), None),
    (delivery(), None),
    (delivery(RecordType="Open"), None),
    (delivery(RecordType="Click"), None),
    (delivery(RecordType="Unheard"), None),
    (delivery(RecordType=7), None),
    ({}, None),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(("record", "effect"), EFFECTS, ids=map(str, range(len(EFFECTS))))
async def test_ten_times_told_is_one_effect(
    tell: Any, site: Site, record: dict[str, Any], effect: tuple[str, str, str] | None
) -> None:
    assert {(await tell(record)).status for _ in range(10)} == {200}
    assert suppressed(site) == ([] if effect is None else [effect])
    assert count(site, "callbacks") <= 1


@pytest.mark.gen_test
async def test_one_bounce_of_a_known_message_is_one_line_of_its_history(
    tell: Any, post: Post, site: Site, outbox: Outbox
) -> None:
    await post("/rest/email/registry", FORM)
    row = outbox.last()
    told = bounce(MessageID=row["provider_id"], Email="desk@example.gov")
    for _ in range(10):
        await tell(told)
    [(kind, words), *after] = happened(site.store, row["id"])
    assert (kind, [kind for kind, _ in after]) == ("bounced", ["returned"])
    assert words.startswith("desk@example.gov: HardBounce: The server was unable")
    assert GONE not in words
    assert outbox.rows()[0]["state"] == "sent"


@pytest.mark.gen_test
async def test_the_message_is_found_by_our_own_id_in_any_case_of_the_name(
    tell: Any, post: Post, site: Site, outbox: Outbox
) -> None:
    await post("/rest/email/member", FORM)
    id = outbox.last()["id"]
    await tell(delivery(MessageID="another", Metadata={site.outbox.metadata_key.upper(): id}))
    assert [kind for kind, _ in happened(site.store, id)] == ["delivered"]


@pytest.mark.gen_test
@pytest.mark.parametrize("labels", [{"relay-00000000": "ID"}, {"id": "ID"}, {}, None, ["ID"], "ID"])
async def test_another_relays_id_or_none_is_not_taken_for_ours(
    tell: Any, post: Post, site: Site, outbox: Outbox, labels: Any
) -> None:
    await post("/rest/email/registry", FORM)
    id = outbox.last()["id"]
    given = json.loads(json.dumps(labels).replace("ID", id))
    assert (await tell(delivery(MessageID="another", Metadata=given))).status == 200
    assert happened(site.store, id) == []


@pytest.mark.gen_test
async def test_a_forged_id_of_another_group_changes_nothing_there(
    tell: Any, site: Site, outbox: Outbox
) -> None:
    id = put(site.store, 1, "in_doubt", server="boxed", provider_id="pm-1", delivery="postmark")
    for labels in ({site.outbox.metadata_key: id}, {}):
        told = delivery(MessageID="pm-1", Metadata=labels, Details=str(labels))
        assert (await tell(told)).status == 200
    assert outbox.states() == ["in_doubt"]
    assert happened(site.store, id) == []


@pytest.mark.gen_test
async def test_an_unknown_message_is_answered_200_and_logged(
    tell: Any, events: list[dict[str, Any]]
) -> None:
    assert (await tell(delivery())).status == 200
    [line] = [event for event in events if event["event"] == "event.unmatched"]
    assert (line["kind"], line["group"]) == ("delivered", "registry")
    assert "desk@example.gov" not in json.dumps(events)


@pytest.mark.gen_test
@pytest.mark.parametrize("record", [delivery(), bounce(), bounce(Type="SpamComplaint")])
async def test_an_event_settles_a_message_in_doubt_at_once(
    tell: Any,
    post: Post,
    site: Site,
    postmark: FakePostmark,
    outbox: Outbox,
    record: dict[str, Any],
) -> None:
    row = await in_doubt(post, postmark, outbox)
    labels = {site.outbox.metadata_key: row["id"]}
    for _ in range(3):
        await tell({**record, "Metadata": labels})
    settled = outbox.last()
    assert (settled["state"], settled["provider_id"]) == ("sent", record["MessageID"])
    kinds = [kind for kind, _ in happened(site.store, row["id"])]
    assert kinds.count("found") == 1
    assert await site.in_doubt.look(now=time.time() + 3600) == 0
    assert len(postmark.accepted) == 1


@pytest.mark.gen_test
async def test_the_providers_id_alone_settles_no_doubt(
    tell: Any, site: Site, outbox: Outbox
) -> None:
    put(site.store, 1, "in_doubt", server="registry", provider_id="pm-1", delivery="postmark")
    await tell(delivery(MessageID="pm-1"))
    assert outbox.states() == ["in_doubt"]


@pytest.mark.gen_test
async def test_what_would_be_sent_a_second_time_is_not_once_the_provider_has_it(
    tell: Any, site: Site, outbox: Outbox, postmark: FakePostmark
) -> None:
    id = put(site.store, 1, "queued", server="registry", maybe_twice=True, due_at=9e9)
    other = put(site.store, 2, "queued", server="registry", due_at=9e9)
    site.dispatcher._waiting = 2
    for one in (id, other):
        await tell(delivery(Metadata={site.outbox.metadata_key: one}, Details=one, MessageID=one))
    assert outbox.states() == ["sent", "queued"]
    assert site.dispatcher.waiting == 1
    assert postmark.calls == []


@pytest.mark.gen_test
async def test_the_latest_word_on_an_address_counts_in_whatever_order_it_comes(
    tell: Any, site: Site
) -> None:
    early, late = "2026-11-21T10:00:00Z", "2026-11-21T11:00:00.1234567-05:00"
    # Suppressed, then lifted: told the other way round.
    await tell(subscription(stops=False, at=late))
    await tell(subscription(stops=True, at=early))
    assert suppressed(site) == []
    # Lifted, then suppressed: told the other way round.
    other = {"Recipient": "other@example.gov"}
    await tell(subscription(stops=True, at=late, **other))
    await tell(subscription(stops=False, at=early, **other))
    assert suppressed(site) == [("registry", "other@example.gov", "unsubscribed")]
    await tell(subscription(stops=False, at="2026-11-21T20:00:00Z", **other))
    assert suppressed(site) == []


@pytest.mark.gen_test
async def test_a_time_in_the_future_is_now(tell: Any, site: Site) -> None:
    await tell(subscription(stops=True, at="2099-01-01T00:00:00Z"))
    [row] = rows(site.store, "SELECT since FROM suppressions")
    assert row["since"] <= time.time()


@pytest.mark.gen_test
async def test_what_was_told_is_forgotten_after_a_fortnight(tell: Any, site: Site) -> None:
    await tell(bounce())
    await housekeeping.forget(site.store)
    assert count(site, "callbacks") == 1

    def age(connection: Any, batch: Any) -> Any:
        connection.execute(text("UPDATE callbacks SET at = at - 15 * 86400"))
        return [None] * len(batch)

    await site.store.write(age, None)
    await housekeeping.forget(site.store)
    assert count(site, "callbacks") == 0
    assert count(site, "suppressions") == 1


def test_a_secret_that_is_short_or_that_nobody_reads_is_a_mistake(
    load: Callable[[str], Settings], settings_toml: str, environment: dict[str, str]
) -> None:
    environment["SECOND_SECRET"] = "short"
    with pytest.raises(ConfigurationError, match="webhook_secrets: one has fewer than 32"):
        load(settings_toml)
    environment["SECOND_SECRET"] = SECOND
    read = load(settings_toml.replace(', "postmark_webhooks"', ""))
    with pytest.raises(ConfigurationError, match="no plugin reads what a provider tells"):
        loader.build(read, read.keys)


@pytest.mark.gen_test
async def test_a_bounce_is_told_to_the_observers_once(
    tell: Any, site: Site, post: Post, outbox: Outbox
) -> None:
    seen: list[Any] = []
    chain = site.chains["member"]

    class Watcher:
        @hookimpl
        def bounced(self, event: ProviderEvent) -> None:
            seen.append(event)

    chain._manager.register(Watcher(), "watcher")
    chain._implementations["bounced"] = chain._hook.bounced.get_hookimpls()
    await post("/rest/email/member", FORM)
    labels = {site.outbox.metadata_key: outbox.last()["id"]}
    for _ in range(3):
        await tell(bounce(Metadata=labels))
        await tell(bounce(Metadata=labels, Type="SoftBounce", Inactive=False))
    assert [event.kind for event in seen] == ["bounced"]
    assert (seen[0].permanent, seen[0].message) == (True, outbox.last()["id"])


def office_bounce(row: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return bounce(MessageID=row["provider_id"], Email="desk@example.gov", **changed)


@pytest.mark.gen_test
async def test_what_came_back_from_an_office_is_held_and_sent_again_when_it_is_mended(
    tell: Any, post: Post, site: Site, outbox: Outbox, postmark: FakePostmark
) -> None:
    await post("/rest/email/member", FORM)
    [first] = outbox.rows()
    for _ in range(10):
        await tell(office_bounce(first))
    await tell(office_bounce(first, Type="BadEmailAddress"))
    gone = {"Recipient": "desk@example.gov", "MessageID": first["provider_id"]}
    await tell(subscription(stops=True, SuppressionReason="HardBounce", **gone))
    await settled(site)
    assert outbox.states() == ["sent", "held"]
    assert len(postmark.calls) == 1
    first, second = outbox.rows()
    assert ("returned", f"sent again as {second['id']}") in happened(site.store, first["id"])
    about = ("second", f"sends {first['id']} again, which came back")
    assert about in happened(site.store, second["id"])
    same = ("subject", "text", "to", "reply_to", "sender")
    assert [second["document"][name] for name in same] == [first["document"][name] for name in same]
    assert (second["server"], second["key"]) == (first["server"], first["key"])
    servers = {name: chain.server for name, chain in site.chains.items()}
    order = resend.order("desk@example.gov", "", servers, time.time())
    replayed = await site.store.write(resend.replay, order)
    assert len(replayed.ids) == 1
    site.suppressions.learn(replayed.lifted)
    site.dispatcher.revived(1)
    await settled(site)
    assert outbox.states() == ["sent", "sent"]
    assert [list(sent["Metadata"].values()) for sent in postmark.messages] == [
        [first["id"]],
        [second["id"]],
    ]
    assert site.dispatcher.waiting == 0
    assert site.store.read_now(audit).faults == []


@pytest.mark.gen_test
async def test_a_second_sending_that_comes_back_is_not_lost_either(
    tell: Any,
    post: Post,
    site: Site,
    outbox: Outbox,
    postmark: FakePostmark,
    load: Callable[[str], Settings],
    settings_toml: str,
) -> None:
    named = '"desk@example.org"]\n'
    backup = settings_toml.replace(named, f'{named}backup = "backup@example.org"\n')
    site.reload(load(backup))
    await post("/rest/email/registry", FORM | {"cc": "other@example.gov"})
    await tell(office_bounce(outbox.last()))
    assert outbox.states() == ["sent"]  # the other office has it
    await tell(bounce(MessageID=outbox.last()["provider_id"], Email="other@example.gov"))
    await settled(site)
    assert outbox.states() == ["sent", "sent"]
    assert postmark.messages[-1]["To"] == "backup@example.org"
    again = {"MessageID": outbox.last()["provider_id"], "Email": "Backup@example.org"}
    await tell(bounce(**again))
    await settled(site)
    assert outbox.states() == ["sent", "sent", "held"]
    assert outbox.last()["recipients"] == "desk@example.gov other@example.gov"
    assert site.store.read_now(audit).faults == []


@pytest.mark.gen_test
async def test_a_lost_answer_and_a_bounce_are_one_second_sending(
    tell: Any, post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    row = await in_doubt(post, postmark, outbox)
    told = bounce(Email="desk@example.gov", Metadata={site.outbox.metadata_key: row["id"]})
    for _ in range(3):
        await tell(told)
    await settled(site)
    assert outbox.states() == ["sent", "held"]
    assert site.store.read_now(audit).faults == []


STAYS = {
    "a soft bounce": {"Type": "SoftBounce", "Inactive": False},
    "a complaint": {"Type": "SpamComplaint"},
    "somebody who wants no more": {"Type": "Unsubscribe"},
    "another's address": {"Email": "stranger@example.gov"},
    "another's message": {"MessageID": "unheard"},
}


@pytest.mark.gen_test
@pytest.mark.parametrize("changed", STAYS.values(), ids=STAYS)
async def test_what_arrived_or_came_back_from_no_office_is_not_sent_again(
    tell: Any, post: Post, outbox: Outbox, changed: dict[str, Any]
) -> None:
    await post("/rest/email/registry", FORM)
    told = office_bounce(outbox.last())
    assert (await tell({**told, **changed})).status == 200
    assert outbox.states() == ["sent"]


@pytest.mark.gen_test
async def test_a_receipt_that_comes_back_from_its_writer_is_not_sent_again(
    tell: Any, post: Post, site: Site, outbox: Outbox
) -> None:
    form = FORM | {"from_address": "other@example.gov", "to_address": "other@example.gov"}
    await post("/rest/email/registry", form)
    told = bounce(MessageID=outbox.last()["provider_id"], Email="other@example.gov")
    await tell(told)
    assert outbox.states() == ["sent"]
