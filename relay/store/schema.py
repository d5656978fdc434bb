"""The tables. Times are epoch seconds, ids are UUIDv7 in lower case.

What a message says stands in `contents`, apart from its state, so that claiming and settling
rewrite a narrow row.
"""

from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TextClause,
    select,
    text,
)
from sqlalchemy.schema import SchemaItem

from relay.core.states import FINAL, UNDECIDED, WAITING, State, in_sql

metadata = MetaData()

# The conditions of the partial indexes. A query that means one must use the same text: SQLite
# takes a partial index only for a condition that it can recognise.
_IS_WAITING = f"messages.state IN {in_sql(WAITING)}"
IS_NEW = text(f"{_IS_WAITING} AND messages.tries = 0")
IS_RETRIED = text(f"{_IS_WAITING} AND messages.tries > 0")
# Of new ones, those that were not scheduled: no index of its own.
IS_POSTED = text(f"messages.state = '{State.QUEUED}'")
# A message that so many daemons died of is sent while nothing else is.
SUSPECT_CRASHES = 3
IS_SUSPECT = text(f"{_IS_WAITING} AND messages.crashes >= {SUSPECT_CRASHES}")
IS_UNDECIDED = text(f"messages.state IN {in_sql(UNDECIDED)}")
IS_KEPT = text(f"messages.cleared_at IS NULL AND messages.state IN {in_sql(FINAL)}")
# What is not on the way that mail takes as a rule: few are, and each state is listed and counted.
ASIDE = tuple(state for state in State if state not in (State.QUEUED, State.SENDING, State.SENT))
IS_ASIDE = text(f"messages.state IN {in_sql(ASIDE)}")
IS_UNSENT = text(f"messages.state NOT IN {in_sql([State.SENT, State.SCREENED])}")
# A submission that was kept back, and is no message yet: a robot's, or one that broke a plugin.
BROKEN: Literal["form"] = "form"
IS_SUBMISSION = text(f"(messages.state = '{State.SCREENED}' OR messages.kind = '{BROKEN}')")
IS_KEPT_BACK = text(f"{IS_SUBMISSION.text} AND messages.cleared_at IS NULL")
IS_ACCEPTED = text(f"messages.state != '{State.SCREENED}'")
IS_MESSAGE = text(f"{IS_ACCEPTED.text} AND messages.kind != '{BROKEN}'")
IS_TAKEN = text("messages.provider_id IS NOT NULL AND messages.delivery != 'mailbox'")
IN_MAILBOX = text(f"messages.delivery = 'mailbox' AND messages.state = '{State.SENT}'")
IS_CANARY = text("messages.canary")


# Ids are compared byte by byte, as SQLite does it: whatever a server's language is, it is faster.
_ID = String(36).with_variant(String(36, collation="C"), "postgresql")

# What changes much: room in its pages for a row's next version, and dead versions are removed as
# soon as there are some, not when they are a part of a table that grows for years.
_BUSY = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 100,
}

# SQLite numbers rows by itself only where the column is called INTEGER, which has 64 bits there.
_LONG = BigInteger().with_variant(Integer, "sqlite")


def _bare(condition: TextClause) -> TextClause:
    """Return a condition as an index takes it: without the table's name."""
    return text(condition.text.replace("messages.", ""))


def _partial(name: str, *columns: str, where: TextClause, unique: bool = False) -> Index:
    """Return an index of those rows alone for which a condition is true."""
    bare = _bare(where)
    return Index(name, *columns, unique=unique, sqlite_where=bare, postgresql_where=bare)


def _table(name: str, *parts: SchemaItem, is_busy: bool = False) -> Table:
    return Table(name, metadata, *parts, postgresql_with=_BUSY if is_busy else None)


