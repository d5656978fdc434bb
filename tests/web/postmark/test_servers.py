"""/server, /servers, /message-streams: the settings in Postmark's words; and what is not served."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.site import Site
from relay.store import installation
from relay.web.postmark.handler import MADE_IN_SETTINGS
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import ACCOUNT_KEY, key
from tests.web.postmark.conftest import BULLETIN_KEY, NOTICES_KEY, PASSING_KEY, SETTINGS, Call

KEYS = [
    *("ID", "Name", "ApiTokens", "Color", "SmtpApiActivated", "RawEmailEnabled", "DeliveryType"),
    *("ServerLink", "InboundAddress", "InboundHookUrl", "BounceHookUrl", "OpenHookUrl"),
    *("DeliveryHookUrl", "PostFirstOpenOnly", "InboundDomain", "InboundHash"),
    *("InboundSpamThreshold", "TrackOpens", "TrackLinks", "IncludeBounceContentInHook"),
    *("ClickHookUrl", "EnableSmtpApiErrorHooks"),
]

MORE = """
[keys.one]
secret = { env = "ONE_KEY" }
kind = "account"
servers = ["notices"]

[keys.any]
secret = { env = "ANY_KEY" }
kind = "account"

[keys.member]
secret = { env = "MEMBER_KEY" }
servers = ["member"]

[keys.neighbour]
secret = { env = "NEIGHBOUR_KEY" }
servers = ["neighbour"]

[servers.neighbour]
plugins = ["bearer_token"]
group = "notices"
sender = "Neighbour <neighbour@example.gov>"

