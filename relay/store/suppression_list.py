"""The addresses that get no mail, by group, in memory: asked for every message, changed rarely."""

from collections.abc import Iterable, Sequence

import structlog

from relay.core.addresses import Address
from relay.store import suppressions
from relay.store.engine.database import Store
from relay.store.suppressions import Word

# For how long nothing is sent to an address that the provider refused to send to.
REFUSED_SECONDS = 24 * 3600.0

FOR_EVER = float("inf")
NOBODY: frozenset[str] = frozenset()

log = structlog.get_logger()


class Suppressions:
    """Knows who gets no mail. All writing goes through here, so that memory and store agree.

    now: in epoch seconds. The store is open.
    """

    def __init__(self, store: Store, now: float) -> None:
        self._store = store
        self._until: dict[str, dict[str, float]] = {}
        for row in store.read_now(suppressions.active, now):
            self._set(row.server, row.address, row.until)

    def of(self, group: str) -> bool:
        """Return whether anybody at all may be suppressed in a group."""
        return bool(self._until.get(group))

    def among(self, addresses: Iterable[Address], group: str, now: float) -> frozenset[str]:
        """Return those of some addresses, in lower case, that get no mail of a group."""
        known = self._until.get(group)
        if not known:
            return NOBODY
        emails = (address.email.lower() for address in addresses)
        return frozenset(email for email in emails if known.get(email, 0.0) > now)

    async def note(self, words: Sequence[Word]) -> list[bool]:
        """Store words on addresses; return which of them changed anything."""
        changed = [await self._store.write(suppressions.note, word) for word in words]
        self.learn(word for word, new in zip(words, changed, strict=True) if new)
        return changed

    async def refuse(self, group: str, addresses: Iterable[str], message: str, now: float) -> None:
        """Send nothing for a day to addresses that the provider refused to send a message to."""
        until, said = now + REFUSED_SECONDS, "the provider sends nothing to it"
        words = [
            Word(group, address.lower(), "refused", now, until, message, said)
            for address in addresses
        ]
        await self.note(words)

    def learn(self, words: Iterable[Word]) -> None:
        """Take in what was stored: words that changed something."""
        for word in words:
            if word.reason == "lifted":
                self._until.get(word.server, {}).pop(word.address, None)
                log.info("address.lifted", group=word.server)
            else:
                self._set(word.server, word.address, word.until)
                log.warning(
                    "address.suppressed",
                    group=word.server,
                    reason=word.reason,
                    domain=word.address.rpartition("@")[2],
                    message=word.message,
                )

    def _set(self, group: str, address: str, until: float | None) -> None:
        self._until.setdefault(group, {})[address] = FOR_EVER if until is None else until
