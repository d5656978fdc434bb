-- The tables of schema 0007, the first that was made on PostgreSQL.

CREATE TABLE alert_reports (
    id BIGSERIAL NOT NULL,
    seen TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE alerts (
    kind VARCHAR(20) NOT NULL,
    server VARCHAR(100) NOT NULL,
    plugin VARCHAR(100) NOT NULL,
    since FLOAT NOT NULL,
    last_at FLOAT NOT NULL,
    count INTEGER NOT NULL,
    reasons TEXT DEFAULT '{}' NOT NULL,
    ids TEXT DEFAULT '' NOT NULL,
    words VARCHAR(500) DEFAULT '' NOT NULL,
    told_at FLOAT,
    told_count INTEGER DEFAULT '0' NOT NULL,
    tellings INTEGER DEFAULT '0' NOT NULL,
    over_at FLOAT,
    PRIMARY KEY (kind, server, plugin)
);

CREATE TABLE attempts (
    message VARCHAR(36) COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    started_at FLOAT NOT NULL,
    ended_at FLOAT NOT NULL,
    delivery VARCHAR(100) NOT NULL,
    outcome VARCHAR(12) NOT NULL,
    words VARCHAR(500) NOT NULL,
    PRIMARY KEY (message, number)
);

CREATE TABLE callbacks (
    digest BYTEA NOT NULL,
    at FLOAT NOT NULL,
    PRIMARY KEY (digest)
);

CREATE INDEX callbacks_at ON callbacks (at);

CREATE TABLE contents (
    id VARCHAR(36) COLLATE "C" NOT NULL,
    recipients TEXT NOT NULL,
    subject TEXT NOT NULL,
    sender TEXT DEFAULT '' NOT NULL,
    tag TEXT DEFAULT '' NOT NULL,
    stream TEXT DEFAULT '' NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE daemons (
    id SERIAL NOT NULL,
    host VARCHAR(255) NOT NULL,
    pid INTEGER NOT NULL,
    version VARCHAR(50) NOT NULL,
    address VARCHAR(255) DEFAULT '' NOT NULL,
    settings VARCHAR(64) DEFAULT '' NOT NULL,
    started_at FLOAT NOT NULL,
    heartbeat_at FLOAT NOT NULL,
    "offset" FLOAT DEFAULT '0' NOT NULL,
    heard TEXT DEFAULT '{}' NOT NULL,
    outages TEXT DEFAULT '[]' NOT NULL,
    ended_at FLOAT,
    PRIMARY KEY (id)
);

CREATE TABLE events (
    id BIGSERIAL NOT NULL,
    message VARCHAR(36) COLLATE "C" NOT NULL,
    at FLOAT NOT NULL,
    kind VARCHAR(20) NOT NULL,
    words VARCHAR(500) NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX events_message ON events (message);

CREATE TABLE idempotency (
    digest BYTEA NOT NULL,
    fingerprint BYTEA NOT NULL,
    expires_at FLOAT NOT NULL,
    messages TEXT NOT NULL,
    status INTEGER,
    answer TEXT,
    PRIMARY KEY (digest)
)
 WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

CREATE INDEX idempotency_expires ON idempotency (expires_at);

CREATE TABLE installation (
    name VARCHAR(50) NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE leases (
    name VARCHAR(20) NOT NULL,
    daemon INTEGER NOT NULL,
    since FLOAT NOT NULL,
    until FLOAT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE ledger (
    server VARCHAR(100) NOT NULL,
    day VARCHAR(10) NOT NULL,
    daemon INTEGER DEFAULT '0' NOT NULL,
    accepted INTEGER NOT NULL,
    screened INTEGER NOT NULL,
    released INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (server, day, daemon)
);

CREATE TABLE message_metadata (
    message VARCHAR(36) COLLATE "C" NOT NULL,
    name VARCHAR(100) NOT NULL,
    value VARCHAR(200) NOT NULL,
    PRIMARY KEY (message, name)
);

CREATE INDEX message_metadata_value ON message_metadata (name, value, message);

CREATE TABLE messages (
    id VARCHAR(36) COLLATE "C" NOT NULL,
    server VARCHAR(100) NOT NULL,
    state VARCHAR(12) NOT NULL,
    created_at FLOAT NOT NULL,
    due_at FLOAT NOT NULL,
    since FLOAT NOT NULL,
    fence INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    kind VARCHAR(8) DEFAULT 'plain' NOT NULL,
    size INTEGER DEFAULT '0' NOT NULL,
    crashes INTEGER DEFAULT '0' NOT NULL,
    looks INTEGER DEFAULT '0' NOT NULL,
    absences INTEGER DEFAULT '0' NOT NULL,
    maybe_twice BOOLEAN DEFAULT '0' NOT NULL,
    cleared_at FLOAT,
    key VARCHAR(100) NOT NULL,
    delivery VARCHAR(100),
    provider_id VARCHAR(200),
    words VARCHAR(500),
    writer TEXT,
    daemon INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (id)
)
 WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

CREATE INDEX messages_accepted ON messages (server, id) WHERE state != 'screened';

CREATE INDEX messages_kept ON messages (server, state, id) WHERE cleared_at IS NULL AND state IN ('sent', 'failed', 'expired', 'cancelled', 'suppressed', 'quarantined', 'screened');

CREATE INDEX messages_mailbox ON messages (id) WHERE delivery = 'mailbox' AND state = 'sent';

CREATE INDEX messages_new ON messages (server, due_at) WHERE state IN ('queued', 'scheduled') AND tries = 0;

CREATE INDEX messages_retried ON messages (server, due_at) WHERE state IN ('queued', 'scheduled') AND tries > 0;

CREATE INDEX messages_screened ON messages (id) WHERE state = 'screened' AND cleared_at IS NULL;

CREATE INDEX messages_suspect ON messages (due_at) WHERE state IN ('queued', 'scheduled') AND crashes >= 3;

CREATE INDEX messages_taken ON messages (provider_id) WHERE provider_id IS NOT NULL AND delivery != 'mailbox';

CREATE INDEX messages_undecided ON messages (due_at) WHERE state IN ('sending', 'in_doubt');

CREATE INDEX messages_unsent ON messages (id) WHERE state NOT IN ('sent', 'screened');

CREATE TABLE paused (
    server VARCHAR(100) NOT NULL,
    since FLOAT NOT NULL,
    PRIMARY KEY (server)
);

CREATE TABLE receipts (
    message VARCHAR(36) COLLATE "C" NOT NULL,
    reference VARCHAR(20) NOT NULL,
    address VARCHAR(320) NOT NULL,
    mailbox VARCHAR(320) NOT NULL,
    done_at FLOAT,
    receipt VARCHAR(36) COLLATE "C",
    PRIMARY KEY (message),
    UNIQUE (reference)
);

CREATE INDEX receipts_mailbox ON receipts (mailbox, done_at) WHERE receipt IS NOT NULL;

CREATE INDEX receipts_open ON receipts (message) WHERE done_at IS NULL;

CREATE TABLE recipients (
    message VARCHAR(36) COLLATE "C" NOT NULL,
    address VARCHAR(320) NOT NULL,
    state VARCHAR(12) NOT NULL,
    at FLOAT NOT NULL,
    words VARCHAR(500) DEFAULT '' NOT NULL,
    PRIMARY KEY (message, address)
);

CREATE TABLE reply_addresses (
    id VARCHAR(16) NOT NULL,
    message VARCHAR(36) COLLATE "C" NOT NULL,
    server VARCHAR(100) NOT NULL,
    writer TEXT NOT NULL,
    expires_at FLOAT NOT NULL,
    hour_at FLOAT DEFAULT '0' NOT NULL,
    replies INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX reply_addresses_expires ON reply_addresses (expires_at);

CREATE INDEX reply_addresses_message ON reply_addresses (message);

CREATE TABLE servers (
    id INTEGER NOT NULL,
    name VARCHAR(100) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);

CREATE TABLE suppressions (
    server VARCHAR(100) NOT NULL,
    address VARCHAR(320) NOT NULL,
    reason VARCHAR(20) NOT NULL,
    since FLOAT NOT NULL,
    until FLOAT,
    message VARCHAR(36) COLLATE "C",
    words VARCHAR(500) DEFAULT '' NOT NULL,
    PRIMARY KEY (server, address)
);

CREATE TABLE template_versions (
    server VARCHAR(100) NOT NULL,
    id BIGINT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    alias VARCHAR(255),
    type VARCHAR(8) NOT NULL,
    subject TEXT,
    html TEXT,
    text TEXT,
    layout VARCHAR(255),
    active BOOLEAN NOT NULL,
    edited_at FLOAT NOT NULL,
    edited_by VARCHAR(100) NOT NULL,
    PRIMARY KEY (server, id, version)
);

CREATE TABLE templates (
    server VARCHAR(100) NOT NULL,
    id BIGINT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    alias VARCHAR(255),
    type VARCHAR(8) NOT NULL,
    subject TEXT,
    html TEXT,
    text TEXT,
    layout VARCHAR(255),
    active BOOLEAN NOT NULL,
    edited_at FLOAT NOT NULL,
    edited_by VARCHAR(100) NOT NULL,
    PRIMARY KEY (server, id)
);

CREATE UNIQUE INDEX templates_alias ON templates (server, alias) WHERE active;

CREATE TABLE tokens (
    digest BYTEA NOT NULL,
    expires_at FLOAT NOT NULL,
    message VARCHAR(36) COLLATE "C",
    made_at FLOAT,
    content BYTEA,
    PRIMARY KEY (digest)
)
 WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

CREATE INDEX tokens_expires ON tokens (expires_at);

CREATE INDEX tokens_message ON tokens (message);

CREATE TABLE versions (
    topic VARCHAR(20) NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (topic)
);

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

INSERT INTO alembic_version VALUES ('0007');
