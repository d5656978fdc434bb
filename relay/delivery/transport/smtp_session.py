"""One conversation with a mail server, step by step. The steps are smtplib's, not the reading."""

import base64
import contextlib
import re
import smtplib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from relay.core.errors import DeliveryInDoubt
from relay.delivery.transport.smtp_replies import (
    CLOSING,
    SMTPReply,
    answer_of,
    is_about_nobody,
    judged,
    lines_of,
    unready,
)
from relay.delivery.transport.smtp_server import MailServer, is_loopback, tls_context
from relay.delivery.transport.sockets import Deadline, connected

# "Too many recipients", where others were taken before.
TOO_MANY = 552


class Transfer(NamedTuple):
    """Mail that a server took; by address, what it said to those it did not take it for.

    refused: for good. later: for now.
    """

    answer: SMTPReply
    refused: dict[str, SMTPReply]
    later: dict[str, SMTPReply]


class Session(smtplib.SMTP):
    """A connection to a mail server, step by step.

    `step` is what is being done, for words; `ended` tells that the message's end was written;
    `goes_on` that the connection may bring another one.
    """

    sock: Any  # a TimedSocket once it is connected

    def __init__(self, server: MailServer) -> None:
        super().__init__(local_hostname="[127.0.0.1]")
        self.server = server
        self.clock = Deadline()
        self.step = "connecting"
        self.ended = self.goes_on = False
        self.count = 0
        self.idle_since = 0.0

    def begin(self) -> None:
        """Connect, encrypt, introduce and authenticate; raise DeliveryDeferred."""
        server = self.server
        self.sock = connected(server.host, server.port, self.clock)
        if server.tls == "implicit":
            self._encrypt()
        self.step = "greeting"
        self._expect(self._hear(), 220)
        self._introduce()
        if server.tls == "starttls":
            if not self.has_extn("starttls"):
                raise unready("it offers no STARTTLS", "no-starttls")
            self._expect(self._ask("STARTTLS"), 220)
            self._encrypt()
            self._introduce()
        if server.user:
            self._authenticate(server.user, server.password.reveal() if server.password else "")

    def is_alive(self, seconds: float) -> bool:
        """Return whether a kept connection can be used again, and clear what it was about."""
        self.clock.start(seconds)
        try:
            return self._ask("RSET").kind == 2
        except (smtplib.SMTPException, OSError):
            return False

    def transfer(self, sender: str, recipients: Sequence[str], content: bytes) -> Transfer:
        """Make one transaction; raise a DeliveryError where it does not end well."""
        self.goes_on = self.ended = False
        lines = _lines(content)
        size = f" SIZE={len(lines)}" if self.has_extn("size") else ""
        self._accept(self._ask("MAIL", f"FROM:<{sender}>{size}"))
        refused, later = self._name(recipients)
        if len(refused) + len(later) == len(recipients):
            self._accept(_worst(refused, later))
        self._accept(self._ask("DATA"), 3)
        self.step = "message"
        self.send(re.sub(rb"(?m)^\.", b"..", lines))
        self.step, self.ended = "end", True
        self.send(b".\r\n")
        answer = self._hear()
        self.count += 1
        if answer.kind not in (2, 4, 5):
            raise DeliveryInDoubt(f"no clear answer: {answer}", code=str(answer.code))
        self._accept(answer)
        self.goes_on = True
        return Transfer(answer, refused, later)

    def leave(self) -> None:
        """Say good-bye and close; whatever goes wrong now does not matter."""
        self.clock.start(1.0)
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self.putcmd("QUIT")
        self.close()

    def getreply(self) -> tuple[int, bytes]:
        """Read an answer, in the place of smtplib's own reading."""
        if self.file is None:
            self.file = self.sock.makefile("rb")
        return lines_of(self.file)

    def _hear(self) -> SMTPReply:
        return answer_of(*self.getreply())

    def _ask(self, command: str, words: str = "") -> SMTPReply:
        self.step = command
        self.putcmd(command, words)
        return self._hear()

    def _expect(self, answer: SMTPReply, code: int) -> None:
        """Go on only with this code, on the way to a connection that can be used."""
        if answer.code != code:
            raise judged(self.step, answer)

    def _accept(self, answer: SMTPReply, kind: int = 2) -> None:
        """Go on only with this kind of answer to something about the message."""
        if answer.kind != kind:
            self.goes_on = answer.kind in (4, 5) and not is_about_nobody(self.step, answer)
            raise judged(self.step, answer)

    def _name(self, recipients: Sequence[str]) -> tuple[dict[str, SMTPReply], dict[str, SMTPReply]]:
        """Name the recipients; return those that are refused for good, and those for now.

        Those that the operator's mending lets in are refused for now: the others need not wait.
        """
        refused: dict[str, SMTPReply] = {}
        later: dict[str, SMTPReply] = {}
        taken = False
        for recipient in recipients:
            answer = self._ask("RCPT", f"TO:<{recipient}>")
            if answer.code == CLOSING or answer.kind == 3:
                raise judged(self.step, answer)
            if answer.kind == 2:
                taken = True
            elif (
                answer.kind == 4
                or (answer.code == TOO_MANY and taken)
                or is_about_nobody(self.step, answer)
            ):
                later[recipient] = answer
            else:
                refused[recipient] = answer
        return refused, later

    def _encrypt(self) -> None:
        self.step = "TLS"
        self.sock = self.sock.secured(tls_context(self.server.ca), self.server.host)
        # Whatever was said before is not to be believed: not the features, nor what came with it.
        self.file = None
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False

    def _introduce(self) -> None:
        self.step = "EHLO"
        own = self.sock.getsockname()[0]
        self.local_hostname = f"[IPv6:{own}]" if ":" in own else f"[{own}]"
        answer = answer_of(*self.ehlo())
        if answer.kind == 5:
            answer = self._ask("HELO", self.local_hostname)
        self._expect(answer, 250)

    def _authenticate(self, user: str, password: str) -> None:
        offered = self.esmtp_features.get("auth", "").upper().split()
        if self.server.tls == "none" and not is_loopback(self.sock.getpeername()[0]):
            raise unready("a password goes to another machine with TLS only", "no-tls")
        if "PLAIN" in offered:
            answer = self._ask("AUTH", "PLAIN " + _written(f"\0{user}\0{password}"))
        elif "LOGIN" in offered:
            self._expect(self._ask("AUTH", "LOGIN"), 334)
            self._expect(self._say(_written(user)), 334)
            answer = self._say(_written(password))
        else:
            raise unready("it offers neither AUTH PLAIN nor LOGIN", "no-auth")
        self._expect(answer, 235)

    def _say(self, line: str) -> SMTPReply:
        self.putcmd(line)
        return self._hear()


def _worst(refused: Mapping[str, SMTPReply], later: Mapping[str, SMTPReply]) -> SMTPReply:
    """Return the answer that says what becomes of a message that is taken for nobody."""
    answers = [*later.values(), *refused.values()]
    return next((one for one in answers if is_about_nobody("RCPT", one)), answers[0])


def _lines(content: bytes) -> bytes:
    """End every line by CRLF, and the last one too: a server must see no other end."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def _written(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
