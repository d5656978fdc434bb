"""Message ids: lower-case UUIDs of version 7, which sort by the time they were made."""

import random
import threading
import time
import uuid

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
        milliseconds = time.time_ns() // 1_000_000
        if milliseconds > _last_milliseconds:
            _last_milliseconds, _counter = milliseconds, bits >> 62
        else:  # the same millisecond, or a clock that went back
            _counter += 1
            if _counter > 0xFFF:
                _last_milliseconds, _counter = _last_milliseconds + 1, 0
        head = _last_milliseconds << 16 | 0x7000 | _counter
    tail = 0x8000_0000_0000_0000 | bits & 0x3FFF_FFFF_FFFF_FFFF
    return str(uuid.UUID(int=head << 64 | tail))


def request_id() -> str:
    """Make the id of a request, for its reply and its log lines: 16 hex digits."""
    return f"{random.getrandbits(64):016x}"


def timestamp(id: str) -> float:
    """Tell when an id was made, in epoch seconds."""
    return int(id.replace("-", "")[:12], 16) / 1000
