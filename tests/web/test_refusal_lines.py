"""What a refusal's log line says of who called and whom the form named."""

from typing import Any

import pytest

from relay.core.addresses import Address
from relay.core.errors import InvalidSubmission
from relay.core.message import Message
from relay.core.policy import check_addresses
from relay.site import Site
from relay.web.base import who
from tests.conftest import FORM, Post
from tests.support.keys import ACCOUNT_KEY, OTHER_KEY, PAGE_KEY
from tests.support.keys import APPLICATION_KEY as KEY

FORMS = "/rest/email/contactform"


@pytest.mark.gen_test
async def test_a_refusals_line_names_the_key_and_the_domain(
    post: Post, events: list[dict[str, Any]]
) -> None:
    for path, key, fields, reason, named, domain in [
        (FORMS, OTHER_KEY, {}, "wrong_server", "other", None),
        (FORMS, PAGE_KEY, {}, "key_kind", "page", None),
        (FORMS, ACCOUNT_KEY, {}, "key_kind", "account", None),
        (FORMS, "x" * 43, {}, "unknown_key", None, None),
        (FORMS, None, {}, "no_header", None, None),
        (FORMS, KEY, {"subject": ""}, "invalid", "application", None),
        (FORMS, KEY, {"to_address": "not an address"}, "invalid", "application", None),
        (FORMS, KEY, {"to_address": "a@evil.example.com"}, "recipient", "application", "evil"),
        (FORMS, KEY, {"cc": "a@Evil.Example.com"}, "recipient", "application", "evil"),
        (FORMS, KEY, {"bcc": "A B <a@evil.example.com>"}, "recipient", "application", "evil"),
        (FORMS, KEY, {"to_address": "other@example.org"}, "recipient", "application", "org"),
    ]:
        events.clear()
        await post(path, FORM | fields, key=key)
        line = next(one for one in reversed(events) if "reason" in one)
        expected = {"evil": "evil.example.com", "org": "example.org"}.get(domain or "")
        assert (line["event"], line["reason"]) == ("submission.refused", reason), (line, fields)
        assert (line.get("key"), line.get("domain")) == (named, expected), (line, fields)
        assert "@" not in str(line)


@pytest.mark.parametrize(
    "domain", ["a@example.com", "two words", "example.com\n", "ex\u202eample.com", "x" * 64, "a..b"]
)
def test_what_has_no_domains_form_is_not_logged(domain: str) -> None:
    assert who(InvalidSubmission({}, domain=domain)) == {}


def test_what_is_no_refusal_names_nobody() -> None:
    assert who(ValueError("x")) == {}


def test_a_sender_that_is_not_the_servers_is_named_by_its_domain(site: Site) -> None:
    desk = Address("desk@example.gov")
    message = Message(to=(desk,), sender=Address("a@evil.example.com"), subject="x")
    with pytest.raises(InvalidSubmission) as refused:
        check_addresses(message, site.chains["contactform"].server)
    assert who(refused.value) == {"domain": "evil.example.com"}
