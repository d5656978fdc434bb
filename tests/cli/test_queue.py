"""What the commands `queue` and `mailbox` say of a message, without a daemon."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from relay.config import settings as relay_settings
from relay.core.addresses import Address
from relay.core.immutable import freeze
from relay.core.message import Attachment, Message
from relay.intake.outbox import identified
from relay.site import Site, open_site
from relay.store.engine.database import Store as Database
from relay.store.outbox import enqueue
from relay.store.outbox import outcomes as settling
from relay.store.outbox.outcomes import AttemptOutcome, Claimed
from relay.store.schema import messages
from tests.support.daemon import ROOT, Daemon
from tests.support.stored import CREATED, new_id, put, row, rows

PLAN = Attachment("plan.pdf", "application/pdf", "JVBERi0xLjc=")
MESSAGE = Message(
    Address("relay@example.gov"),
    (Address("desk@example.gov"),),
    reply_to=(Address("Jane@example.com"),),
    subject="Hi",
    text="Hello.",
)
HOUR = 3600.0
FAR = 4e9
NO_DAEMON = "why: It waits, because no daemon runs on these settings."
START = "do: Start it: `run.py serve`."

Store = Callable[..., str]


@pytest.fixture
def offline(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, (ROOT / "settings.toml").read_text(encoding="utf-8"))


@pytest.fixture
def site(offline: Daemon) -> Iterator[Site]:
    with open_site(relay_settings.load(offline.settings)) as site:
        yield site


@pytest.fixture
def store(site: Site) -> Store:
    """Store a message with warnings and settle its attempts, an hour apart; give its id."""

    def store_message(message: Message, *outcomes: str, warnings: tuple[str, ...] = ()) -> str:
        message = identified(message, site.outbox.metadata_key)
        row = enqueue.new_message(message, site.chains["default"].server, "application", warnings)
        site.store.write_now(enqueue.add, [row])
        for number, outcome in enumerate(outcomes, 1):
            at = row.created_at + number * HOUR
            claimed = Claimed(message.id, "default", number, at, number - 1, number - 1)
            site.store.write_now(sending, [claimed])
            [[done]] = site.store.write_now(settling.settle, [[settled(claimed, outcome, at)]])
            assert done
        return message.id

    return store_message


def sending(connection: Connection, batch: Sequence[Claimed]) -> Sequence[None]:
    """Claim messages, whatever is due."""
    for one in batch:
        mine = update(messages).where(messages.c.id == one.id)
        connection.execute(mine.values(state="sending", fence=one.fence))
    return [None] * len(batch)


def settled(claimed: Claimed, outcome: str, at: float) -> AttemptOutcome:
    state = "queued" if outcome == "deferred" else outcome
    words = f"said {outcome}"
    return AttemptOutcome(claimed, state, at, True, "mailbox", outcome, words, at, at + 1.5)


def test_queue_show_tells_the_history_in_order_of_time(offline: Daemon, store: Store) -> None:
    warnings = ("the model has no `name`", "the model has no `street`")
    id = store(MESSAGE, "deferred", "failed", warnings=warnings)
    ran = offline.command("queue", "show", id)
    assert ran.returncode == 0, ran.stderr
    head, to, writer, subject, *told, why, what = ran.stdout.splitlines()
    assert why == "why: The provider refused it for good: said failed."
    assert what == "do: Once the reason is mended, `queue retry`; else `queue dismiss`."
    assert head == f"{id}  failed  server default  key application"
    assert to == "to desk@example.gov"
    assert (writer, subject) == ("writer jane@example.com", "subject Hi")
    times, words = zip(*(line.split("  ", 1) for line in told), strict=True)
    assert list(words) == [
        "accepted with key application",
        "warning: the model has no `name`",
        "warning: the model has no `street`",
        "deferred by mailbox after 1.50 s: said deferred",
        "failed by mailbox after 1.50 s: said failed",
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", time) for time in times)
    assert list(times) == sorted(times)
    assert len(set(times)) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "columns", "lines"),
    [
        ("queued", {}, ["TIME  due", NO_DAEMON, START]),
        ("scheduled", {}, ["TIME  scheduled: due", NO_DAEMON, START]),
        (
            "sending",
            {},
            [
                "TIME  its claim ends: then it is in doubt",
                (
                    "why: An attempt runs; if it brings no answer by TIME, it is in doubt and is "
                    "looked up."
                ),
                "do: Nothing: it goes on by itself.",
            ],
        ),
        (
            "in_doubt",
            {},
            [
                "TIME  is looked up at the provider",
                (
                    "why: Nobody knows whether the provider took it: it waits, because no daemon "
                    "runs on these settings."
                ),
                START,
            ],
        ),
        (
            "held",
            {"words": "only its beginning fits"},
            [
                "why: It is held until a person has looked at it: only its beginning fits.",
                "do: Send it as it is: `queue release`; or never: `queue cancel`.",
                "now: only its beginning fits",
            ],
        ),
        (
            "expired",
            {"tries": 7},
            [
                "why: It was given up after 7 attempts and its time of 72 hours.",
                "do: Once the reason is mended, `queue retry`; else `queue dismiss`.",
            ],
        ),
        (
            "quarantined",
            {},
            [
                "why: No mail can be made of what is stored: it cannot be read.",
                "do: Ask its writer to send it again, then `queue dismiss`.",
            ],
        ),
        ("cancelled", {}, ["why: It was cancelled, so it is never sent."]),
        (
            "queued",
            {"maybe_twice": True},
            ["TIME  due", f"{NO_DAEMON} It may have been delivered twice.", START],
        ),
        (
            "quarantined",
            {"crashes": 4, "words": "it broke"},
            [
                (
                    "why: Sending it failed badly 4 times, so it is not tried again by itself: it "
                    "broke."
                ),
                (
                    "do: Look for what the log says of it, mend the plugin, then `queue release`; "
                    "else `queue dismiss`."
                ),
                "flag: sending it failed badly 4 times",
                "now: it broke",
            ],
        ),
        (
            "queued",
            {"server": "gone"},
            [
                "TIME  due",
                (
                    "why: It waits, because settings.toml has no server gone, and because no "
                    "daemon runs on these settings."
                ),
                (
                    "do: Put the server back into settings.toml and `run.py reload`, or cancel it. "
                    "Start it: `run.py serve`."
                ),
            ],
        ),
    ],
)
def test_queue_show_tells_what_is_next_in_every_state(
    offline: Daemon, site: Site, state: str, columns: dict[str, Any], lines: list[str]
) -> None:
    id = put(site.store, 1, state, **columns)
    ran = offline.command("queue", "show", id)
    assert ran.returncode == 0, ran.stderr
    _, _, _, _, accepted, *told = ran.stdout.splitlines()
    assert accepted.endswith("  accepted with key application")
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
    assert [re.sub(time, "TIME", line) for line in told] == lines


def test_queue_show_tells_events_and_attempts_in_one_order_and_nothing_to_a_terminal(
    offline: Daemon, site: Site
) -> None:
    happened = [("interrupted", CREATED + 20), ("absent", CREATED + 30), ("retried", CREATED + 50)]
    tried = [("in_doubt", CREATED + 10), ("deferred", CREATED + 60)]
    words = "ends\x1b[2J"
    id = put(site.store, 1, "queued", happened=happened, tried=tried, words=words)
    told = offline.command("queue", "show", id).stdout.splitlines()[4:]
    assert [line[22:].partition(" ")[0].rstrip(":") for line in told[:6]] == [
        "accepted",
        "in_doubt",
        "interrupted",
        "absent",
        "retried",
        "deferred",
    ]
    assert told[-1] == "now: ends\\x1b[2J"


def test_queue_show_names_a_message_that_is_not_there(offline: Daemon, site: Site) -> None:
    ran = offline.command("queue", "show", "0" * 36)
    assert ran.returncode == 1
    assert "no message 0000" in ran.stderr


def test_mailbox_show_prints_the_mail_with_its_files(offline: Daemon, store: Store) -> None:
    ran = offline.command("mailbox", "show", store(replace(MESSAGE, attachments=(PLAN,)), "sent"))
    assert ran.returncode == 0, ran.stderr
    text, plan = message_from_string(ran.stdout).get_payload()
    assert text.get_payload(decode=True) == b"Hello."
    assert plan.get_filename() == "plan.pdf"
    assert plan.get_payload(decode=True) == b"%PDF-1.7"


@pytest.mark.parametrize(
    ("values", "subject"),
    [
        ({"subject": None, "text": None}, "of the model"),
        ({"subject": "rendered"}, "rendered"),
    ],
)
def test_mailbox_show_prints_a_templates_parts_or_its_model(
    offline: Daemon, store: Store, values: dict[str, str | None], subject: str
) -> None:
    model = freeze({"subject": "of the model", "TextBody": "t"})
    message = replace(MESSAGE, template="welcome", model=model, **values)
    ran = offline.command("mailbox", "show", store(message, "sent"))
    assert message_from_string(ran.stdout)["Subject"] == subject


@pytest.fixture(params=["daemon", "alone"])
def running(request: pytest.FixtureRequest, offline: Daemon) -> Iterator[Daemon]:
    """What commands find: a daemon, or none. Mail of a server that is not there stays as it is."""
    store = Database(f"sqlite:///{offline.folder}/var/relay.db", offline.folder / "var")
    store.path.parent.mkdir()
    store.open()
    for number in range(3):
        put(store, number, "failed", server="gone")
        put(store, 10 + number, "in_doubt", server="gone", due_at=FAR)
        put(store, 20 + number, "scheduled", server="gone", due_at=FAR)
        put(store, 30 + number, "held", server="other")
    store.close()
    if request.param == "alone":
        yield offline
        return
    with offline:
        yield offline


def stored(daemon: Daemon) -> dict[str, str]:
    """The states of messages, by id."""
    store = Database(f"sqlite:///{daemon.folder}/var/relay.db", daemon.folder / "var")
    return {one["id"]: one["state"] for one in rows(store, "SELECT id, state FROM messages")}


def waiting(daemon: Daemon) -> int:
    found = re.search(r"^waiting +(\d+)$", daemon.command("status").stdout, re.MULTILINE)
    return int(found[1])


@pytest.mark.slow
def test_orders_are_done_where_they_apply_and_the_rest_is_named(running: Daemon) -> None:
    failed, scheduled, held = new_id(0), new_id(20), new_id(30)
    before = stored(running)
    ran = running.command("queue", "retry", failed, scheduled, "nowhere")
    assert ran.returncode == 1
    assert ran.stdout == f"{failed}  queued\n"
    assert [line.partition(": ")[0] for line in ran.stderr.splitlines()] == [
        f"{scheduled}  left alone",
        "nowhere  left alone",
    ]
    assert stored(running) == before | {failed: "queued"}
    ran = running.command("queue", "cancel", failed, scheduled, held)
    assert (ran.returncode, ran.stderr) == (0, "")
    cancelled = dict.fromkeys((failed, scheduled, held), "cancelled")
    assert stored(running) == before | cancelled
    if running.process is not None:
        assert waiting(running) == 2  # of the three scheduled ones


@pytest.mark.slow
def test_what_may_arrive_twice_is_asked_for(running: Daemon) -> None:
    id = new_id(10)
    before = stored(running)
    for name in ("retry", "release"):
        ran = running.command("queue", name, id, stdin="")
        assert ran.returncode == 1
        assert "may arrive twice. Go on? nothing was changed: no terminal" in ran.stderr
    assert stored(running) == before
    ran = running.command("queue", "release", "--yes", id)
    assert (ran.returncode, ran.stdout) == (0, f"{id}  queued\n")
    assert stored(running) == before | {id: "queued"}
    assert "It may have been delivered twice" in running.command("queue", "show", id).stdout


@pytest.mark.slow
def test_all_of_a_state_and_a_server_are_asked_for_and_done(running: Daemon) -> None:
    before = stored(running)
    ran = running.command("queue", "release", "--all", "--state", "held", stdin="")
    assert (ran.returncode, "Release 3 messages? nothing was changed" in ran.stderr) == (1, True)
    assert stored(running) == before
    ran = running.command(
        "queue", "release", "--all", "--state", "held", "--server", "gone", "--yes"
    )
    assert (ran.returncode, ran.stdout) == (0, "there are none\n")
    ran = running.command(
        "queue", "release", "--all", "--state", "held", "--server", "Other", "--yes"
    )
    assert (ran.returncode, ran.stdout) == (0, "3 messages released\n")
    assert stored(running) == before | {new_id(30 + number): "queued" for number in range(3)}


@pytest.mark.slow
def test_dismissed_messages_leave_the_list_and_found_ones_are_sent(running: Daemon) -> None:
    ran = running.command("queue", "dismiss", "--all", "--state", "failed", "--yes")
    assert (ran.returncode, ran.stdout) == (0, "3 messages dismissed\n")
    assert " failed " not in running.command("queue").stdout
    assert running.command("queue", "--dismissed").stdout.count(" failed ") == 3
    ran = running.command("queue", "dismiss", new_id(0))
    assert (ran.returncode, "it was dismissed before" in ran.stderr) == (1, True)
    ran = running.command("queue", "found", new_id(10))
    assert (ran.returncode, ran.stdout) == (0, f"{new_id(10)}  sent\n")
    assert running.command("audit").returncode == 0


@pytest.mark.slow
def test_the_list_is_picked_by_state_and_server_and_paged(running: Daemon) -> None:
    assert len(running.command("queue").stdout.splitlines()) == 12
    assert len(running.command("queue", "--server", "OTHER").stdout.splitlines()) == 3
    ran = running.command("queue", "--state", "in_doubt", "--limit", "2")
    assert [line[:36] for line in ran.stdout.splitlines()] == [new_id(12), new_id(11)]
    ran = running.command("queue", "--state", "in_doubt", "--below", new_id(11))
    assert [line[:36] for line in ran.stdout.splitlines()] == [new_id(10)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--all"],
        ["--all", "--server", "gone"],
        ["--all", "--state", "failed", "some-id"],
        ["--state", "failed"],
        ["some-id", "--server", "gone"],
        ["--all", "--state", "sent"],
    ],
)
def test_an_order_that_does_not_say_which_messages_is_refused(
    offline: Daemon, site: Site, options: list[str]
) -> None:
    id = put(site.store, 1, "failed")
    ran = offline.command("queue", "retry", "--yes", *options)
    assert ran.returncode == 2
    assert "Usage:" in ran.stderr
    assert row(site.store, id)["state"] == "failed"


@pytest.mark.slow
def test_a_paused_servers_mail_waits_until_it_is_resumed(offline: Daemon) -> None:
    form = {"to": "desk@example.gov", "from_address": "a@example.com"}
    form |= {"subject": "Hi", "message": "Hi."}
    with offline:
        key = offline.made_keys()["application"]
        ran = offline.command("pause", "Default")
        assert (ran.returncode, ran.stdout) == (0, "default  paused\n")
        reply = offline.post("/rest/email/default", key, data=form)
        assert reply.json()["response"] == "Message queued"
        status = offline.command("status").stdout
        assert re.search(r"^paused +default since 20", status, re.MULTILINE)
        listed = offline.command("queue")
        assert "default is paused since " in listed.stderr
        shown = offline.command("queue", "show", listed.stdout[:36]).stdout
        assert "why: It waits, because default is paused since " in shown
        assert "default is paused since " in offline.command("check").stdout
        ran = offline.command("resume", "default")
        assert (ran.returncode, ran.stdout) == (0, "default  resumed\n")
        while offline.command("queue").stdout:
            pass
        assert "Hi" in offline.command("mailbox").stdout
        assert "paused since" not in offline.command("check").stdout


@pytest.mark.slow
def test_a_server_is_paused_without_a_daemon_and_stays_so(offline: Daemon) -> None:
    with offline:
        pass
    ran = offline.command("pause", "contactfrm")
    assert (ran.returncode, "did you mean" in ran.stderr.lower()) == (1, True)
    assert offline.command("pause", "contactform").returncode == 0
    assert "contactform is paused since " in offline.command("check").stdout
    with offline:
        assert re.search(
            r"^paused +contactform since 20", offline.command("status").stdout, re.MULTILINE
        )
    assert offline.command("resume", "contactform").returncode == 0
    ran = offline.command("resume", "contactform")
    assert (ran.returncode, "contactform is not paused" in ran.stderr) == (1, True)


@pytest.mark.slow
def test_check_names_servers_whose_mail_waits_though_nobody_sends_it(
    offline: Daemon, site: Site
) -> None:
    put(site.store, 1, "queued", server="gone")
    assert "mail of gone waits, and no [servers.gone] is there" in offline.command("check").stdout


@pytest.mark.slow
def test_check_names_what_is_kept_for_ever_and_what_may_arrive_twice(offline: Daemon) -> None:
    settings = offline.settings.read_text(encoding="utf-8")
    settings = settings.replace(
        "[servers.default]", '[servers.default]\nkeep_days = 0\nin_doubt = "resend"'
    )
    offline.settings.write_text(settings, encoding="utf-8")
    stdout = offline.command("check").stdout
    assert "[servers.default] keep_days keeps for ever" in stdout
    assert '[servers.default] in_doubt is "resend"' in stdout
    assert "[servers.contactform] keep_days" not in stdout


def test_a_database_of_an_older_version_is_one_line(offline: Daemon, site: Site) -> None:
    with site.store._writing.connect() as connection, connection.begin():
        connection.exec_driver_sql("DROP TABLE ledger")
    ran = offline.command("audit")
    assert ran.returncode == 2
    assert "brought up to date when the daemon starts" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
