"""Calling a plugin in a thread, and giving up on one that does not come back."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
T = TypeVar("T")

# Beyond its deadline a call gets this long to say so itself, then it is given up.
GRACE_SECONDS = 5.0


async def in_thread(
    pool: ThreadPoolExecutor,
    deadline: float,
    function: Callable[Arguments, T],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> T:
    """Call a function in a thread of a pool, with the logging context of here.

    deadline: seconds that it keeps to itself. Raise what it raises, or TimeoutError.
    """
    context = contextvars.copy_context()
    calling = asyncio.get_running_loop().run_in_executor(
        pool, lambda: context.run(function, *args, **kwargs)
    )
    return await asyncio.wait_for(calling, deadline + GRACE_SECONDS)
