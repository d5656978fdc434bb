"""Long work that a person ordered: it goes on while its page is looked at, or not."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from relay.core import clock
from relay.core.errors import RelayError
from relay.core.logs import trace
from relay.store.outbox.operator_actions import Verdict

# Messages of one order: others' mail waits behind it.
BATCH = 100
# So many are remembered, and of each so many refusals.
REMEMBERED = 50
REFUSALS = 20

log = structlog.get_logger()


@dataclass(eq=False)
class Work:
    """Something that is done to many messages, batch by batch.

    problem: why it broke off, "" while it has not.
    """

    title: str
    who: str
    total: int
    began_at: float = field(default_factory=clock.now)
    done: int = 0
    refused: int = 0
    refusals: list[Verdict] = field(default_factory=list)
    ended_at: float | None = None
    problem: str = ""


class Works:
    """Carries long work out in the background, and remembers what came of it, until a restart."""

    def __init__(self) -> None:
        self._works: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self,
        title: str,
        who: str,
        ids: Sequence[str],
        order: Callable[[Sequence[str]], Awaitable[Sequence[Verdict]]],
    ) -> str:
        """Begin to order something of messages; return what it is found by."""
        key, work = secrets.token_hex(8), Work(title, who, len(ids))
        self._works[key] = work
        for old in list(self._works)[:-REMEMBERED]:
            del self._works[old]
        task = asyncio.create_task(self._carry_out(work, ids, order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return key

    def find(self, key: str) -> Work | None:
        """Return what was begun; None where nobody remembers it."""
        return self._works.get(key)

    async def ended(self) -> None:
        """Wait until nothing goes on any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _carry_out(
        self,
        work: Work,
        ids: Sequence[str],
        order: Callable[[Sequence[str]], Awaitable[Sequence[Verdict]]],
    ) -> None:
        try:
            for start in range(0, len(ids), BATCH):
                verdicts = await order(ids[start : start + BATCH])
                refused = [verdict for verdict in verdicts if not verdict.done]
                work.done += len(verdicts) - len(refused)
                work.refused += len(refused)
                work.refusals += refused[: REFUSALS - len(work.refusals)]
        except RelayError as error:
            work.problem = str(error)
        except Exception as error:  # noqa: BLE001 - its page says that it broke off
            log.error("work.failed", **trace(error))
            work.problem = f"it broke off ({type(error).__name__}): see the log"
        finally:
            work.ended_at = clock.now()
