"""What a person finds by words, in every state, of every age; and what a search reads at most."""

from dataclasses import replace

import pytest
from sqlalchemy import text, update

from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.reply_address import ReplyRoute
from relay.core.server import Server
from relay.core.states import State
from relay.store import documents
from relay.store.engine.database import Store
from relay.store.outbox import enqueue, retention
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.references import NewReceipt
from relay.store.outbox.retention import Clearing
from relay.store.queries import word_search
from relay.store.queries.word_search import FoundMessage
from relay.store.schema import messages
from tests.support.stored import new_id

DAY = 86400.0
# Noon of 2026-11-28, in UTC.
NOON = 1795867200.0
MESSAGE = Message(
    Address("relay@example.gov", "City"),
    (Address("Desk@example.gov"),),
    reply_to=(Address("Jane.Doe@example.com", "Jane"),),
    subject="Die Brücke am Fluß",
    text="Hello.",
)


def put(
    store: Store, number: int, at: float = NOON, server: str = "permits", **about: object
) -> str:
    """Store a message; `about` are its fields, or what is stored beside it."""
    beside = {name: about.pop(name) for name in ("reply_route", "receipt") if name in about}
    message = replace(MESSAGE, id=new_id(number, at), **about)
    row = enqueue.new_message(message, Server(name=server, plugins=()), "key", **beside)
    store.write_now(enqueue.add, [row])
    return row.id


def change(store: Store, id: str, **columns: object) -> None:
    changed = update(messages).where(messages.c.id == id).values(**columns)
    store.write_now(lambda connection, batch: [connection.execute(changed)], [None])


def found(store: Store, *words: str, limit: int = 50) -> list[str]:
    return [one.id for one in page(store, *words, limit=limit)[0]]


def page(
    store: Store, *words: str, below: str | None = None, limit: int = 50
) -> tuple[list[FoundMessage], str | None]:
    what = word_search.wanted(words, NOON + DAY)
    rows, below = store.read_now(word_search.find, what, below, limit)
    return list(rows), below


@pytest.mark.parametrize(
    "words",
    [
        ["jane.doe@example.com"],
        ["JANE.DOE"],
        ["desk@example.gov"],
        ["relay@example.gov"],
        ["brücke"],
        ["BRÜCKE"],
        ["fluss"],
        ["brücke", "jane.doe", "permits"],
        ["K7M-4QX-9RD"],
        ["k7m4qx9rd"],
        ["2026-11-28"],
        ["yesterday"],
        ["Yesterday", "fluß"],
        ["2026-11-20", "2026-11-28"],
        ["permits"],
    ],
    ids=" ".join,
)
def test_a_message_is_found_by_who_wrote_it_to_whom_about_what_and_when(
    store: Store, words: list[str]
) -> None:
    id = put(store, 1, receipt=NewReceipt("K7M-4QX-9RD", "jane.doe@example.com"))
    put(
        store,
        2,
        NOON - 30 * DAY,
        "parking",
        sender=Address("parking@example.org"),
        to=(Address("cars@example.org"),),
        reply_to=(Address("joe@example.net"),),
        subject="Parking",
    )
    assert found(store, *words) == [id]


@pytest.mark.parametrize(
    "words",
    [["jane", "parking"], ["2026-11-27"], ["today"], ["2026-02-30"], ["nobody"], ["CCC-CCC-CCC"]],
)
def test_where_a_word_does_not_fit_nothing_is_found(store: Store, words: list[str]) -> None:
    put(store, 1)
    assert found(store, *words) == []


@pytest.mark.parametrize("state", [*State])
def test_every_state_is_found_and_told(store: Store, state: State) -> None:
    id = put(store, 1, receipt=NewReceipt("K7M-4QX-9RD", ""))
    if state != State.SCREENED:
        change(store, id, state=state)
        [one], _ = page(store, "jane.doe")
        assert one == FoundMessage(
            *(id, NOON, state, "permits", "K7M-4QX-9RD", "jane.doe@example.com", MESSAGE.subject)
        )


def test_what_was_screened_is_found_by_its_fields(store: Store) -> None:
    document = '{"fields":{"from_address":"robo@example.com","subject":"Gr\\u00fcn","more":[1]}}'
    row = NewMessage(new_id(1, NOON), "permits", State.SCREENED, NOON, "page", document)
    store.write_now(enqueue.add, [row])
    [one], _ = page(store, "grün", "ROBO@example.com")
    assert (one.state, one.writer, one.subject) == ("screened", "robo@example.com", "Grün")


def test_what_an_older_relay_stored_is_found_by_its_writer(store: Store) -> None:
    id = put(store, 1)
    change(store, id, writer=None)
    [one], _ = page(store, "jane.doe@example.com")
    assert (one.id, one.writer) == (id, "Jane.Doe@example.com")


def test_a_writer_behind_a_reply_address_is_found(store: Store) -> None:
    route = ReplyRoute("a" * 16, "Joe <joe@example.net>", NOON + DAY)
    id = put(store, 1, reply_route=route, reply_to=(Address("reply+x@example.gov"),))
    [one], _ = page(store, "joe@example.net")
    assert (one.id, one.writer) == (id, "Joe <joe@example.net>")


def test_what_was_cleared_is_found_by_what_stays_of_it(store: Store) -> None:
    id = put(store, 1)
    change(store, id, state="sent")
    store.write_now(retention.clear, [Clearing([id], NOON)])
    row = store.read_now(
        lambda connection: connection.execute(text("SELECT * FROM messages")).one()
    )
    assert "example" not in str(row)
    assert found(store, "jane") == []
    assert found(store, "permits", "2026-11-28") == [id]
    assert found(store, id.upper()) == [id]
    assert documents.CLEARED == ""


def test_the_newest_come_first_a_page_at_a_time(store: Store) -> None:
    ids = [put(store, number, NOON + number) for number in range(5)]
    first, below = page(store, "jane", limit=2)
    second, last = page(store, "jane", limit=3, below=below)
    assert [one.id for one in (*first, *second)] == ids[::-1]
    assert last is None


def test_a_search_reads_so_many_messages_and_says_where_to_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_search, "SPAN", 3)
    rare = put(store, 0, NOON, subject="rare", receipt=NewReceipt("K7M-4QX-9RD", ""))
    ids = [put(store, number, NOON + number) for number in range(1, 6)]
    assert page(store, "rare") == ([], ids[2])
    assert [one.id for one in page(store, "rare", below=ids[2])[0]] == [rare]
    # What is named is found at once.
    assert found(store, "K7M-4QX-9RD") == found(store, rare) == [rare]
