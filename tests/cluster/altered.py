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


def always_leads() -> None:
    """Let every daemon believe that it leads."""
    from relay.store.cluster.membership import Membership

    Membership.is_leader = property(lambda self: True)  # type: ignore[assignment, method-assign]


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


ALTERATIONS: dict[str, Callable[..., None]] = {
    one.__name__: one
    for one in (
        *(clock_ahead, hesitates, always_may_send, always_leads, interrupts_everybody),
        *(follows_no_clock, claims_what_others_claim),
    )
}

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for each in sys.argv.pop(1).split(","):
        name, _, value = each.partition("=")
        ALTERATIONS[name](*([value] if value else []))
    from relay.cli.main import main

    main()
