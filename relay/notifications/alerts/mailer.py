"""Alerts as mail: ordinary messages of the server that the settings name for them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from relay.config.alerts import KINDS, AlertSettings
from relay.core.addresses import Address
from relay.core.errors import ConfigurationError
from relay.core.message import Message
from relay.delivery.dispatcher import Dispatcher
from relay.hooks.chain import Chain
from relay.notifications.alerts.emails import AlertEmail, alert_email, email
from relay.notifications.alerts.rules import AlertDue
from relay.store import alerts
from relay.store.alerts import Change
from relay.store.engine.database import Store
from relay.store.outbox import records
from relay.store.outbox.enqueue import NewMessage

# For how long whoever asks for a test alert waits for what comes of it.
TEST_SECONDS = 20.0
# What answers by itself shall not answer an alert (RFC 3834).
HEADERS = (("Auto-Submitted", "auto-generated"),)
TAG = "alert"


class AlertMailer:
    """Writes the mails to operators. metadata_key: under which a message carries its own id."""

    def __init__(self, store: Store, dispatcher: Dispatcher, metadata_key: str) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._metadata_key = metadata_key

    def adopt(self, chains: Mapping[str, Chain], terms: AlertSettings) -> None:
        """Write to whom these terms name, by these servers."""
        self._chain = chains.get(terms.server)
        self._terms = terms

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is told by mail."""
        return bool(self._terms.to) and self._chain is not None

    @property
    def is_open(self) -> bool:
        """Whether a mail would be sent now: its server may, and its provider works."""
        return self._dispatcher.delivers(self._terms.server)

    def alerts(self, told: Sequence[AlertDue], now: float) -> list[NewMessage]:
        """Write one mail on all that can wait, and one on all that cannot."""
        mails = []
        for urgent, to in ((True, self._terms.urgent_to), (False, self._terms.to)):
            some = [one for one in told if KINDS[one.alert.key.kind].urgent == urgent]
            if some:
                mails.append(self._mail(alert_email(some, self._terms, now), to))
        return mails

    def digest(self, model: Mapping[str, Any], now: float) -> NewMessage:
        """Write the day's digest."""
        return self._mail(email("digest", model, self._terms, now), self._terms.to)

    def stored(self, mails: Sequence[NewMessage]) -> None:
        """Have mails delivered that were stored."""
        self._dispatcher.queued(len(mails), self._terms.server)

    async def test(self) -> tuple[str, str]:
        """Send a test alert to everybody who is told; return its id, and sent, queued or failed.

        Raise ConfigurationError where nobody is told.
        """
        if not self.is_wanted:
            raise ConfigurationError("the settings have no [alerts]: nobody is told by mail")
        mail, watches = self._test(), self._dispatcher.watches
        watches.open(mail.id)
        try:
            await self._store.write(alerts.change, Change(mails=[mail]))
            self.stored([mail])
            seconds = TEST_SECONDS if self.is_open else 0.0
            return mail.id, (await watches.wait(mail.id, seconds)).result
        finally:
            watches.close(mail.id)

    def _test(self) -> NewMessage:
        return self._mail(email("test", {}, self._terms, time.time()), self._terms.urgent_to)

    def _mail(self, written: AlertEmail, to: Sequence[Address]) -> NewMessage:
        """Make the row of a mail, as of any message of the alerts' server."""
        if self._chain is None or self._chain.server.sender is None:
            raise ConfigurationError("[alerts] server: needs a sender")
        message = Message(
            sender=self._chain.server.sender,
            to=tuple(to),
            subject=written.subject,
            text=written.text,
            headers=HEADERS,
            tag=TAG,
        )
        identified = records.identified(message, self._metadata_key)
        return records.record(identified, self._chain.server, key="")
