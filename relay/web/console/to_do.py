"""What a person must decide, in groups of one cause, with one action for all of a group."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from tornado.web import HTTPError

from relay.core import clock
from relay.core.addresses import Address, bare
from relay.core.states import State
from relay.operators.roles import Role
from relay.store.engine.database import Connection
from relay.store.outbox import readdressing
from relay.store.outbox.operator_actions import APPLIES_TO, Verdict
from relay.store.queries import causes
from relay.store.queries.causes import Group
from relay.store.queries.statistics import MOST_COUNTED
from relay.web.console.handler import ConsoleHandler

# What is ordered of messages, and of submissions that a plugin failed at.
ORDERS = ("retry", "release", "found", "cancel", "dismiss")
OF_BROKEN = ("release", "drop")
# Sending each of a group to another address: an office moved, or a form had a wrong one.
READDRESS = "readdress"
LABELS = {
    "retry": "Try again",
    "release": "Send",
    "found": "It arrived: call it sent",
    "cancel": "Never send",
    "dismiss": "Dismiss",
    "drop": "Drop",
    READDRESS: "Send all of it to another address",
}
MEANINGS = {
    State.HELD: "Each waits for a person: its address takes no mail, or nobody knows whether it "
    "was sent.",
    State.IN_DOUBT: "The answer of the provider was lost, and no look-up has settled it.",
    State.FAILED: "The provider refused it for good. Mend the cause, then try again.",
    State.EXPIRED: "It could not be sent for so long that nothing more was tried.",
    State.QUARANTINED: "Sending it failed in a way that could harm others.",
}


class ToDoHandler(ConsoleHandler):
    """GET /to-do: the groups; POST /to-do: order something of all of a group."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")
    role = Role.VIEWER
    role_to_act = Role.OPERATOR

    async def get(self) -> None:
        now = clock.now()
        groups = await self.site.store.read(causes.groups, now)
        self.render(
            "to_do.html",
            groups=groups,
            orders=orders,
            labels=LABELS,
            meaning=meaning,
            most=causes.LOOKED_AT,
        )

    async def post(self) -> None:
        asked = await self.form()
        try:
            group = Group(
                State(asked["state"]), asked["server"], asked["cause"], asked["broken"] == "1"
            )
        except (KeyError, ValueError):
            raise HTTPError(400) from None
        order = asked.get("order", "")
        if order not in orders(group):
            raise HTTPError(400)
        ids = await self.site.store.read(_all_of, group, clock.now())
        if not ids:
            self.go_to("/to-do", "This group is empty by now.", is_bad=True)
            return
        carry_out = partial(self._order, group, order, asked.get("twice") == "1")
        if order == READDRESS:
            try:
                address = bare(asked.get("address", ""))
            except ValueError as error:
                self.go_to("/to-do", f"This is no address: {error}.", is_bad=True)
                return
            carry_out = partial(self._readdress, address)
        title = f"{LABELS[order]}: {len(ids):,} of {group.server}"
        key = self.site.works.start(title, self.operator.name, ids, carry_out)
        self.redirect(f"/work/{key}", status=303)

    async def _order(
        self, group: Group, order: str, twice: bool, ids: Sequence[str]
    ) -> Sequence[Verdict]:
        if group.broken:
            act = self.site.orders.drop if order == "drop" else self.site.orders.release
            return await act(ids, self.by)
        return await self.site.orders.messages(order, ids, self.by, twice=twice)

    async def _readdress(self, address: Address, ids: Sequence[str]) -> Sequence[Verdict]:
        verdicts = []
        for id in ids:
            done = await self.site.orders.readdress(id, address, self.by)
            verdicts.append(Verdict(id, "", done.id, done.problem or "sent to another address"))
        return verdicts


class WorkHandler(ConsoleHandler):
    """GET /work/{key}: how far something is that was ordered of many messages."""

    role = Role.OPERATOR

    def get(self, key: str) -> None:
        work = self.site.works.find(key)
        if work is None:
            raise HTTPError(404)
        self.render("work.html", work=work)


def orders(group: Group) -> list[str]:
    """Return what may be ordered of a group."""
    if group.broken:
        return list(OF_BROKEN)
    possible = [order for order in ORDERS if group.state in APPLIES_TO[order]]
    return [*possible, READDRESS] if group.state in readdressing.STATES else possible


def meaning(group: Group) -> str:
    """Say what a group's state means."""
    if group.broken:
        return "A plugin failed at it, so it is no message yet. Mend the plugin, then send it."
    return MEANINGS[group.state]


def _all_of(connection: Connection, group: Group, now: float) -> list[str]:
    ids: list[str] = []
    for chunk in causes.members(connection, group, now):
        ids += chunk
        if len(ids) >= MOST_COUNTED:
            break
    return ids


ROUTES = [(r"/to-do", ToDoHandler), (r"/work/([0-9a-f]{16})", WorkHandler)]
