"""Message ids: lower-case UUIDs of version 7, which sort by the time they were made.

And reference numbers, which people read to each other.
"""

import random
import re
import secrets
import threading

from relay.core import clock

# Nothing that looks like something else on paper, and no vowels: no words come of it.
REFERENCE_CHARACTERS = "CDFHJKMNPQRTWXY34679"
REFERENCE_LENGTH = 9

_lock = threading.Lock()
_last_milliseconds = 0
_counter = 0


def message_id() -> str:
    """Make an id greater than every id this process made before (RFC 9562, section 6.2)."""
    global _last_milliseconds, _counter
    # Unique is enough: an id opens nothing. The system's source would give the interpreter's lock
    # away at every call.
    bits = random.getrandbits(64)
    with _lock:
        milliseconds = int(clock.now() * 1000)
        if milliseconds > _last_milliseconds:
            _last_milliseconds, _counter = milliseconds, bits >> 62
        else:  # the same millisecond, or a clock that went back
            _counter += 1
            if _counter > 0xFFF:
                _last_milliseconds, _counter = _last_milliseconds + 1, 0
        head = _last_milliseconds << 16 | 0x7000 | _counter
    tail = 0x8000_0000_0000_0000 | bits & 0x3FFF_FFFF_FFFF_FFFF
    digits = f"{head:016x}{tail:016x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def request_id() -> str:
    """Make the id of a request, for its reply and its log lines: 16 hex digits."""
    return f"{random.getrandbits(64):016x}"


def reference_number() -> str:
    """Make a reference number for people to read, say and type: `K7M-4QX-9RD`.

    Random out of 512 thousand million; whoever stores it looks whether it is taken.
    """
    characters = "".join(secrets.choice(REFERENCE_CHARACTERS) for _ in range(REFERENCE_LENGTH))
    return _grouped(characters)


def as_reference(text: str) -> str | None:
    """Read a reference as a person writes it, in any case and grouping; None if it is none."""
    characters = re.sub(r"[\s-]", "", text).upper()
    known = set(characters) <= set(REFERENCE_CHARACTERS)
    return _grouped(characters) if known and len(characters) == REFERENCE_LENGTH else None


def _grouped(characters: str) -> str:
    return "-".join(characters[start : start + 3] for start in range(0, REFERENCE_LENGTH, 3))


def timestamp(id: str) -> float:
    """Return when an id was made, in epoch seconds."""
    return int(id.replace("-", "")[:12], 16) / 1000
