"""What a page fills in unseen never costs a resident the form."""

import pytest

from relay.site import Site
from tests.conftest import Outbox, Post
from tests.support import stored

FORM = {
    "to": "desk@example.gov",
    "from_address": "resident@example.com",
    "subject": "Streetlight",
    "message": "It is out.",
    "template_id": "welcome",
}
PAGE = "https://www.example.gov/a?utm="
LONG = [
    ("url", PAGE + "x" * 2100, 2000),
    ("url", PAGE + "x" * 100_000, 2000),
    ("url", PAGE + "\U0001f600" * 1000, 2000),
    ("url", " " + PAGE + "y" * 1971, 2000),
    ("browser", "Mozilla/5.0 " * 100, 1000),
    ("browser", "\u6f22" * 1001, 1000),
    ("browser", "x" + "\U0001f3db" * 500, 1000),
]


@pytest.mark.gen_test
async def test_a_hidden_field_that_is_too_long_is_cut_and_its_history_says_so(
    post: Post, outbox: Outbox, site: Site
) -> None:
    for name, given, most in LONG:
        reply = await post("/rest/email/contactform", {**FORM, name: given})
        assert reply.status == 200, (name, reply.body)
        kept = outbox.last()["document"]["model"][name]
        assert given.strip().startswith(kept)
        assert most - 2 < len(kept.encode("utf-16-le")) // 2 <= most
        warned = ("warning", f"{name} was cut to {most} characters")
        assert warned in stored.happened(site.store, outbox.last()["id"])


@pytest.mark.gen_test
async def test_a_hidden_field_that_fits_is_kept_whole_and_nothing_is_said(
    post: Post, outbox: Outbox, site: Site
) -> None:
    fitting = {"url": PAGE + "x" * 1970, "browser": "\U0001f3db" * 500}
    await post("/rest/email/contactform", {**FORM, **fitting})
    model = outbox.last()["document"]["model"]
    assert fitting == {name: model[name] for name in fitting}
    kinds = [kind for kind, _ in stored.happened(site.store, outbox.last()["id"])]
    assert "warning" not in kinds


@pytest.mark.gen_test
async def test_what_a_writer_can_shorten_is_still_refused(post: Post, outbox: Outbox) -> None:
    for name in ("subject", "name", "phone", "tag", "sender"):
        reply = await post("/rest/email/contactform", {**FORM, name: "x" * 2001})
        assert (reply.status, reply.words.partition(":")[0]) == (400, name)
    assert outbox.rows() == []
