"""What people order, as the store carries it out: each with the act that says who did it.

Commands without a daemon hand it to the store themselves, and need no part of one.
"""

import os
import pwd
from collections.abc import Callable, Sequence

from relay.core import clock
from relay.core.addresses import Address
from relay.core.logs import fingerprint
from relay.core.secret import Secret
from relay.core.states import State
from relay.store import suppressions, webhooks
from relay.store.acts import Act, Acted, By
from relay.store.outbox import operator_actions, resend, screened
from relay.store.outbox.operator_actions import Order, Verdict
from relay.store.outbox.resend import Replay, Replayed
from relay.store.suppressions import Word


def system_user(uid: int | None = None) -> By:
    """Return a user of this machine, as who orders by a command; of this process by default."""
    number = os.getuid() if uid is None else uid
    try:
        return By(pwd.getpwuid(number).pw_name, "command")
    except KeyError:
        return By(f"uid {number}", "command")


def about_messages(operation: str, ids: Sequence[str], by: By, *, twice: bool = False) -> Acted:
    """Return what does an operation on messages: see `operator_actions.OPERATIONS`."""
    order = Order(ids, clock.now(), twice, by.who)
    return Acted(operator_actions.OPERATIONS[operation], order, _acts_of(operation, order, by))


def dropping(ids: Sequence[str], by: By) -> Acted:
    """Return what drops submissions that were kept back."""
    order = Order(ids, clock.now(), who=by.who)
    return Acted(screened.drop, order, _acts_of("drop", order, by))


def replaying(order: Replay, by: By) -> Acted:
    """Return what sends some of what is held for an address, or of a server."""

    def done(replayed: Replayed) -> list[Act]:
        states = (State.HELD, State.QUEUED)
        return [Act(order.now, by, "replay", id, *states) for id in replayed.ids]

    return Acted(resend.replay, order, done)


def suppressing(word: Word, by: By, secret: Secret) -> Acted:
    """Return what notes a word on an address; the act names its digest."""
    address = Address(word.address)
    target = f"{word.server}/{fingerprint(secret, address)}@{address.domain}"
    verb = "lift" if word.reason == "lifted" else "suppress"
    act = Act(word.since, by, verb, target, "", word.reason)
    return Acted(suppressions.note, word, lambda is_new: [act] if is_new else [])


def firing(id: str, by: By) -> Acted:
    """Return what makes a call to a webhook again."""
    now = clock.now()

    def done(target: str) -> list[Act]:
        return [Act(now, by, "fire", id, "", target)] if target else []

    return Acted(webhooks.fire, (id, now), done)


def switching_on(name: str, by: By) -> Acted:
    """Return what lets a webhook be called again."""
    now = clock.now()

    def done(was_off: bool) -> list[Act]:
        return [Act(now, by, "switch on", name, "off", "on")] if was_off else []

    return Acted(webhooks.switch_on, (name, now), done)


def _acts_of(verb: str, order: Order, by: By) -> Callable[[Sequence[Verdict]], list[Act]]:
    return lambda verdicts: [
        Act(order.now, by, verb, one.id, one.before, one.after) for one in verdicts if one.done
    ]
