"""What is ordered of one message on its page."""

from typing import ClassVar

from tornado.web import HTTPError

from relay.core.addresses import bare
from relay.operators.roles import Role
from relay.store.outbox.operator_actions import OPERATIONS
from relay.web.console.handler import ConsoleHandler


class MessageOrderHandler(ConsoleHandler):
    """POST /messages/{id}/orders: `order` is an operation, `readdress`, or one of submissions."""

    methods: ClassVar[tuple[str, ...]] = ("POST",)
    role = Role.OPERATOR

    async def post(self, id: str) -> None:
        asked = await self.form()
        order, page = asked.get("order", ""), f"/messages/{id}"
        if order == "readdress":
            await self._readdress(id, asked.get("address", ""))
            return
        if order in OPERATIONS:
            twice = asked.get("twice") == "1"
            verdicts = await self.site.orders.messages(order, [id], self.by, twice=twice)
        elif order in ("release_submission", "drop_submission"):
            act = self.site.orders.drop if order.startswith("drop") else self.site.orders.release
            verdicts = await act([id], self.by)
        else:
            raise HTTPError(400)
        [verdict] = verdicts
        words = f"{verdict.words[:1].upper()}{verdict.words[1:]}."
        self.go_to(page, words, is_bad=not verdict.done)

    async def _readdress(self, id: str, typed: str) -> None:
        page = f"/messages/{id}"
        try:
            address = bare(typed)
        except ValueError as error:
            self.go_to(page, f"{typed[:100]} is no address: {error}.", is_bad=True)
            return
        done = await self.site.orders.readdress(id, address, self.by)
        if done.problem:
            self.go_to(page, f"It was not sent again: {done.problem}.", is_bad=True)
        else:
            self.go_to(f"/messages/{done.id}", "Sent again: this is the second message.")


ROUTES = [(r"/messages/([0-9a-f-]{36})/orders", MessageOrderHandler)]