messages = _table(
    "messages",
    Column("id", _ID, primary_key=True),
    Column("server", String(100), nullable=False),
    Column("state", String(12), nullable=False),
    Column("created_at", Float, nullable=False),
    # Queued, scheduled: when to attempt it. Sending: when its claim ends. In doubt: when to look
    # it up.
    Column("due_at", Float, nullable=False),
    # Since when its age counts: when it came in, or when an operator revived it.
    Column("since", Float, nullable=False),
    # How often the message was claimed: an outcome counts only for the claim it belongs to.
    Column("fence", Integer, nullable=False, default=0),
    # Attempts in which the provider got something to judge, and all that were made.
    Column("attempts", Integer, nullable=False, default=0),
    Column("tries", Integer, nullable=False, default=0),
    # What shares a call: plain messages, or those with a template; `form` is a submission that a
    # plugin failed at. And the bytes of the document.
    Column("kind", String(8), nullable=False, server_default="plain"),
    Column("size", Integer, nullable=False, server_default="0"),
    # How often a daemon died while it was sending; look-ups since it is in doubt, and how many in
    # a row found nothing; whether it was sent again without certainty.
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("absences", Integer, nullable=False, server_default="0"),
    Column("maybe_twice", Boolean, nullable=False, server_default="0"),
    # When its contents were cleared, because they were kept long enough.
    Column("cleared_at", Float),
    # The key that posted it, the plugin that delivered it, and the provider's own id.
    Column("key", String(100), nullable=False, default=""),
    Column("delivery", String(100)),
    Column("provider_id", String(200)),
    # What the provider said last, or why the submission was screened.
    Column("words", String(500)),
    # The addresses that its Reply-To names, in lower case, for searches: who wrote a form. NULL of
    # those that an older Relay stored; "" once the contents are cleared.
    Column("writer", Text),
    # The daemon that accepted it, or that claimed it last. It goes first: others leave what is due
    # to it for some seconds, so that whoever was posted to can say what became of it.
    Column("daemon", Integer, nullable=False, server_default="0"),
    # Whether it is Relay's own, to see that mail arrives.
    Column("canary", Boolean, nullable=False, server_default="0"),
    _partial("messages_new", "server", "due_at", where=IS_NEW),
    _partial("messages_retried", "server", "due_at", where=IS_RETRIED),
    _partial("messages_suspect", "due_at", where=IS_SUSPECT),
    _partial("messages_undecided", "due_at", where=IS_UNDECIDED),
    _partial("messages_kept", "server", "state", "id", where=IS_KEPT),
    _partial("messages_unsent", "id", where=IS_UNSENT),
    _partial("messages_aside", "state", "id", "server", where=IS_ASIDE),
    _partial("messages_kept_back", "id", where=IS_KEPT_BACK),
    _partial("messages_mailbox", "id", where=IN_MAILBOX),
    _partial("messages_accepted", "server", "id", where=IS_ACCEPTED),
    _partial("messages_taken", "provider_id", where=IS_TAKEN),
    _partial("messages_canary", "id", where=IS_CANARY),
    is_busy=True,
)

# Relay's own canaries are nobody's mail: they stand in no list and no count. Those few are asked
# for by themselves, so that what an index answers alone it still does.
_one = messages.alias("one")
CANARIES = select(_one.c.id).where(text("one.canary"))
IS_MAIL = messages.c.id.not_in(CANARIES)

