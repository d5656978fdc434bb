"""Timers by the thousand: each ends in its time, or not at all once it was cancelled."""

import asyncio
import weakref

import pytest

from relay.core.timers import Timers


@pytest.mark.gen_test
async def test_those_that_are_not_cancelled_end_in_their_order() -> None:
    timeouts, ended, done = Timers(), [], asyncio.Event()
    long = [timeouts.start(0.02, lambda n=n: ended.append(f"long {n}")) for n in range(3)]
    timeouts.start(0.001, lambda: ended.append("short"))
    long[0].cancel()
    long[1].cancel()
    timeouts.start(0.02, done.set)

    await asyncio.wait_for(done.wait(), 5)

    assert ended == ["short", "long 2"]


@pytest.mark.gen_test
async def test_a_length_that_was_used_up_can_be_used_again() -> None:
    timeouts, ended = Timers(), []
    for number in range(3):
        done = asyncio.Event()
        timeouts.start(0.001, lambda done=done, number=number: (ended.append(number), done.set()))
        await asyncio.wait_for(done.wait(), 5)
    assert ended == [0, 1, 2]


@pytest.mark.gen_test
async def test_a_call_that_raises_holds_up_no_other() -> None:
    timeouts, done, faults = Timers(), asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: faults.append(about))
    timeouts.start(0.001, lambda: 1 / 0)
    timeouts.start(0.001, done.set)

    await asyncio.wait_for(done.wait(), 5)

    assert isinstance(faults[0]["exception"], ZeroDivisionError)


class Caller:
    """Whoever waits: a request with its body."""

    def give_up(self) -> None: ...


@pytest.mark.gen_test
async def test_what_was_cancelled_is_let_go_at_once() -> None:
    timeouts, caller = Timers(), Caller()
    gone = weakref.ref(caller)
    timeouts.start(30, caller.give_up).cancel()
    del caller
    assert gone() is None
