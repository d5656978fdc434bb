"""What a running site holds about a person is found; erased, it is in no file and no memory."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from relay.core import clock
from relay.core.addresses import Address
from relay.core.logs import fingerprint
from relay.core.mentions import Mentions
from relay.core.message import ProviderEvent
from relay.operators import person
from relay.operators.person import Outcome, Persons
from relay.site import Site
from relay.store.engine.database import Store
from relay.store.maintenance import audit
from relay.store.outbox import enqueue
from relay.store.person import export
from relay.store.suppressions import Word
from relay.store.words import index
from tests.conftest import Outbox, Post
from tests.support.keys import key
from tests.support.person import BY, files_naming, fill, message, name_in_templates, naming
from tests.support.postgresql import engine_of
from tests.support.stored import happened

pytestmark = pytest.mark.slow

JO, BAJO = "Jo.Doe@x-y.gov", "ba-jo.doe@x-y.gov"
SETTINGS = (
    key("application", "contactform")
    + """
[servers.contactform]
plugins = ["bearer_token", "contactform", "mailbox"]
sender = "relay@example.gov"
recipients = ["@example.gov", "desk@example.org"]
"""
)


@pytest.fixture
def settings_toml() -> str:
    return SETTINGS


def dumped(store: Store) -> str:
    """What a server's tables hold, as COPY writes it."""
    assert store.shared is not None
    engine = engine_of(store.shared.writing.url.render_as_string(hide_password=False))
    parts = []
    with engine.connect() as connection:
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        for name in connection.execute(text(tables)).scalars():
            cursor: Any = connection.connection.driver_connection.cursor()
            with cursor.copy(f'COPY "{name}" TO STDOUT') as copy:
                parts += [bytes(block) for block in copy]
    engine.dispose()
    return b"".join(parts).decode()


@pytest.mark.gen_test(timeout=30)
async def test_an_erased_address_is_in_no_file_and_no_table(
    site: Site, tmp_path: Path, engine: str
) -> None:
    for number in range(40):
        fill(site.store, f"{number}{BAJO}", first=1000 + 10 * number)
    for number in range(20):
        fill(site.store, JO, first=10 * number)
    outcome = await site.persons.erase(JO.upper(), BY, cancel=False)
    assert (outcome.cleared, outcome.changed, outcome.left) == (100, 40, [])
    assert (outcome.kept, outcome.copies, outcome.remains) == ({}, [], False)
    assert site.store.read_now(audit.audit).faults == []
    assert f"39{BAJO}" in json.dumps(naming(site.store, f"39{BAJO}"), default=str)
    # Whoever's address ends like it is still there.
    whole = JO.lower()
    found = [row for rows in naming(site.store, whole).values() for row in rows]
    assert all(BAJO in repr(row).lower() for row in found)
    if engine == "postgresql":
        assert f"<{JO}>" not in dumped(site.store)
        assert f"<{whole}>" not in dumped(site.store).lower()


@pytest.mark.gen_test(timeout=30)
async def test_no_byte_of_it_is_left_in_the_data_folder(
    site: Site, tmp_path: Path, engine: str
) -> None:
    for number in range(30):
        fill(site.store, f"other{number}@x-y.gov", first=1000 + 10 * number)
        fill(site.store, JO, first=10 * number)
    if engine == "sqlite":
        assert files_naming(tmp_path, JO) != []
    await site.persons.erase(JO, BY, cancel=False)
    assert files_naming(tmp_path, JO) == []
    assert naming(site.store, "jo.doe") == {}
    if engine == "postgresql":
        assert "jo.doe" not in dumped(site.store).lower()


@pytest.mark.gen_test(timeout=30)
async def test_no_search_finds_its_words_and_they_go_from_the_index(
    site: Site, tmp_path: Path, engine: str
) -> None:
    fill(site.store, "zyx.wvu@x-y.gov")
    fill(site.store, BAJO, first=100)
    for _ in range(3):
        site.store.write_now(index.follow, [clock.now() + 60])
        site.store.write_now(index.go_back, [None])
    indexed = "SELECT count(*) FROM words"
    count = site.store.read_now(lambda connection: connection.execute(text(indexed)).scalar_one())
    assert count == 14
    await site.persons.erase("zyx.wvu@x-y.gov", BY, cancel=False)
    words = "SELECT * FROM words"
    rows = site.store.read_now(lambda connection: connection.execute(text(words)).all())
    assert "wvu" not in repr(rows)
    while any(site.store.write_now(index.purge, [clock.now()])):
        pass
    await site.store.scrub()
    assert files_naming(tmp_path, "wvu") == []
    if engine == "postgresql":
        assert "wvu" not in dumped(site.store)


