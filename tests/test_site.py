"""One installation: complete in one step or not there at all, and changed by one assignment."""

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text
from tornado.ioloop import IOLoop

from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.site import Site, open_site
from relay.store.engine.database import StoreUnreadable
from relay.web.application import make_app
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.stored import by

RECEIPT = SETTINGS.replace("return_to", "receipt = true\nreturn_to", 1)


def opens(settings: Settings) -> bool:
    with open_site(settings):
        return True


def new_threads(before: set[threading.Thread]) -> list[str]:
    return [one.name for one in threading.enumerate() if one not in before and one.is_alive()]


def test_a_site_neither_listens_nor_delivers_by_itself(
    settings: Settings, io_loop: IOLoop, outbox: Outbox, site: Site
) -> None:
    make_app(site)

    async def running() -> list[str]:
        import asyncio

        return [str(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert io_loop.run_sync(running) == []
    assert site.dispatcher.waiting == 0
    assert outbox.rows() == []


@pytest.mark.slow
def test_ten_sites_are_open_at_once(load: Callable[[str], Settings], tmp_path: Path) -> None:
    with ExitStack() as stack:
        toml = '[relay]\ndata = "varN"\n' + SETTINGS
        sites = [
            stack.enter_context(open_site(load(toml.replace("varN", f"var{n}")))) for n in range(10)
        ]
        assert len({site.store.path for site in sites}) == 10
        assert len({site.outbox.metadata_key for site in sites}) == 10


def newer_schema(settings: Settings) -> None:
    with open_site(settings) as site:
        for change in (
            "UPDATE alembic_version SET version_num = '9999'",
            "UPDATE installation SET value = '9999' WHERE name = 'oldest_schema'",
        ):
            made = text(change)
            site.store.write_now(
                lambda connection, batch, made=made: [connection.execute(made)], [None]
            )


def broken_receipt(settings: Settings) -> None:
    folder = settings.path.parent / "templates"
    folder.mkdir()
    (folder / "receipt.txt").write_text("{{#each reference}}x{{/each}}", encoding="utf-8")


def garbage(settings: Settings) -> None:
    settings.data.mkdir(exist_ok=True)
    (settings.data / "relay.db").write_bytes(b"this is no database, and will never be one" * 100)


@pytest.mark.parametrize("spoil", [newer_schema, broken_receipt, garbage])
def test_a_site_that_cannot_be_opened_leaves_nothing_open(
    load: Callable[[str], Settings],
    tmp_path: Path,
    spoil: Callable[[Settings], None],
) -> None:
    spoil(load(RECEIPT))
    settings, before = load(RECEIPT), set(threading.enumerate())
    for _ in range(2):  # the lock is free again: it fails for the same reason
        with pytest.raises(ConfigurationError) as caught:
            opens(settings)
        assert "another" not in str(caught.value)
    assert new_threads(before) == []
    for path in (tmp_path / "var" / "relay.db", tmp_path / "templates" / "receipt.txt"):
        path.unlink(missing_ok=True)
    assert opens(load(RECEIPT))


def test_a_part_that_cannot_be_made_closes_the_store_again(settings: Settings) -> None:
    with sqlite3.connect(settings.data / "relay.db") as connection:
        connection.execute("ALTER TABLE suppressions RENAME TO hidden")
    before = set(threading.enumerate())
    with pytest.raises(StoreUnreadable, match="no such table: suppressions"):
        opens(settings)
    assert new_threads(before) == []
    connection.execute("ALTER TABLE hidden RENAME TO suppressions")
    connection.close()
    assert opens(settings)


def test_of_two_sites_on_one_store_the_second_is_refused(site: Site, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="another"):
        opens(settings)


@pytest.mark.gen_test
async def test_a_reload_swaps_everything_in_one_assignment(
    site: Site, load: Callable[[str], Settings], post: Post, outbox: Outbox
) -> None:
    before = site.configuration
    site.reload(load(SETTINGS.replace("desk@example.org", "office@example.org")))
    assert site.configuration is not before
    assert before.chains["contactform"].server.recipients == {"@example.gov", "desk@example.org"}
    assert (
        await post("/rest/email/contactform", {**FORM, "to_address": "desk@example.org"})
    ).status == 400
    to_the_new_one = {**FORM, "to_address": "office@example.org"}
    assert (await post("/rest/email/contactform", to_the_new_one)).status == 200
    assert outbox.states() == ["sent"]


@pytest.mark.parametrize(
    "toml",
    [
        SETTINGS.replace('"honeypot"', '"honeypott"'),
        SETTINGS.replace("[servers.default]", "[servers.default]\nno_such_key = 1"),
        "[relay]\nport = 9\n" + SETTINGS,
    ],
)
def test_a_reload_that_is_refused_changes_nothing(
    site: Site, load: Callable[[str], Settings], toml: str
) -> None:
    before = site.configuration
    with pytest.raises(ConfigurationError):
        site.reload(load(toml))
    assert site.configuration is before


@pytest.mark.gen_test
async def test_a_pause_outlives_a_reload_and_ends_by_a_resume(
    site: Site, load: Callable[[str], Settings], post: Post
) -> None:
    await site.pauses.pause("default", by("somebody"))
    site.reload(load(SETTINGS))
    reply = await post("/rest/email/default", FORM)
    assert json.loads(reply.body)["response"] == "Message queued"
    await site.pauses.resume("default", by("somebody"))
    reply = await post("/rest/email/default", FORM)
    assert json.loads(reply.body)["response"] == "Message sent"
