"""Proofs in the store: spent with the message, or with nothing."""

from typing import Any

import pytest

from relay.store import proofs, tokens
from relay.store.engine.database import Store
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.proofs import ProofUse
from relay.store.tokens import NewToken, TokenUse
from tests.support.stored import CREATED, DOCUMENT, new_id, rows

PROOF, OTHER, TOKEN = b"p" * 32, b"o" * 32, b"t" * 32


def add(store: Store, *batch: dict[str, Any]) -> list[str | None]:
    """Store messages in one batch; return the reasons for which some were not."""
    new = [
        NewMessage(new_id(number), "contactform", "queued", CREATED, "", DOCUMENT, **values)
        for number, values in enumerate(batch)
    ]
    refusals = store.write_now(enqueue.add, new)
    return [None if one is None else one.reason for one in refusals]


def spent(store: Store) -> list[tuple[bytes, str]]:
    query = "SELECT digest, message FROM proofs ORDER BY digest"
    return [(bytes(one["digest"]), one["message"]) for one in rows(store, query)]


def test_of_several_messages_with_one_proof_the_first_is_stored(store: Store) -> None:
    use, other = {"proof": ProofUse(PROOF, CREATED)}, {"proof": ProofUse(OTHER, CREATED)}
    assert add(store, use, use, {}, other, use) == [None, "proof_used", None, None, "proof_used"]
    assert spent(store) == [(OTHER, new_id(3)), (PROOF, new_id(0))]


@pytest.mark.parametrize("refused", ["token", "proof", "both"])
def test_who_is_refused_spends_nothing(store: Store, refused: str) -> None:
    store.write_now(tokens.create, [NewToken(TOKEN, CREATED + 99)])
    token, proof = TokenUse(TOKEN), ProofUse(PROOF, CREATED)
    if refused != "proof":
        store.write_now(tokens.spend, [tokens.Spending(token, new_id(90), CREATED)])
    if refused != "token":
        store.write_now(proofs.spend, [proofs.Spending(proof, new_id(91), CREATED)])
    [reason] = add(store, {"token": token, "proof": proof})
    assert reason == ("token_used" if refused == "token" else "proof_used")
    assert rows(store, "SELECT id FROM messages") == []
    assert spent(store) == ([] if refused == "token" else [(PROOF, new_id(91))])
    unspent = store.read_now(tokens.unspent, CREATED)
    assert unspent == (1 if refused == "proof" else 0)


def test_a_proof_is_good_again_once_its_message_was_refused(store: Store) -> None:
    use = {"proof": ProofUse(PROOF, CREATED)}
    assert add(store, use) == [None]
    store.write_now(lambda connection, batch: [proofs.give_back(connection, batch)], [new_id(0)])
    assert spent(store) == []
