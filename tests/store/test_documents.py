"""Messages as stored documents: what is read is what was accepted."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.addresses import Address
from relay.core.immutable import freeze
from relay.core.message import Attachment, Message
from relay.core.submission import Identity, Submission
from relay.core.text import is_storable
from relay.store.documents import dump, dump_submission, load
from tests.support.generated import examples

ID = "019aa5c2-7d8e-7abc-8def-0123456789ab"
TEXT = st.text(max_size=20).filter(is_storable)
ADDRESS = st.builds(Address, st.just("a@example.gov") | TEXT, TEXT)
ADDRESSES = st.lists(ADDRESS, max_size=3).map(tuple)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, width=32) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ATTACHMENT = st.builds(Attachment, TEXT, TEXT, TEXT, st.none() | TEXT)
MESSAGES = st.builds(
    Message,
    sender=ADDRESS,
    to=ADDRESSES,
    subject=st.none() | TEXT,
    text=st.none() | TEXT,
    html=st.none() | TEXT,
    cc=ADDRESSES,
    bcc=ADDRESSES,
    reply_to=ADDRESSES,
    tag=st.none() | TEXT,
    headers=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    template=st.none() | st.integers(1) | TEXT.filter(bool),
    model=st.none() | st.dictionaries(TEXT, JSON, max_size=3).map(freeze),
    inline_css=st.booleans(),
    attachments=st.lists(ATTACHMENT, max_size=2).map(tuple),
    track_opens=st.none() | st.booleans(),
    track_links=st.none() | TEXT,
    stream=st.none() | TEXT,
    send_at=st.none() | st.floats(0, 2**33, width=32),
    metadata=st.dictionaries(TEXT, TEXT, max_size=3).map(freeze),
    id=st.just(ID),
)
PLAIN = Message(sender=Address("a@example.gov"), to=(Address("b@example.gov", "Zoë"),), id=ID)


@examples(300)
@given(MESSAGES)
def test_every_message_reads_back_as_it_was(message: Message) -> None:
    document = dump(message)
    assert load(ID, document) == message
    assert document.isascii()
    assert dump(load(ID, document)) == document


def test_every_field_of_a_message_is_among_those_that_are_tried() -> None:
    tried = {
        *("sender", "to", "subject", "text", "html", "cc", "bcc", "reply_to", "tag", "headers"),
        *("template", "model", "inline_css", "attachments", "track_opens", "track_links"),
        *("stream", "metadata", "send_at", "id"),
    }
    assert {field.name for field in fields(Message)} - {"writer", "addressed"} == tried


def test_the_writer_is_not_in_the_document() -> None:
    message = replace(PLAIN, writer=Address("resident@example.com"))
    assert "resident" not in dump(message)
    assert load(ID, dump(message)).writer is None


def test_what_is_empty_takes_no_room() -> None:
    document = json.loads(dump(PLAIN))
    assert document.keys() == {"sender", "to"}
    assert document["to"] == [["b@example.gov", "Zoë"]]


def test_an_empty_part_is_not_a_missing_one() -> None:
    message = replace(PLAIN, subject="", text="", html=None, model={})
    read = load(ID, dump(message))
    assert (read.subject, read.text, read.html, read.model) == ("", "", None, {})


def test_the_id_is_the_rows_and_not_in_the_document() -> None:
    assert ID not in dump(PLAIN)
    assert load("other", dump(PLAIN)) == replace(PLAIN, id="other")


def test_a_message_that_was_read_is_as_frozen_as_one_that_was_made() -> None:
    model, metadata = freeze({"units": [{"count": 2}]}), freeze({"order": "17"})
    read = load(ID, dump(replace(PLAIN, template=7, model=model, metadata=metadata)))
    assert read.model is not None
    with pytest.raises(TypeError):
        read.metadata["order"] = "18"  # type: ignore[index]
    with pytest.raises(TypeError):
        read.model["units"] = ()  # type: ignore[index]
    with pytest.raises(TypeError):
        read.model["units"][0]["count"] = 3


@pytest.mark.parametrize("document", ["{}", "[]", "null", '{"sender": ["a"], "unknown": 1}', "{"])
def test_a_document_that_is_no_message_is_an_error_of_a_known_kind(document: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        load(ID, document)


@examples(100)
@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_a_screened_submission_keeps_all_its_fields_and_nothing_else(
    fields: dict[str, Any],
) -> None:
    submission = Submission(
        "contactform", freeze(fields), headers={"authorization": "token secret"}, address="::1"
    )
    assert json.loads(dump_submission(submission, Identity("page", "secret"))) == {"fields": fields}
