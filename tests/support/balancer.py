"""A TCP balancer: every connection goes to the next target that takes it; it can also be cut."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

CHUNK = 2**16


class Balancer:
    """Forwards connections by turns, on a loop in a thread of its own; `port` is where it listens.

    A target is a port of this machine or the path of a socket; one that refuses is skipped, and a
    connection that all refuse is closed. With one target it stands between two parties, so that
    they can be cut off from each other.
    """

    def __init__(self, targets: Sequence[int | str]) -> None:
        self.targets = deque(targets)
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._refuses = False
        self._connections: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="balancer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._do(self._end)
        self._thread.join(10)

    def take_out(self, target: int | str) -> None:
        """Hand nothing to a target any more, as one does that is seen to be ill."""
        self._do(lambda: self.targets.remove(target))

    def put_back(self, target: int | str) -> None:
        """Hand connections to a target again."""
        self._do(lambda: self.targets.append(target))

    def fall_silent(self) -> None:
        """Forward nothing and close nothing, as a network that loses every packet."""
        self._do(self._flows.clear)

    def refuse(self) -> None:
        """Break all connections, and every new one at once."""
        self._do(self._break)

    def go_on(self) -> None:
        """Forward again, also what came meanwhile on connections that live."""
        self._do(self._mend)

    def _do(self, action: Callable[[], object]) -> None:
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(act)
        assert done.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._flows.set()
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        self._break()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _end(self) -> None:
        self._ended.set()

    def _break(self) -> None:
        self._refuses = True
        for task in self._connections:
            task.cancel()

    def _mend(self) -> None:
        self._refuses = False
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._refuses:
                await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # what one side is told, the other is, too: the connection ends
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        there = await self._connected()
        if there is None:
            return
        try:
            both = (self._pump(reader, there[1]), self._pump(there[0], writer))
            await asyncio.gather(*both)
        finally:
            there[1].transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self.targets)):
            target = self.targets[0]
            self.targets.rotate(-1)
            with suppress(OSError):
                if isinstance(target, str):
                    return await asyncio.open_unix_connection(target)
                return await asyncio.open_connection("127.0.0.1", target)
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()