[servers.member]
plugins = ["bearer_token"]
group = "passing"
sender = "Member <member@example.gov>"
"""

ONE_KEY = "one-key-one-key-one-key-one-key-one"
ANY_KEY = "any-key-any-key-any-key-any-key-any"
NEIGHBOUR_KEY = "neighbour-key-neighbour-key-neighbour"
MEMBER_KEY = "member-key-member-key-member-key-me"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    more = {"ONE_KEY": ONE_KEY, "ANY_KEY": ANY_KEY, "MEMBER_KEY": MEMBER_KEY}
    return environment | more | {"NEIGHBOUR_KEY": NEIGHBOUR_KEY}


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    relay = '[relay]\npublic_url = "https://relay.example.gov/base"\n'
    servers = SETTINGS.replace("POSTMARK_URL", postmark.url) + MORE
    own = 'postmark_token = { env = "POSTMARK_TOKEN" }\nmessage_stream = "alerts"'
    return relay + servers.replace('postmark_token = { env = "POSTMARK_TOKEN" }', own)


async def names(call: Call, query: str, key: str = ACCOUNT_KEY) -> list[str]:
    reply = await call("GET", f"/servers?{query}", token=None, account=key)
    assert reply.status == 200
    return [server["Name"] for server in reply.json["Servers"]]


@pytest.mark.gen_test
async def test_the_server_of_the_token_is_shown_with_all_keys_and_no_secret(call: Call) -> None:
    reply = await call("GET", "/server")
    assert reply.status == 200
    assert list(reply.json) == KEYS
    assert reply.json["ID"] >= 2
    assert (reply.json["Name"], reply.json["ApiTokens"]) == ("notices", [])
    assert reply.json["DeliveryType"] == "Sandbox"
    assert reply.json["ServerLink"] == "https://relay.example.gov/base"
    for secret in (NOTICES_KEY, "postmark-server-token"):
        assert secret.encode() not in reply.body


@pytest.mark.gen_test
async def test_a_server_is_live_where_its_group_delivers_to_a_provider(call: Call) -> None:
    for token, expected in (
        (NOTICES_KEY, "Sandbox"),
        (PASSING_KEY, "Live"),
        (MEMBER_KEY, "Live"),
        (NEIGHBOUR_KEY, "Sandbox"),
    ):
        reply = await call("GET", "/SERVER/", b"null", token=token)
        assert reply.json["DeliveryType"] == expected
        path = f"/servers/{reply.json['ID']}"
        assert (await call("GET", path, token=None, account=ACCOUNT_KEY)).json == reply.json


@pytest.mark.gen_test
async def test_an_account_lists_the_servers_of_the_settings_by_number(call: Call) -> None:
    reply = await call("GET", "/servers?count=2&offset=1", token=None, account=ACCOUNT_KEY)
    assert (reply.status, list(reply.json)) == (200, ["TotalCount", "Servers"])
    assert reply.json["TotalCount"] == 5
    assert [list(server) for server in reply.json["Servers"]] == [KEYS, KEYS]
    numbers = [server["ID"] for server in reply.json["Servers"]]
    assert numbers == sorted(numbers)
    assert await names(call, "Count=10&OFFSET=0&name=NOT") == ["notices"]
    assert await names(call, "count=0&offset=0") == []
    assert await names(call, "count=10&offset=5") == []


@pytest.mark.gen_test
async def test_an_account_key_opens_the_servers_it_names_or_all(call: Call) -> None:
    every = await names(call, "count=10&offset=0")
    assert sorted(every) == ["bulletin", "member", "neighbour", "notices", "passing"]
    assert await names(call, "count=10&offset=0", ANY_KEY) == every
    assert await names(call, "count=10&offset=0", ONE_KEY) == ["notices"]


@pytest.mark.gen_test
async def test_one_server_is_found_by_its_number_and_only_an_opened_one(
    call: Call, site: Site
) -> None:
    numbers = await installation.numbered(site.store, site.chains)
    path = f"/servers/{numbers['notices']}"
    own = await call("GET", "/server")
    for account in (ACCOUNT_KEY, ANY_KEY, ONE_KEY):
        reply = await call("GET", path, token=None, account=account)
        assert (reply.status, reply.json) == (200, own.json)
    for unknown in (str(numbers["bulletin"]), "0", "1", "99", "notices", "9" * 40, f"0{path[-1]}"):
        reply = await call("GET", f"/servers/{unknown}", token=None, account=ONE_KEY)
        expected = {"ErrorCode": 601, "Message": "The server was not found."}
        assert (reply.status, reply.json) == (422, expected)


@pytest.mark.gen_test
async def test_a_server_that_left_the_settings_is_not_shown_and_keeps_its_number(
    call: Call, site: Site, load: Callable[[str], Settings], settings_toml: str
) -> None:
    before = await installation.numbered(site.store, site.chains)
    head, _, tail = settings_toml.partition("[servers.bulletin]")
    _, _, tail = tail.partition("[servers.passing]")
    left = head.replace(', "bulletin"', "").replace(key("bulletin", "bulletin"), "")
    site.reload(load(f"{left}[servers.passing]{tail}"))
    assert "bulletin" not in await names(call, "count=10&offset=0")
    gone = f"/servers/{before['bulletin']}"
    assert (await call("GET", gone, token=None, account=ACCOUNT_KEY)).json["ErrorCode"] == 601
    site.reload(load(settings_toml))
    reply = await call("GET", "/server", token=BULLETIN_KEY)
    assert reply.json["ID"] == before["bulletin"]


@pytest.mark.gen_test
async def test_a_list_of_servers_needs_count_and_offset(call: Call) -> None:
    for query in ("", "count=1", "offset=0", "count=x&offset=0", "count=1&offset=-1"):
        reply = await call("GET", f"/servers?{query}", token=None, account=ACCOUNT_KEY)
        assert (reply.status, reply.json["ErrorCode"]) == (422, 600)


@pytest.mark.gen_test
async def test_a_token_of_the_wrong_kind_opens_nothing(call: Call) -> None:
    for path in ("/servers?count=1&offset=0", "/servers/2"):
        for token, account in ((NOTICES_KEY, None), (None, NOTICES_KEY), (ACCOUNT_KEY, None)):
            reply = await call("GET", path, token=token, account=account)
            assert (reply.status, reply.json["ErrorCode"]) == (401, 10)
            assert "valid Account token" in reply.json["Message"]
    for path in ("/server", "/message-streams", "/message-streams/outbound"):
        reply = await call("GET", path, token=None, account=ACCOUNT_KEY)
        assert (reply.status, reply.json["ErrorCode"]) == (401, 10)
        assert "valid Server token" in reply.json["Message"]


@pytest.mark.gen_test
async def test_templates_belong_to_the_group_that_a_server_is_in(call: Call) -> None:
    body = {"Name": "Welcome", "Subject": "Hi", "TextBody": "Hello"}
    created = await call("POST", "/templates", body, token=PASSING_KEY)
    assert created.status == 200
    own = (await call("GET", "/server", token=MEMBER_KEY)).json["ID"]
    group = (await call("GET", "/server", token=PASSING_KEY)).json["ID"]
    assert own != group
    for token in (MEMBER_KEY, PASSING_KEY):
        read = await call("GET", f"/templates/{created.json['TemplateId']}", token=token)
        assert (read.status, read.json["AssociatedServerId"]) == (200, group)
    destination = (await call("GET", "/server", token=NOTICES_KEY)).json["ID"]
    push = {"SourceServerID": own, "DestinationServerID": destination, "PerformChanges": True}
    pushed = await call("PUT", "/templates/push", push, token=None, account=ACCOUNT_KEY)
    assert (pushed.status, pushed.json["TotalCount"]) == (200, 1)
    closed = await call("PUT", "/templates/push", push, token=None, account=ONE_KEY)
    assert (closed.status, closed.json["ErrorCode"]) == (422, 601)
    assert closed.json["Message"] == "The source server was not found."


SUPPRESSIONS = "/message-streams/outbound/suppressions"
DESK = {"Suppressions": [{"EmailAddress": "desk@example.gov"}]}
WELCOME = {"Name": "Welcome", "Alias": "welcome", "Subject": "Hi", "TextBody": "Hello"}
SHARED: list[tuple[str, str, Any]] = [
    ("POST", SUPPRESSIONS, DESK),
    ("POST", f"{SUPPRESSIONS}/", DESK),
    ("POST", f"{SUPPRESSIONS}/delete", DESK),
    ("POST", "/Message-Streams/broadcast/suppressions", DESK),
    ("POST", "/templates", {**WELCOME, "Alias": "another"}),
    ("PUT", "/templates/welcome", {**WELCOME, "Subject": "Bye"}),
    ("PUT", "/templates/unknown", WELCOME),
    ("DELETE", "/templates/welcome", None),
]


@pytest.mark.gen_test
async def test_a_member_reads_what_its_group_shares_and_changes_nothing(call: Call) -> None:
    assert (await call("POST", "/templates", WELCOME, token=NOTICES_KEY)).status == 200
    for method, path, body in SHARED:
        refused = await call(method, path, body, token=NEIGHBOUR_KEY)
        assert (refused.status, refused.json["ErrorCode"]) == (403, 10), path
        assert "only a key of that server may change them" in refused.json["Message"]
    for token in (NEIGHBOUR_KEY, NOTICES_KEY):
        dump = await call("GET", f"{SUPPRESSIONS}/dump", token=token)
        assert (dump.status, dump.json["Suppressions"]) == (200, [])
        listed = await call("GET", "/templates?Count=9&Offset=0", token=token)
        assert (listed.status, listed.json["TotalCount"]) == (200, 1)
        read = await call("GET", "/templates/welcome", token=token)
        assert read.json["Subject"] == "Hi"
        assert (await call("POST", "/templates/validate", WELCOME, token=token)).status == 200
    for method, path, body in SHARED[:6]:
        assert (await call(method, path, body, token=NOTICES_KEY)).status == 200, path


@pytest.mark.gen_test
async def test_an_account_key_of_a_member_pushes_nothing_to_its_group(
    call: Call, site: Site, load: Callable[[str], Settings], settings_toml: str
) -> None:
    await call("POST", "/templates", WELCOME, token=PASSING_KEY)
    one = '[keys.one]\nsecret = { env = "ONE_KEY" }\nkind = "account"\nservers = '
    assert one in settings_toml
    theirs = settings_toml.replace(one, f'{one}["passing", "neighbour"]\n#')
    site.reload(load(theirs))
    source = (await call("GET", "/server", token=PASSING_KEY)).json["ID"]
    member = (await call("GET", "/server", token=NEIGHBOUR_KEY)).json["ID"]
    push = {"SourceServerID": source, "DestinationServerID": member, "PerformChanges": True}
    refused = await call("PUT", "/templates/push", push, token=None, account=ONE_KEY)
    assert (refused.status, refused.json["ErrorCode"]) == (403, 10)
    listed = await call("GET", "/templates?Count=9&Offset=0", token=NOTICES_KEY)
    assert listed.json["TotalCount"] == 0
    assert (await call("PUT", "/templates/push", push, token=None, account=ANY_KEY)).status == 200


@pytest.mark.gen_test
async def test_the_settings_are_the_only_switch(call: Call) -> None:
    for method, path in (
        ("PUT", "/server"),
        ("POST", "/servers"),
        ("PUT", "/servers/2"),
        ("DELETE", "/servers/2"),
        ("POST", "/Servers/"),
        ("POST", "/message-streams"),
        ("PATCH", "/message-streams/outbound"),
        ("DELETE", "/message-streams/alerts"),
    ):
        for keys in ({"account": ACCOUNT_KEY}, {"token": None}):
            reply = await call(method, path, {"Name": "x"}, **keys)
            assert reply.status == 405
            words = f"This path does not take this method. {MADE_IN_SETTINGS}"
            assert reply.json == {"ErrorCode": 405, "Message": words}
            assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
            assert reply.headers["X-PM-ApiErrorCode"] == "405"
            assert reply.headers["Allow"] == "GET"


@pytest.mark.gen_test
async def test_every_server_has_postmarks_three_streams(call: Call) -> None:
    reply = await call("GET", "/message-streams?IncludeArchivedStreams=true")
    assert (reply.status, list(reply.json)) == (200, ["MessageStreams", "TotalCount"])
    streams = reply.json["MessageStreams"]
    assert reply.json["TotalCount"] == len(streams) == 3
    assert [(stream["ID"], stream["MessageStreamType"]) for stream in streams] == [
        ("outbound", "Transactional"),
        ("inbound", "Inbound"),
        ("broadcast", "Broadcasts"),
    ]
    number = (await call("GET", "/server")).json["ID"]
    for stream in streams:
        assert list(stream) == [
            *("ID", "ServerID", "Name", "Description", "MessageStreamType", "CreatedAt"),
            *("UpdatedAt", "ArchivedAt", "ExpectedPurgeDate"),
            "SubscriptionManagementConfiguration",
        ]
        assert stream["ServerID"] == number
        assert datetime.fromisoformat(stream["CreatedAt"]).tzinfo is not None
        assert stream["SubscriptionManagementConfiguration"] == {"UnsubscribeHandlingType": "None"}


@pytest.mark.gen_test
async def test_a_server_has_the_stream_that_its_group_sends_to(call: Call) -> None:
    for token in (PASSING_KEY, MEMBER_KEY):
        reply = await call("GET", "/message-streams", token=token)
        assert [stream["ID"] for stream in reply.json["MessageStreams"]] == [
            *("outbound", "inbound", "broadcast", "alerts")
        ]
        assert (await call("GET", "/message-streams/alerts", token=token)).status == 200
    assert (await call("GET", "/message-streams/alerts")).status == 422


@pytest.mark.gen_test
async def test_streams_are_listed_by_type_and_found_by_id(call: Call) -> None:
    async def listed(type: str) -> list[str]:
        reply = await call("GET", f"/message-streams?messagestreamtype={type}")
        return [stream["ID"] for stream in reply.json["MessageStreams"]]

    assert await listed("Inbound") == ["inbound"]
    assert await listed("broadcasts") == ["broadcast"]
    assert await listed("All") == ["outbound", "inbound", "broadcast"]
    wrong = await call("GET", "/message-streams?MessageStreamType=Pigeon")
    assert (wrong.status, wrong.json["ErrorCode"]) == (422, 1221)
    one = await call("GET", "/message-streams/Broadcast/")
    assert (one.status, one.json["ID"]) == (200, "broadcast")
    unknown = await call("GET", "/message-streams/pigeon")
    assert (unknown.status, unknown.json["ErrorCode"]) == (422, 1226)


@pytest.mark.gen_test
async def test_what_is_not_served_is_404_in_the_envelope(call: Call) -> None:
    made = ["/server/x", "/servers/2/x", "/message-streams/outbound/archive", "/domains"]
    made += ["/domains/1/verifyDkim", "/senders", "/Senders/1/resend", "/webhooks?MessageStream=a"]
    paths = ["/messages", "/messages/inbound?count=1&offset=0", "/bounces", "/stats/outbound"]
    paths += ["/templates/a/b", "/messages/outbound/opens", *made]
    for path in paths:
        for method in ("GET", "POST", "DELETE"):
            reply = await call(method, path, {} if method == "POST" else None)
            assert reply.status == 404, path
            words = "There is nothing at this path."
            words = f"{words} {MADE_IN_SETTINGS}" if path in made else words
            assert reply.json == {"ErrorCode": 404, "Message": words}
            assert reply.headers["X-PM-ApiErrorCode"] == "404"
