"""Puts the parts of one installation together, in one step; nothing listens or delivers yet."""

import asyncio
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from relay.config import keys
from relay.config import settings as settings_file
from relay.config.alerts import AlertSettings
from relay.config.keys import KeyRing, MadeKey, StoredKeys, hashing_secret
from relay.config.settings import Settings
from relay.core import clock
from relay.core.byte_limit import ByteLimiter
from relay.core.capacity import BytesAtOnce, Turns
from relay.core.errors import ConfigurationError, UnknownServer
from relay.core.metrics import Metrics
from relay.core.rate_limit import RateLimiter, RunningRequests
from relay.core.secret import Secret
from relay.core.server import Server
from relay.core.urls import local_origins, origin_of
from relay.delivery.dispatcher import Dispatcher
from relay.delivery.in_doubt import InDoubtResolver
from relay.delivery.pauses import Pauses
from relay.feedback.provider_events import ProviderEvents
from relay.feedback.reply_forwarding import ReplyForwarding
from relay.hooks import loader
from relay.hooks.chain import Chain, Listener
from relay.intake.acceptance import Acceptance
from relay.intake.api_messages import ApiMessages
from relay.intake.idempotency import IdempotentRequests
from relay.intake.keys import Keys
from relay.intake.message_builder import MessageBuilder
from relay.intake.outbox import Outbox
from relay.intake.session_tokens import SessionTokens
from relay.intake.verification import Verifier
from relay.notifications.alerts.event_counts import EventCounts
from relay.notifications.alerts.monitor import Monitor
from relay.notifications.canaries.watch import Canaries
from relay.notifications.receipts import emails
from relay.notifications.receipts.sender import ReceiptSender
from relay.notifications.webhooks.sender import WebhookSender
from relay.operators.measurements import Measurements
from relay.operators.orders import Orders
from relay.operators.people import People
from relay.operators.person import Persons, cancelled
from relay.operators.sign_in import SignInLimits
from relay.operators.work import Works
from relay.store import installation
from relay.store.cluster.membership import Membership
from relay.store.engine.database import Store
from relay.store.engine.disk_space import Space
from relay.store.person.erasure import Erased, Erasure
from relay.store.suppressions import Suppressions
from relay.templates.library import Library

