"""Delivery through a mail server: what arrives there, and what each of its answers means."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from relay.core.addresses import Address
from relay.core.errors import DeliveryDeferred, DeliveryFailed, DeliveryInDoubt, MessageBroken
from relay.core.message import Attachment, Confirmation, Message
from relay.core.server import Server
from relay.delivery.transport.smtp_pool import ConnectionPool, hand_over
from relay.delivery.transport.smtp_server import mail_server
from tests.support.mail_server import DEAF, DRIP, LOST, SILENCE, MailServerRig, mail_server_rig

ID = "019aa5c2-7d8e-7abc-8def-0123456789ab"
MESSAGE = Message(
    sender=Address("desk@example.gov", "Desk"),
    to=(Address("ann@example.com", "Ann"),),
    subject="Grüße",
    text="Hello\n.\nA dot stood alone.\n",
    html="<p>Hello</p>",
    metadata={"relay-id": ID},
    id=ID,
)
THREE = replace(
    MESSAGE,
    to=(Address("ann@example.com"),),
    cc=(Address("bob@example.com"),),
    bcc=(Address("cy@example.com"),),
)

Deliver = Callable[..., Any]


@pytest.fixture
def rig() -> Iterator[MailServerRig]:
    with mail_server_rig() as rig:
        yield rig


@pytest.fixture
def smtp(plugin: Callable[[str], ModuleType]) -> ModuleType:
    return plugin("smtp")


@pytest.fixture
def deliver(smtp: ModuleType, rig: MailServerRig) -> Deliver:
    """Deliver one message; give its outcome."""

    def send(message: Message = MESSAGE, deadline: float = 10, **options: Any) -> Any:
        [outcome] = smtp.deliver([message], server_of(rig, deadline, **options))
        return outcome

    return send


def server_of(rig: MailServerRig, deadline: float = 10, **options: Any) -> Server:
    url = mail_server(f"smtp://127.0.0.1:{rig.port}?tls=none")
    usual = {"smtp_url": url, "smtp_postmark": False, "return_path": None}
    return Server(name="desk", plugins=("smtp",), deadline=deadline, options={**usual, **options})


def bring(
    rig: MailServerRig,
    kept: ConnectionPool,
    content: bytes = b"Subject: x\n\nx\n",
    seconds: float = 10,
) -> None:
    server = server_of(rig).options["smtp_url"]
    hand_over(server, "a@example.gov", ["b@example.gov"], content, seconds, kept)


def test_a_message_arrives_as_it_was_accepted(deliver: Deliver, rig: MailServerRig) -> None:
    attachment = Attachment("plan.txt", "text/plain", "cGxhbg==")
    receipt = deliver(replace(THREE, attachments=(attachment,), headers=(("X-Form", "7"),)))
    assert isinstance(receipt, Confirmation)
    assert (receipt.provider_id, receipt.dropped, receipt.later) == (ID, (), ())
    assert receipt.words == "250 OK"
    [taken] = rig.taken
    assert taken.sender == "desk@example.gov"
    assert taken.recipients == ["ann@example.com", "bob@example.com", "cy@example.com"]
    mail = taken.mail
    assert mail["Message-ID"] == f"<{ID}@example.gov>"
    assert mail["X-Relay-Message-Id"] == ID
    assert mail["X-Form"] == "7"
    assert (mail["To"], mail["Cc"], mail["Bcc"]) == ("ann@example.com", "bob@example.com", None)
    assert b"cy@example.com" not in taken.content
    parts = {part.get_content_type(): part for part in mail.walk()}
    assert parts["text/html"].get_payload(decode=True).strip() == b"<p>Hello</p>"
    files = [part for part in mail.walk() if part.get_filename() == "plan.txt"]
    assert [file.get_payload(decode=True) for file in files] == [b"plan"]


def test_a_line_that_is_a_dot_ends_no_message(deliver: Deliver, rig: MailServerRig) -> None:
    deliver(replace(MESSAGE, html=None, text="one\n.\n..two\n.three"))
    content = rig.taken[0].mail.get_payload(decode=True)
    assert content.split() == [b"one", b".", b"..two", b".three"]
    assert len(rig.taken) == 1


def test_every_line_ends_in_the_one_way_that_all_servers_agree_on(
    deliver: Deliver, rig: MailServerRig
) -> None:
    deliver(replace(MESSAGE, html=None, text="a\rb\nc\r\n.\nd\n.\r\ne"))
    content = rig.taken[0].content
    assert b"\r\n" in content
    assert content.replace(b"\r\n", b"").count(b"\n") == 0
    assert content.replace(b"\r\n", b"").count(b"\r") == 0


def test_every_try_has_the_same_message_id(deliver: Deliver, rig: MailServerRig) -> None:
    rig.answers["END"] = ["451 try again"]
    assert isinstance(deliver(), DeliveryDeferred)
    assert isinstance(deliver(), Confirmation)
    assert isinstance(deliver(), Confirmation)
    assert [taken.mail["Message-ID"] for taken in rig.taken] == [f"<{ID}@example.gov>"] * 2


def test_an_address_that_is_named_twice_gets_one_mail(deliver: Deliver, rig: MailServerRig) -> None:
    deliver(replace(MESSAGE, cc=(Address("ANN@example.com"),)))
    assert len(rig.taken[0].recipients) == 1


def test_the_return_path_is_the_envelopes_sender(deliver: Deliver, rig: MailServerRig) -> None:
    deliver(return_path=Address("bounces@example.gov", "Bounces"))
    assert rig.taken[0].sender == "bounces@example.gov"
    assert rig.taken[0].mail["From"] == "Desk <desk@example.gov>"


def test_what_was_rendered_is_sent_and_a_template_that_was_not_is_named(
    deliver: Deliver, rig: MailServerRig
) -> None:
    outcome = deliver(replace(MESSAGE, template="welcome", subject=None, text=None, html=None))
    assert isinstance(outcome, DeliveryFailed)
    assert "welcome" in str(outcome)
    assert rig.connections == 0
    assert isinstance(deliver(replace(MESSAGE, template="welcome")), Confirmation)


@pytest.mark.parametrize(
    "message",
    [
        replace(MESSAGE, to=(Address("a@example.com> SIZE=1\r\nRSET"),)),
        replace(MESSAGE, to=(Address("zoë@example.com"),)),
        replace(MESSAGE, sender=Address("a b@example.com")),
        replace(MESSAGE, attachments=(Attachment("a", "text/plain", "not base64!"),)),
    ],
)
def test_what_makes_no_mail_is_broken_and_no_server_hears_of_it(
    deliver: Deliver, rig: MailServerRig, message: Message
) -> None:
    assert isinstance(deliver(message), MessageBroken)
    assert rig.connections == 0


def test_postmarks_own_headers_are_for_postmark_only(deliver: Deliver, rig: MailServerRig) -> None:
    message = replace(MESSAGE, tag="Form", stream="broadcast", track_opens=False)
    deliver(message)
    assert not [name for name in rig.taken[0].mail if name.startswith("X-PM-")]
    deliver(message, smtp_postmark=True)
    labels = {name: value for name, value in rig.taken[1].mail.items() if name.startswith("X-PM-")}
    assert labels == {
        "X-PM-KeepID": "true",
        "X-PM-Tag": "Form",
        "X-PM-Message-Stream": "broadcast",
        "X-PM-TrackOpens": "false",
        "X-PM-Metadata-relay-id": ID,
    }


@pytest.mark.parametrize("name", ["order number", "colour:", "größe", "a\tb"])
def test_metadata_that_no_header_can_name_stops_no_mail(
    deliver: Deliver, rig: MailServerRig, name: str
) -> None:
    deliver(replace(MESSAGE, metadata={name: "7", "order": "8"}), smtp_postmark=True)
    labels = [name for name in rig.taken[0].mail if name.startswith("X-PM-Metadata-")]
    assert labels == ["X-PM-Metadata-order"]


# What stands in a table: the step, its answer, the outcome, whether it was counted, whether it
# opens the breaker.
SERVERS_FAULTS = [
    ("GREETING", "421 come back later"),
    ("GREETING", "554 no service here"),
    ("EHLO", "421 come back later"),
    ("EHLO", "451 not now"),
    ("MAIL", "421 closing"),
    ("MAIL", "530 5.7.0 Authentication required"),
    ("RCPT", "421 closing"),
    ("DATA", "421 closing"),
    ("DATA", "250 what"),
    ("END", "421 closing"),
    ("MAIL", "no answer of a mail server"),
    ("MAIL", "99 OK"),
    ("MAIL", "150 OK"),
    ("RCPT", "354 what"),
    *((step, LOST) for step in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA")),
]


@pytest.mark.parametrize(("step", "answer"), SERVERS_FAULTS)
def test_a_server_that_judges_nothing_defers_and_counts_against_itself(
    deliver: Deliver, rig: MailServerRig, step: str, answer: str
) -> None:
    rig.answers[step] = [answer] * 2
    outcome = deliver()
    assert isinstance(outcome, DeliveryDeferred)
    assert (outcome.counted, outcome.opens_breaker) == (False, True)
    rig.answers.clear()
    assert isinstance(deliver(), Confirmation)
    assert rig.connections == 2


@pytest.mark.parametrize("step", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [SILENCE, DRIP])
def test_no_server_holds_an_attempt_longer_than_its_deadline(
    deliver: Deliver, rig: MailServerRig, step: str, answer: str
) -> None:
    rig.answers[step] = [answer]
    outcome = deliver(deadline=0.4)
    assert isinstance(outcome, DeliveryDeferred)
    assert not outcome.counted
    assert outcome.code == "TimeoutError" or answer == DRIP


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "END"])
def test_what_a_server_says_no_to_for_now_is_tried_again_and_counted(
    deliver: Deliver, rig: MailServerRig, step: str
) -> None:
    rig.answers[step] = ["450 4.2.0 <ann@example.com> is greylisted"]
    outcome = deliver()
    assert isinstance(outcome, DeliveryDeferred)
    assert (outcome.counted, outcome.opens_breaker) == (True, False)
    assert outcome.code == "450/4.2.0"
    assert "greylisted" in str(outcome)
    assert "ann@" not in str(outcome)
    # The connection is good for the next one.
    assert isinstance(deliver(), Confirmation)
    assert rig.connections == 1


# Refusals that the operator mends, whoever's mail server it is: the step, and the answer.
OPERATORS_FAULTS = [
    ("EHLO", "550 5.7.1 Access denied, banned"),
    ("MAIL", "503 5.5.1 AUTH first"),
    ("MAIL", "503 5.5.4 Bad sequence of commands. Send STARTTLS first"),
    ("MAIL", "550-5.1.1 no <ann@example.com>\r\n550 5.1.1 here"),
    ("MAIL", "501 5.1.7 Bad sender address syntax"),
    ("MAIL", "550 5.7.1 Client does not have permissions to send as this sender"),
    ("MAIL", "553 5.7.1 <desk@example.gov>: Sender address rejected: not owned by user relay"),
    ("MAIL", "554 5.7.1 Message rejected: Email address is not verified"),
    ("MAIL", "555 5.5.4 Unsupported option"),
    ("RCPT", "503 This mail server requires authentication before sending mail to others"),
    ("RCPT", "504 5.5.2 <[127.0.0.1]>: Helo command rejected: need fully-qualified hostname"),
    ("RCPT", "530 5.7.1 Authentication required"),
    ("RCPT", "530 SMTP authentication is required."),
    ("RCPT", "550 5.7.0 Mail relay denied [192.0.2.7]"),
    ("RCPT", "550 5.7.1 <ann@example.com>... Relaying denied. IP name lookup failed"),
    ("RCPT", "550 5.7.1 Unable to relay"),
    ("RCPT", "550 5.7.64 TenantAttribution; Relay Access Denied"),
    ("RCPT", "550 relay not permitted"),
    ("RCPT", "550 authentication required"),
    ("RCPT", "550 Sender verify failed"),
    ("RCPT", "550 5.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"),
    ("RCPT", "550 5.7.606 Access denied, banned sending IP [192.0.2.1]"),
    ("RCPT", "553 5.7.1 <desk@example.gov>: Sender address rejected: not logged in"),
    ("RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    ("RCPT", "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied"),
    ("DATA", "503 5.5.1 Authenticate first"),
    ("END", "535 5.7.139 Authentication unsuccessful, basic authentication is disabled"),
    ("END", "550 5.1.90 Your message can't be sent: you've reached your daily limit"),
    ("END", "550 5.1.8 Access denied, bad outbound sender"),
    ("END", "550 5.4.5 Daily SMTP relay limit exceeded for user"),
    ("END", "550 5.7.1 Daily SMTP relay limit exceeded for customer"),
    ("END", "550 5.7.1 an unusual rate of unsolicited mail originating from your IP address"),
    ("END", "550 5.7.26 Unauthenticated email is not accepted due to the domain's DMARC policy"),
    ("END", "550 5.7.57 SMTP; Client was not authenticated to send anonymous mail"),
    ("END", "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP"),
    ("END", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
    ("END", "554 5.7.0 The limit on the number of allowed outgoing messages was exceeded"),
]


@pytest.mark.parametrize(("step", "answer"), OPERATORS_FAULTS)
def test_what_the_operator_mends_is_no_messages_fault(
    deliver: Deliver, rig: MailServerRig, step: str, answer: str
) -> None:
    rig.answers[step] = [answer]
    rig.answers["HELO"] = [answer]
    outcome = deliver()
    assert isinstance(outcome, DeliveryDeferred)
    assert (outcome.counted, outcome.opens_breaker) == (False, True)
    assert outcome.code.startswith(answer[:3])
    assert rig.taken == []
    rig.answers.clear()
    assert isinstance(deliver(), Confirmation)
    # What it was told on the old connection it may forget on a new one.
    assert rig.connections == 2


# What only looks like it: the message's own fault, or its recipient's.
OTHERS_FAULTS = [
    ("MAIL", "552 5.3.4 Message size exceeds fixed limit"),
    ("MAIL", "552 message too big"),
    ("MAIL", "554 5.3.4 Message too big for system"),
    ("RCPT", "550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown"),
    ("RCPT", "550 5.1.1 No such user"),
    ("RCPT", "550 5.1.1 <relay-denied@example.com>: no such mailbox"),
    ("RCPT", "550 5.1.10 Recipient not found"),
    ("RCPT", "550 5.2.1 The email account that you tried to reach is disabled"),
    (
        "RCPT",
        "550 5.7.1 <ann@example.com>: Recipient address rejected: undeliverable address: host"
        + " mail.example.com said: 550 Sender address rejected",
    ),
    ("RCPT", "552 5.2.2 The email account that you tried to reach is over quota"),
    ("RCPT", "552 5.2.2 User's mailbox exceeds its daily quota"),
    ("RCPT", "554 5.7.1 <ann@example.com>: Recipient address rejected: Access denied"),
    ("END", "550 5.2.121 Recipient's per hour message receive limit exceeded"),
    ("END", "550 5.7.1 This message is likely unsolicited mail"),
    ("END", "552 5.2.3 Your message exceeded Google's message size limits"),
    ("END", "554 5.7.0 Reject, BANNED: application/x-msdownload"),
    ("END", "554 5.7.1 Spam message rejected: 'relay access denied, sender rejected' in it"),
]


@pytest.mark.parametrize(("step", "answer"), OTHERS_FAULTS)
def test_what_judges_a_message_or_a_recipient_opens_no_breaker(
    deliver: Deliver, rig: MailServerRig, step: str, answer: str
) -> None:
    rig.answers[step] = [answer]
    assert type(deliver()) is DeliveryFailed
    assert isinstance(deliver(), Confirmation)
    assert rig.connections == 1


@pytest.mark.parametrize("step", ["RCPT", "DATA", "END"])
def test_what_a_server_says_no_to_for_good_has_failed(
    deliver: Deliver, rig: MailServerRig, step: str
) -> None:
    rig.answers[step] = ["550-5.1.1 no <ann@example.com>\r\n550 5.1.1 here"]
    outcome = deliver()
    assert type(outcome) is DeliveryFailed
    assert outcome.code == "550/5.1.1"
    assert "5.1.1 here" in str(outcome)
    assert "ann@" not in str(outcome)
    assert rig.taken == []
    assert isinstance(deliver(), Confirmation)
    assert rig.connections == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [LOST, SILENCE, DRIP, "junk", "354 what", "200-OK\r\n250 OK", "99 OK", "250" + "x" * 9000],
)
def test_without_a_clear_answer_to_the_end_of_a_message_it_is_in_doubt(
    deliver: Deliver, rig: MailServerRig, answer: str
) -> None:
    rig.answers["END"] = [answer]
    outcome = deliver(deadline=1.5 if answer in (SILENCE, DRIP) else 10)
    assert isinstance(outcome, DeliveryInDoubt)
    assert len(rig.taken) == 1
    # What comes late is nobody else's answer.
    assert isinstance(deliver(), Confirmation)
    assert rig.connections == 2


@pytest.mark.slow
@pytest.mark.parametrize("answer", [DEAF, "354 go on"])
def test_a_message_whose_end_was_not_written_was_not_sent(rig: MailServerRig, answer: str) -> None:
    # After a 354 that it does not mean, the server takes the lines for commands and hangs up.
    rig.answers["DATA"] = [answer]
    content = (b"x" * 900 + b"\n") * 30_000
    with pytest.raises(DeliveryDeferred, match="lost at message") as caught:
        bring(rig, ConnectionPool(), content, seconds=2)
    assert (caught.value.counted, caught.value.opens_breaker) == (False, True)
    assert rig.taken == []


@pytest.mark.parametrize("url", ["smtp://127.0.0.1:1?tls=none", "smtp://mail.invalid"])
def test_without_a_connection_it_is_deferred(deliver: Deliver, url: str) -> None:
    outcome = deliver(smtp_url=mail_server(url))
    assert isinstance(outcome, DeliveryDeferred)
    assert (outcome.counted, outcome.opens_breaker) == (False, True)
    assert str(outcome).startswith("no connection: ")


def test_a_server_that_knows_no_ehlo_is_greeted_the_old_way(
    deliver: Deliver, rig: MailServerRig
) -> None:
    rig.answers["EHLO"] = ["502 what"]
    assert isinstance(deliver(), Confirmation)
    assert "HELO" in rig.commands()


def test_who_is_refused_for_good_is_dropped_and_the_others_get_it(
    deliver: Deliver, rig: MailServerRig
) -> None:
    rig.refused["bob@example.com"] = "550 5.1.1 bob@example.com is unknown"
    receipt = deliver(THREE)
    assert isinstance(receipt, Confirmation)
    assert (receipt.dropped, receipt.later) == (("bob@example.com",), ())
    assert receipt.words == "250 OK; refused: 550 5.1.1 (address) is unknown"
    assert rig.taken[0].recipients == ["ann@example.com", "cy@example.com"]


def test_who_is_refused_for_now_comes_later_and_the_others_get_it(
    deliver: Deliver, rig: MailServerRig
) -> None:
    rig.refused["ann@example.com"] = "450 4.2.0 later"
    rig.refused["cy@example.com"] = "550 5.1.1 never"
    receipt = deliver(THREE)
    assert isinstance(receipt, Confirmation)
    assert (receipt.dropped, receipt.later) == (("cy@example.com",), ("ann@example.com",))
    assert rig.taken[0].recipients == ["bob@example.com"]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (["550 no", "551 no", "553 no"], DeliveryFailed),
        (["450 no", "451 no", "452 no"], DeliveryDeferred),
        (["550 no", "450 no", "550 no"], DeliveryDeferred),
    ],
)
def test_where_no_recipient_is_taken_nothing_is_sent(
    deliver: Deliver, rig: MailServerRig, answers: list[str], kind: type
) -> None:
    rig.answers["RCPT"] = answers
    assert type(deliver(THREE)) is kind
    assert "DATA" not in rig.commands()
    assert isinstance(deliver(), Confirmation)
    assert rig.connections == 1


def test_too_many_recipients_for_one_mail_are_told_in_two(
    deliver: Deliver, rig: MailServerRig
) -> None:
    rig.refused["cy@example.com"] = "552 too many recipients"
    receipt = deliver(THREE)
    assert (receipt.dropped, receipt.later) == ((), ("cy@example.com",))
    rig.answers["RCPT"] = ["552 no room"]
    assert isinstance(deliver(), DeliveryFailed)


def test_a_connection_is_kept_for_the_next_message(deliver: Deliver, rig: MailServerRig) -> None:
    for _ in range(5):
        assert isinstance(deliver(), Confirmation)
    assert (len(rig.taken), rig.connections) == (5, 1)


def test_messages_of_one_call_go_over_one_connection(smtp: ModuleType, rig: MailServerRig) -> None:
    broken = replace(MESSAGE, sender=Address("a b@example.com"))
    outcomes = smtp.deliver([MESSAGE, broken, MESSAGE], server_of(rig))
    assert [type(outcome) for outcome in outcomes] == [Confirmation, MessageBroken, Confirmation]
    assert rig.connections == 1


def test_what_has_no_time_left_is_not_begun(smtp: ModuleType, rig: MailServerRig) -> None:
    rig.answers["END"] = [SILENCE]
    first, second = smtp.deliver([MESSAGE, MESSAGE], server_of(rig, 1.5))
    assert isinstance(first, DeliveryInDoubt)
    assert isinstance(second, DeliveryDeferred)
    assert not second.counted
    assert rig.commands().count("MAIL") == 1


def test_an_idle_connection_that_the_server_ended_loses_no_answer(
    deliver: Deliver, rig: MailServerRig
) -> None:
    assert isinstance(deliver(), Confirmation)
    rig.hang_up()
    assert isinstance(deliver(), Confirmation)
    assert (len(rig.taken), rig.connections) == (2, 2)


@pytest.mark.parametrize("answer", ["421 idle for too long", "500 what", LOST])
def test_a_connection_that_is_not_well_is_replaced(
    deliver: Deliver, rig: MailServerRig, answer: str
) -> None:
    deliver()
    rig.answers["RSET"] = [answer]
    assert isinstance(deliver(), Confirmation)
    assert (len(rig.taken), rig.connections) == (2, 2)


def test_no_line_end_of_another_kind_reaches_a_server(rig: MailServerRig) -> None:
    bring(rig, ConnectionPool(), b"Subject: x\n\na\rb\r.\r\nc\n.\nd")
    assert rig.taken[0].content == b"Subject: x\r\n\r\na\r\nb\r\n.\r\nc\r\n.\r\nd\r\n"


def test_a_connection_brings_only_so_many_messages(rig: MailServerRig) -> None:
    kept = ConnectionPool(most=2)
    for _ in range(3):
        bring(rig, kept)
    assert (len(rig.taken), rig.connections) == (3, 2)


def test_what_stood_idle_for_too_long_is_not_used_again(rig: MailServerRig) -> None:
    kept = ConnectionPool(seconds=0)
    for _ in range(2):
        bring(rig, kept)
    assert rig.connections == 2


def test_connections_that_nobody_uses_are_ended(rig: MailServerRig) -> None:
    kept = ConnectionPool(seconds=0.01)
    bring(rig, kept)
    while "QUIT" not in rig.commands():
        kept.sweep()
    bring(rig, kept)
    assert rig.connections == 2


def test_the_size_is_told_beforehand(deliver: Deliver, rig: MailServerRig) -> None:
    deliver()
    [told] = [words for command, words in rig.heard if command == "MAIL"]
    assert told == f"FROM:<desk@example.gov> SIZE={len(rig.taken[0].content)}"


def test_there_is_no_way_to_ask_a_mail_server_for_a_message(smtp: ModuleType) -> None:
    assert not hasattr(smtp, "find")
