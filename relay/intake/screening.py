"""Submissions that were kept back as a robot's: stored apart, for a person to look at."""

from dataclasses import replace

from relay.core.ids import message_id, timestamp
from relay.core.immutable import freeze
from relay.core.server import Server
from relay.core.states import State
from relay.core.submission import Identity, Submission
from relay.forms.send_time import ScheduleError, scheduled_time
from relay.store import documents
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.screened import Kept

SEND_TIME = "senddatetime"


def kept_back(
    submission: Submission,
    server: Server,
    identity: Identity,
    token: bytes | None,
    reason: str,
) -> NewMessage:
    """Make the row of a robot's submission, which is kept for review."""
    id = message_id()
    return NewMessage(
        id=id,
        server=server.name,
        state=State.SCREENED,
        created_at=timestamp(id),
        due_at=_would_be_due(submission, server),
        key=identity.key,
        document=documents.dump_submission(submission),
        token=token,
        words=reason,
    )


def kept_submission(kept: Kept, now: float) -> Submission:
    """Read a screened submission again, to be accepted after all.

    What it wanted sent later is, while that time lies ahead; after that it is sent at once.
    """
    submission = documents.load_submission(kept.server, kept.document)
    fields = {name: submission.fields[name] for name in submission.fields if name != SEND_TIME}
    if kept.due_at > max(now, kept.created_at):
        fields[SEND_TIME] = kept.due_at
    elif kept.due_at <= kept.created_at and SEND_TIME in submission.fields:
        fields[SEND_TIME] = submission.fields[SEND_TIME]
    return replace(submission, fields=freeze(fields), received_at=now)


def _would_be_due(submission: Submission, server: Server) -> float | None:
    """Return for when a robot's submission would be scheduled; None for at once."""
    now = submission.received_at
    try:
        at = scheduled_time(submission.fields.get(SEND_TIME, ""), now)
    except ScheduleError:
        return None
    return at if at > now and server.scheduling else None