# What a running daemon cannot change: the rest is read again on SIGHUP.
FIXED = ("host", "port", "pages", "data", "database", "secret", "log", "console")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the settings say at one time, built: a reload makes a new one and no other change.

    `chains` are the servers', by name; `keys` every key; `token_origins` the pages that may ask for
    session tokens.
    """

    settings: Settings
    chains: Mapping[str, Chain]
    keys: KeyRing
    token_origins: frozenset[str]
    post_limiter: RateLimiter
    token_limiter: RateLimiter
    challenge_limiter: RateLimiter

    @property
    def servers(self) -> dict[str, Server]:
        """Every server, by name."""
        return {name: chain.server for name, chain in self.chains.items()}

    @property
    def groups(self) -> list[str]:
        """The servers whose provider accounts and templates are used, by name."""
        return sorted({server.group for server in self.servers.values()})

    def chain(self, name: str) -> Chain:
        """Return the chain that takes posts to a name; raise UnknownServer."""
        unknown = self.settings.unknown_server.lower()
        chain = self.chains.get(name.lower()) or self.chains.get(unknown)
        if chain is None or not chain.has_forms:
            raise UnknownServer
        return chain


class Site:
    """One installation: its configuration, its store, and the parts that work on them.

    It is complete when it is made, by `open_site`, or it is not made. `listening`, `pages` and
    `console` are where its API, its pages and its console are reached, once they listen;
    `stopping` is set when it takes nothing in any more.
    """

    def __init__(self, settings: Settings, closing: ExitStack) -> None:
        self.stopping = False
        self.started_at = clock.now()
        self.listening: tuple[str, int] = (settings.host, settings.port)
        self.pages: tuple[str, int] | None = settings.pages
        self.console: tuple[str, int] | None = settings.console.listen
        self._has_started_plugins = False
        self.requests = RunningRequests()
        self.turns = Turns()
        self.large_body = asyncio.Lock()  # one is parsed at a time
        self.bytes_at_once = BytesAtOnce()
        self.visitor_bytes = ByteLimiter()  # a reload begins no new day
        self.first_start, self.made_keys, self.secret = _own_secrets(settings)
        # Of all chains, also of those of later settings.
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self._stored_keys = StoredKeys()
        self.configuration = self._configured(settings)

        self.metrics = Metrics()
        self.store = store = Store(settings.database, settings.data)
        store.when_committed(self.metrics.committed)
        store.open()
        closing.callback(store.close)
        remember = [("installation", secrets.token_hex(4))]
        store.identity.announced = settings.announced
        [own_id] = store.write_now(installation.remember, remember)
        self.membership = Membership(
            store, settings.data, lambda: self.settings.digest, self._address
        )
        self.membership.join()
        closing.callback(self.membership.leave)
        self.space = Space(store.path.parent if store.path else settings.data)
        self.library = Library(store)
        self.tokens = SessionTokens(store, self.secret)
        self.idempotency = IdempotentRequests(store)
        self.keys = Keys(store, self._stored_keys)
        self.suppressions = Suppressions(store, clock.now(), self.secret)
        self.pauses = Pauses(store, self._chains, self._changed)
        self.dispatcher = Dispatcher(
            store,
            self._chains,
            self.pauses.names,
            self.suppressions,
            self.membership,
        )
        self.in_doubt = InDoubtResolver(
            store, self._chains, self.dispatcher.revived, self.dispatcher.settled
        )
        interrupted = self.in_doubt.interrupted()  # what an earlier daemon was sending
        if interrupted:
            log.warning("messages.in_doubt", count=interrupted)
        self.outbox = Outbox(
            store, self.dispatcher, secret=self.secret, metadata_key=f"relay-{own_id}"
        )
        self.verifier = Verifier()
        closing.callback(self.verifier.close)
        self.acceptance = Acceptance(
            store,
            lambda name: self.configuration.chain(name),
            MessageBuilder(store, self.library, self.secret),
            self.outbox,
            self.tokens,
            self.idempotency,
            self.keys,
            self.verifier,
        )
        self.api_messages = ApiMessages(self.library, self.suppressions, self.outbox)
        self.provider_events = ProviderEvents(
            store, self.suppressions, self.outbox, self.dispatcher.settled, secret=self.secret
        )
        self.replies = ReplyForwarding(store, self._chains, self.outbox, secret=self.secret)
        self.receipts = ReceiptSender(
            store, self._chains, self.outbox, lambda: self.membership.is_leader
        )
        self.webhooks = WebhookSender(
            store,
            lambda: self.settings.webhooks,
            lambda: self.settings.targets,
            lambda: self.membership.is_leader,
            self.outbox.metadata_key,
        )
        self.canaries = Canaries(
            store,
            self._chains,
            self.acceptance.builder,
            self.outbox,
            self.pauses.names,
            lambda: self.membership.is_leader,
            self.dispatcher.settled,
        )
        closing.callback(self.canaries.close)
        self.people = People(store)
        self.works = Works()
        self.sign_in_limits = SignInLimits()
        self.orders = Orders(
            store,
            self._chains,
            self.outbox,
            self.acceptance,
            self.dispatcher,
            self.suppressions,
            self.receipts,
            self.secret,
        )
        self.persons = Persons(store, lambda: self.settings, self.secret, self._erased)
        self.event_counts = EventCounts()
        self.alerts = Monitor(
            store,
            self.dispatcher,
            self.space,
            self.event_counts,
            self.outbox,
            chains=self._chains,
            terms=self._alert_settings,
            paused=self.pauses.names,
            targets=lambda: self.settings.targets,
            membership=self.membership,
        )
        self.measurements = Measurements(
            store, self.dispatcher, self.space, self.metrics, self._chains
        )
        self.membership.reports(self._outages)
        self.membership.when_changed("keys", self.keys.read_again)
        self.membership.when_changed("pauses", self.pauses.read_again)
        self.membership.when_changed("suppressions", self.suppressions.read_again)
        self.membership.when_changed("mail", self.dispatcher.look_again)
        for one in (self.event_counts, self.receipts, self.metrics):
            for what in one.hears:
                self._listeners[what].append(one.saw)

    def start_plugins(self) -> None:
        """Let the plugins begin what they run of their own; from here on also after a reload."""
        self._has_started_plugins = True
        _tell(self.chains, "started")

    async def stop_plugins(self) -> None:
        """Let the plugins end that, in some seconds."""
        await asyncio.to_thread(_stopping(self.chains).join, loader.STOPPING_SECONDS)

    def reload(self, settings: Settings) -> None:
        """Use new settings from here on; raise ConfigurationError and keep the old ones."""
        configuration, before = self._changed_to(settings), self.chains
        if self._has_started_plugins:
            _tell(configuration.chains, "started")
        self.configuration = configuration
        self.store.identity.announced = settings.announced
        self._changed()
        if self._has_started_plugins:
            _stopping(before)

    def unread(self) -> str:
        """Say what is on the disk instead of the settings in use; "" where it is the same."""
        name = self.settings.path.name
        try:
            read = settings_file.load(self.settings.path)
            if read == self.settings:
                return ""
            self._changed_to(read)
        except ConfigurationError as error:
            return f"{name} was changed since it was read, and cannot be read again: {error}"
        return f"{name} was changed since it was read: `run.py reload`"

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.configuration.settings

    @property
    def chains(self) -> Mapping[str, Chain]:
        """Every server's chain as it is now, by name."""
        return self.configuration.chains

    @property
    def own_origins(self) -> set[str]:
        """The relay's own origins: its public one, and where it and its pages listen."""
        origins = {origin_of(self.settings.public_url)} if self.settings.public_url else set()
        for listening in filter(None, (self.listening, self.pages)):
            origins |= local_origins(*listening)
        return origins

    def _changed_to(self, settings: Settings) -> Configuration:
        """Build what other settings say; raise ConfigurationError for what a restart takes."""
        for name in FIXED:
            if getattr(settings, name) != getattr(self.settings, name):
                words = "cannot change while the daemon runs; restart it"
                raise ConfigurationError(f"{settings.path.name} [relay] {name}: {words}")
        return self._configured(settings)

    def _configured(self, settings: Settings) -> Configuration:
        valid = settings.keys or tuple(made.key for made in self.made_keys.values())
        chains = loader.build(settings, valid, self._listeners, self._stored_keys)
        emails.check(chain.server for chain in chains.values())
        return Configuration(
            settings,
            chains,
            KeyRing(valid, self._stored_keys),
            frozenset(origin for chain in chains.values() for origin in chain.server.origins),
            RateLimiter(settings.limits.posts_per_minute),
            RateLimiter(settings.limits.tokens_per_minute),
            RateLimiter(settings.limits.tokens_per_minute),
        )

    async def _erased(self, order: Erasure, done: Erased) -> None:
        """Have no more in memory of what was erased than the store has."""
        self.dispatcher.drop(one.id for one in order.found.own)
        self.dispatcher.settled(cancelled(done))
        await self.suppressions.read_again()

    def _address(self) -> str:
        return "{}:{}".format(*self.listening)

    def _outages(self) -> list[dict[str, Any]]:
        return [one._asdict() for one in self.dispatcher.outages()]

    def _chains(self) -> Mapping[str, Chain]:
        return self.configuration.chains

    def _alert_settings(self) -> AlertSettings:
        return self.configuration.settings.alerts

    def _changed(self) -> None:
        """Deliver by the chains and pauses as they are now."""
        self.dispatcher.wake()


