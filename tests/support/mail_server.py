"""A real mail server on loopback, in a thread of its own, that can be told to fail at any step."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message as Mail
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

# What may stand in the place of an answer: the connection ends, nothing comes, bytes drip for ever,
# or the message is asked for and not read.
LOST, SILENCE, DRIP, DEAF = "(lost)", "(silence)", "(drip)", "(deaf)"
DRIP_SECONDS = 0.02


@dataclass
class Taken:
    """A mail that the server took: its envelope, its bytes, and whose account brought it."""

    sender: str
    recipients: list[str]
    content: bytes
    user: str
    encrypted: bool

    @property
    def mail(self) -> Mail:
        return message_from_bytes(self.content)


@dataclass
class MailServerRig:
    """What the server does and saw.

    `answers`: by step, what it says instead of the usual, one after the other; a step is a command,
    GREETING, or END for the end of a message. `refused`: what it says to a recipient, always.
    """

    port: int = 0
    answers: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    heard: list[tuple[str, str]] = field(default_factory=list)
    sessions: list["_Session"] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def connections(self) -> int:
        return len(self.sessions)

    def commands(self) -> list[str]:
        """The commands it heard, in order."""
        return [command for command, _ in self.heard]

    def next(self, step: str) -> str | None:
        scripted = self.answers.get(step)
        return scripted.pop(0) if scripted else None

    async def handle_DATA(self, server: "_Session", session: Any, envelope: Any) -> str:
        user = getattr(session.auth_data, "login", b"").decode()
        content = bytes(envelope.original_content)
        sender, recipients = envelope.mail_from, list(envelope.rcpt_tos)
        server.brought = Taken(sender, recipients, content, user, server.encrypted)
        return "250 OK"

    def hang_up(self) -> None:
        """End every connection, and come back when that is done."""

        async def end() -> None:
            for session in self.sessions:
                if session.transport is not None:
                    session.transport.abort()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)


class _Session(SMTP):
    def __init__(self, rig: MailServerRig, **options: Any) -> None:
        super().__init__(rig, authenticator=self._judge, hostname="mail.test", **options)
        self.rig = rig
        self.step = "GREETING"
        self.encrypted = False
        self.brought: Taken

    def connection_made(self, transport: Any) -> None:
        if self not in self.rig.sessions:
            self.rig.sessions.append(self)
        super().connection_made(transport)
        self.encrypted = transport.get_extra_info("ssl_object") is not None

    async def push(self, status: Any) -> None:
        if self.step == "GREETING":
            await self._say(self.rig.next("GREETING") or status)
        elif self.step == "END":
            scripted = self.rig.next("END")
            if scripted is None or scripted[0] not in "45":
                self.rig.taken.append(self.brought)
            await self._say(scripted or status)
        else:
            await super().push(status)
        if self.step == "DATA":
            self.step = "END"

    async def _say(self, status: str) -> None:
        if status == LOST:
            self.transport.abort()
        elif status == DRIP:
            while not self.transport.is_closing():
                self._writer.write(b"2")
                await asyncio.sleep(DRIP_SECONDS)
        elif status == DEAF:
            await super().push("354 go on")
            self.transport.pause_reading()
        elif status != SILENCE:
            await super().push(status)

    async def _run(self, command: str, argument: Any) -> None:
        self.step = command
        self.rig.heard.append((command, argument or ""))
        scripted = self.rig.next(command)
        if command == "RCPT" and scripted is None:
            scripted = self.rig.refused.get(argument.partition("<")[2].rstrip(">"))
        if scripted is None:
            await getattr(super(), f"smtp_{command}")(argument)
        else:
            await self._say(scripted)

    async def smtp_EHLO(self, argument: Any) -> None:
        await self._run("EHLO", argument)

    async def smtp_HELO(self, argument: Any) -> None:
        await self._run("HELO", argument)

    async def smtp_STARTTLS(self, argument: Any) -> None:
        await self._run("STARTTLS", argument)

    async def smtp_AUTH(self, argument: Any) -> None:
        await self._run("AUTH", argument)

    async def smtp_MAIL(self, argument: Any) -> None:
        await self._run("MAIL", argument)

    async def smtp_RCPT(self, argument: Any) -> None:
        await self._run("RCPT", argument)

    async def smtp_RSET(self, argument: Any) -> None:
        await self._run("RSET", argument)

    async def smtp_QUIT(self, argument: Any) -> None:
        await self._run("QUIT", argument)

    async def smtp_DATA(self, argument: Any) -> None:
        await self._run("DATA", argument)

    def _judge(self, server: Any, session: Any, envelope: Any, kind: str, data: Any) -> AuthResult:
        good = self.rig.users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=good, handled=False, auth_data=data)


@contextlib.contextmanager
def mail_server_rig(
    *,
    certificate: ssl.SSLContext | None = None,
    implicit: bool = False,
    users: dict[str, str] | None = None,
    without: Sequence[str] = (),
    **options: Any,
) -> Iterator[MailServerRig]:
    """Run a server; without: AUTH mechanisms that it does not offer."""
    rig = MailServerRig(users=dict(users or {}))
    options |= {
        "auth_require_tls": False,
        "auth_exclude_mechanism": list(without),
        "tls_context": None if implicit else certificate,
    }
    listening = socket.create_server(("127.0.0.1", 0))
    rig.port = listening.getsockname()[1]
    ready = threading.Event()

    async def serve() -> None:
        server = await rig.loop.create_server(
            lambda: _Session(rig, loop=rig.loop, **options),
            sock=listening,
            ssl=certificate if implicit else None,
        )
        ready.set()
        await stopped.wait()
        server.close()
        for session in rig.sessions:
            if session.transport is not None:
                session.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stopped = asyncio.Event()
    thread = threading.Thread(target=rig.loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield rig
    finally:
        rig.loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        rig.loop.close()
