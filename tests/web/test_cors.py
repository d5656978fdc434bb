"""Browsers of other origins: what a page may do, and what it may read of the reply."""

import pytest

from relay.site import Site
from tests.conftest import FORM, SETTINGS, Outbox, Post

PAGE = {"Origin": "https://www.example.gov"}


@pytest.fixture
def settings_toml() -> str:
    proxies = '[relay]\npublic_url = "https://relay.example.gov/base"\n'
    return proxies + 'trusted_proxies = ["127.0.0.1", "::1"]\n' + SETTINGS


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path", ["/rest/email_session/contactform", "/rest/email_token/create", "/emails"]
)
async def test_a_listed_page_is_told_what_it_may_send(post: Post, path: str) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    reply = await post(path, method="OPTIONS", key=None, headers={**PAGE, **asked})
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == "https://www.example.gov"
    assert reply.headers["Access-Control-Allow-Methods"] == "POST"
    allowed = reply.headers["Access-Control-Allow-Headers"]
    assert allowed == "Authorization, Content-Type, Idempotency-Key"
    assert reply.headers["Access-Control-Max-Age"] == "600"
    assert reply.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in reply.headers


@pytest.mark.gen_test
async def test_a_listed_page_can_read_success_and_errors(post: Post, outbox: Outbox) -> None:
    for path, key in (("contactform", None), ("contactform", "application"), ("nowhere", None)):
        options = {} if key else {"key": None}
        reply = await post(f"/rest/email/{path}", FORM, headers=PAGE, **options)
        if path == "contactform":
            assert reply.headers["Access-Control-Allow-Origin"] == "https://www.example.gov"
            exposed = reply.headers["Access-Control-Expose-Headers"]
            assert exposed == "Retry-After, X-Relay-Message-Id, X-Request-Id"
    assert outbox.states() == ["sent"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://www.example.gov",
        "https://www.example.gov:8443",
        "https://www.example.gov.evil.example",
        "null",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/rest/email/contactform", "/rest/email_token/create"])
async def test_a_page_of_another_origin_is_refused(
    post: Post, outbox: Outbox, origin: str, path: str
) -> None:
    for method in ("POST", "OPTIONS"):
        reply = await post(path, FORM, headers={"Origin": origin}, method=method)
        assert (reply.status, reply.words) == (403, "origin not allowed")
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert outbox.rows() == []
    assert outbox.unspent_tokens() == 0


@pytest.mark.gen_test
async def test_an_origin_counts_only_for_its_own_server(post: Post, outbox: Outbox) -> None:
    reply = await post("/rest/email/default", FORM, headers=PAGE)
    assert (reply.status, reply.words) == (403, "origin not allowed")
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_cross_site_post_without_an_origin_is_refused(post: Post, outbox: Outbox) -> None:
    reply = await post("/rest/email/contactform", FORM, headers={"Sec-Fetch-Site": "cross-site"})
    assert (reply.status, reply.words) == (403, "origin not allowed")
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_the_relays_own_origin_passes(site: Site, post: Post) -> None:
    host, port = site.listening
    for origin in ("https://relay.example.gov", f"http://{host}:{port}"):
        reply = await post("/rest/email/contactform", FORM, headers={"Origin": origin})
        assert reply.status == 200
    # With a public address in the settings, what a request says of itself does not count.
    behind = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    own = {"Origin": "https://forms.example.gov", "Host": "forms.example.gov", **behind}
    assert (await post("/rest/email/contactform", FORM, headers=own)).status == 403


class TestWithoutPublicUrl:
    """Where the settings name no public address, a trusted proxy tells it."""

    @pytest.fixture
    def settings_toml(self) -> str:
        return '[relay]\ntrusted_proxies = ["127.0.0.1", "::1"]\n' + SETTINGS

    @pytest.mark.gen_test
    async def test_the_origin_that_a_trusted_proxy_tells_is_the_relays_own(
        self, post: Post
    ) -> None:
        behind = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        page = {"Origin": "https://forms.example.gov", "Host": "forms.example.gov"}
        assert (await post("/emails", FORM, headers=page | behind)).status == 200
        assert (await post("/emails", FORM, headers=page)).status == 403


@pytest.mark.gen_test
async def test_the_successor_of_the_old_path_has_the_public_address(post: Post) -> None:
    reply = await post("/emails", FORM)
    successor = "<https://relay.example.gov/base/rest/email/contactform>"
    assert reply.headers["Link"] == f'{successor}; rel="successor-version"'
