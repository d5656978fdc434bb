"""Alerts as mail: ordinary messages of the server that the settings name for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay.config.alerts import KINDS, AlertSettings
from relay.core.addresses import Address
from relay.core.errors import ConfigurationError
from relay.core.ids import message_id
from relay.core.message import Message
from relay.delivery.dispatcher import Dispatcher
from relay.hooks.chain import Chain
from relay.intake.outbox import Guard, Outbox, Outgoing
from relay.notifications.alerts.emails import AlertEmail, alert_email, email
from relay.notifications.alerts.rules import AlertDue
from relay.store import alerts
from relay.store.alerts import Change

# For how long whoever asks for a test alert waits for what comes of it.
TEST_SECONDS = 20.0
# What answers by itself shall not answer an alert (RFC 3834).
HEADERS = (("Auto-Submitted", "auto-generated"),)
TAG = "alert"


@dataclass(eq=False, repr=False)
class AlertMailer:
    """Writes the mails to operators."""

    dispatcher: Dispatcher
    outbox: Outbox
    chains: Callable[[], Mapping[str, Chain]]
    alert_settings: Callable[[], AlertSettings]

    @property
    def _terms(self) -> AlertSettings:
        return self.alert_settings()

    @property
    def _chain(self) -> Chain | None:
        return self.chains().get(self._terms.server)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is told by mail."""
        return bool(self._terms.to) and self._chain is not None

    @property
    def is_open(self) -> bool:
        """Whether a mail would be sent now: its server may, and its provider works."""
        return self.dispatcher.can_deliver(self._terms.server)

    def alerts(self, told: Sequence[AlertDue], now: float) -> list[Outgoing]:
        """Write one mail on all that can wait, and one on all that cannot."""
        mails = []
        for urgent, to in ((True, self._terms.urgent_to), (False, self._terms.to)):
            some = [one for one in told if KINDS[one.alert.key.kind].urgent == urgent]
            if some:
                mails.append(self._mail(alert_email(some, self._terms, now), to))
        return mails

    def digest(self, model: Mapping[str, Any], now: float) -> Outgoing:
        """Write the day's digest."""
        return self._mail(email("digest", model, self._terms, now), self._terms.to)

    async def send(self, mails: Sequence[Outgoing], change: Change) -> list[Message]:
        """Store mails, if there are any, in one commit with a change of the alerts."""
        guard = Guard(alerts.change, lambda rows: replace(change, mails=rows))
        return await self.outbox.put(mails, guard=guard, is_own=True)

    async def test(self, written: AlertEmail) -> tuple[str, str]:
        """Mail a test alert to everybody who is told; return its id, and sent, queued or failed."""
        id, waiters = message_id(), self.dispatcher.waiters
        mail = replace(self._mail(written, self._terms.urgent_to), id=id)
        waiters.open(id)
        try:
            await self.send([mail], Change())
            seconds = TEST_SECONDS if self.is_open else 0.0
            return id, (await waiters.wait(id, seconds)).result
        finally:
            waiters.close(id)

    def _mail(self, written: AlertEmail, to: Sequence[Address]) -> Outgoing:
        """Make a mail, like any message of the alerts' server."""
        chain = self._chain
        if chain is None or chain.server.sender is None:
            raise ConfigurationError("[alerts] server: needs a sender")
        message = Message(
            sender=chain.server.sender,
            to=tuple(to),
            subject=written.subject,
            text=written.text,
            headers=HEADERS,
            tag=TAG,
        )
        return Outgoing(message, chain)
