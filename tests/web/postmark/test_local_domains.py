"""Addresses of a city's own network: taken where the settings name their domains."""

from collections.abc import Callable

import pytest

from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from tests.conftest import FORM, Outbox, Post
from tests.support.keys import key
from tests.web.postmark.conftest import SECRETS, Call

API_KEY = SECRETS["NOTICES_KEY"]
SETTINGS = (
    key("application", "*")
    + key("notices", "desk")
    + """
[relay]
legacy_server = ""

[servers.desk]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Desk <desk@city.local>"
senders = ["@mailhost"]
recipients = ["@office.home.arpa", "@example.gov"]
local_domains = ["Writers.Internal", "wiki"]
backup = "backup@elsewhere.local"

[servers.plain]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Plain <plain@example.gov>"
recipients = ["*"]
"""
)

NAMED = ["city.local", "mailhost", "office.home.arpa", "writers.internal", "wiki"]
OTHERS = ["other.local", "mail.city.local", "localhost", "intranet", "x.test", "home.arpa", "1"]


@pytest.fixture
def settings_toml() -> str:
    return SETTINGS


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | SECRETS


@pytest.mark.gen_test
@pytest.mark.parametrize("domain", [*NAMED, *OTHERS])
async def test_a_writer_may_have_an_address_of_a_domain_that_is_named(
    post: Post, outbox: Outbox, domain: str
) -> None:
    taken = domain in NAMED
    writer = {"from_address": f"Clerk <clerk@{domain}>", "reply_to": f"clerk@{domain}"}
    reply = await post("/rest/email/desk", FORM | writer)
    assert reply.status == (200 if taken else 400)
    assert len(outbox.states()) == taken
    reply = await post("/rest/email/plain", FORM | writer)
    assert reply.status == (200 if domain == "writers.internal" else 400)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"To": "a@office.home.arpa"}, 200),
        ({"To": "A <a@OFFICE.home.arpa>", "Cc": "desk@example.gov"}, 200),
        ({"From": "web@mailhost"}, 200),
        ({"From": "Web <web@mailhost>", "ReplyTo": "x@wiki"}, 200),
        ({"From": "web@wiki"}, 422),
        ({"From": "web@localhost"}, 422),
        ({"To": "a@wiki"}, 422),
        ({"To": "a@other.local"}, 422),
        ({"Bcc": "a@mailhost"}, 422),
        ({"ReplyTo": "x@intranet"}, 422),
    ],
)
async def test_a_call_may_name_what_its_server_may_send_as_and_to(
    call: Call, outbox: Outbox, fields: dict[str, str], status: int
) -> None:
    message = {"From": "desk@city.local", "To": "desk@example.gov", "TextBody": "Hello."}
    reply = await call("POST", "/email", message | fields, token=API_KEY)
    assert reply.status == status, reply.body
    assert len(outbox.states()) == (status == 200)
    if status == 200:
        reply = await call("POST", "/email", message | fields, token="POSTMARK_API_TEST")
        assert reply.status == 422


@pytest.mark.gen_test
async def test_only_where_it_is_named_an_address_of_a_form_is_local(post: Post) -> None:
    refused = FORM | {"to_address": "a@wiki", "from_address": "a@other.local"}
    reply = await post("/rest/email/desk", refused)
    assert (reply.status, reply.words[:13]) == (400, "from_address:")
    reply = await post("/rest/email/desk", refused | {"from_address": "a@wiki"})
    assert reply.words == "to_address: not a recipient that this server sends to"


@pytest.mark.parametrize("name", ["10.0.0.1", "@city.local", "*", "a b", "city.local."])
def test_what_is_no_domain_is_refused_at_the_start(
    load: Callable[[str], Settings], name: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"\[servers.desk\] local_domains"):
        load(SETTINGS.replace("Writers.Internal", name))
