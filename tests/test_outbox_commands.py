"""What the commands `queue` and `mailbox` say of a message, without a daemon."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import message_from_string
from pathlib import Path

import pytest

from relay import records
from relay import settings as relay_settings
from relay.addresses import Address
from relay.app import Site, make_site
from relay.message import Attachment, Message, freeze
from relay.store import outbox
from relay.store.outbox import Claimed, ClaimOrder, Settlement
from tests.daemon import ROOT, Daemon

PLAN = Attachment("plan.pdf", "application/pdf", "JVBERi0xLjc=")
MESSAGE = Message(
    Address("relay@example.gov"), (Address("desk@example.gov"),), subject="Hi", text="Hello."
)
HOUR = 3600.0

Store = Callable[..., str]


@pytest.fixture
def offline(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, (ROOT / "settings.toml").read_text(encoding="utf-8"))


@pytest.fixture
def site(offline: Daemon) -> Iterator[Site]:
    site = make_site(relay_settings.load(offline.settings))
    site.open()
    yield site
    site.close()


@pytest.fixture
def store(site: Site) -> Store:
    """Store a message with warnings and settle its attempts, an hour apart; give its id."""

    def store_message(message: Message, *outcomes: str, warnings: tuple[str, ...] = ()) -> str:
        message = records.identified(message, site.metadata_key)
        row = records.record(message, site.chains["default"].server, "application", warnings)
        site.store.write_now(outbox.add, [row])
        for number, outcome in enumerate(outcomes, 1):
            at = row.created_at + number * HOUR
            order = ClaimOrder(at, 1, {"default": outbox.Lane("default", 1)})
            [[[claimed]]] = site.store.write_now(outbox.claim, [order])
            site.store.write_now(outbox.settle, [[settled(claimed, outcome, at)]])
        return message.id

    return store_message


def settled(claimed: Claimed, outcome: str, at: float) -> Settlement:
    state = "queued" if outcome == "deferred" else outcome
    words = f"said {outcome}"
    return Settlement(claimed, state, at, True, "mailbox", outcome, words, at, at + 1.5)


def test_queue_show_tells_the_history_in_order_of_time(offline: Daemon, store: Store) -> None:
    warnings = ("the model has no `name`", "the model has no `street`")
    id = store(MESSAGE, "deferred", "failed", warnings=warnings)
    ran = offline.command("queue", "show", id)
    assert ran.returncode == 0, ran.stderr
    head, to, *told = ran.stdout.splitlines()
    assert head == f"{id}  failed  server default  key application"
    assert to == "to desk@example.gov"
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


def test_queue_show_tells_when_a_message_is_due(offline: Daemon, store: Store) -> None:
    ran = offline.command("queue", "show", store(MESSAGE))
    assert re.search(r"\n\d{4}-\S+ \S+Z  due\n", ran.stdout)


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
