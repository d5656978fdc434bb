"""Who is late is called for, each once and in turn; who is done in time is not."""

import asyncio

import pytest

from relay.web.deadlines import Deadlines


@pytest.mark.gen_test
async def test_who_is_late_is_called_for_and_nobody_else() -> None:
    called: list[str] = []
    ended = asyncio.Event()

    def late(name: str) -> None:
        called.append(name)
        if name == "last":
            ended.set()

    deadlines = Deadlines(late)
    for name in ("first", "done", "second", "third"):
        deadlines.add(name, 0.02)
    deadlines.discard("done")
    deadlines.discard("nobody")
    await asyncio.sleep(0.01)
    deadlines.add("last", 0.02)
    await asyncio.wait_for(ended.wait(), 5)
    assert called == ["first", "second", "third", "last"]
    assert len(deadlines) == 0
    ended.clear()
    deadlines.add("last", 0.01)  # and again, after a time without any
    await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.gen_test
async def test_one_that_breaks_takes_no_other_with_it() -> None:
    called: list[int] = []
    ended = asyncio.Event()
    problems: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: problems.append(str(context["exception"]))
    )

    def late(number: int) -> None:
        called.append(number)
        if number < 2:
            raise ValueError(number)
        ended.set()

    deadlines = Deadlines(late)
    for number in range(3):
        deadlines.add(number, 0.01)
    await asyncio.wait_for(ended.wait(), 5)
    assert (called, problems) == ([0, 1, 2], ["0", "1"])
