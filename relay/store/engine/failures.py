"""What to do when the database fails, and what is logged of it."""

import re
import threading
import time
from enum import Enum, auto

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

# PostgreSQL had to choose one of several transactions: of this one nothing is left, and it may
# have its way if it is run again.
CHOSEN = ("40001", "40P01")

log = structlog.get_logger()


class CommitUnknown(Exception):
    """The answer to a COMMIT is lost: it was done, or it was not."""


class Remedy(Enum):
    """What may help a group of units whose transaction failed."""

    # Others stood in its way, or its connection was lost before it was to be committed: nothing of
    # it is there.
    AGAIN = auto()
    RECONNECTED = auto()
    # One unit spoilt it: each is run alone.
    ALONE = auto()
    # Nothing: all are refused for now.
    NONE = auto()


def remedy(error: Exception) -> Remedy:
    """Return what may help against an error of a transaction."""
    if isinstance(error, CommitUnknown):
        return Remedy.NONE
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError | DataError):
        return Remedy.ALONE
    if error.connection_invalidated:
        return Remedy.RECONNECTED
    if sqlstate(error.orig) in CHOSEN:
        return Remedy.AGAIN
    return Remedy.NONE


def sqlstate(error: BaseException | None) -> str:
    """Return PostgreSQL's code of an error; "" of any other, and of one without."""
    return getattr(error, "sqlstate", None) or ""


def words(error: BaseException | None) -> str:
    """Return what the database says of an error, in one line and without what was stored."""
    said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    # What the library asks beside it is left out.
    return " ".join(re.sub(r"\n\t.*", "", said).split())


# What to do where a database cannot be opened, by the words for it. A server may speak another
# language: then the last advice stands beside what it says.
_ADVICE = (
    (("too many", "slots"), "raise max_connections, or let others use fewer"),
    (("starting up", "shutting down", "accepting conn"), "start again when it takes connections"),
    (
        ("password", "authentication", "pg_hba", "role "),
        "mend the user of [relay] database, or database_password",
    ),
    (("read-only",), "name the primary"),
    (("permission denied",), "grant it to the user"),
    (("certificate", "ssl"), "mend sslmode or the certificates"),
    (("database",), "make the database, or mend its name"),
    (("",), "is the server running there, and can it be reached from here?"),
)


def explained(error: DBAPIError) -> str:
    """Return why a database cannot be opened and what to do, in one line."""
    return f"{words(error.orig)}: {advice(error)}"


def advice(error: DBAPIError) -> str:
    """Return what to do where a database cannot be opened."""
    why = words(error.orig).rpartition("failed: ")[2].lower()
    return next(advice for signs, advice in _ADVICE if any(sign in why for sign in signs))


class OutageLog:
    """Logs when the database begins to fail, and when it works again: one line each.

    doing: what fails, as the line says it.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._lock = threading.Lock()
        self._since: float | None = None

    def failed(self, error: BaseException | None) -> None:
        """Take note of a failure."""
        with self._lock:
            if self._since is not None:
                return
            self._since = time.monotonic()
        code = sqlstate(error) or type(error).__name__
        log.error("store.unavailable", doing=self._doing, error=code, words=words(error))

    def worked(self) -> None:
        """Take note of what worked."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            seconds = round(time.monotonic() - since, 1)
            log.info("store.available", doing=self._doing, seconds=seconds)
