"""The proof that nothing is lost: what balances, and every way in which it might not."""

# ruff: noqa: S608 - the statements are of these tests own

import pytest
from sqlalchemy import text

from relay.core import states
from relay.store.engine.database import Store
from relay.store.maintenance import audit as audits
from relay.store.maintenance.audit import Audit, AuditPosition
from tests.support.daemon import Daemon
from tests.support.stored import CREATED, new_id, put

DAY = 86_400.0


@pytest.fixture
def full(store: Store) -> Store:
    """A store with a message in every state, on two days and of two servers."""
    number = 0
    for server, at in (("contactform", CREATED), ("default", CREATED), ("default", CREATED + DAY)):
        for state in (*states.ENDS, *states.OPEN, "screened"):
            tried = [("deferred", at), ("sent", at)] if state == "sent" else []
            put(store, number, state, server=server, at=at, tried=tried)
            number += 1
    return store


def audit(store: Store) -> Audit:
    return store.read_now(audits.audit)


def change(store: Store, *statements: str) -> None:
    with store._writing.connect() as connection, connection.begin():
        for statement in statements:
            if connection.dialect.name == "postgresql":
                statement = statement.replace("(x'", "('\\x")  # as it writes bytes
            connection.execute(text(statement))


def test_a_store_with_every_state_balances_by_server_and_day(full: Store) -> None:
    found = audit(full)
    assert found.faults == []
    assert list(found.balances) == [
        AuditPosition("contactform", "2026-09-21"),
        AuditPosition("default", "2026-09-21"),
        AuditPosition("default", "2026-09-22"),
    ]
    for balance in found.balances.values():
        assert (balance.accepted, balance.rows, balance.screened) == (11, 11, 1)
        assert balance.waiting == 5
        assert all(balance.states[state] == 1 for state in states.ENDS)


SENT = f"'{new_id(0)}'"
QUEUED = f"'{new_id(6)}'"
FAILED = f"'{new_id(1)}'"


@pytest.mark.parametrize(
    ("statements", "faults"),
    [
        (
            [
                f"DELETE FROM messages WHERE id = {QUEUED}",
                f"DELETE FROM contents WHERE id = {QUEUED}",
                f"DELETE FROM message_metadata WHERE message = {QUEUED}",
            ],
            ["contactform 2026-09-21: 11 accepted, but 10 found"],
        ),
        (
            ["UPDATE ledger SET accepted = 10 WHERE server = 'contactform'"],
            ["contactform 2026-09-21: 10 accepted, but 11 found"],
        ),
        (
            ["DELETE FROM ledger WHERE server = 'contactform'"],
            [
                "contactform 2026-09-21: 0 accepted, but 11 found",
                "contactform 2026-09-21: 0 screened, but 1 found",
            ],
        ),
        (
            ["UPDATE ledger SET screened = 2 WHERE server = 'contactform'"],
            ["contactform 2026-09-21: 2 screened, but 1 found"],
        ),
        (
            [f"UPDATE messages SET state = 'lost' WHERE id = {FAILED}"],
            ["contactform 2026-09-21: 1 in the unknown state lost"],
        ),
        (
            [f"UPDATE messages SET state = 'sent' WHERE id = {FAILED}"],
            [f"{new_id(1)}: it is sent, but no attempt and no look-up says so"],
        ),
        (
            [f"UPDATE messages SET state = 'queued' WHERE id = {SENT}"],
            [f"{new_id(0)}: an attempt sent it, but it is not called sent"],
        ),
        (
            [f"DELETE FROM contents WHERE id = {SENT}"],
            [f"{new_id(0)}: its contents are missing"],
        ),
        (
            [f"UPDATE contents SET document = '' WHERE id = {QUEUED}"],
            [f"{new_id(6)}: its contents were cleared, but it may be sent yet"],
        ),
        (
            ["INSERT INTO contents (id, recipients, subject, document) VALUES ('x', '', '', '')"],
            ["x: there are contents, but no message"],
        ),
        (
            ["INSERT INTO attempts VALUES ('x', 1, 0, 0, '', 'sent', '')"],
            ["x: there are attempts, but no message"],
        ),
        (
            ["INSERT INTO events (message, at, kind, words) VALUES ('x', 0, 'held', '')"] * 2,
            ["x: there are events, but no message"],
        ),
        (
            ["INSERT INTO message_metadata VALUES ('x', 'a', 'b')"],
            ["x: there are labels, but no message"],
        ),
        (
            ["INSERT INTO receipts VALUES ('x', 'K7M-4QX-9RD', '', '', NULL, NULL)"],
            ["x: a writer is to be told of it, but there is no message"],
        ),
        (
            [
                (
                    "INSERT INTO tokens (digest, expires_at, message, made_at)"
                    " VALUES (x'00', 0, 'x', NULL), (x'01', 0, NULL, 0)"
                )
            ],
            ["x: a token was spent on it, but there is no message"],
        ),
    ],
)
def test_every_imbalance_has_a_line(full: Store, statements: list[str], faults: list[str]) -> None:
    change(full, *statements)
    assert audit(full).faults == faults