contents = _table(
    "contents",
    Column("id", _ID, primary_key=True),
    # All recipients' addresses in lower case, separated by spaces; and the subject: for searches.
    Column("recipients", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("sender", Text, nullable=False, server_default=""),
    Column("tag", Text, nullable=False, server_default=""),
    Column("stream", Text, nullable=False, server_default=""),
    # The message as JSON; of a screened submission, its fields and files.
    Column("document", Text, nullable=False),
    # Where it came from and what became of its fields, as JSON; NULL of what no form posted, of
    # those that an older Relay stored, and once it is cleared.
    Column("origin", Text),
)

# The index of words, in PostgreSQL: SQLite has another kind of table for it. See relay/store/words.
WORDS_ON_POSTGRESQL = (
    'CREATE TABLE words (message varchar(36) COLLATE "C" PRIMARY KEY, said tsvector NOT NULL)',
    "CREATE INDEX words_said ON words USING gin (said)",
)

# What a caller labelled its message with, to look it up by; `name` in lower case.
message_metadata = _table(
    "message_metadata",
    Column("message", _ID, primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("value", String(200), nullable=False),
    Index("message_metadata_value", "name", "value", "message"),
)

# What happened to a message besides its attempts.
events = _table(
    "events",
    Column("id", _LONG, primary_key=True),
    Column("message", _ID, nullable=False),
    Column("at", Float, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("words", String(500), nullable=False),
    Index("events_message", "message"),
)

attempts = _table(
    "attempts",
    Column("message", _ID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("delivery", String(100), nullable=False),
    Column("outcome", String(12), nullable=False),
    Column("words", String(500), nullable=False),
)

# How many messages every server accepted, by day (UTC): counted apart from their rows, so that the
# two can be compared. Every daemon counts in rows of its own: they would wait for each other.
# `sent` and `failed` (also expired, quarantined, suppressed) are counted on the day on which that
# happened: what fails and is sent after all counts as both.
ledger = _table(
    "ledger",
    Column("server", String(100), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("daemon", Integer, primary_key=True, autoincrement=False, server_default="0"),
    Column("accepted", Integer, nullable=False),
    Column("screened", Integer, nullable=False),
    # Of those accepted, how many were screened first and released by an operator.
    Column("released", Integer, nullable=False, server_default="0"),
    Column("sent", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
)

# The same of every minute (its number since the epoch), of the last hours alone; and attempts that
# are to be made again.
minutes = _table(
    "minutes",
    Column("server", String(100), primary_key=True),
    Column("minute", Integer, primary_key=True, autoincrement=False),
    Column("daemon", Integer, primary_key=True, autoincrement=False, server_default="0"),
    Column("accepted", Integer, nullable=False, server_default="0"),
    Column("screened", Integer, nullable=False, server_default="0"),
    Column("sent", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("deferred", Integer, nullable=False, server_default="0"),
    is_busy=True,
)

# Answers to callers that named a key for their request: a repeated one gets the same answer.
idempotency = _table(
    "idempotency",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("expires_at", Float, nullable=False),
    # The messages that the request stored, and the answer; NULL until it was given.
    Column("messages", Text, nullable=False),
    Column("status", Integer),
    Column("answer", Text),
    Index("idempotency_expires", "expires_at"),
    is_busy=True,
)

# Addresses that a provider reported as dead or unwilling: nothing is sent to them. `server` is the
# group whose provider said so, `address` in lower case.
suppressions = _table(
    "suppressions",
    Column("server", String(100), primary_key=True),
    Column("address", String(320), primary_key=True),
    # bounced, complained, unsubscribed, refused, manual; or lifted: it may be written to again.
    Column("reason", String(20), nullable=False),
    # When the provider or the operator said so: what was said before that is no news any more.
    Column("since", Float, nullable=False),
    # When it ends by itself; NULL is never.
    Column("until", Float),
    # The message it was learned from, and the provider's words.
    Column("message", _ID),
    Column("words", String(500), nullable=False, server_default=""),
)

# Callbacks of providers that were taken: one that comes again changes nothing.
callbacks = _table(
    "callbacks",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("at", Float, nullable=False),
    Index("callbacks_at", "at"),
)

# Recipients of a message whose fate differs from their message's: taken, or refused for good.
recipients = _table(
    "recipients",
    Column("message", _ID, primary_key=True),
    Column("address", String(320), primary_key=True),
    Column("state", String(12), nullable=False),
    Column("at", Float, nullable=False),
    Column("words", String(500), nullable=False, server_default=""),
)

# Addresses that an office answers to, and the writer whom each stands for.
reply_addresses = _table(
    "reply_addresses",
    Column("id", String(16), primary_key=True),
    Column("message", _ID, nullable=False),
    Column("server", String(100), nullable=False),
    # The writer as a header has it: name and address.
    Column("writer", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    # How many answers were passed on in the hour that began at `hour_at`.
    Column("hour_at", Float, nullable=False, server_default="0"),
    Column("replies", Integer, nullable=False, server_default="0"),
    Index("reply_addresses_expires", "expires_at"),
    Index("reply_addresses_message", "message"),
)

# What a writer is told about a message: stored with it, sent when its fate is known.
receipts = _table(
    "receipts",
    Column("message", _ID, primary_key=True),
    Column("reference", String(20), nullable=False, unique=True),
    # The writer's address, and whose mailbox it is: what the limits count by. Both are empty where
    # nobody can be told, and once the message's contents are cleared.
    Column("address", String(320), nullable=False),
    Column("mailbox", String(320), nullable=False),
    # When the writer was told, or it was decided not to; and the message that does it.
    Column("done_at", Float),
    Column("receipt", _ID),
    _partial("receipts_open", "message", where=text("done_at IS NULL")),
    _partial("receipts_mailbox", "mailbox", "done_at", where=text("receipt IS NOT NULL")),
)

# What an operator is told of, by its kind and what it is about: once at first, then together.
alerts = _table(
    "alerts",
    Column("kind", String(20), primary_key=True),
    # "" for what is about the whole installation; `plugin` for a delivery or a reason.
    Column("server", String(100), primary_key=True),
    Column("plugin", String(100), primary_key=True),
    Column("since", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("count", Integer, nullable=False),
    # Since the operator was told last: reasons with their numbers as JSON, some messages' ids.
    Column("reasons", Text, nullable=False, server_default="{}"),
    Column("ids", Text, nullable=False, server_default=""),
    Column("words", String(500), nullable=False, server_default=""),
    # When the operator was told last, of how many, and how many times at all.
    Column("told_at", Float),
    Column("told_count", Integer, nullable=False, server_default="0"),
    Column("tellings", Integer, nullable=False, server_default="0"),
    # Since when it is over; NULL while it lasts.
    Column("over_at", Float),
)

# What daemons that do not lead saw and is worth an alert, as JSON: until the one that leads, which
# tells it, has it.
alert_reports = _table(
    "alert_reports",
    Column("id", _LONG, primary_key=True),
    Column("seen", Text, nullable=False),
)

# Servers that an operator paused.
paused = _table(
    "paused",
    Column("server", String(100), primary_key=True),
    Column("since", Float, nullable=False),
)

# The last canary of each server that has some, and how canaries do.
canaries = _table(
    "canaries",
    Column("server", String(100), primary_key=True),
    # "" where none could be made.
    Column("message", _ID, nullable=False),
    Column("made_at", Float, nullable=False),
    # Whether it may arrive yet.
    Column("is_awaited", Boolean, nullable=False),
    # When the last one that arrived did, and after how many seconds.
    Column("arrived_at", Float),
    Column("took", Float),
    # When the first was made of those of which none arrived; NULL while they do. And why.
    Column("missing_since", Float),
    Column("reason", String(500), nullable=False, server_default=""),
)

# Every server that the settings ever named: its number is never another's.
servers = _table(
    "servers",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(100), nullable=False, unique=True),
)


def _template_columns() -> list[Column[Any]]:
    return [
        Column("server", String(100), nullable=False),
        Column("id", _LONG, nullable=False),
        Column("version", Integer, nullable=False),
        Column("name", Text, nullable=False),
        Column("alias", String(255)),
        Column("type", String(8), nullable=False),
        Column("subject", Text),
        Column("html", Text),
        Column("text", Text),
        Column("layout", String(255)),
        Column("active", Boolean, nullable=False),
        # When this version was made, and by whom: a key's id, or `operator`.
        Column("edited_at", Float, nullable=False),
        Column("edited_by", String(100), nullable=False),
    ]


# The templates of each server as they are, deleted ones too; and as they were before.
templates = _table(
    "templates",
    *_template_columns(),
    PrimaryKeyConstraint("server", "id"),
    _partial("templates_alias", "server", "alias", where=text("active"), unique=True),
)

template_versions = _table(
    "template_versions",
    *_template_columns(),
    PrimaryKeyConstraint("server", "id", "version"),
)

# What happened to messages and a webhook asks for, until the daemon that leads makes calls of it.
webhook_events = _table(
    "webhook_events",
    Column("id", _LONG, primary_key=True),
    Column("message", _ID, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("at", Float, nullable=False),
    Column("words", String(500), nullable=False),
    # Of whom the provider spoke; "" for the message as a whole.
    Column("recipient", String(320), nullable=False),
)

# Calls to webhooks: those that wait, and for some days those that do not.
webhook_calls = _table(
    "webhook_calls",
    Column("id", _ID, primary_key=True),
    # The target's name, and the message that it is about; NULL for alerts.
    Column("target", String(100), nullable=False),
    Column("message", _ID),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    # When it was made: its age counts from then.
    Column("since", Float, nullable=False),
    # When it is to be made next; NULL once it was taken, or given up.
    Column("due_at", Float),
    Column("tries", Integer, nullable=False, server_default="0"),
    # What came of it last, and when; and when it was taken.
    Column("answer", String(200), nullable=False, server_default=""),
    Column("tried_at", Float),
    Column("taken_at", Float),
    _partial("webhook_calls_due", "target", "due_at", where=text("due_at IS NOT NULL")),
    Index("webhook_calls_target", "target", "id"),
    Index("webhook_calls_message", "message"),
    is_busy=True,
)

# How targets of calls do: since when all calls fail, and since when nothing is called any more.
webhook_targets = _table(
    "webhook_targets",
    Column("name", String(100), primary_key=True),
    Column("failing_since", Float),
    Column("off_since", Float),
)

# The people who may use the console. One who was removed keeps his row, for what he did.
operators = _table(
    "operators",
    Column("id", Integer, primary_key=True),
    # In lower case.
    Column("name", String(100), nullable=False, unique=True),
    Column("role", String(10), nullable=False),
    # Argon2's own text; NULL while nothing was set, and where somebody else says who it is.
    Column("password", String(200)),
    # The secret of the second factor, the last of its steps that was used, and the digests of the
    # recovery codes that are left, as JSON.
    Column("totp_secret", String(64)),
    Column("totp_step", _LONG, nullable=False, server_default="0"),
    Column("recovery_codes", Text, nullable=False, server_default="[]"),
    # Whom the identity provider means: its issuer and the subject there.
    Column("subject", String(500), unique=True),
    # The digest of the link that is good once, and until when.
    Column("link", LargeBinary(32), unique=True),
    Column("link_until", Float),
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float),
    Column("removed_at", Float),
)

operator_sessions = _table(
    "operator_sessions",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("operator", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    # From where, as it was shown to the daemon.
    Column("address", String(100), nullable=False, server_default=""),
    Index("operator_sessions_operator", "operator"),
)

# The keys that were made here, not in the settings. Of a key the SHA-256 alone is kept.
keys = _table(
    "keys",
    Column("id", Integer, primary_key=True),
    # One that is not revoked has its name alone.
    Column("name", String(50), nullable=False),
    Column("kind", String(12), nullable=False),
    # The servers that it opens, as a JSON list.
    Column("servers", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("made_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    # The day on which it was used last: how many days after 1970-01-01, UTC.
    Column("used_day", Integer),
)

# What people ordered, written in the commit that did it.
acts = _table(
    "acts",
    Column("id", _LONG, primary_key=True),
    Column("at", Float, nullable=False),
    # The operator's name, the system's user, or the key; and the way: console, command, api.
    Column("who", String(100), nullable=False),
    Column("way", String(10), nullable=False),
    # The address of the console's visitor or the API's client; "" of commands.
    Column("origin", String(100), nullable=False, server_default=""),
    Column("verb", String(30), nullable=False),
    # What it was done to: a message's id, a server, an operator's name, `server/alias`; never an
    # address of a person: of that its digest.
    Column("target", String(200), nullable=False),
    Column("before", String(200), nullable=False, server_default=""),
    Column("after", String(200), nullable=False, server_default=""),
    Index("acts_target", "target"),
    Index("acts_who", "who"),
)

tokens = _table(
    "tokens",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", Float, nullable=False),
    # The message (or screened submission) it was spent on; NULL while it may still be used.
    Column("message", _ID),
    # When it was made; NULL of those that an older Relay made.
    Column("made_at", Float),
    # The digest of the content it was spent on, where that may be sent twice by mistake.
    Column("content", LargeBinary(32)),
    Index("tokens_expires", "expires_at"),
    Index("tokens_message", "message"),
    is_busy=True,
)

# What writers proved themselves with: each is good for the one message it was spent on.
proofs = _table(
    "proofs",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("message", _ID, nullable=False),
    # Until when it is remembered: longer than it could be used.
    Column("expires_at", Float, nullable=False),
    Index("proofs_expires", "expires_at"),
    Index("proofs_message", "message"),
)

# The daemons that share this database; on SQLite there is one, and it has no row.
daemons = _table(
    "daemons",
    Column("id", Integer, primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(50), nullable=False),
    # Where its API listens, once it does; and a digest of the settings it uses.
    Column("address", String(255), nullable=False, server_default=""),
    Column("settings", String(64), nullable=False, server_default=""),
    # By the database's clock; and how far its own is ahead of that, in seconds.
    Column("started_at", Float, nullable=False),
    Column("heartbeat_at", Float, nullable=False),
    Column("offset", Float, nullable=False, server_default="0"),
    # How many changes it has heard of, by topic; and the providers that fail it: as JSON.
    Column("heard", Text, nullable=False, server_default="{}"),
    Column("outages", Text, nullable=False, server_default="[]"),
    # When others found that it is not heard of any more. One that stopped has no row.
    Column("ended_at", Float),
    # Up to when what its observers saw is written down; nothing was seen before the first time.
    Column("reported_at", Float),
)

# What one daemon does for all: who it is, since when, and until when without another word.
leases = _table(
    "leases",
    Column("name", String(20), primary_key=True),
    Column("daemon", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
)

# How often what daemons keep in memory was changed: who has heard of fewer changes reads again.
versions = _table(
    "versions",
    Column("topic", String(20), primary_key=True),
    Column("number", _LONG, nullable=False),
)

installation = _table(
    "installation",
    Column("name", String(50), primary_key=True),
    Column("value", Text, nullable=False),
)
