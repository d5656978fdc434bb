"""Puts the parts together: a site is one installation, an app is its web side. Starts nothing."""

import secrets
import time

import structlog

from relay.config import keys
from relay.config.keys import MadeKey, hashing_secret
from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.core.rate_limit import RateLimiter, RunningRequests
from relay.core.server import Key
from relay.core.timers import Timers
from relay.core.urls import local_origins, origin_of
from relay.delivery.dispatcher import Dispatcher
from relay.delivery.in_doubt import InDoubtResolver
from relay.delivery.pauses import Pauses
from relay.feedback.provider_events import ProviderEvents
from relay.feedback.reply_forwarding import ReplyForwarding
from relay.hooks import loader
from relay.hooks.chain import Chain
from relay.intake.acceptance import Acceptance
from relay.intake.api_messages import ApiMessages
from relay.intake.idempotency import IdempotentRequests
from relay.intake.outbox import Outbox
from relay.intake.session_tokens import SessionTokens
from relay.notifications.alerts.event_counts import EventCounts
from relay.notifications.alerts.monitor import Monitor
from relay.notifications.receipts import emails
from relay.notifications.receipts.sender import ReceiptSender
from relay.store import remembered
from relay.store.engine.database import Store
from relay.store.engine.disk_space import Space
from relay.store.suppression_list import Suppressions
from relay.templates.library import Library

# What a running daemon cannot change: the rest is read again on SIGHUP.
FIXED = ("host", "port", "pages", "data", "database", "secret", "log")

log = structlog.get_logger()


class Site:
    """One installation: its settings, chains, store and delivery.

    `open` takes the store and must be called, once, before any request. `reload` puts new
    settings in the place of the old ones, all of them or none.
    """

    def __init__(self, settings: Settings) -> None:
        self.made_keys: dict[str, MadeKey] = {}
        self._settle_in(settings)
        self.store = Store(settings.database, settings.data)
        self.library = Library(self.store)
        self.tokens = SessionTokens(self.store, self.secret)
        self.repeats = IdempotentRequests(self.store)
        self.space = Space(self.store.path.parent)
        self.sightings = EventCounts()
        self.stopping = False
        self.timeouts = Timers()
        self.requests = RunningRequests()
        self.listening: tuple[str, int] = (settings.host, settings.port)
        self.pages: tuple[str, int] | None = settings.pages
        self._adopt(settings, self._build(settings))
        self.suppressions = Suppressions(self.store)
        self.dispatcher = Dispatcher(self.store, self.chains, suppressions=self.suppressions)
        self.doubts = InDoubtResolver(
            self.store, self.chains, self.dispatcher.revived, self.dispatcher.settled
        )
        self.pauses = Pauses(self.store, lambda: self.chains, self._deliver)

    def _settle_in(self, settings: Settings) -> None:
        """Make the folder of the installation's own, and the secrets in it."""
        try:
            settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.first_start = not (settings.data / "secret").exists()
            if not settings.keys:
                self.made_keys = keys.made(settings.data, make=True)
            self.secret = hashing_secret(settings.data, settings.secret)
        except OSError as error:
            words = f"cannot be written: {error.strerror}"
            raise ConfigurationError(f"[relay] data {settings.data} {words}") from None

    def open(self) -> None:
        """Take the store; what an earlier daemon was sending is in doubt from now on."""
        self.store.open()
        [installation] = self.store.write_now(
            remembered.remember, [("installation", secrets.token_hex(4))]
        )
        self.suppressions.open(time.time())
        interrupted = self.doubts.interrupted()
        if interrupted:
            log.warning("messages.in_doubt", count=interrupted)
        self.dispatcher.open()
        self.pauses.open()
        self.dispatcher.adopt(self.chains, self.pauses.names())
        self.outbox = Outbox(
            self.store,
            self.dispatcher,
            secret=self.secret,
            metadata_key=f"relay-{installation}",
        )
        self._join()
        self._accept_with(self.settings)

    def _join(self) -> None:
        """Make the parts that write messages of their own, which carry the installation's name."""
        self.feedback = ProviderEvents(
            self.store,
            self.suppressions,
            self.outbox,
            self.dispatcher.settled,
            secret=self.secret,
        )
        self.receipts = ReceiptSender(self.store, self.chains, self.outbox)
        self.replies = ReplyForwarding(self.store, self.chains, self.outbox, secret=self.secret)
        self.alerts = Monitor(
            self.store,
            self.dispatcher,
            self.space,
            self.sightings,
            self.outbox,
            paused=self.pauses.names,
        )
        self.alerts.adopt(self.chains, self.settings.alerts)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def reload(self, settings: Settings) -> None:
        """Use new settings from here on; raise ConfigurationError and keep the old ones."""
        for name in FIXED:
            if getattr(settings, name) != getattr(self.settings, name):
                words = "cannot change while the daemon runs; restart it"
                raise ConfigurationError(f"{settings.path.name} [relay] {name}: {words}")
        chains = self._build(settings)
        self._adopt(settings, chains)
        self.doubts.adopt(chains)
        self.replies.adopt(chains)
        self.receipts.adopt(chains)
        self.alerts.adopt(chains, settings.alerts)
        self._accept_with(settings)
        self._deliver()

    def _deliver(self) -> None:
        """Deliver by the chains and pauses as they are now."""
        self.dispatcher.adopt(self.chains, self.pauses.names())
        self.dispatcher.wake()

    @property
    def metadata_key(self) -> str:
        """The name under which a message carries its own id to the provider."""
        return self.outbox.metadata_key

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every key that is valid here."""
        return self._keys(self.settings)

    def _build(self, settings: Settings) -> dict[str, Chain]:
        chains = loader.build(settings, self._keys(settings))
        emails.check(chain.server for chain in chains.values())
        return chains

    def _keys(self, settings: Settings) -> tuple[Key, ...]:
        return settings.keys or tuple(made.key for made in self.made_keys.values())

    @property
    def own_origins(self) -> set[str]:
        """The relay's own origins: its public one, and where it and its pages listen."""
        origins = {origin_of(self.settings.public_url)} if self.settings.public_url else set()
        for listening in filter(None, (self.listening, self.pages)):
            origins |= local_origins(*listening)
        return origins

    def _adopt(self, settings: Settings, chains: dict[str, Chain]) -> None:
        self.settings = settings
        self.chains = chains
        for chain in chains.values():
            chain.onlookers.append(self.sightings.saw)
        self.token_origins = frozenset(
            origin for chain in chains.values() for origin in chain.server.origins
        )
        self.post_limiter = RateLimiter(settings.limits.posts_per_minute)
        self.token_limiter = RateLimiter(settings.limits.tokens_per_minute)

    def _accept_with(self, settings: Settings) -> None:
        self.acceptance = Acceptance(
            self.store,
            self.chains,
            self.library,
            self.outbox,
            self.tokens,
            secret=self.secret,
            repeats=self.repeats,
            unknown_server=settings.unknown_server,
        )
        self.sending = ApiMessages(self.library, self.suppressions, self.outbox)


def make_site(settings: Settings) -> Site:
    """Build a site; raise ConfigurationError. It neither listens nor delivers yet."""
    return Site(settings)
