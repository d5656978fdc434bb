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
    assert reply.headers["Access-Control-Max-Age"] == "7200"
    assert reply.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in reply.headers


OWN = "Authorization, Content-Type, Idempotency-Key"


@pytest.mark.gen_test
async def test_a_listed_page_may_send_whatever_its_scripts_add(post: Post) -> None:
    """What tracing and script libraries put on every call of a page, as browsers ask for it."""
    for asked, more in [
        ("authorization,baggage,content-type,sentry-trace", "baggage, sentry-trace"),
        ("authorization,content-type,x-requested-with", "x-requested-with"),
        ("authorization,traceparent,tracestate", "traceparent, tracestate"),
        ("elastic-apm-traceparent", "elastic-apm-traceparent"),
        ("x-datadog-origin,x-datadog-parent-id", "x-datadog-origin, x-datadog-parent-id"),
        ("newrelic", "newrelic"),
        ("request-id, request-context", "request-id, request-context"),
        ("x-b3-traceid,b3", "x-b3-traceid, b3"),
        ("x-csrf-token,x-posthog-session-id", "x-csrf-token, x-posthog-session-id"),
        ("cache-control,pragma", "cache-control, pragma"),
        ("X-Csrf-Token,x-csrf-token", "x-csrf-token"),
        # What is no name of a header is left out, and so is what is more than any page sends.
        ("baggage,,x y,ü,a:b,*/*", "baggage"),
        ("baggage,x(y)", "baggage"),
        ("x" * 101, ""),
        (",".join(f"x-{number}" for number in range(60)), _numbered(50)),
        ("", ""),
    ]:
        headers = {**PAGE, "Access-Control-Request-Headers": asked}
        path = "/rest/email_session/contactform"
        reply = await post(path, method="OPTIONS", key=None, headers=headers)
        assert reply.status == 204
        listed = f"{OWN}, {more}" if more else OWN
        assert reply.headers["Access-Control-Allow-Headers"] == listed, asked


def _numbered(count: int) -> str:
    return ", ".join(f"x-{number}" for number in range(count))


@pytest.mark.gen_test
async def test_a_page_that_is_not_listed_is_told_nothing_of_headers(post: Post) -> None:
    evil = {"Origin": "https://evil.example", "Access-Control-Request-Headers": "baggage"}
    path = "/rest/email_session/contactform"
    reply = await post(path, method="OPTIONS", key=None, headers=evil)
    assert reply.status == 403
    assert "Access-Control-Allow-Headers" not in reply.headers


@pytest.mark.gen_test
async def test_a_listed_page_can_read_success_and_errors(post: Post, outbox: Outbox) -> None:
    for path, key in (("contactform", None), ("contactform", "application"), ("nowhere", None)):
        options = {} if key else {"key": None}
        reply = await post(f"/rest/email/{path}", FORM, headers=PAGE, **options)
        if path == "contactform":
            assert reply.headers["Access-Control-Allow-Origin"] == "https://www.example.gov"
            exposed = reply.headers["Access-Control-Expose-Headers"]
            assert exposed == "Retry-After, X-Relay-Message-Id, X-Relay-Reference, X-Request-Id"
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


@pytest.mark.gen_test
async def test_a_refusals_line_says_which_page_posted(
    post: Post, events: list[dict[str, object]]
) -> None:
    for origin, logged in [
        ("https://evil.example", "https://evil.example"),
        ("http://www.example.gov", "http://www.example.gov"),
        ("https://www.example.gov:8443", "https://www.example.gov:8443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("null", "null"),
        ("https://who@evil.example", None),
        ("https://evil.example/resident@example.com", None),
        ("https://" + "x" * 201, None),
    ]:
        await post("/rest/email/contactform", FORM, headers={"Origin": origin})
        refused = [one for one in events if one["event"] == "submission.refused"][-1]
        assert (refused["reason"], refused.get("origin")) == ("origin", logged)
    await post("/rest/email/contactform", {}, headers=PAGE)
    assert events[-1]["origin"] == PAGE["Origin"]
