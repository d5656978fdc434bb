"""Handing mail to a mail server, for delivery plugins: one deadline, and an honest verdict.

Before the end of the message was written, nothing can have been sent. After it, nobody knows until
an answer is read. Connections are kept for a moment, and looked at before they are used again.
"""

import smtplib
import threading
import time
from collections.abc import Sequence

from relay.core.errors import DeliveryError, DeliveryInDoubt
from relay.delivery.transport.smtp_replies import unready
from relay.delivery.transport.smtp_server import MailServer
from relay.delivery.transport.smtp_session import Session, Transfer

# A connection kept open for longer may have been closed at the other end.
IDLE_SECONDS = 5.0
# Servers end connections that bring too much.
MAX_TRANSFERS = 100
# How long a kept connection may take to say that it is still there.
CHECK_SECONDS = 5.0


class ConnectionPool:
    """The connections that may be used again: those of each server, the latest one first.

    seconds: how long one may stand idle. most: how many mails one brings.
    """

    def __init__(self, seconds: float = IDLE_SECONDS, most: int = MAX_TRANSFERS) -> None:
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._idle: dict[MailServer, list[Session]] = {}
        self._sweeper: threading.Timer | None = None

    def take(self, server: MailServer, seconds: float) -> Session | None:
        """Return a connection that answers within so many seconds, if there is one."""
        with self._lock:
            idle = self._idle.get(server)
            dialogue = idle.pop() if idle else None
        if dialogue is None:
            return None
        young = time.monotonic() - dialogue.idle_since < self._seconds
        if young and dialogue.is_alive(min(CHECK_SECONDS, seconds / 2)):
            return dialogue
        dialogue.leave()
        return None

    def keep(self, dialogue: Session) -> None:
        """Keep a connection for the next mail, if it did not bring enough."""
        if dialogue.count >= self._most:
            dialogue.leave()
            return
        dialogue.idle_since = time.monotonic()
        with self._lock:
            self._idle.setdefault(dialogue.server, []).append(dialogue)
            if self._sweeper is None:
                self._sweep_later()

    def sweep(self) -> None:
        """End the connections that nobody used for long enough."""
        oldest = time.monotonic() - self._seconds
        with self._lock:
            self._sweeper = None
            idle = [one for several in self._idle.values() for one in several]
            old = [one for one in idle if one.idle_since <= oldest]
            for one in old:
                self._idle[one.server].remove(one)
            self._idle = {server: several for server, several in self._idle.items() if several}
            if self._idle:
                self._sweep_later()
        for one in old:
            one.leave()

    def _sweep_later(self) -> None:
        self._sweeper = threading.Timer(self._seconds, self.sweep)
        self._sweeper.daemon = True
        self._sweeper.start()


_KEPT = ConnectionPool()


def hand_over(
    server: MailServer,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    seconds: float,
    kept: ConnectionPool = _KEPT,
) -> Transfer:
    """Hand mail over within so many seconds, for as many of the recipients as the server takes.

    content: a mail in lines of ASCII. Raise DeliveryDeferred when certainly nothing was sent,
    DeliveryFailed when it was refused for good, DeliveryInDoubt when the last answer was lost.
    """
    ends = time.monotonic() + seconds
    dialogue = kept.take(server, seconds) or Session(server)
    dialogue.clock.start(ends - time.monotonic())
    try:
        if dialogue.sock is None:
            dialogue.begin()
        done = dialogue.transfer(sender, recipients, content)
    except DeliveryError as error:
        if dialogue.goes_on:
            kept.keep(dialogue)
        else:
            dialogue.close()
        raise error from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        dialogue.close()
        raise _lost(error, dialogue) from None
    kept.keep(dialogue)
    return done


def _lost(error: Exception, dialogue: Session) -> DeliveryError:
    """Return what the loss of a connection means for the message."""
    cause: BaseException = error
    if isinstance(error, smtplib.SMTPServerDisconnected) and error.__context__ is not None:
        cause = error.__context__
    name, reason = type(cause).__name__, getattr(cause, "verify_message", "")
    why = f"{name} ({reason})" if reason else name
    if dialogue.ended:
        return DeliveryInDoubt(f"no answer to the message's end: {why}", code=name)
    if dialogue.step == "connecting":
        return unready(f"no connection: {why}", name)
    return unready(f"the connection was lost at {dialogue.step}: {why}", name)