def test_what_a_look_up_or_a_person_found_counts_as_sent(full: Store) -> None:
    put(full, 99, "sent", happened=[("found", CREATED)])
    assert audit(full).faults == []


def test_what_was_cleared_still_balances(full: Store) -> None:
    change(
        full,
        f"UPDATE contents SET document = '', recipients = '' WHERE id IN ({SENT}, {FAILED})",
        f"UPDATE messages SET cleared_at = 1 WHERE id IN ({SENT}, {FAILED})",
    )
    assert audit(full).faults == []


def test_the_chunks_of_a_large_store_make_no_difference(
    full: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(full, f"DELETE FROM contents WHERE id IN ({SENT}, {QUEUED})")
    whole = audit(full)
    monkeypatch.setattr(audits, "CHUNK", 5)
    told: list[int] = []
    chunked = full.read_now(audits.audit, told.append)
    assert (chunked.balances, chunked.faults) == (whole.balances, whole.faults)
    assert len(chunked.faults) == 2
    assert told == [5] * 7 + [1]
    assert sum(told) == full.read_now(audits.size) == 36


def test_many_messages_with_one_fault_are_counted_not_listed(
    full: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audits, "NAMED", 3)
    change(full, "DELETE FROM contents")
    *named, more = audit(full).faults
    assert len(named) == 3
    assert more == "and 33 more: its contents are missing"


def test_the_whole_audit_is_of_one_moment(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail that comes in while it runs changes neither side."""
    monkeypatch.setattr(audits, "CHUNK", 10)
    number = iter(range(100, 200))

    def meanwhile(count: int) -> None:
        put(full, next(number), "queued", at=CREATED + 10 * DAY)

    found = full.read_now(audits.audit, meanwhile)
    assert found.faults == []
    assert sum(balance.rows for balance in found.balances.values()) == 33
    assert sum(balance.rows for balance in audit(full).balances.values()) == 37


@pytest.mark.slow
@pytest.mark.sqlite
def test_the_command_prints_a_table_and_is_content(offline: Daemon, full: Store) -> None:
    ran = offline.command("audit")
    assert (ran.returncode, ran.stderr) == (0, "")
    head, *lines, total, verdict = ran.stdout.splitlines()
    assert head.split() == [
        "server",
        "day",
        "accepted",
        *states.ENDS,
        "waiting",
        "screened",
    ]
    assert [line.split()[:2] for line in lines] == [
        ["contactform", "2026-09-21"],
        ["default", "2026-09-21"],
        ["default", "2026-09-22"],
    ]
    assert lines[0].split()[2:] == ["11", "1", "1", "1", "1", "1", "1", "5", "1"]
    assert total.split() == ["all", "33", "3", "3", "3", "3", "3", "3", "15", "3"]
    assert verdict == "in balance: 33 messages accepted, every one in its place"


@pytest.mark.slow
@pytest.mark.sqlite
def test_the_command_tells_an_imbalance_and_exits_with_1(offline: Daemon, full: Store) -> None:
    change(full, "UPDATE ledger SET accepted = 12 WHERE server = 'contactform'")
    ran = offline.command("audit", "--server", "default", "--since", "2026-09-22")
    assert ran.returncode == 1
    assert [line.split()[:2] for line in ran.stdout.splitlines()[1:-2]] == [
        ["default", "2026-09-22"]
    ]
    assert "imbalance: contactform 2026-09-21: 12 accepted, but 11 found" in ran.stdout
    assert "in balance" not in ran.stdout


@pytest.mark.slow
def test_the_command_works_beside_a_daemon(offline: Daemon) -> None:
    with offline:
        key = offline.made_keys()["application"]
        form = {"to": "desk@example.gov", "from_address": "a@example.com"} | {
            "subject": "Hi",
            "message": "Hi.",
        }
        for _ in range(3):
            assert offline.post("/rest/email/default", key, data=form).status_code == 200
        ran = offline.command("audit")
    assert ran.returncode == 0, ran.stdout
    assert "in balance: 3 messages accepted" in ran.stdout
