"""Each state and what may be behind it has its sentence, its remedy and its orders."""

from dataclasses import replace
from typing import Any

import pytest

from relay.core.server import Server
from relay.core.states import State
from relay.operators.explanation import _EXPLAIN, Circumstances, explain
from relay.operators.timeline import Told, without_contents
from relay.store.queries.listing import Attempt, Contents, Event, MessageRow, StoredMessage

NOW = 1_790_000_000.0
ID = "01a0c450-6c00-7000-8000-000000000001"
GONE = "no mail goes to desk@example.gov; held until the address works again: `queue replay`"
OUTAGE = {
    "plugin": "postmark",
    "group": "desk",
    "servers": ["desk"],
    "since": NOW - 60,
    "words": "Postmark answered 401: Request does not contain a valid Server token. (ErrorCode 10)",
    "next_probe": NOW + 60,
}


def message(
    state: str,
    *,
    events: tuple[tuple[str, str], ...] = (),
    attempts: tuple[tuple[str, str], ...] = (),
    **columns: Any,
) -> StoredMessage:
    """A stored message: `events` are kinds and words, `attempts` outcomes and words."""
    row = MessageRow(
        *(ID, "desk", State(state), NOW - 600, NOW + 300, NOW - 600, 1, 1, 0, "plain", 9, 0),
        *(0, 0, False, None, "page", "postmark", None, None),
    )
    return StoredMessage(
        row._replace(**columns),
        Contents("desk@example.gov", "An idea", "{}"),
        [
            Attempt(number, NOW - 60, NOW - 59, "postmark", outcome, words)
            for number, (outcome, words) in enumerate(attempts, 1)
        ],
        [Event(NOW - 30, kind, words) for kind, words in events],
    )


def around(server: dict[str, Any] | None = None, **changes: Any) -> Circumstances:
    servers = {"desk": Server("desk", (), group="desk", **(server or {}))}
    return replace(Circumstances(servers, NOW), **changes)


WELL = around()
BROKE = "KeyError, raised by nonsense"
MAILBOX = "550 5.1.1 no such user"

