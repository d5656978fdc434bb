"""Asking the plugins that verify, which may take their time and ask others: in threads, in bounds.

A server's plugins get `verify_seconds`; whoever has not answered by then is given up, and that is
an Unsure. A thread that hangs counts until it ends: were all of them hanging, posts would be
refused (503) rather than passed, because whoever keeps the threads busy must not get by that way.
"""

import asyncio
import contextvars
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import structlog

from relay.core.errors import Unavailable, VerificationFailed
from relay.core.server import Server
from relay.core.submission import Refused, Submission, Unsure, Verified
from relay.core.text import one_line
from relay.hooks.chain import Chain

# How many may be asked at once: for one server, so that a slow one leaves threads to the others,
# and for all of them.
SERVER_THREADS = 64
THREADS = 96
# How much of a plugin's words is kept.
MAX_REASON = 100
# Beyond its time a plugin gets this long to say so itself.
GRACE_SECONDS = 0.5
BUSY_RETRY_AFTER_SECONDS = 5

NOTHING_ASKED = Verified()

log = structlog.get_logger()


def decided(server: Server, verdict: Verified | Refused | Unsure) -> Verified | Unsure:
    """Return a verdict that does not refuse; an Unsure is held, or passes, as the server says.

    Raise VerificationFailed.
    """
    if isinstance(verdict, Refused):
        raise VerificationFailed(detail=verdict.reason)
    if isinstance(verdict, Unsure) and server.when_unsure == "refuse":
        raise VerificationFailed(reason="unsure", detail=verdict.reason)
    return verdict


def _brief(verdict: Verified | Refused | Unsure) -> Verified | Refused | Unsure:
    """Shorten a plugin's words to what a line shows: they may be somebody else's."""
    if isinstance(verdict, Verified):
        return verdict
    return replace(verdict, reason=one_line(verdict.reason)[:MAX_REASON])


class Verifier:
    """Asks whether a submission may pass, as its server's settings say, without blocking."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "verify")
        self._of_all = asyncio.Semaphore(THREADS)
        self._of_server = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(SERVER_THREADS)
        )
        self._running = 0

    @property
    def is_idle(self) -> bool:
        """Whether no plugin is being asked: a thread that hangs would keep the program alive."""
        return self._running == 0

    def close(self) -> None:
        """Ask nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def ask(self, chain: Chain, submission: Submission) -> Verified | Unsure:
        """Return the verdict; an Unsure is to be held, or passes, as the server says.

        Raise VerificationFailed, or Unavailable where there is no thread left to ask in.
        """
        server = chain.server
        if not chain.verifiers or (server.verify == "sessions" and not submission.session):
            return NOTHING_ASKED
        verdict = await self._asked(chain, submission)
        if isinstance(verdict, Unsure):
            told = {"reason": verdict.reason, "then": server.when_unsure}
            log.warning("verification.unsure", server=server.name, **told)
        return decided(server, verdict)

    async def _asked(self, chain: Chain, submission: Submission) -> Verified | Refused | Unsure:
        seconds = chain.server.verify_seconds
        await self._take_thread(chain.server.name, seconds)
        loop = asyncio.get_running_loop()

        def ended(_: Future[Verified | Refused | Unsure]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody counts any more
                loop.call_soon_threadsafe(self._give_thread_back, chain.server.name)

        run = contextvars.copy_context().run
        asking = self._pool.submit(run, chain.verify, submission)
        asking.add_done_callback(ended)
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                return _brief(await asyncio.wrap_future(asking))
        except TimeoutError:
            return Unsure("no answer in time")

    async def _take_thread(self, server: str, seconds: float) -> None:
        """Wait for a thread as long as its answer may take; raise Unavailable."""
        try:
            async with asyncio.timeout(seconds):
                await self._of_server[server].acquire()
                try:
                    await self._of_all.acquire()
                except asyncio.CancelledError:
                    self._of_server[server].release()
                    raise
        except TimeoutError:
            raise Unavailable(BUSY_RETRY_AFTER_SECONDS, reason="verify_busy") from None
        self._running += 1

    def _give_thread_back(self, server: str) -> None:
        self._running -= 1
        self._of_all.release()
        self._of_server[server].release()
