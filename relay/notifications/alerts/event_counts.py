"""What was seen since the last look: counted in memory, because observers must not block."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from relay.config.alerts import FORM_REASONS, KEY_REASONS, TOKEN_REASONS
from relay.core.errors import ServerDayUsed, SubmissionError
from relay.core.logs import raised_by
from relay.core.message import Confirmation, ProviderEvent
from relay.core.states import TROUBLES, State
from relay.core.submission import Decoy
from relay.core.text import without_addresses
from relay.notifications.alerts.recent_posts import RecentPosts
from relay.store.alerts import AlertKey

# How many ids of messages one alert names, and how many different reasons.
NAMED = 5
REASONS = 20
WORDS = 300
REASON_LENGTH = 50
# What is as long as a token, a key or encoded content, and says nothing to a person.
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_.-]{24,}")


@dataclass
class EventCount:
    """Things of the same kind and server: how many, why, some of the messages, the last words."""

    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    words: str = ""

    def add(self, reason: str = "", id: str = "", words: str = "", count: int = 1) -> None:
        """Count one more, or several of the same."""
        self.count += count
        reason = reason[:REASON_LENGTH]
        if reason and (reason in self.reasons or len(self.reasons) < REASONS):
            self.reasons[reason] += count
        if id and len(self.ids) < NAMED:
            self.ids.append(id)
        self.words = publishable(words) or self.words

    def include(self, other: "EventCount") -> None:
        """Count what was seen later."""
        self.count += other.count
        self.reasons.update(other.reasons)
        self.ids = [*self.ids, *other.ids][:NAMED]
        self.words = other.words or self.words


def report(seen: Mapping[AlertKey, EventCount]) -> str:
    """Write what was seen as JSON, for the daemon that tells it."""
    return json.dumps([[*key, vars(one)] for key, one in seen.items()])


def with_reports(
    seen: Mapping[AlertKey, EventCount], reports: Iterable[str]
) -> dict[AlertKey, EventCount]:
    """Return what was seen together with what other daemons report; change neither."""
    together = {key: deepcopy(one) for key, one in seen.items()}
    for said in reports:
        for *key, values in json.loads(said):
            one = EventCount(**{**values, "reasons": Counter(values["reasons"])})
            together.setdefault(AlertKey(*key), EventCount()).include(one)
    return together


class EventCounts:
    """Counts what observers tell, by kind and server, until it is taken.

    `refusals` are the last words with which each server's mail was put off, until some was sent;
    `senders` the servers of which some was sent at all.
    """

    hears = frozenset(
        {
            *("refused", "bounced", "unanswered", "deferred", "resent"),
            *(State.SCREENED, State.SENT, *TROUBLES),
        }
    )

    def __init__(self) -> None:
        self.refusals: dict[str, str] = {}
        self.senders: set[str] = set()
        self._seen: dict[AlertKey, EventCount] = {}
        self._posts: defaultdict[str, RecentPosts] = defaultdict(RecentPosts)

    def take(self) -> dict[AlertKey, EventCount]:
        """Return what was seen since the last time."""
        seen, self._seen = self._seen, {}
        return seen

    def give_back(self, taken: Mapping[AlertKey, EventCount]) -> None:
        """Count again what was taken and could not be written down."""
        for key, one in taken.items():
            one.include(self._seen.get(key, EventCount()))
            self._seen[key] = one

    def saw(self, server: str, what: str, about: Mapping[str, Any]) -> None:
        """Take note of what a chain observed, by a hook's name and arguments or by a state."""
        if what == "refused":
            self.refused(server, about["error"])
        elif what == State.SCREENED:
            decoy: Decoy = about["decoy"]
            self._at(State.SCREENED, server).add(decoy.reason)
        elif what == "bounced":
            event: ProviderEvent = about["event"]
            self._at("bounced", server).add(event.kind, event.message, event.words)
        elif what == State.SENT:
            receipt: Confirmation = about["receipt"]
            self.senders.add(server)
            self.refusals.pop(server, None)
            if receipt.dropped:
                self._at("dropped", server).add("", about["message"].id, receipt.words)
        elif what == "unanswered":
            self._at("unanswered", server).add(about["reason"])
        elif what == "deferred":
            self.refusals[server] = str(about["error"])
        else:  # what is to worry about, or was sent again
            id = about["id"] if "id" in about else about["message"].id
            words = about["words"] if "words" in about else str(about["error"])
            self._at(what, server).add("", id, words)

    def refused(self, server: str, error: SubmissionError) -> None:
        """Take note of a refusal that tells something; `server` "" where none is known."""
        if isinstance(error, ServerDayUsed):
            self._at("day_used", server).add()
        elif error.reason in KEY_REASONS:
            self._at("keys", server).add(error.reason)
        elif error.reason in TOKEN_REASONS:
            self._at("tokens", server).add(error.reason)

    def post_taken(self, server: str, now: float) -> None:
        """Take note that a post was accepted; `server` "" for a session token that was made."""
        self._posts[server].add("", now)

    def post_refused(self, server: str, reason: str, now: float) -> None:
        """Take note of a refused post, where the reason points at a page or the settings."""
        if reason in FORM_REASONS and (count := self._posts[server].add(reason, now)):
            self._at("refused", server, reason).add(count=count)

    def post_broke(self, server: str, error: BaseException) -> None:
        """Take note of a post on which something raised; the error's words may hold content."""
        self._at("broken", server).add(f"{type(error).__name__}{raised_by(error)}")

    def settings_refused(self, words: str) -> None:
        """Take note of settings that could not be read again."""
        self._at("settings", "").add(words=words)

    def _at(self, kind: str, server: str, about: str = "") -> EventCount:
        return self._seen.setdefault(AlertKey(kind, server, about), EventCount())


def publishable(words: str) -> str:
    """Return what may be told of a provider's words: one line, no addresses, nothing like a key."""
    line = " ".join(without_addresses(words).split())
    return _OPAQUE.sub("(...)", line)[:WORDS]
