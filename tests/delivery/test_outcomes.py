"""What a deliver hook's answer means: a table of answers, states and times."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from relay.core.addresses import Address
from relay.core.errors import (
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
    MessageBroken,
    RecipientsSuppressed,
)
from relay.core.message import Confirmation, Message
from relay.core.mime import as_bytes
from relay.core.server import Server
from relay.delivery import outcomes
from relay.delivery.outcomes import DeliverResult, PluginBroken, per_message, settlement
from relay.store.outbox.outcomes import AttemptOutcome, Claimed, Fate

SERVER = Server(name="registry", plugins=(), retry=(10, 100), max_age=1000, settle=(7, 70))
SENT = Confirmation("provider-id", words="OK")
PARTLY = Confirmation("provider-id", words="OK", later=("later@example.gov",))
DEFERRED = DeliveryDeferred("busy", code="503/100")
UNCOUNTED = DeliveryDeferred("no connection", counted=False)
FAILED = DeliveryFailed("bad address")
IN_DOUBT = DeliveryInDoubt("no answer")
BROKEN = MessageBroken("no mail can be made of it")
RAISED = PluginBroken("the plugin raised KeyError")


def settled(
    result: DeliverResult,
    *,
    since: float = 0,
    tries: int = 0,
    now: float = 500,
    watched: bool = False,
    policy: Literal["look_up", "hold", "resend"] = "look_up",
) -> AttemptOutcome:
    claimed = Claimed("id", "registry", fence=3, since=since, attempts=tries, tries=tries)
    return settlement(
        claimed,
        result,
        replace(SERVER, in_doubt=policy),
        "postmark",
        started_at=now - 1,
        now=now,
        random=0.5,
        watched=watched,
    )


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        ([SENT, FAILED], [Confirmation, DeliveryFailed]),
        ((SENT, DEFERRED), [Confirmation, DeliveryDeferred]),
        (DEFERRED, [DeliveryDeferred, DeliveryDeferred]),
        (FAILED, [DeliveryFailed, DeliveryFailed]),
        (None, [DeliveryDeferred, DeliveryDeferred]),
        (TimeoutError(), [PluginBroken, PluginBroken]),
        (KeyboardInterrupt(), [PluginBroken, PluginBroken]),
        ([], [PluginBroken, PluginBroken]),
        ([SENT], [PluginBroken, PluginBroken]),
        ([SENT, SENT, SENT], [PluginBroken, PluginBroken]),
        ([SENT, None], [PluginBroken, PluginBroken]),
        ([SENT, ValueError("x")], [PluginBroken, PluginBroken]),
        ([True, True], [PluginBroken, PluginBroken]),
        ({0: SENT, 1: SENT}, [PluginBroken, PluginBroken]),
        ({SENT}, [PluginBroken, PluginBroken]),
        (iter([SENT, SENT]), [PluginBroken, PluginBroken]),
        (SENT, [PluginBroken, PluginBroken]),
        ("ok", [PluginBroken, PluginBroken]),
        (b"ok", [PluginBroken, PluginBroken]),
        (True, [PluginBroken, PluginBroken]),
        (0, [PluginBroken, PluginBroken]),
    ],
)
def test_an_answer_is_one_result_a_message_or_leaves_all_in_doubt(
    answer: Any, kinds: list[type]
) -> None:
    assert [type(result) for result in per_message(answer, 2)] == kinds


def test_what_a_plugin_raised_is_told_by_its_type_alone() -> None:
    [result] = per_message(ValueError("secret"), 1)
    assert str(result) == "the plugin raised ValueError"


def test_what_no_plugin_took_was_no_attempt() -> None:
    [result] = per_message(None, 1)
    assert isinstance(result, DeliveryDeferred)
    assert not result.counted


@pytest.mark.parametrize(
    ("result", "state", "outcome", "due_at", "counted"),
    [
        (SENT, "sent", "sent", 500, True),
        (PARTLY, "queued", "partly", 510, True),
        (FAILED, "failed", "failed", 500, True),
        (IN_DOUBT, "in_doubt", "in_doubt", 507, True),
        (DeliveryError("unknown"), "in_doubt", "in_doubt", 507, True),
        (RAISED, "in_doubt", "in_doubt", 507, True),
        (BROKEN, "quarantined", "quarantined", 500, False),
        (DEFERRED, "queued", "deferred", 510, True),
        (UNCOUNTED, "queued", "deferred", 510, False),
        (DeliveryDeferred("slow down", retry_after=77), "queued", "deferred", 577, True),
        (DeliveryDeferred("slow down", retry_after=1), "queued", "deferred", 510, True),
    ],
)
def test_every_result_has_its_state_and_time(
    result: DeliverResult, state: str, outcome: str, due_at: float, counted: bool
) -> None:
    settled_as = settled(result)
    assert settled_as.state == state
    assert settled_as.outcome == outcome
    assert settled_as.due_at == due_at
    assert settled_as.counted is counted
    assert (settled_as.started_at, settled_as.ended_at) == (499, 500)
    assert settled_as.delivery == "postmark"
    assert settled_as.claimed.fence == 3


@pytest.mark.parametrize(("tries", "due_at"), [(0, 510), (1, 600), (2, 600), (50, 600)])
def test_each_try_takes_the_next_step_of_the_servers_ladder(tries: int, due_at: float) -> None:
    assert settled(DEFERRED, tries=tries).due_at == due_at


@pytest.mark.parametrize(
    ("result", "since", "state"),
    [
        (DEFERRED, -500, "queued"),
        (DEFERRED, -501, "expired"),
        (PARTLY, -500, "queued"),
        (PARTLY, -501, "expired"),
        (UNCOUNTED, -501, "expired"),
        (SENT, -9999, "sent"),
        (FAILED, -9999, "failed"),
        (IN_DOUBT, -9999, "in_doubt"),
        (BROKEN, -9999, "quarantined"),
    ],
)
def test_only_what_was_not_sent_grows_too_old(
    result: DeliverResult, since: float, state: str
) -> None:
    assert settled(result, since=since, tries=4).state == state


@pytest.mark.parametrize("result", [DEFERRED, PARTLY, UNCOUNTED])
def test_what_is_too_old_is_tried_five_times_before_it_is_given_up(result: DeliverResult) -> None:
    states = [settled(result, since=-9999, tries=tries).state for tries in range(6)]
    assert states == ["queued"] * 4 + ["expired"] * 2


def test_what_grew_too_old_is_told_as_the_attempt_that_it_was() -> None:
    expired = settled(DEFERRED, since=-501, tries=4)
    assert (expired.state, expired.outcome, expired.words) == ("expired", "deferred", "busy")


@pytest.mark.parametrize(
    ("result", "words", "provider_id"),
    [
        (SENT, "OK", "provider-id"),
        (PARTLY, "OK; 1 of them to be tried again", "provider-id"),
        (Confirmation("", words="OK"), "OK", None),
        (DEFERRED, "busy", None),
        (FAILED, "bad address", None),
        (IN_DOUBT, "no answer", None),
        (BROKEN, "no mail can be made of it", None),
    ],
)
def test_the_history_has_the_providers_words_and_id(
    result: DeliverResult, words: str, provider_id: str | None
) -> None:
    settled_as = settled(result)
    assert (settled_as.words, settled_as.provider_id) == (words, provider_id)


@pytest.mark.parametrize(
    ("policy", "result", "since", "state", "due_at", "twice"),
    [
        ("look_up", IN_DOUBT, 0, "in_doubt", 507, None),
        ("look_up", RAISED, 0, "in_doubt", 507, None),
        ("hold", IN_DOUBT, 0, "held", 500, None),
        ("hold", RAISED, 0, "held", 500, None),
        ("hold", DeliveryError("unknown"), 0, "held", 500, None),
        ("resend", IN_DOUBT, 0, "queued", 510, True),
        ("resend", IN_DOUBT, -501, "held", 500, None),
        # How often the plugin broke on it is known only where doubts are settled.
        ("resend", RAISED, 0, "in_doubt", 510, None),
        ("hold", SENT, 0, "sent", 500, None),
        ("resend", FAILED, 0, "failed", 500, None),
        ("hold", DEFERRED, 0, "queued", 510, None),
        ("resend", DEFERRED, 0, "queued", 510, None),
        ("hold", BROKEN, 0, "quarantined", 500, None),
    ],
)
def test_a_servers_policy_says_what_becomes_of_a_lost_answer_and_of_nothing_else(
    policy: Literal["look_up", "hold", "resend"],
    result: DeliverResult,
    since: float,
    state: str,
    due_at: float,
    twice: bool | None,
) -> None:
    settled_as = settled(result, since=since, policy=policy)
    assert (settled_as.state, settled_as.due_at, settled_as.maybe_twice) == (state, due_at, twice)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("look_up", "no answer"),
        ("hold", "no answer; held for a person to decide"),
        ("resend", "no answer; sent again: may be delivered twice"),
    ],
)
def test_the_history_says_that_the_answer_was_lost_and_what_came_of_it(
    policy: Literal["look_up", "hold", "resend"], words: str
) -> None:
    settled_as = settled(IN_DOUBT, policy=policy)
    assert (settled_as.outcome, settled_as.words) == ("in_doubt", words)


@pytest.mark.parametrize(
    ("result", "crashed"),
    [(RAISED, True), (IN_DOUBT, False), (BROKEN, False), (SENT, False), (DEFERRED, False)],
)
def test_only_a_plugin_that_breaks_counts_as_a_crash(result: DeliverResult, crashed: bool) -> None:
    assert settled(result).crashed is crashed


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("result", [SENT, FAILED, DEFERRED, IN_DOUBT])
def test_a_token_is_given_back_to_a_caller_who_learns_of_the_refusal(
    result: DeliverResult, watched: bool
) -> None:
    assert settled(result, watched=watched).give_token_back is (watched and result is FAILED)


# Messages that only some of their recipients have.

ANN, BOB, CY, DI = (Address(f"{name}@example.gov") for name in ("Ann", "bob", "cy", "di"))
MESSAGE = Message(
    sender=ANN,
    to=(ANN,),
    cc=(BOB,),
    bcc=(CY, DI),
    text="x",
    id="019aa5c2-7d8e-7abc-8def-0123456789ab",
)


def rest(*settled: Address) -> Message:
    message = outcomes.rest(MESSAGE, {one.email.lower() for one in settled})
    assert isinstance(message, Message)
    return message


def test_a_message_that_nobody_has_stays_the_one_it_is() -> None:
    assert outcomes.rest(MESSAGE, set()) is MESSAGE


@pytest.mark.parametrize(
    ("settled", "to", "cc", "bcc"),
    [
        ((BOB,), (ANN,), (), (CY, DI)),
        ((CY,), (ANN,), (BOB,), (DI,)),
        # Some providers insist on a To.
        ((ANN,), (BOB,), (), (CY, DI)),
        ((ANN, BOB), (CY,), (), (DI,)),
    ],
)
def test_the_rest_are_those_who_neither_have_it_nor_never_will(
    settled: tuple[Address, ...],
    to: tuple[Address, ...],
    cc: tuple[Address, ...],
    bcc: tuple[Address, ...],
) -> None:
    others = rest(*settled)
    assert (others.to, others.cc, others.bcc) == (to, cc, bcc)
    assert as_bytes(others) == as_bytes(MESSAGE)


def test_a_message_for_nobody_is_never_sent() -> None:
    left = outcomes.rest(MESSAGE, {one.email.lower() for one in MESSAGE.recipients})
    assert isinstance(left, MessageBroken)


@pytest.mark.parametrize(
    "error", [DeliveryFailed("550 no"), RecipientsSuppressed("no mail", held=False)]
)
def test_what_some_have_was_sent_though_the_rest_never_get_it(error: DeliveryError) -> None:
    receipt = outcomes.concluded(rest(ANN, BOB), error)
    assert receipt == Confirmation(
        "", dropped=("cy@example.gov", "di@example.gov"), words=str(error)
    )
    assert outcomes.concluded(MESSAGE, error) is error


@pytest.mark.parametrize(
    "result",
    [
        DeliveryDeferred("later"),
        DeliveryInDoubt("lost"),
        MessageBroken("broken"),
        RecipientsSuppressed("no mail", held=True),
        Confirmation("id"),
    ],
)
def test_every_other_result_stays_what_it_is(result: Confirmation | DeliveryError) -> None:
    assert outcomes.concluded(rest(ANN), result) is result


def test_only_a_receipt_that_makes_differences_has_fates() -> None:
    assert outcomes.fates(MESSAGE, Confirmation("id")) == ()
    assert outcomes.fates(MESSAGE, DeliveryFailed("550 no")) == ()
    assert outcomes.fates(MessageBroken("x"), MessageBroken("x")) == ()


def test_who_was_dropped_is_refused_and_of_the_others_nothing_needs_to_be_known() -> None:
    receipt = Confirmation("id", dropped=("BOB@example.gov",), words="250 OK")
    assert outcomes.fates(MESSAGE, receipt) == (Fate("bob@example.gov", "refused", "250 OK"),)


def test_where_some_come_later_everybody_else_has_it() -> None:
    receipt = Confirmation("id", dropped=("cy@example.gov",), later=("di@example.gov",))
    assert {(fate.address, fate.state) for fate in outcomes.fates(MESSAGE, receipt)} == {
        ("ann@example.gov", "taken"),
        ("bob@example.gov", "taken"),
        ("cy@example.gov", "refused"),
    }
