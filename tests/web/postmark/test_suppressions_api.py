"""The suppressions of a message stream: listed, added and lifted as Postmark's clients do."""

import time
from typing import Any

import pytest

from relay.site import Site
from relay.store.suppressions import Word
from tests.support.keys import PAGE_KEY
from tests.support.stored import rows
from tests.web.postmark.conftest import BULLETIN_KEY, Call

PLACE = "/message-streams/outbound/suppressions"
DAY = 86400.0
MAIL = {"From": "notices@example.gov", "Subject": "A notice", "TextBody": "It is time."}


def named(*emails: Any) -> dict[str, Any]:
    return {"Suppressions": [{"EmailAddress": email} for email in emails]}


async def note(site: Site, **reasons: Any) -> None:
    now = time.time()
    words = [
        Word("notices", f"{name}@example.com", reason, now - 3 * DAY)
        for name, reason in reasons.items()
    ]
    await site.suppressions.note(words)


async def listed(call: Call, query: str = "") -> list[tuple[str, str, str]]:
    reply = await call("GET", f"{PLACE}/dump{query}")
    assert reply.status == 200
    names = ("EmailAddress", "SuppressionReason", "Origin")
    return [tuple(one[name] for name in names) for one in reply.json["Suppressions"]]


@pytest.mark.gen_test
async def test_they_are_listed_in_postmarks_words_and_found_by_them(call: Call, site: Site) -> None:
    await note(site, a="bounced", b="complained", c="unsubscribed", d="manual", e="lifted")
    await note(site, f="refused")
    bounced = ("a@example.com", "HardBounce", "Recipient")
    complained = ("b@example.com", "SpamComplaint", "Recipient")
    unsubscribed = ("c@example.com", "ManualSuppression", "Recipient")
    manual = ("d@example.com", "ManualSuppression", "Customer")
    refused = ("f@example.com", "HardBounce", "Recipient")
    assert await listed(call) == [bounced, complained, unsubscribed, manual, refused]
    assert await listed(call, "?suppressionreason=spamcomplaint") == [complained]
    assert await listed(call, "?Origin=customer") == [manual]
    assert await listed(call, "?EmailAddress=A@example.com") == [bounced]
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 3 * DAY))
    assert len(await listed(call, f"?fromdate={day}&todate={day}")) == 5
    assert await listed(call, f"?fromdate={time.strftime('%Y-%m-%d', time.gmtime())}") == []
    wrong = await call("GET", f"{PLACE}/dump?todate=yesterday")
    assert (wrong.status, wrong.json["ErrorCode"]) == (422, 300)
    assert (await call("GET", f"{PLACE}/dump", token=BULLETIN_KEY)).json == {"Suppressions": []}


@pytest.mark.gen_test
async def test_what_is_added_gets_no_mail_and_what_is_lifted_does_again(
    call: Call, site: Site
) -> None:
    body = named("A@Example.com", "no address", "", None)
    added = (await call("POST", PLACE, body)).json["Suppressions"]
    assert added[0] == {"EmailAddress": "A@Example.com", "Status": "Suppressed", "Message": None}
    assert [one["Status"] for one in added[1:]] == ["Failed"] * 3
    assert added[1]["Message"] == "An invalid email address was provided."
    refused = await call("POST", "/email", MAIL | {"To": "a@example.com"})
    assert (refused.status, refused.json["ErrorCode"]) == (422, 406)
    lifted = (await call("POST", f"{PLACE}/delete/", named("a@example.com"))).json["Suppressions"]
    assert lifted == [{"EmailAddress": "a@example.com", "Status": "Deleted", "Message": None}]
    sent = await call("POST", "/email", MAIL | {"To": "a@example.com"})
    assert (sent.status, sent.json["Message"]) == (200, "OK")


@pytest.mark.gen_test
async def test_what_a_recipient_asked_for_only_he_takes_back(call: Call, site: Site) -> None:
    await note(site, a="complained", b="unsubscribed", c="bounced")
    body = named("a@example.com", "b@example.com", "c@example.com")
    answers = (await call("POST", f"{PLACE}/delete", body)).json["Suppressions"]
    assert [one["Status"] for one in answers] == ["Failed", "Failed", "Deleted"]
    assert answers[0]["Message"].startswith("You do not have the required authority")
    assert [one[0] for one in await listed(call)] == ["a@example.com", "b@example.com"]


REFUSED = [
    (named(), 300),
    (named(*["a@example.com"] * 51), 300),
    ({"Suppressions": "a@example.com"}, 403),
    ({"Suppressions": ["a@example.com"]}, 403),
    ({"Suppressions": [{"EmailAddress": 7}]}, 403),
    ([], 403),
    (b"{", 402),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(("body", "code"), REFUSED, ids=map(str, range(len(REFUSED))))
async def test_a_body_of_another_shape_is_refused_and_nothing_is_stored(
    call: Call, site: Site, body: Any, code: int
) -> None:
    for path in (PLACE, f"{PLACE}/delete"):
        reply = await call("POST", path, body)
        assert (reply.status, reply.json["ErrorCode"]) == (422, code)
    assert rows(site.store, "SELECT * FROM suppressions") == []


@pytest.mark.gen_test
async def test_neither_a_stranger_nor_a_page_nor_another_stream_gets_in(
    call: Call, site: Site
) -> None:
    for token in (None, PAGE_KEY, "unknown-key-unknown-key-unknown-key-"):
        assert (await call("GET", f"{PLACE}/dump", token=token)).status == 401
        assert (await call("POST", PLACE, named("a@example.com"), token=token)).status == 401
    unknown = await call("POST", PLACE.replace("outbound", "unheard"), named("a@example.com"))
    assert (unknown.status, unknown.json["ErrorCode"]) == (422, 1226)
    assert (await call("DELETE", PLACE)).status == 405
    assert rows(site.store, "SELECT * FROM suppressions") == []