def test_what_came_in_meanwhile_is_told() -> None:
    lines = list(person.report(Outcome(cleared=1, left=[("1", "sent", ""), ("2", "held", "why")])))
    assert lines == [
        "erased: 1 message cleared, 0 of others changed",
        "1  left: it came in meanwhile; erase again",
        "2  left: it is held, not over yet (why)",
    ]


@pytest.mark.sqlite
@pytest.mark.gen_test(timeout=30)
async def test_what_stands_in_the_files_free_space_goes_unless_the_file_is_too_large(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(site.store.path)) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("CREATE TABLE left_over (words TEXT)")
        connection.execute("INSERT INTO left_over VALUES (?)", [f"{JO} " * 10_000])
        connection.execute("DROP TABLE left_over")
        connection.commit()
    monkeypatch.setattr(person, "REWRITTEN_BYTES", 1)
    outcome = await site.persons.erase(JO, BY, cancel=False)
    assert outcome.remains
    assert "may hold it yet: stop the daemon and erase again" in "".join(person.report(outcome))
    assert files_naming(tmp_path, JO) == ["relay.db"]
    outcome = await site.persons.erase(JO, BY, cancel=False, is_alone=True)
    assert not outcome.remains
    assert files_naming(tmp_path, JO) == []


@pytest.mark.sqlite
@pytest.mark.gen_test(timeout=30)
async def test_who_reads_the_log_is_waited_for(site: Site, tmp_path: Path) -> None:
    fill(site.store, JO)
    reader = sqlite3.connect(site.store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM messages").fetchone()
    assert not await site.store.scrub()
    committed = asyncio.Event()

    async def erased(*_: object) -> None:
        committed.set()

    persons = Persons(site.store, lambda: site.settings, site.secret, erased)
    erasing = asyncio.ensure_future(persons.erase(JO, BY, cancel=False))
    await committed.wait()
    assert naming(site.store, JO) == {}
    assert files_naming(tmp_path, JO) != []
    reader.close()
    outcome = await erasing
    assert not outcome.remains
    assert files_naming(tmp_path, JO) == []


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_copies_that_hold_it_are_named(site: Site) -> None:
    fill(site.store, JO)
    data = site.settings.data
    copy = data / "relay.db.before-0009"
    copy.write_bytes(b"\0" * (2**20 - 5) + JO.upper().encode() + b"\0")
    (data / "relay.db.before-0008").write_bytes(b"nobody")
    outcome = await site.persons.erase(JO, BY, cancel=False)
    assert outcome.copies == [str(copy)]
    assert f"{copy} may hold it: delete that copy" in list(person.report(outcome))


@pytest.mark.gen_test
async def test_what_waits_must_be_cancelled_first(site: Site, outbox: Outbox) -> None:
    waits, sending = message(1, "queued", writer=JO), message(2, "sending", writer=JO)
    other = message(3, "held", text=f"Ask {JO}.")
    site.store.write_now(enqueue.add_together, [[waits, sending, other]])
    outcome = await site.persons.erase(JO, BY, cancel=False)
    words = "2 messages are not over yet: nothing is erased unless what waits may be cancelled"
    assert outcome.problem == words
    assert len(outbox.rows()) == 3
    outcome = await site.persons.erase(JO, BY, cancel=True)
    assert outcome.cleared == 1
    why = "it is sending; only what is queued, scheduled, held can be cancelled"
    assert outcome.left == [(sending.id, "sending", why), (other.id, "held", "")]
    assert not outcome.remains


@pytest.mark.gen_test
async def test_memory_brings_nothing_back(site: Site, post: Post, outbox: Outbox) -> None:
    """A cancelled message is not sent from memory; who got no mail gets none."""
    await site.pauses.pause("contactform", BY)
    form = {
        "to_address": "desk@example.gov",
        "from_address": JO,
        "subject": "An idea",
        "message": "Hello.",
    }
    assert (await post("/rest/email/contactform", form)).status == 200
    now = clock.now()
    await site.suppressions.note([Word("contactform", JO.lower(), "bounced", now)])
    assert site.dispatcher.waiting == 1
    outcome = await site.persons.erase(JO, BY, cancel=True)
    assert (outcome.cleared, outcome.left) == (1, [])
    assert site.dispatcher.waiting == 0
    await site.pauses.resume("contactform", BY)
    await site.dispatcher.deliver_waiting()
    rows = site.store.read_now(
        lambda c: c.execute(text("SELECT state FROM messages")).scalars().all()
    )
    assert rows == ["cancelled"]
    assert site.suppressions.among([Address(JO)], "contactform", now) == {JO.lower()}
    assert naming(site.store, JO) == {}


@pytest.mark.gen_test
async def test_who_stands_in_the_settings_is_no_person(site: Site, outbox: Outbox) -> None:
    fill(site.store, "Desk@example.org")
    for address in ("desk@example.org", "RELAY@example.gov"):
        outcome = await site.persons.erase(address, BY, cancel=True)
        assert outcome.problem.startswith(f"{address.lower()} stands in the settings (contactform ")
    assert "Desk@example.org" in json.dumps(outbox.last()["document"])


@pytest.mark.gen_test
async def test_what_the_installation_says_of_itself_is_left_to_it(site: Site) -> None:
    name_in_templates(site.store, JO)
    outcome = await site.persons.erase(JO, BY, cancel=False)
    assert outcome.kept == {"names of operators": 1, "templates": 1}
    assert set(naming(site.store, JO)) == {"operators", "templates"}


@pytest.mark.gen_test
async def test_the_log_and_the_act_have_its_digest(
    site: Site, events: list[dict[str, Any]]
) -> None:
    fill(site.store, JO)
    await site.persons.erase(JO, BY, cancel=False)
    [event] = [one for one in events if one["event"] == "person.erased"]
    named = fingerprint(site.secret, Address(JO))
    assert (event["person"], event["cleared"], event["changed"]) == (named, 5, 2)
    assert "jo.doe" not in json.dumps(events).lower()


@pytest.mark.gen_test
async def test_the_export_has_all_of_it_and_no_secret(site: Site) -> None:
    ids = fill(site.store, JO)
    fill(site.store, BAJO, first=100)
    found = await site.persons.find(JO)
    mentions = Mentions(JO)
    document = export.Document(mentions.address, 0.0)
    pieces = [
        document.piece(section, site.store.read_now(query))
        for section, query in export.sections(found, mentions)
    ]
    handed = json.loads("".join(pieces) + document.end())
    assert handed["address"] == JO.lower()
    assert handed["exported_at"] == "1970-01-01T00:00:00+00:00"
    assert [one["id"] for one in handed["messages"]] == [one.id for one in found.own]
    written = handed["messages"][0]
    assert written["document"]["reply_to"] == [[JO, "A Resident"]]
    assert written["labels"] == [{"name": "writer", "value": JO}]
    assert written["receipts"] == [{"reference": "R-0", "address": JO, "done_at": None}]
    assert [one["id"] for one in handed["mentioned_in"]] == [ids["mentioned"], ids["broken"]]
    assert "My wife" not in json.dumps(handed)
    assert [one["server"] for one in handed["suppressions"]] == ["contactform", "registry"]
    assert handed["idempotency"][0]["answer"]["To"] == JO
    assert BAJO not in json.dumps(handed)
    for secret in ("application", "website", "fingerprint", "digest", "password"):
        assert secret not in json.dumps(handed)


def test_an_export_of_nothing_is_json_too() -> None:
    assert json.loads(export.Document("a@x.gov", 0.0).end())["address"] == "a@x.gov"


@pytest.mark.gen_test
async def test_what_came_in_secret_names_nobody_else(site: Site) -> None:
    one = message(1, document={"bcc": [[JO, ""], ["ann@x-y.gov", ""]]})
    site.store.write_now(enqueue.add_together, [[one]])
    found = await site.persons.find(JO)
    [(_, query)] = export.sections(found, Mentions(JO))
    [handed] = site.store.read_now(query)
    assert handed["document"]["bcc"] == [[JO, ""]]


@pytest.mark.parametrize("kind", ["bounced", "complained", "unsubscribed", "delivered"])
@pytest.mark.gen_test
async def test_a_late_word_of_the_provider_brings_no_address_back(site: Site, kind: Any) -> None:
    one = message(1, to=[JO])
    site.store.write_now(enqueue.add_together, [[one]])
    await site.persons.erase(JO, BY, cancel=False)
    chain, now = site.chains["contactform"], clock.now()
    for number in range(2):
        event = ProviderEvent(
            kind, f"{kind} {number}", one.id, "", JO, permanent=True, at=now, words=f"{number}"
        )
        await site.provider_events.take([event], chain, site.chains, now)
    assert naming(site.store, JO) == {}
    assert [word for name, word in happened(site.store, one.id) if name == kind] == ["0", "1"]
    suppressed = site.suppressions.among([Address(JO)], "contactform", now)
    assert suppressed == ({JO.lower()} if kind != "delivered" else set())


@pytest.mark.gen_test
async def test_a_word_lifts_what_stands_for_an_address(site: Site) -> None:
    fill(site.store, JO)
    await site.persons.erase(JO, BY, cancel=False)
    chain, now = site.chains["contactform"], clock.now()
    assert site.suppressions.among([Address(JO)], "contactform", now) == {JO.lower()}
    event = ProviderEvent("resubscribed", "1", "", "", JO, at=now)
    await site.provider_events.take([event], chain, site.chains, now)
    assert site.suppressions.among([Address(JO)], "contactform", now) == set()
    assert naming(site.store, JO) == {}
