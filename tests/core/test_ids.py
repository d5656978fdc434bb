"""Message ids: UUIDs of version 7 that never repeat and sort by time."""

import re
import threading
import time
import uuid

from relay.core import ids
from relay.core.ids import message_id, timestamp

COUNT = 20_000


def test_an_id_is_a_lower_case_uuid_of_version_7() -> None:
    for id in [message_id() for _ in range(1000)]:
        parsed = uuid.UUID(id)
        assert id == str(parsed)
        assert parsed.variant == uuid.RFC_4122
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-.{12}", id)


def test_every_id_is_greater_than_all_before_it_even_within_a_millisecond() -> None:
    made = [message_id() for _ in range(COUNT)]
    assert made == sorted(set(made))


def test_threads_never_make_the_same_id() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def make(own: list[str]) -> None:
        own.extend(message_id() for _ in range(COUNT // 4))

    threads = [threading.Thread(target=make, args=[own]) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for own in made for id in own}) == COUNT
    assert all(own == sorted(own) for own in made)


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time()
    made_at = timestamp(message_id())
    # Ids of one process run ahead of the clock while they are made faster than it ticks.
    assert before - 0.001 <= made_at <= time.time() + 1
    assert timestamp("019aa5c2-7d8e-7abc-8def-0123456789ab") == 0x019AA5C27D8E / 1000


def test_a_clock_that_goes_back_makes_no_smaller_id() -> None:
    ids._last_milliseconds += 60_000  # as if the clock had been a minute ahead until now
    ahead = message_id()
    many = [message_id() for _ in range(5000)]  # more than a millisecond's counter holds
    ids._last_milliseconds -= 60_000
    assert many == sorted(set(many))
    assert many[0] > ahead


def test_the_random_part_differs_and_is_no_counter() -> None:
    tails = {message_id()[24:] for _ in range(1000)}
    assert len(tails) == 1000
    heads = {tail[0] for tail in tails}
    assert len(heads) == 16
