"""Log lines: JSON or console, on stderr, one event each, and never a value that is private.

Events are `noun.participle` with fields. What may stand in a field: ids, names from the settings,
states, sizes, durations, a mail domain, `fingerprint()` of an address. Never a token, a key, a
body, a subject or a whole address; never the text of an unexpected exception, which may hold any
of them.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog

from relay.core.addresses import Address
from relay.core.secret import Secret, keyed_digest


def configure(style: str = "auto") -> None:
    """Send structlog's and the libraries' lines to stderr; `style` is auto, json or console."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *(CONSOLE if console else [_render_json]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


def visible(logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Write out what would be a command to a terminal, in whatever a caller sent: `\\x9b`.

    Lists and the like are shown by their repr, which does the same.
    """
    return {
        name: "".join(map(_shown, value)) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def _render_json(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """Write a line as JSON, with its level and time: at once, because every message has some."""
    event["level"] = method
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return _encode(event)


# Made once: json.dumps would make one for every line. ASCII only, so that nothing in a value can
# forge a line.
_encode = json.JSONEncoder(ensure_ascii=True, default=str).encode


CONSOLE = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    visible,
    structlog.dev.ConsoleRenderer(),
)


class _Bridge(logging.Handler):
    """What libraries log: their logger, level and constant text, never the values put into it."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library.logged",
            library=record.name,
            text=str(record.msg)[:200] if record.args else record.name,
            **(trace(error) if error else {}),
        )


def trace(error: BaseException) -> dict[str, Any]:
    """Describe an unexpected exception by type and place, without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    cause = error.__cause__ or error.__context__
    where = [f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}" for frame in frames]
    return {
        "error": type(error).__name__,
        "where": where,
        **({"cause": type(cause).__name__} if cause else {}),
    }


def raised_by(error: BaseException) -> str:
    """Name the plugin and its function that raised an error; "" for Relay itself."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        package, _, plugin = frame.f_globals.get("__name__", "").partition(".")
        if package == "relay_plugins":
            return f" in {plugin} {frame.f_code.co_name}"
    return ""


def fingerprint(secret: Secret, address: Address) -> str:
    """Return what tells two addresses apart without showing them: 8 hex digits of a keyed hash."""
    return _fingerprint(secret.reveal(), address.email.lower())


# Most mail goes to the same few offices, and to hash gives the interpreter's lock away.
@lru_cache(maxsize=1024)
def _fingerprint(secret: str, email: str) -> str:
    return keyed_digest(Secret(secret), email).hex()[:8]
