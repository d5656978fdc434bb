"""A mail server's certificate, and our password: who gets to see what, and what stops it."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import trustme

from relay.core.errors import DeliveryDeferred
from relay.core.message import Confirmation
from relay.core.secret import Secret
from relay.core.server import Server
from relay.delivery.transport.smtp_server import mail_server
from tests.plugins.test_smtp import MESSAGE
from tests.support.mail_server import DRIP, LOST, SILENCE, MailServerRig, mail_server_rig

PASSWORD = "pass-wörd of the relay="
USERS = {"relay@example.gov": PASSWORD}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA) -> ssl.SSLContext:
    return context_of(authority.issue_cert("127.0.0.1", "localhost"))


def context_of(issued: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context


@pytest.fixture
def secure(certificate: ssl.SSLContext) -> Iterator[MailServerRig]:
    with mail_server_rig(certificate=certificate, users=USERS) as rig:
        yield rig


@pytest.fixture
def deliver(plugin: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """Deliver a message to the server at a URL; give the outcome."""

    def send(url: str, ca: str = "", password: str | None = None, deadline: float = 10) -> Any:
        server = mail_server(url, None if password is None else Secret(password), ca)
        options = {"smtp_url": server, "smtp_postmark": False, "return_path": None}
        one = Server(name="desk", plugins=("smtp",), deadline=deadline, options=options)
        [outcome] = plugin("smtp").deliver([MESSAGE], one)
        return outcome

    return send


def user_url(rig: MailServerRig, query: str = "") -> str:
    return f"smtp://relay%40example.gov@127.0.0.1:{rig.port}{query}"


def test_starttls_comes_before_anything_that_matters(
    deliver: Callable[..., Any], secure: MailServerRig, ca: str
) -> None:
    assert isinstance(deliver(user_url(secure), ca, PASSWORD), Confirmation)
    [taken] = secure.taken
    assert (taken.encrypted, taken.user) == (True, "relay@example.gov")
    assert secure.commands()[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


def test_a_kept_connection_stays_encrypted_and_known(
    deliver: Callable[..., Any], secure: MailServerRig, ca: str
) -> None:
    for _ in range(3):
        assert isinstance(deliver(user_url(secure), ca, PASSWORD), Confirmation)
    assert secure.connections == 1
    assert {(one.encrypted, one.user) for one in secure.taken} == {(True, "relay@example.gov")}


def test_two_accounts_never_share_a_connection(
    deliver: Callable[..., Any], secure: MailServerRig, ca: str
) -> None:
    secure.users["other"] = "other-password"
    other = f"smtp://other@127.0.0.1:{secure.port}"
    assert isinstance(deliver(user_url(secure), ca, PASSWORD), Confirmation)
    assert isinstance(deliver(other, ca, "other-password"), Confirmation)
    assert isinstance(deliver(user_url(secure), ca, "old-password"), DeliveryDeferred)
    assert [one.user for one in secure.taken] == ["relay@example.gov", "other"]
    assert secure.connections == 3


def test_tls_from_the_first_byte(
    deliver: Callable[..., Any], certificate: ssl.SSLContext, ca: str
) -> None:
    with mail_server_rig(certificate=certificate, implicit=True, users=USERS) as rig:
        url = f"smtps://relay%40example.gov@127.0.0.1:{rig.port}"
        assert isinstance(deliver(url, ca, PASSWORD), Confirmation)
        assert rig.taken[0].encrypted
        assert "STARTTLS" not in rig.commands()


@pytest.mark.parametrize("without", [(), ("PLAIN",), ("LOGIN",)])
def test_the_password_goes_by_what_the_server_offers(
    deliver: Callable[..., Any], certificate: ssl.SSLContext, ca: str, without: tuple[str, ...]
) -> None:
    with mail_server_rig(certificate=certificate, users=USERS, without=without) as rig:
        assert isinstance(deliver(user_url(rig), ca, PASSWORD), Confirmation)
        [words] = [words for command, words in rig.heard if command == "AUTH"]
        assert words.split()[0] == ("LOGIN" if "PLAIN" in without else "PLAIN")


def fault(outcome: Any) -> DeliveryDeferred:
    """What is for the operator to mend: no attempt, and the breaker opens."""
    assert isinstance(outcome, DeliveryDeferred)
    assert (outcome.counted, outcome.opens_breaker) == (False, True)
    return outcome


def test_a_certificate_of_nobody_we_trust_gets_no_mail(
    deliver: Callable[..., Any], secure: MailServerRig
) -> None:
    for ca in ("", trustme.CA().cert_pem.bytes().decode()):
        outcome = fault(deliver(user_url(secure), ca, PASSWORD))
        assert outcome.code == "SSLCertVerificationError"
        assert "lost at TLS" in str(outcome)
    assert secure.taken == []
    assert "AUTH" not in secure.commands()


@pytest.mark.parametrize("implicit", [True, False])
def test_a_certificate_of_another_host_gets_no_mail(
    deliver: Callable[..., Any], authority: trustme.CA, ca: str, implicit: bool
) -> None:
    context = context_of(authority.issue_cert("mail.example.org"))
    with mail_server_rig(certificate=context, implicit=implicit) as rig:
        url = f"smtp{'s' if implicit else ''}://127.0.0.1:{rig.port}"
        outcome = fault(deliver(url, ca))
        assert outcome.code == "SSLCertVerificationError"
        assert rig.taken == []


def test_what_the_environment_trusts_is_not_trusted(
    deliver: Callable[..., Any],
    secure: MailServerRig,
    authority: trustme.CA,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(path))
    fault(deliver(user_url(secure), "", PASSWORD))
    assert secure.taken == []


def test_a_server_that_offers_no_tls_gets_no_mail(deliver: Callable[..., Any]) -> None:
    with mail_server_rig(users=USERS) as rig:
        outcome = fault(deliver(user_url(rig), "", PASSWORD))
        assert outcome.code == "no-starttls"
        assert {"MAIL", "AUTH"}.isdisjoint(rig.commands())


@pytest.mark.parametrize(
    ("step", "answer", "code"),
    [
        ("STARTTLS", "454 not now", "STARTTLS/454"),
        ("STARTTLS", "554 never", "554"),
        ("STARTTLS", LOST, "SMTPServerDisconnected"),
        ("AUTH", "535 5.7.8 wrong", "535"),
        ("AUTH", "454 4.7.0 not now", "AUTH/454"),
        ("AUTH", LOST, "SMTPServerDisconnected"),
    ],
)
def test_a_connection_that_does_not_get_ready_is_nobodys_attempt(
    deliver: Callable[..., Any],
    secure: MailServerRig,
    ca: str,
    step: str,
    answer: str,
    code: str,
) -> None:
    secure.answers[step] = [answer]
    outcome = fault(deliver(user_url(secure), ca, PASSWORD))
    assert outcome.code == code or (answer == LOST and "Connection" in outcome.code)
    assert "MAIL" not in secure.commands()
    assert isinstance(deliver(user_url(secure), ca, PASSWORD), Confirmation)


@pytest.mark.parametrize("step", ["STARTTLS", "AUTH"])
@pytest.mark.parametrize("answer", [SILENCE, DRIP, "220 ready"])
def test_getting_ready_ends_with_the_deadline(
    deliver: Callable[..., Any], secure: MailServerRig, ca: str, step: str, answer: str
) -> None:
    # After this 220 nobody speaks TLS.
    secure.answers[step] = [answer]
    fault(deliver(user_url(secure), ca, PASSWORD, deadline=0.6))
    assert secure.taken == []


def test_a_wrong_password_is_the_operators_to_mend_and_stands_nowhere(
    deliver: Callable[..., Any],
    secure: MailServerRig,
    ca: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = fault(deliver(user_url(secure), ca, "a-wrong-password"))
    assert outcome.code == "535"
    assert "a-wrong-password" not in str(outcome)
    assert "Authentication" in str(outcome)


def test_a_server_that_knows_no_password_we_may_send_gets_none(
    deliver: Callable[..., Any], certificate: ssl.SSLContext, ca: str
) -> None:
    with mail_server_rig(certificate=certificate, without=("PLAIN", "LOGIN")) as rig:
        assert fault(deliver(user_url(rig), ca, PASSWORD)).code == "no-auth"
        assert rig.taken == []


def test_on_this_machine_a_password_may_go_without_tls(deliver: Callable[..., Any]) -> None:
    with mail_server_rig(users=USERS) as rig:
        assert isinstance(deliver(user_url(rig, "?tls=none"), "", PASSWORD), Confirmation)
        assert rig.taken[0].user == "relay@example.gov"


def test_what_stands_before_tls_is_not_believed_after_it(
    deliver: Callable[..., Any], secure: MailServerRig, ca: str
) -> None:
    # Whoever sits between puts an answer into the clear, to be read as one that came encrypted.
    secure.answers["STARTTLS"] = ["220 ready\r\n250-mail.test\r\n250 AUTH EVIL"]
    outcome = deliver(user_url(secure), ca, PASSWORD, deadline=1)
    fault(outcome)
    assert secure.taken == []


def test_a_handshake_that_drips_ends_with_the_deadline(deliver: Callable[..., Any]) -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(0.02)
            try:
                # A TLS record that says it is 16,000 bytes long.
                connection.sendall(b"\x16\x03\x03\x3e\x80")
                while True:
                    connection.sendall(b"\x02")
                    try:
                        if not connection.recv(4096):
                            return
                    except TimeoutError:
                        continue
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    outcome = fault(deliver(f"smtps://127.0.0.1:{listening.getsockname()[1]}", deadline=0.5))
    assert "lost at TLS" in str(outcome)
    thread.join(10)
    assert not thread.is_alive()
    listening.close()
