"""run.py with something altered: a clock that is wrong, a slow hand, or a guard taken out.

Run as `python tests/cluster/altered.py NAME[=VALUE],... ARGUMENTS`. What a guard is for is seen
where it is missing: each test that nothing is lost or doubled has one that sees it happen.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def program(*alterations: str) -> tuple[str, ...]:
    """Return the command that a daemon is started by to be altered so."""
    if not alterations:
        return sys.executable, str(ROOT / "run.py")
    return sys.executable, __file__, ",".join(alterations)


def clock_ahead(seconds: str) -> None:
    """Let this machine's clock be wrong by so many seconds."""
    really, ahead = time.time, float(seconds)
    time.time = lambda: really() + ahead


def hesitates(seconds: str) -> None:
    """Take so long between a claim and the look whether it may still be sent."""
    from relay.delivery.attempts import Attempts

    sent = Attempts._sent

    def slowly(self: Any, *arguments: Any) -> Any:
        time.sleep(float(seconds))
        return sent(self, *arguments)

    Attempts._sent = slowly  # type: ignore[method-assign]


def always_may_send() -> None:
    """Let a daemon send whatever it once claimed."""
    from relay.store.cluster.membership import Membership

    Membership.may_send = lambda self, number: True  # type: ignore[method-assign]


def leads_alone() -> None:
    """Let every daemon believe that it leads, and know of nothing that others told."""
    from relay.store import alerts
    from relay.store.cluster import leases
    from relay.store.cluster.daemons import own_number
    from relay.store.cluster.membership import Membership

    Membership.is_leader = property(lambda self: True)  # type: ignore[assignment, method-assign]
    leases.holder = lambda connection, name, **options: own_number(connection)
    alerts.standing = lambda connection: []


def succeeds_nobody() -> None:
    """Let no daemon take over from one that led."""
    from sqlalchemy import select

    from relay.store import schema
    from relay.store.cluster import leases

    take = leases.take

    def keep(connection: Any, name: str, daemon: int) -> bool:
        held = connection.execute(select(schema.leases.c.daemon)).scalar()
        return held in (None, daemon) and take(connection, name, daemon)

    leases.take = keep


def interrupts_everybody() -> None:
    """Let a start put in doubt whatever is being sent, also by those that live."""
    from relay.core.states import State
    from relay.store.outbox import recovery
    from relay.store.schema import messages

    recovery._is_orphaned = lambda: messages.c.state == State.SENDING


def follows_no_clock() -> None:
    """Let a daemon go by the clock of its machine."""
    from relay.core import clock

    clock.follow = lambda seconds: None


def claims_what_others_claim() -> None:
    """Let claims lock nothing, and take what another took meanwhile."""
    from sqlalchemy import update

    from relay.store.outbox import claims
    from relay.store.schema import messages

    def unguarded(connection: Any, ids: Any, change: Any) -> set[str]:
        these = update(messages).where(messages.c.id.in_(ids))
        connection.execute(these.values(state=change.to, **change.values))
        return set(ids)

    for name in ("_NEW", "_RETRIED", "_POSTED", "_SUSPECT"):
        query = getattr(claims, name)._generate()
        query._for_update_arg = None
        setattr(claims, name, query)
    claims.change = unguarded


def settles_without_its_fence() -> None:
    """Let an outcome count whatever became of its message meanwhile."""
    from sqlalchemy import update

    from relay.store.outbox import outcomes
    from relay.store.schema import messages

    def unguarded(connection: Any, batch: Any) -> list[list[bool]]:
        for id, change in (outcomes._change(one) for settlements in batch for one in settlements):
            this = update(messages).where(messages.c.id == id)
            connection.execute(this.values(state=change.to, **change.values))
        return [[True] * len(settlements) for settlements in batch]

    outcomes.settle = unguarded


def answers_before_it_is_on_the_disk() -> None:
    """Let PostgreSQL say that a commit is done before it is written down."""
    from relay.store.engine import connecting, server_facts

    connecting._SET_SAFE_COMMIT = "SELECT set_config('synchronous_commit', 'off', false)"
    server_facts.SAFE_COMMITS = ("off",)


def locks_nothing() -> None:
    """Let what is read to be changed be read by others at the same time."""
    from sqlalchemy import Select

    Select.with_for_update = lambda self, **options: self  # type: ignore[method-assign]


def knows_no_request() -> None:
    """Let every request be the first of its key."""
    from relay.store import idempotency

    idempotency._taken = lambda connection, batch: {one.digest: one for one in batch}


def remembers_no_callback() -> None:
    """Let everything that a provider tells be new."""
    from relay.store import callbacks

    callbacks.remember = lambda connection, digest, now: True


ALTERATIONS: dict[str, Callable[..., None]] = {
    one.__name__: one
    for one in (
        *(clock_ahead, hesitates, always_may_send, leads_alone, succeeds_nobody),
        *(
            interrupts_everybody,
            follows_no_clock,
            claims_what_others_claim,
            settles_without_its_fence,
        ),
        *(answers_before_it_is_on_the_disk, locks_nothing, knows_no_request),
        remembers_no_callback,
    )
}

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for each in sys.argv.pop(1).split(","):
        name, _, value = each.partition("=")
        ALTERATIONS[name](*([value] if value else []))
    from relay.cli.main import main

    main()
