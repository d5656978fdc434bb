"""What one daemon does for all: a term, renewed by its holder, taken by others when it is over."""

from sqlalchemy import Connection, update

from relay.store.cluster import leases
from relay.store.cluster.leases import LEADER, TERM_SECONDS
from relay.store.engine.database import Store
from relay.store.schema import leases as table
from tests.store.cluster.conftest import Open
from tests.store.cluster.test_daemons import in_store


def take(store: Store, daemon: int) -> bool:
    return bool(in_store(store, leases.take, LEADER, daemon))


def later(store: Store, seconds: float) -> None:
    """Let the present term be so many seconds older."""

    def older(connection: Connection) -> None:
        connection.execute(update(table).values(until=table.c.until - seconds))

    in_store(store, older)


def test_the_first_leads_until_its_term_is_over_unless_it_renews_it(another: Open) -> None:
    first, second = another(), another()
    assert take(first, 1)
    assert not take(second, 2)
    assert first.read_now(leases.holder, LEADER) == 1
    later(first, TERM_SECONDS - 2)
    assert not take(second, 2)
    assert take(first, 1)
    later(first, TERM_SECONDS - 2)
    assert not take(second, 2)
    later(first, 3)
    assert first.read_now(leases.holder, LEADER) is None
    assert take(second, 2)
    assert not take(first, 1)
    assert second.read_now(leases.holder, LEADER) == 2


def test_one_that_stops_leaves_it_to_the_others_at_once(another: Open) -> None:
    first, second = another(), another()
    assert take(first, 1)
    in_store(second, leases.give_up, 2)
    assert not take(second, 2)
    in_store(first, leases.give_up, 1)
    assert take(second, 2)
