"""The monitor: looks at what observers saw and at what lasts, and tells the operator by mail.

An alert is an ordinary message of a server of its own: durable, retried, and never of the delivery
that is down. That an alert cannot be sent is logged, and makes no alert.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from relay.config.alerts import DELIVERIES, AlertSettings
from relay.core import clock
from relay.core.errors import ConfigurationError, Unavailable
from relay.core.logs import trace
from relay.core.message import Message
from relay.core.states import TROUBLES
from relay.delivery.dispatcher import Dispatcher
from relay.hooks.chain import Chain
from relay.intake.outbox import Outbox, Outgoing
from relay.notifications.alerts import digest
from relay.notifications.alerts.channels import alert_calls, test_calls
from relay.notifications.alerts.conditions import Conditions, is_moot, newly_expected
from relay.notifications.alerts.digest import Span
from relay.notifications.alerts.emails import email
from relay.notifications.alerts.event_counts import (
    EventCount,
    EventCounts,
    report,
    with_reports,
)
from relay.notifications.alerts.mailer import AlertMailer
from relay.notifications.alerts.rules import AlertDue, Decisions, decide
from relay.store import alerts as stored
from relay.store.alerts import Alert, AlertKey, Change
from relay.store.cluster import daemons
from relay.store.cluster.membership import Membership
from relay.store.engine.database import Store
from relay.store.engine.disk_space import Space
from relay.store.queries import statistics
from relay.store.queries.statistics import Trouble

# How often the endless loop looks.
LOOK_SECONDS = 15.0
# How often it does where another daemon leads: whose end is to be noticed soon.
FOLLOW_SECONDS = 5.0
STOP_SECONDS = 5.0
# Younger events than these wait for the next digest: some of before may not be committed yet.
SETTLED_SECONDS = 60.0

log = structlog.get_logger()


@dataclass(eq=False, repr=False)
class Monitor:
    """Mails the operator what goes wrong, once and then less and less often.

    `look` is one look, at any time; `run` the endless loop around it. `event_counts` is where the
    chains' observers report. chains, terms, paused: give what holds now; paused names the servers
    that an operator paused, targets those who are called.

    Of several daemons one tells: the others leave it what they saw.
    """

    store: Store
    dispatcher: Dispatcher
    space: Space
    event_counts: EventCounts
    outbox: Outbox
    chains: Callable[[], Mapping[str, Chain]]
    terms: Callable[[], AlertSettings]
    paused: Callable[[], Collection[str]]
    targets: Callable[[], Collection[str]]
    membership: Membership

    def __post_init__(self) -> None:
        self._mailing = AlertMailer(self.dispatcher, self.outbox, self.chains, self.terms)
        self._conditions = Conditions(
            self.store, self.dispatcher, self.space, self.event_counts, self.paused, self.targets
        )
        self._began_at = clock.now()
        self._caught_up = False  # with what was not written down, as a daemon of its own
        self._lapsed = 0.0  # until which daemon's end, as one that leads others
        self._unsent: set[tuple[AlertKey, bool]] = set()  # those of which it was logged
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look(clock.now())
            except Unavailable:
                pass  # the store has logged it
            except Exception as error:  # noqa: BLE001 - the loop outlives a store that fails
                log.error("alerts.unlooked", **trace(error))
            await asyncio.sleep(LOOK_SECONDS if self.membership.is_leader else FOLLOW_SECONDS)

    async def stop(self) -> None:
        """Look once more, so that what was seen is not forgotten."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.look(clock.now())
        except Exception as error:  # noqa: BLE001 - the daemon stops all the same
            log.error("alerts.unlooked", **trace(error))

    async def look(self, now: float) -> int:
        """Write down what was seen, and tell what is to be told at `now`; count the mails."""
        async with self._looking:
            leads = self.membership.is_leader
            known = await self.store.read(stored.remembered) if leads else {}
            if self.store.shared is None:
                await self._catch_up(known)
            elif leads:
                await self._catch_up_others(known)
            taken_at, seen = clock.now(), self.event_counts.take()
            try:
                if leads:
                    return await self._look(seen, known, taken_at, now)
                if seen:
                    await self.store.write(stored.report, stored.Report(report(seen), taken_at))
                return 0
            except Exception:
                self.event_counts.give_back(seen)
                raise

    async def test(self) -> tuple[str, str, list[str]]:
        """Send a test alert to everybody who is told; raise ConfigurationError where nobody is.

        Return the mail's id, and what came of it, both "" where nobody is told by mail; and the
        names of those who are called.
        """
        terms, now = self.terms(), clock.now()
        if not self._mailing.is_wanted and not terms.channels:
            raise ConfigurationError("the settings have no [alerts]: nobody is told")
        written = email("test", {}, terms, now)
        calls = test_calls(written, terms, now)
        await self._mailing.send([], Change(calls=calls))
        id, result = await self._mailing.test(written) if self._mailing.is_wanted else ("", "")
        return id, result, [one.target for one in calls]

    async def _catch_up(self, known: Mapping[str, float]) -> None:
        """See what this daemon saw before its start and did not write down any more."""
        if stored.LOOKED in known and not self._caught_up:
            span = (known[stored.LOOKED], self._began_at)
            self._saw(await self.store.read(statistics.ended, TROUBLES, *span))
        self._caught_up = True

    async def _catch_up_others(self, known: Mapping[str, float]) -> None:
        """See what daemons that are gone saw and did not write down any more."""
        before = max(known.get(stored.LAPSED, 0.0), self._lapsed)
        last = await self.store.read(daemons.last_lapsed)
        if last > before:
            self._saw(await self.store.read(statistics.unreported, TROUBLES, before, last))
        self._lapsed = max(before, last)

    def _saw(self, missed: Sequence[Trouble]) -> None:
        for one in missed:
            self.event_counts.saw(one.server, one.state, {"id": one.id, "words": one.words})

    async def _look(
        self,
        seen: dict[AlertKey, EventCount],
        known: Mapping[str, float],
        taken_at: float,
        now: float,
    ) -> int:
        chains, terms = self.chains(), self.terms()
        reports = await self.store.read(stored.reports)
        seen = with_reports(seen, (said for _, said in reports))
        before, moot = await self._standing()
        expected = newly_expected(chains.values(), known, now)
        lasting = await self._conditions.look(
            chains, terms, before.values(), {**known, **expected}, now
        )
        judged = decide(before.values(), self._others(seen), lasting, terms, now)
        told = self._told(judged)
        mails = self._mailing.alerts(told, now) if self._mailing.is_wanted else []
        remembered = dict(expected)
        summary = await self._digest(known, remembered, now)
        mails += [summary] if summary else []
        if seen or stored.LOOKED not in known:
            remembered[stored.LOOKED] = taken_at
        if self._lapsed > known.get(stored.LAPSED, 0.0):
            remembered[stored.LAPSED] = self._lapsed
        moot += judged.dropped
        change = Change(
            _changed(judged, told, before),
            moot,
            (),
            alert_calls(told, terms, now),
            remembered,
            [number for number, _ in reports],
            self.store.identity.number,
        )
        sent = await self._mailing.send(mails, change) if change or mails else []
        self._log(told, sent)
        return len(mails)

    async def _standing(self) -> tuple[dict[AlertKey, Alert], list[AlertKey]]:
        """Return the alerts as they stood, and those that an operator made nothing any more."""
        alerts = {alert.key: alert for alert in await self.store.read(stored.standing)}
        around = (self.chains(), self.targets(), self.paused())
        moot = [key for key, alert in alerts.items() if is_moot(alert, *around)]
        return {key: alert for key, alert in alerts.items() if key not in moot}, moot

    def _others(self, seen: Mapping[AlertKey, EventCount]) -> dict[AlertKey, EventCount]:
        """Leave out what happened to the alerts themselves: that is logged, and makes no alert."""
        own = [key for key in seen if key.server == self.terms().server and key.kind in DELIVERIES]
        for key in own:
            one = seen[key]
            log.error("alert.undelivered", kind=key.kind, count=one.count, ids=one.ids)
        return {key: one for key, one in seen.items() if key not in own}

    def _told(self, judged: Decisions) -> Sequence[AlertDue]:
        """Return what can be told now; log the rest, once.

        Where somebody is told beside mail, that waits for no mail, and the mail for its delivery.
        """
        waiting = {(one.alert.key, one.over) for one in judged.due}
        by_mail_alone = self._mailing.is_wanted and not self.terms().channels
        if by_mail_alone and not self._mailing.is_open:
            for key, over in sorted(waiting - self._unsent):
                log.error("alert.undelivered", **_named(key), over=over)
            self._unsent = waiting
            return []
        self._unsent = set()
        return judged.due

    async def _digest(
        self, known: Mapping[str, float], remembered: dict[str, float], now: float
    ) -> Outgoing | None:
        """Write the day's digest, when it is time; note up to where it goes."""
        terms = self.terms()
        due_at, last = digest.due_at(terms, now), known.get(digest.DIGEST)
        if due_at is None or not self._mailing.is_wanted:
            return None
        if last is not None and (last >= due_at or not self._mailing.is_open):
            return None
        upto = await self.store.read(statistics.last_event, now - SETTLED_SECONDS)
        remembered |= {digest.DIGEST: now, digest.EVENT: float(upto)}
        if last is None:  # the first one is about the first whole day
            return None
        span = Span(last, now, int(known.get(digest.EVENT, 0)), upto)
        made = await self.store.read(digest.make, span, terms)
        if not made.has_problems and not terms.digest_always:
            return None
        return self._mailing.digest(made.model, now)

    def _log(self, told: Sequence[AlertDue], mails: Sequence[Message]) -> None:
        """Log what was told, and the mails that say so."""
        is_told = self._mailing.is_wanted or self.terms().channels
        event = "alert.told" if is_told else "alert.raised"
        for one in told:
            key, untold = one.alert.key, one.alert.untold
            log.warning(event, **_named(key), over=one.over, count=untold)
        if mails:
            log.info("alerts.mailed", ids=[mail.id for mail in mails])


def _named(key: AlertKey) -> dict[str, str]:
    return {name: value for name, value in key._asdict().items() if value}


def _changed(
    judged: Decisions, told: Sequence[AlertDue], before: Mapping[AlertKey, Alert]
) -> list[Alert]:
    """Return the alerts that are not as they are stored, or were told now."""
    alerts = {**judged.alerts, **{one.told.key: one.told for one in told}}
    return [alert for key, alert in alerts.items() if alert != before.get(key)]
