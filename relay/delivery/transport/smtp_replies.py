"""What a mail server answers: read strictly, in words without addresses, and what it means."""

import re
import smtplib
from typing import BinaryIO, NamedTuple

from relay.core.errors import DeliveryDeferred, DeliveryError, DeliveryFailed
from relay.core.text import without_addresses
from relay.delivery.transport.smtp_operator_faults import (
    BEFORE_MESSAGE,
    enhanced_code,
    is_operators,
)

# Limits of an answer: a server that talks for ever must not fill the memory.
MAX_LINES, MAX_LINE_BYTES = 200, 2_000

CLOSING = 421

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r\n]*))?\r?\n")


class SMTPReply(NamedTuple):
    """A mail server's answer: its code, and its words without addresses."""

    code: int
    words: str

    @property
    def kind(self) -> int:
        """The first digit: 2 yes, 4 not now, 5 no."""
        return self.code // 100

    def __str__(self) -> str:
        return f"{self.code} {self.words}".rstrip()


def lines_of(file: BinaryIO) -> tuple[int, bytes]:
    """Read the lines of one answer, whose code is the same in all; raise SMTPServerDisconnected.

    What is no answer ends the connection: smtplib would take it for one.
    """
    lines: list[bytes] = []
    first = b""
    while len(lines) < MAX_LINES:
        line = file.readline(MAX_LINE_BYTES)
        found = _LINE.fullmatch(line)
        if not line:
            raise smtplib.SMTPServerDisconnected("it ended the connection")
        if found is None or found[1] != (first or found[1]):
            break
        first = found[1]
        lines.append(found[3] or b"")
        if found[2] != b"-":
            return int(first), b"\n".join(lines)
    raise smtplib.SMTPServerDisconnected("that is no mail server's answer")


def answer_of(code: int, said: bytes) -> SMTPReply:
    """Make an answer of a code and words, in which nothing is left that is not for the operator."""
    text = " ".join(said.decode("utf-8", "replace").split())
    seen = "".join(one if one.isprintable() else "?" for one in text)
    return SMTPReply(code, without_addresses(seen)[:300])


def is_about_nobody(step: str, answer: SMTPReply) -> bool:
    """Return whether an answer is about no message and no recipient, even where one was asked of.

    After such an answer the connection is of no more use.
    """
    return answer.code == CLOSING or is_operators(step, *answer)


def judged(step: str, answer: SMTPReply) -> DeliveryError:
    """Return what an answer that is not the one hoped for means for the message of the step."""
    words = f"{step}: {answer}"
    enhanced = "" if step in BEFORE_MESSAGE else enhanced_code(answer.words)
    code = f"{answer.code}/{enhanced}" if enhanced else str(answer.code)
    if is_operators(step, *answer):
        return unready(words, code)
    if step in BEFORE_MESSAGE or answer.code == CLOSING or answer.kind not in (4, 5):
        return unready(words, f"{step}/{answer.code}")
    if answer.kind == 4:
        return DeliveryDeferred(words, code=code)
    return DeliveryFailed(words, code=code)


def unready(words: str, code: str) -> DeliveryDeferred:
    """Make the error of a server that judged nothing: it, or our account there, is at fault."""
    return DeliveryDeferred(words, code=code, counted=False, opens_breaker=True)