CASES = [
    # Waiting.
    ("queued", {"due_at": NOW - 1}, WELL, "its turn has not come", "Nothing", "retry cancel"),
    (
        "queued",
        {"tries": 1, "words": "RCPT: 450 4.2.0 greylisted"},
        WELL,
        ("attempt 1 was put off (RCPT: 450 4.2.0 greylisted); the next is in 5m"),
        "tried again by itself",
        "retry cancel",
    ),
    (
        "queued",
        {},
        around(pauses={"desk": NOW - 9}),
        "desk is paused since 2026-09-21 14:13:11Z",
        "`run.py resume desk`",
        "retry cancel",
    ),
    ("queued", {}, around({"enabled": False}), "desk is not enabled", "`enabled = true`", ""),
    (
        "queued",
        {"tries": 1},
        around({"queue_enabled": False}),
        "retries of desk are not enabled",
        "`queue_enabled = true`",
        "",
    ),
    (
        "queued",
        {"server": "gone"},
        WELL,
        "settings.toml has no server gone",
        "Put the server back",
        "retry cancel",
    ),
    (
        "queued",
        {},
        around(silence="no daemon runs on these settings"),
        "no daemon runs",
        "`run.py serve`",
        "",
    ),
    (
        "queued",
        {},
        around(silence="a daemon runs, but does not answer (OSError)"),
        "does not answer",
        "`run.py status`",
        "",
    ),
    (
        "queued",
        {},
        around(outages=[OUTAGE], stuck=["desk"]),
        ("postmark of desk fails since 2026-09-21 14:12:20Z: Postmark answered 401"),
        "Set `postmark_token`",
        "retry cancel",
    ),
    ("queued", {"maybe_twice": True}, WELL, "may have been delivered twice", "", ""),
    ("scheduled", {}, WELL, "its time has not come: in 5m", "Nothing", "cancel"),
    ("sending", {}, WELL, "An attempt runs", "Nothing", None),
    # In doubt, and held.
    (
        "in_doubt",
        {"looks": 2},
        WELL,
        ("it is looked up at the provider at 2026-09-21 14:18:20Z, after 2 look-ups"),
        "`queue found`",
        "retry found",
    ),
    (
        "in_doubt",
        {"events": (("interrupted", "the daemon stopped while it was being sent"),)},
        WELL,
        "(the daemon stopped while it was being sent)",
        "`queue retry`",
        "retry found",
    ),
    (
        "in_doubt",
        {},
        around(silence="no daemon runs on these settings"),
        "no daemon runs",
        "`run.py serve`",
        "",
    ),
    (
        "held",
        {"words": GONE},
        WELL,
        "an office whose address gets no mail: no mail goes to desk@",
        "`queue replay ADDRESS`",
        "release found cancel readdress",
    ),
    (
        "held",
        {
            "attempts": (("in_doubt", "no answer"),),
            "events": (("held", "its metadata had no room for its id; a person must decide"),),
        },
        WELL,
        "whether it is sent again: its metadata had no room for its id.",
        "`queue release`",
        "",
    ),
    (
        "held",
        {"words": "a mail can carry the beginning alone"},
        WELL,
        "beginning alone",
        "`queue release`",
        "release found cancel readdress",
    ),
    # Not sent.
    (
        "failed",
        {"words": f"RCPT: {MAILBOX}"},
        WELL,
        "There is no such mailbox.",
        "Ask for the right address",
        "retry found dismiss readdress",
    ),
    (
        "failed",
        {"words": "Postmark answered 422: x (ErrorCode 300)"},
        WELL,
        "finds a fault",
        "Mend what it names",
        "",
    ),
    (
        "failed",
        {"words": "Postmark answered 422: x (ErrorCode 406)"},
        WELL,
        "mail to it came back",
        "lift it in Postmark",
        "",
    ),
    (
        "failed",
        {"words": "Postmark answered 422: x (ErrorCode 412)"},
        WELL,
        "not approved yet",
        "Ask Postmark",
        "",
    ),
    (
        "failed",
        {"words": "it says nothing that is known"},
        WELL,
        "it says nothing that is known",
        "Once the reason is mended",
        "",
    ),
    (
        "failed",
        {"words": "x", "events": (("dismissed", "by jane; it was failed"),)},
        WELL,
        "A person has seen that",
        "",
        "retry found readdress",
    ),
    (
        "failed",
        {"words": "x", "cleared_at": NOW},
        WELL,
        "What it said was cleared",
        "",
        "found dismiss",
    ),
    (
        "expired",
        {"tries": 9, "words": "end: 452 4.3.1 full"},
        WELL,
        ("after 9 attempts and its time of 72 hours; the last said: end: 452 4.3.1 full"),
        "`queue retry`",
        "",
    ),
    (
        "quarantined",
        {"crashes": 4, "words": "sending it failed badly 4 times"},
        WELL,
        "failed badly 4 times",
        "mend the plugin",
        "release found dismiss readdress",
    ),
    (
        "quarantined",
        {"words": "an address in it is none"},
        WELL,
        "No mail can be made",
        "writer",
        "",
    ),
    (
        "quarantined",
        {"kind": "form", "words": BROKE},
        WELL,
        (f"A plugin failed at this form, which is kept as it came: {BROKE}"),
        "`screened release`",
        "release_submission drop_submission",
    ),
    (
        "quarantined",
        {"kind": "form", "words": BROKE, "cleared_at": NOW},
        WELL,
        "dropped it",
        "",
        "",
    ),
    (
        "cancelled",
        {"events": (("cancelled", "with key page"),)},
        WELL,
        "cancelled with key page",
        "",
        "readdress",
    ),
    ("cancelled", {"events": (("cancelled", "by jane; it was held"),)}, WELL, "by jane", "", ""),
    (
        "suppressed",
        {"words": "no mail goes to ann@example.gov"},
        WELL,
        "not even tried: no mail",
        "`suppressions lift`",
        "readdress",
    ),
    (
        "screened",
        {"words": "honeypot"},
        WELL,
        "a field was filled in that people do not see",
        "`screened release`",
        "release_submission drop_submission",
    ),
    ("screened", {"words": "of-my-own", "cleared_at": NOW}, WELL, "(of-my-own)", "", None),
    # Sent.
    (
        "sent",
        {"provider_id": "pm-1"},
        WELL,
        (
            "taken by postmark at 2026-09-21 14:18:20Z under its id "
            "pm-1; nothing was heard of it since"
        ),
        "",
        "readdress",
    ),
    ("sent", {"events": (("delivered", "ok"),)}, WELL, "recipient's server has it", "", ""),
    (
        "sent",
        {"events": (("delivered", ""), ("bounced", "ann@example.gov: full"))},
        WELL,
        "it came back: ann@example.gov: full",
        "another address",
        "",
    ),
    (
        "sent",
        {"events": (("bounced", "x"), ("returned", "sent again as 2"))},
        WELL,
        "it was sent again as 2",
        "",
        "",
    ),
    ("sent", {"events": (("complained", ""),)}, WELL, "called it spam", "another address", ""),
    ("sent", {"delivery": "mailbox"}, WELL, "embedded mailbox", "another delivery plugin", ""),
]


@pytest.mark.parametrize(
    ("state", "columns", "circumstances", "words", "remedy", "orders"),
    CASES,
    ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)],
)
def test_a_state_is_explained_by_what_is_behind_it(
    state: str,
    columns: dict[str, Any],
    circumstances: Circumstances,
    words: str,
    remedy: str,
    orders: str | None,
) -> None:
    """orders: None where none applies, "" where it is another row's matter."""
    why = explain(message(state, **columns), circumstances)
    assert words in why.sentence
    assert why.sentence.endswith(".")
    assert ".." not in why.sentence
    assert remedy in why.remedy
    assert bool(remedy) <= bool(why.remedy)
    if orders is None:
        assert why.orders == ()
    elif orders:
        assert why.orders == tuple(orders.split())


def test_every_state_is_explained() -> None:
    assert set(_EXPLAIN) == set(State)
    assert {case[0] for case in CASES} == set(State)


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_whoever_sees_no_contents_is_told_the_same_without_addresses_and_names(
    case: tuple[str, dict[str, Any], Circumstances, str, str, str | None],
) -> None:
    state, columns, circumstances, _, _, orders = case
    told = without_contents(Told(message(state, **columns), (), {}, ""))
    why = explain(told.found, circumstances)
    assert "@" not in why.sentence + why.remedy
    assert "jane" not in why.sentence
    assert told.found.content == Contents("", "", "")
    assert bool(why.orders) == bool(explain(message(state, **columns), circumstances).orders)
    assert orders is None or why.sentence
