"""What happened to a message, in order, with what others said beside what it means."""

import re
from pathlib import Path

from relay.core import origin
from relay.core.origin import Origin
from relay.operators import timeline
from relay.operators.timeline import EVENTS, PLACES, Told, fields, without_contents
from relay.store.acts import Act, By
from tests.operators.test_explanation import NOW, message
from tests.support.daemon import ROOT

WHENCE = Origin(
    "script", "https://www.example.gov/contact", "publishable", ("bearer_token",), True, 12.0
)
MAPPED = {"subject": "subject", "name": "reply_to body", "shoe": "unused"}


def told(state: str = "sent", **columns: object) -> Told:
    found = message(state, **columns)
    content = found.content._replace(origin=origin.dump(WHENCE, MAPPED, 2))
    return Told(found._replace(content=content), (), {}, "")


def test_a_form_is_posted_checked_and_mapped_before_it_is_tried() -> None:
    failed = ("failed", "RCPT: 550 5.1.1 ann@example.gov: no such user")
    posted, checks, mapping, attempt = timeline.timeline(told(attempts=(failed,)))
    assert posted.headline == (
        "Posted by a page's script on https://www.example.gov/contact with the key page"
    )
    assert checks.words == (
        "who calls: bearer_token, a publishable key; session token, made 12s before"
    )
    assert (mapping.headline, mapping.words) == (
        "3 fields and 2 more became a message",
        "nobody used: shoe",
    )
    assert attempt.headline == "Attempt 1: Refused for good by postmark (1.00 s)"
    assert attempt.words == failed[1]
    assert attempt.meaning == "There is no such mailbox."


def test_an_order_is_told_once_with_who_and_by_which_way() -> None:
    event = ("retried", "by jane; it was failed")
    act = Act(NOW - 30, By("jane", "console", "192.0.2.7"), "retry", "id", "failed", "queued")
    later = act._replace(at=NOW, verb="suppress", by=By("eve", "command"), before="")
    entries = timeline.timeline(told(events=(event,))._replace(acts=(act, later)))
    orders = [(one.headline, one.words) for one in entries if one.kind == "order"]
    assert orders == [
        ("Queued again", "by jane; it was failed (console from 192.0.2.7)"),
        ("suppress, by eve", "queued (command)"),
    ]


def test_whoever_sees_no_contents_sees_no_names_of_fields_people_or_addresses() -> None:
    failed = ("failed", "RCPT: 550 5.1.1 ann@example.gov: no such user Ann")
    event = ("retried", "by jane; it was failed")
    act = Act(NOW - 30, By("jane", "console", "192.0.2.7"), "retry", "id")
    whole = told(attempts=(failed,), events=(event, ("warning", "the model has no `street`")))
    text = str(timeline.timeline(without_contents(whole._replace(acts=(act,)))))
    for secret in ("ann", "Ann", "jane", "street", "shoe", "192.0.2.7", "@"):
        assert secret not in text
    assert "There is no such mailbox" in text
    assert "Queued again" in text


def test_fields_are_told_in_words() -> None:
    assert fields(WHENCE) == fields(None) == []
    found = fields(origin.load(origin.dump(WHENCE, MAPPED)))
    assert found == [
        ("subject", "the subject"),
        ("name", "Reply-To, the text"),
        ("shoe", "nobody used it"),
    ]


def test_every_kind_of_event_has_a_headline() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(ROOT / "relay").rglob("*.py")]
    kinds = {
        kind for source in sources for kind in re.findall(r'NewEvent\([^"()]*"([a-z_]+)"', source)
    }
    assert {"warning", "receipt", "answered", "late"} <= kinds
    assert kinds <= set(EVENTS)


def test_every_word_of_a_mapping_is_told() -> None:
    own = (origin.EMPTY, origin.CONTROL, origin.LEFT_OUT, origin.READ, origin.UNUSED)
    assert {*own, origin.ATTACHMENT, "from", "to", "cc", "bcc", "reply_to"} <= set(PLACES)
    assert {"subject", "tag", "header", "body", "model"} <= set(PLACES)
