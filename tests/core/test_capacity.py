"""Turns on the event loop, and the bytes that are under way."""

import asyncio
import time

import pytest

from relay.core.capacity import REST, SHORTEST_REST, BytesAtOnce, Turns
from relay.core.errors import Unavailable


async def take(turns: Turns, number: int, taken: list[int], least: float = 0) -> None:
    async with turns.turn(least):
        taken.append(number)


def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    async def fifty() -> list[int]:
        turns, taken = Turns(), []
        await asyncio.gather(*(take(turns, number, taken) for number in range(50)))
        return taken

    assert asyncio.run(fifty()) == list(range(50))


def test_a_turn_is_followed_by_a_rest_of_twice_its_length() -> None:
    async def five() -> float:
        turns, taken = Turns(), []
        started = time.monotonic()
        await asyncio.gather(*(take(turns, number, taken, 0.01) for number in range(5)))
        assert taken == list(range(5))
        return time.monotonic() - started

    assert asyncio.run(five()) >= 4 * 0.01 * (1 + REST) - SHORTEST_REST


def test_a_turn_that_fails_lets_the_next_one_through() -> None:
    async def failing() -> None:
        turns, taken = Turns(), []
        with pytest.raises(ZeroDivisionError):
            async with turns.turn():
                raise ZeroDivisionError
        given_up = asyncio.create_task(take(turns, 1, taken))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await take(turns, 2, taken)
        assert taken[-1] == 2

    asyncio.run(failing())


def test_others_bytes_leave_room_or_none() -> None:
    counted = BytesAtOnce()
    counted.take(60, 0, 100)
    with pytest.raises(Unavailable):
        counted.take(50, 0, 100)
    counted.take(50, 60, 100)  # its own, and nobody else's
    counted.give_back(110)
    counted.take(500, 0, 100)
    counted.take(500, 0, 0)  # no limit
