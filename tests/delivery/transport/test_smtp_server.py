"""The URL of a mail server, and what is refused before any mail is sent."""

import pytest
import trustme

from relay.core.secret import Secret
from relay.delivery.transport.smtp_server import MailServer, is_loopback, mail_server, tls_context

PASSWORD = Secret("password-of-the-relay")


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("smtp://mail.example.gov", "mail.example.gov", 587, "starttls"),
        ("smtp://mail.example.gov/", "mail.example.gov", 587, "starttls"),
        ("smtp://mail.example.gov:2525?tls=starttls", "mail.example.gov", 2525, "starttls"),
        ("smtps://mail.example.gov", "mail.example.gov", 465, "implicit"),
        ("smtp://mail.example.gov?tls=none", "mail.example.gov", 25, "none"),
        ("smtp://[::1]:25?tls=none", "::1", 25, "none"),
    ],
)
def test_a_url_says_where_and_how(url: str, host: str, port: int, tls: str) -> None:
    server = mail_server(url)
    assert (server.host, server.port, server.tls) == (host, port, tls)
    assert (server.user, server.password) == ("", None)


@pytest.mark.parametrize(
    "url", ["smtp://a%40b.gov@mail.example.gov", "smtp://a@b.gov@mail.example.gov"]
)
def test_a_user_may_have_an_at(url: str) -> None:
    server = mail_server(url, PASSWORD)
    assert (server.user, server.host) == ("a@b.gov", "mail.example.gov")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mail.example.gov", "looks like"),
        ("http://mail.example.gov", "looks like"),
        ("smtp://", "looks like"),
        ("smtp://mail.example.gov/path", "looks like"),
        ("smtp://mail.example.gov?tls=maybe", "starttls or none"),
        ("smtp://mail.example.gov?tls=starttls&verify=no", "starttls or none"),
        ("smtps://mail.example.gov?tls=none", "starttls or none"),
        ("smtp://mail.example.gov:99999", "ort"),
        ("smtp://mail.example.gov?tls", ""),
        ("smtp://user:secret@mail.example.gov", "smtp_password"),
        ("smtp://user:@mail.example.gov", "smtp_password"),
    ],
)
def test_what_is_no_mail_server_is_refused_without_its_password(url: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        mail_server(url)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_user_and_a_password_come_together() -> None:
    for url, password in (("smtp://user@mail.example.gov", None), ("smtp://a.gov", PASSWORD)):
        with pytest.raises(ValueError, match="both, or none"):
            mail_server(url, password)


@pytest.mark.parametrize("host", ["mail.example.gov", "10.0.0.1", "[2001:db8::1]"])
def test_no_password_goes_to_another_machine_in_the_clear(host: str) -> None:
    with pytest.raises(ValueError, match="TLS only"):
        mail_server(f"smtp://user@{host}?tls=none", PASSWORD)
    assert mail_server(f"smtp://{host}?tls=none").is_exposed


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_on_this_machine_nothing_is_exposed(host: str) -> None:
    assert not mail_server(f"smtp://user@{host}?tls=none", PASSWORD).is_exposed


def test_with_tls_nothing_is_exposed() -> None:
    assert not mail_server("smtp://mail.example.gov").is_exposed
    assert not mail_server("smtps://mail.example.gov").is_exposed


@pytest.mark.parametrize("ca", ["no certificate", "-----BEGIN CERTIFICATE-----\n", "\n"])
def test_certificates_that_are_none_are_found_at_once(ca: str) -> None:
    with pytest.raises(ValueError, match="PEM"):
        mail_server("smtp://mail.example.gov", ca=ca)


def test_a_private_authority_takes_the_place_of_the_public_ones() -> None:
    pem = trustme.CA().cert_pem.bytes().decode()
    assert len(tls_context(pem).get_ca_certs()) == 1
    assert len(tls_context("").get_ca_certs()) > 50


def test_neither_user_nor_password_shows_in_a_repr() -> None:
    shown = repr(MailServer("mail.example.gov", 587, "starttls", "user-name", PASSWORD, "pem"))
    assert shown == "MailServer(host='mail.example.gov', port=587, tls='starttls')"


def test_names_of_other_machines_are_no_loopback() -> None:
    assert not any(map(is_loopback, ["localhost.example.gov", "0.0.0.0", "128.0.0.1", ""]))
