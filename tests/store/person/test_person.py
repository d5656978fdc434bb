"""What stands about a person anywhere is found, and erased without harm to others."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.core.mentions import Mentions
from relay.core.secret import Secret
from relay.store import suppressions
from relay.store.engine.database import Store
from relay.store.maintenance import audit
from relay.store.outbox import enqueue
from relay.store.person import places
from relay.store.person.erasure import Erased, Erasure, erase
from relay.store.person.search import Found, Search
from relay.store.schema import metadata
from tests.support.daemon import ROOT
from tests.support.person import (
    BY,
    NOW,
    everything,
    files_naming,
    fill,
    message,
    name_in_templates,
    naming,
)
from tests.support.stored import happened, row, rows

JO, BAJO = "Jo.Doe@x-y.gov", "ba-jo.doe@x-y.gov"
SECRET = Secret("a-secret-of-this-test")

# Columns of text that never hold an address: what stands there is chosen by Relay or the settings.
NO_PLACE = {
    *("id", "server", "state", "kind", "key", "delivery", "message", "receipt", "reference", "day"),
    *("role", "password", "totp_secret", "recovery_codes", "way", "origin", "verb", "type"),
    *("reason", "ids", "plugin", "outcome", "edited_by", "host", "version", "settings", "heard"),
    *("outages", "topic", "name", "value", "messages", "target", "servers"),
}
# Addresses of the network.
HOSTS = {"daemons", "operator_sessions"}


def find(store: Store, address: str = JO) -> Found:
    search = Search(Mentions(address))
    while store.read_now(search.look) is not None:
        pass
    return search.found


def order(store: Store, address: str = JO, *, cancel: bool = False) -> Erasure:
    mentions, stand_in = Mentions(address), suppressions.stand_in(SECRET, address)
    return Erasure(mentions, find(store, address), BY, NOW, "0123abcd", stand_in, cancel)


def erased(store: Store, address: str = JO, *, cancel: bool = False) -> Erased:
    [done] = store.write_now(erase, [order(store, address, cancel=cancel)])
    return done


def faults(store: Store) -> Sequence[str]:
    return store.read_now(audit.audit).faults


def test_every_column_of_text_is_looked_at_or_holds_no_address() -> None:
    for table in metadata.sorted_tables:
        text = {one.name for one in table.columns if one.type.python_type is str}
        hosts = {"address"} if table.name in HOSTS else set()
        assert text - set(places.COLUMNS.get(table, ())) - hosts <= NO_PLACE, table.name
    for table, names in places.COLUMNS.items():
        assert set(names) <= {one.name for one in table.columns}


def test_all_places_are_found(store: Store) -> None:
    ids = fill(store, JO)
    name_in_templates(store, JO)
    found = find(store)
    assert set(found.rows) == {table.name for table in places.COLUMNS} - {"template_versions"}
    own = ("written", "received", "copied", "labelled", "screened")
    assert {one.id for one in found.own} == {ids[name] for name in own}
    assert {one.id for one in found.others} == {ids["mentioned"], ids["broken"]}
    assert not find(store, "doe@x-y.gov")
    assert not find(store, "jo.doe@x-y.go")


def test_what_is_erased_is_nowhere_and_the_outbox_balances(store: Store, tmp_path: Path) -> None:
    ids = fill(store, JO)
    done = erased(store)
    assert (done.cleared, done.changed, done.left) == (5, 2, [])
    assert naming(store, JO) == {}
    assert naming(store, "jo.doe") == {}
    assert not find(store)
    assert faults(store) == []
    assert store.scrub_now()
    assert files_naming(tmp_path, JO) == []
    for name in ("written", "received", "copied", "labelled", "screened"):
        assert row(store, ids[name])["document"] == ""
        assert ("erased", "by ann") in happened(store, ids[name])
    attempts = rows(store, "SELECT words FROM attempts")
    assert {one["words"] for one in attempts} == {"550 <(erased)>: no such mailbox"}


def test_of_others_the_address_alone_is_taken_out(store: Store) -> None:
    ids = fill(store, JO)
    erased(store)
    document = row(store, ids["mentioned"])["document"]
    assert "My wife, (erased), and I.\\n(erased)" in document
    assert '<a href=\\"mailto:(erased)\\">(erased)</a>' in document
    assert '"by (erased) today"' in document
    assert row(store, ids["mentioned"])["size"] == len(document)
    assert row(store, ids["broken"])["document"] == (
        '{"fields":{"from_address":"x@y.gov","message":"of (erased)"}}'
    )
    assert happened(store, ids["mentioned"])[-1] == (
        "erased",
        "by ann: an address was taken out of it",
    )
    answer = rows(store, "SELECT answer FROM idempotency")
    assert answer == [{"answer": f'{{"To":"(erased)","MessageID":"{ids["written"]}"}}'}]


def test_nothing_of_others_is_harmed(store: Store) -> None:
    fill(store, BAJO)
    untouched = everything(store)
    fill(store, JO, first=100)
    erased(store)
    left = everything(store)
    for name, kept in untouched.items():
        if name not in ("versions", "ledger", "minutes"):
            assert [one for one in left[name] if one in kept] == kept, name
    assert len(naming(store, BAJO)) == len(places.COLUMNS) - 3


def test_erased_twice_there_is_nothing_left_to_do(store: Store) -> None:
    fill(store, JO)
    erased(store)
    once = everything(store)
    done = erased(store)
    assert (done.cleared, done.changed, done.rows) == (0, 0, 0)
    twice = everything(store)
    assert len(twice.pop("acts")) == len(once.pop("acts")) + 1
    assert twice == once


def test_the_act_names_no_address(store: Store) -> None:
    fill(store, JO)
    erased(store)
    [act] = rows(store, "SELECT * FROM acts WHERE verb = 'erase'")
    assert (act["who"], act["target"]) == ("ann", "0123abcd")
    assert act["after"] == "messages cleared: 5, changed: 2; other rows: 19"


def test_who_gets_no_mail_gets_none_afterwards(store: Store) -> None:
    fill(store, JO)
    erased(store)
    kept = rows(store, "SELECT server, address, reason, message, words FROM suppressions")
    stand_in = suppressions.stand_in(SECRET, JO)
    words = "550 <(erased)>: no such mailbox"
    values = {"address": stand_in, "message": None, "words": words}
    assert sorted(kept, key=lambda one: one["server"]) == [
        {"server": "contactform", "reason": "bounced", **values},
        {"server": "registry", "reason": "lifted", **values},
    ]


@pytest.mark.parametrize("state", ["queued", "scheduled", "held"])
def test_what_waits_is_left_whole_unless_it_is_cancelled(store: Store, state: str) -> None:
    mine, theirs = message(1, state, writer=JO), message(2, state, text=f"Ask {JO}.")
    store.write_now(enqueue.add_together, [[mine, theirs]])
    done = erased(store)
    assert (done.cleared, done.changed, done.left) == (0, 0, [mine.id, theirs.id])
    assert {*naming(store, JO)} == {"contents", "messages"}
    done = erased(store, cancel=True)
    assert (done.cleared, done.changed, done.left) == (1, 0, [theirs.id])
    assert row(store, mine.id)["state"] == "cancelled"
    assert row(store, mine.id)["document"] == ""
    assert JO in row(store, theirs.id)["document"]
    acts = rows(store, "SELECT target, before, after FROM acts WHERE verb = 'cancel'")
    assert acts == [{"target": mine.id, "before": state, "after": "cancelled"}]


@pytest.mark.parametrize("state", ["sending", "in_doubt"])
def test_what_may_be_sent_already_is_not_cancelled(store: Store, state: str) -> None:
    mine = message(1, state, writer=JO)
    store.write_now(enqueue.add_together, [[mine]])
    done = erased(store, cancel=True)
    assert done.left == [mine.id]
    [verdict] = done.verdicts
    assert not verdict.done
    assert verdict.words.startswith(f"it is {state}; only what is queued")


def test_another_address_of_the_mailbox_keeps_its_receipt(store: Store) -> None:
    one = message(
        1, writer="jo.doe+news@x-y.gov", receipt=enqueue.NewReceipt("R-1", "Jo.Doe+news@x-y.gov")
    )
    store.write_now(enqueue.add_together, [[one]])
    assert find(store).mailbox == {"jo.doe+news@x-y.gov"}
    assert find(store).messages == []
    erased(store)
    [kept] = rows(store, "SELECT address, mailbox FROM receipts")
    assert kept == {"address": "Jo.Doe+news@x-y.gov", "mailbox": "jo.doe+news@x-y.gov"}
    assert row(store, one.id)["document"] != ""


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.store.person.test_person import order
from relay.store.engine.database import Store
from relay.store.person.erasure import erase

store = Store(sys.argv[1], Path(sys.argv[2]))

def die(connection, batch):
    erase(connection, batch)
    os.kill(os.getpid(), signal.SIGKILL)

store.write_now(die, [order(store)])
"""


@pytest.mark.slow
def test_killed_in_the_midst_nothing_is_erased(store: Store, tmp_path: Path) -> None:
    fill(store, JO)
    before = everything(store)
    url = f"sqlite:///{store.path}"
    if store.shared is not None:
        url = store.shared.writing.url.render_as_string(hide_password=False)
    ran = subprocess.run([sys.executable, "-c", KILLED, url, str(tmp_path)], check=False, cwd=ROOT)
    assert ran.returncode == -signal.SIGKILL
    assert everything(store) == before
    erased(store)
    assert naming(store, JO) == {}


def test_a_name_in_unicode_is_found_in_what_json_escapes(store: Store) -> None:
    one = message(1, text="Ask jo@bücher.example or JO@BÜCHER.EXAMPLE.")
    other = message(2, writer="jo@xn--bcher-kva.example")
    store.write_now(enqueue.add_together, [[one, other]])
    done = erased(store, "jo@bücher.example")
    assert (done.cleared, done.changed) == (1, 1)
    assert "Ask (erased) or (erased)." in row(store, one.id)["document"]
