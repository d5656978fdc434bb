"""A message's states: their names, those that belong together, and which may follow which.

    screened ===released===> queued, scheduled ===cancelled===> cancelled
                               ^         |  ^
                            put off   claimed +----absent, or cannot be told----+
                               |         v                                      |
    failed, expired, <--------  sending ---------------no answer-----------> in_doubt
    quarantined,                 |    |                                       |   |
    suppressed                 taken  +----------> held <---left to a person--+   |
                                 v                  |                             |
                                sent <------------found---------------------------+

What breaks a plugin before it is a message is quarantined from the start; a person releases it as
what was screened.

What goes along `===` a person orders. A person may also queue again, or call sent, what is held, in
doubt, failed, expired or quarantined, and cancel what is held. A message in doubt may end expired
or quarantined. Whatever waited when a backup was taken is in doubt once that is put back. Word that
comes late makes sent what is in doubt or held, or what waits to be sent a second time.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class State(StrEnum):
    """What may be true of a message; the values are those that the database holds."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    HELD = "held"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    QUARANTINED = "quarantined"
    SCREENED = "screened"

    # As its name, wherever it goes: also within a list that is shown.
    __repr__ = str.__repr__


# What an attempt is made of, when its time has come.
WAITING = (State.QUEUED, State.SCHEDULED)
# An attempt may have sent it, and nobody has said what came of that.
UNDECIDED = (State.SENDING, State.IN_DOUBT)
# What the provider may have: word that it is sent decides.
DOUBTFUL = (State.IN_DOUBT, State.HELD)
# What the provider took, or may be taking.
TAKEN = (State.SENT, *UNDECIDED)
# It may be sent yet, by itself.
PENDING = (*WAITING, *UNDECIDED)
# Not over yet.
OPEN = (*WAITING, State.HELD, *UNDECIDED)
# What stays until a person has seen it.
UNSEEN = (State.FAILED, State.EXPIRED, State.QUARANTINED)
# What an operator is to know of: it was not sent, and will not be by itself.
TROUBLES = (State.FAILED, State.EXPIRED, State.QUARANTINED, State.HELD, State.SUPPRESSED)
# What became of a message for good.
ENDS = (
    *(State.SENT, State.FAILED, State.EXPIRED),
    *(State.CANCELLED, State.SUPPRESSED, State.QUARANTINED),
)
# What its writer is told of: else its fate is open, or somebody cancelled it and knows what to say.
TOLD = (State.SENT, State.FAILED, State.EXPIRED, State.QUARANTINED, State.SUPPRESSED)
# What webhooks may be told of: what happens to a message, and what its provider tells of it later.
EVENTS = (
    *("accepted", State.SCREENED, State.HELD, State.SENT, State.FAILED, State.EXPIRED),
    *(State.SUPPRESSED, State.QUARANTINED, State.CANCELLED),
    *("delivered", "bounced", "complained", "unsubscribed"),
)
# Nothing more will be done about it by itself. What is screened is no message yet.
FINAL = (*ENDS, State.SCREENED)

# What follows by itself: after claims, outcomes, look-ups, a provider's word, a restart, a restore;
# whoever scheduled a message may cancel it.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.SENDING, State.SENT, State.IN_DOUBT}),
    State.SCHEDULED: frozenset({State.SENDING, State.SENT, State.IN_DOUBT, State.CANCELLED}),
    State.SENDING: frozenset({State.QUEUED, *DOUBTFUL, *UNSEEN, State.SENT, State.SUPPRESSED}),
    State.IN_DOUBT: frozenset({*WAITING, *DOUBTFUL, State.SENT, State.EXPIRED, State.QUARANTINED}),
    State.HELD: frozenset({State.SENT}),
}
# What an operator may order.
ORDERS: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.QUEUED, State.CANCELLED}),
    State.SCHEDULED: frozenset({State.CANCELLED}),
    State.IN_DOUBT: frozenset({State.QUEUED, State.SENT}),
    State.HELD: frozenset({State.QUEUED, State.SENT, State.CANCELLED}),
    **dict.fromkeys(UNSEEN, frozenset({State.QUEUED, State.SENT})),
    # A submission that a plugin failed at may have asked to be sent later.
    State.QUARANTINED: frozenset({*WAITING, State.SENT}),
    State.SCREENED: frozenset(WAITING),
}


class ForbiddenTransition(ValueError):
    """A change of state that the table does not have: a fault of the program."""


def check(sources: Iterable[State], target: State, *, ordered: bool = False) -> None:
    """Raise ForbiddenTransition unless each of these states may become another one.

    ordered: by an operator, not by itself.
    """
    table = ORDERS if ordered else TRANSITIONS
    for source in sources:
        if target not in table.get(source, ()):
            raise ForbiddenTransition(f"{source} does not become {target}")


def in_sql(states: Iterable[State]) -> str:
    """Write states as a list in SQL: `('queued', 'scheduled')`."""
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"
