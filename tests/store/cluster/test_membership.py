"""A daemon among others: it is heard of, it hears of changes, given up it joins anew."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection

from relay.core import clock
from relay.core.errors import ConfigurationError
from relay.core.secret import Secret
from relay.store import installation, suppressions
from relay.store.cluster import daemons, membership, versions
from relay.store.cluster.membership import Membership
from relay.store.engine.database import Store
from relay.store.suppressions import Suppressions, Word
from tests.store.cluster.conftest import Open
from tests.store.cluster.test_daemons import in_store, silence

# Words of other daemons are waited for.
pytestmark = pytest.mark.slow

Join = Callable[[Store, str], Membership]


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    """Make a store's daemon one of the others; each has a folder of its own."""
    with ExitStack() as closing:

        def joined(store: Store, folder: str) -> Membership:
            (tmp_path / folder).mkdir(exist_ok=True)
            member = Membership(store, tmp_path / folder, lambda: "digest", lambda: "here:8025")
            member.join()
            closing.callback(member.leave)
            return member

        yield joined
    clock.follow(0)


def test_the_first_that_joins_leads_and_each_may_send_what_is_its_own(
    another: Open, join: Join
) -> None:
    first, second = another(), another()
    leading, other = join(first, "one"), join(second, "two")
    assert leading.is_leader
    assert not other.is_leader
    assert leading.may_send(first.identity.number)
    assert not leading.may_send(second.identity.number)
    [one, two] = first.read_now(daemons.members)
    assert (one.is_leader, two.is_leader) == (True, False)
    assert (one.settings, one.address) == ("digest", "here:8025")


def test_a_database_of_its_own_has_one_daemon_that_always_leads(
    sqlite_store: Store, tmp_path: Path
) -> None:
    alone = Membership(sqlite_store, tmp_path, str, str)
    alone.join()
    assert alone.is_leader
    assert alone.may_send(0)
    assert sqlite_store.read_now(daemons.members) == []
    assert membership.unheard(sqlite_store, "pauses") == []


def test_a_second_daemon_in_the_same_folder_is_refused(another: Open, join: Join) -> None:
    first = join(another(), "one")
    with pytest.raises(ConfigurationError, match="another daemon uses this folder"):
        join(another(), "one")
    first.leave()
    join(another(), "one")


def test_one_that_was_given_up_joins_anew_and_sends_nothing_of_before(
    another: Open, join: Join
) -> None:
    store, other = another(), another()
    member = join(store, "one")
    before = store.identity.number
    silence(store, before, daemons.LAPSED_SECONDS + 5)
    assert in_store(other, daemons.end_lapsed) == [before]
    with store.shared.watching() as connection:  # type: ignore[union-attr]
        member._beat(connection)
    assert store.identity.number > before
    assert not member.may_send(before)
    assert member.may_send(store.identity.number)


def test_a_daemon_follows_the_clock_of_the_database(
    another: Open, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = time.time
    monkeypatch.setattr(time, "time", lambda: really() - 300)  # this machine's clock is late
    store = another()
    join(store, "one")
    assert clock.now() == pytest.approx(really(), abs=1)
    with store.shared.watching() as connection:  # type: ignore[union-attr]
        Membership._beat(join(another(), "two"), connection)
    [one, two] = store.read_now(daemons.members)
    assert two.offset == pytest.approx(-300, abs=1)
    assert one.age == pytest.approx(0, abs=3)


async def hears(member: Membership, changing: Store) -> None:
    """Pause a server elsewhere, and wait until a member has read again what is paused."""
    called = asyncio.Event()

    async def read() -> None:
        called.set()

    member.when_changed("pauses", read)
    await asyncio.to_thread(changing.write_now, installation.pause, [("default", 1.0)])
    async with asyncio.timeout(20):
        await called.wait()


@pytest.mark.gen_test
async def test_what_another_daemon_changes_is_read_again(another: Open, join: Join) -> None:
    listening, changing = another(), another()
    member = join(listening, "one")
    member.start()
    await hears(member, changing)
    assert await asyncio.to_thread(membership.unheard, changing, "pauses") == []
    await member.stop()
    member.leave()
    assert changing.read_now(daemons.members) == []


@pytest.mark.gen_test
async def test_a_daemon_that_does_not_hear_is_named(another: Open, join: Join) -> None:
    store, changing = another(), another()
    join(store, "one")  # it never starts to listen
    changing.write_now(installation.pause, [("default", 1.0)])
    [deaf] = await asyncio.to_thread(membership.unheard, changing, "pauses", 0.1)
    assert deaf.id == store.identity.number


@pytest.mark.gen_test
async def test_an_address_that_one_daemon_suppresses_gets_no_mail_of_another(
    another: Open,
) -> None:
    here, there = another(), another()
    secret = Secret("of both")
    known, others = Suppressions(here, 0.0, secret), Suppressions(there, 0.0, secret)
    word = Word("default", "dead@example.com", "bounced", 5.0)
    before = there.read_now(versions.numbers)
    await known.note([word])
    assert not others.of("default")
    assert there.read_now(versions.numbers) != before
    await others.read_again()
    assert others.of("default")
    # What changes nothing is no news to anybody.
    before = there.read_now(versions.numbers)
    here.write_now(suppressions.note, [word])
    assert there.read_now(versions.numbers) == before


@pytest.mark.gen_test
async def test_a_connection_that_breaks_is_opened_again(another: Open, join: Join) -> None:
    listening, changing = another(), another()
    member = join(listening, "one")
    member.start()

    def break_it(connection: Connection) -> None:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid != pg_backend_pid()"
        )

    in_store(changing, break_it)
    await hears(member, changing)
    await member.stop()