def _tell(chains: Mapping[str, Chain], hook: str) -> None:
    for chain in chains.values():
        chain.tell(hook)


def _stopping(chains: Mapping[str, Chain]) -> threading.Thread:
    """Call the plugins in a thread that may wait for theirs, and that nobody must wait for."""
    thread = threading.Thread(target=_tell, args=(chains, "stopping"), daemon=True)
    thread.start()
    return thread


@contextmanager
def open_site(settings: Settings) -> Iterator[Site]:
    """Open an installation: its store, and every part with all that it needs; close it in the end.

    Raise ConfigurationError, and then nothing is left open. Nothing here awaits, so this is no
    asynchronous context.
    """
    with ExitStack() as closing:
        yield Site(settings, closing)


def _own_secrets(settings: Settings) -> tuple[bool, dict[str, MadeKey], Secret]:
    """Make the folder of the installation's own, and the secrets in it.

    Return whether it is the first start, the keys that were made here and the secret to hash with.
    """
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_first = not (settings.data / "secret").exists()
        made = {} if settings.keys else keys.made(settings.data, make=True)
        return is_first, made, hashing_secret(settings.data, settings.secret)
    except OSError as error:
        words = f"cannot be written: {error.strerror}"
        raise ConfigurationError(f"[relay] data {settings.data} {words}") from None
