"""A relay whose provider is another relay: it cannot tell it from Postmark."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import text
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port

from relay.config import settings as relay_settings
from relay.core.addresses import Address
from relay.core.errors import DeliveryFailed
from relay.core.immutable import freeze
from relay.core.message import ABSENT, Confirmation, Message
from relay.site import Site, open_site
from relay.store.queries import listing
from relay.web.application import make_app
from tests.conftest import FORM, Outbox, Reply

FORM_KEY = "form-key-form-key-form-key-form-key"
DESK_KEY = "desk-key-desk-key-desk-key-desk-key"

FIRST = """
[keys.form]
secret = { env = "FORM_KEY" }
servers = ["registry"]

[relay]
legacy_server = ""
wait = 20

[servers.registry]
plugins = ["bearer_token", "session_token", "default", "postmark"]
sender = "Registry <registry@example.gov>"
recipients = ["@example.gov"]
postmark_token = { env = "DESK_KEY" }
postmark_url = "{url}"
deadline = 20
"""

SECOND = """
[keys.desk]
secret = { env = "DESK_KEY" }
servers = ["desk"]

[relay]
legacy_server = ""

[servers.desk]
plugins = ["mailbox"]
sender = "Desk <desk@example.gov>"
senders = ["@example.gov"]
recipients = ["@example.gov"]
"""

TEMPLATE = {
    "Name": "Welcome",
    "Alias": "welcome",
    "Subject": "Welcome {{name}}",
    "HtmlBody": "<p>Dear <b>{{name}}</b></p>",
    "TextBody": "Dear {{name}}, order {{order}}",
}


class Relay:
    """A running relay: its site, its outbox, and calls of its API."""

    def __init__(self, site: Site, url: str, client: AsyncHTTPClient) -> None:
        self.site = site
        self.outbox = Outbox(site)
        self.url = url
        self._client = client

    async def form(self, **changes: str) -> Reply:
        headers = {"Authorization": f"token {FORM_KEY}"}
        body = urlencode({**FORM, **changes})
        return await self._fetch("/rest/email/registry", "POST", body, headers)

    async def call(self, method: str, path: str, content: Any = None, key: str = DESK_KEY) -> Reply:
        headers = {"X-Postmark-Server-Token": key, "Content-Type": "application/json"}
        body = None if content is None else json.dumps(content)
        return await self._fetch(path, method, body, headers)

    async def _fetch(
        self, path: str, method: str, body: str | None, headers: dict[str, str]
    ) -> Reply:
        answer = await self._client.fetch(
            self.url + path, method=method, body=body, headers=headers, raise_error=False
        )
        return Reply(answer)

    async def delivered(self) -> None:
        """Wait until everything was sent."""
        while await self.site.store.read(listing.count_unsent):
            await self.site.dispatcher.deliver_waiting()

    def labels(self) -> dict[str, str]:
        """What its messages can be searched by."""
        query = text("SELECT name, value FROM message_metadata")
        rows = self.site.store.read_now(lambda connection: connection.execute(query).all())
        return {row.name: row.value for row in rows}


@pytest.fixture
def relays(
    tmp_path: Path, io_loop: IOLoop, http_client: AsyncHTTPClient
) -> Iterator[tuple[Relay, Relay]]:
    """The first relay, and the second, which is its provider."""
    started: list[tuple[Relay, HTTPServer]] = []
    environment = {"FORM_KEY": FORM_KEY, "DESK_KEY": DESK_KEY}
    stack = ExitStack()
    for name, toml in (("second", SECOND), ("first", FIRST)):
        folder = tmp_path / name
        folder.mkdir()
        url = started[0][0].url if started else ""
        (folder / "settings.toml").write_text(toml.replace("{url}", url), encoding="utf-8")
        read = relay_settings.load(folder / "settings.toml", environment)
        site = stack.enter_context(open_site(read))
        server = HTTPServer(make_app(site))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        started.append((Relay(site, f"http://127.0.0.1:{port}", http_client), server))
    (second, _), (first, _) = started
    yield first, second
    for relay, server in reversed(started):
        server.stop()
        io_loop.run_sync(lambda relay=relay: relay.site.dispatcher.stop(5))
        io_loop.run_sync(server.close_all_connections)
    stack.close()


@pytest.mark.gen_test
async def test_a_form_posted_to_the_first_is_in_the_mailbox_of_the_second(
    relays: tuple[Relay, Relay],
) -> None:
    first, second = relays
    reply = await first.form(subject="Grüße", message="x<y", tag="Roads", cc="c@example.gov")
    assert (reply.status, reply.words) == (200, "Message sent")
    sent = first.outbox.last()
    await second.delivered()
    [kept] = second.outbox.rows()
    assert (kept["server"], kept["state"], kept["delivery"]) == ("desk", "sent", "mailbox")
    assert (kept["subject"], kept["tag"]) == ("Grüße", "Roads")
    assert kept["document"]["text"] == "x<y"
    assert kept["document"]["cc"] == [["c@example.gov", ""]]
    assert sent["provider_id"] == kept["id"]
    metadata = {first.site.outbox.metadata_key: sent["id"]}
    assert kept["document"]["metadata"] == {**metadata, second.site.outbox.metadata_key: kept["id"]}
    assert second.labels() == metadata


@pytest.mark.gen_test
async def test_what_the_first_sent_is_found_in_the_second_by_the_firsts_own_id(
    relays: tuple[Relay, Relay],
) -> None:
    first, second = relays
    await first.form(subject="One")
    await first.form(subject="Two")
    one, two = first.outbox.rows()
    for row in (one, two):
        query = f"count=10&offset=0&metadata_{first.site.outbox.metadata_key}={row['id']}"
        found = await second.call("GET", f"/messages/outbound?{query}")
        assert found.status == 200
        assert [mail["Subject"] for mail in found.json["Messages"]] == [row["subject"]]
        assert found.json["Messages"][0]["MessageID"] == row["provider_id"]


@pytest.mark.gen_test
async def test_a_template_stored_in_the_second_is_rendered_there(
    relays: tuple[Relay, Relay],
) -> None:
    first, second = relays
    made = await second.call("POST", "/templates", TEMPLATE)
    assert made.status == 200
    for reference in ("welcome", str(made.json["TemplateId"])):
        reply = await first.form(template_id=reference, name="Zoë <b>", order="17")
        assert (reply.status, reply.words) == (200, "Message sent")
        await second.delivered()
        sent, kept = first.outbox.last(), second.outbox.last()
        assert (kept["state"], kept["subject"]) == ("sent", "Welcome Zoë <b>")
        assert kept["document"]["text"] == "Dear Zoë <b>, order 17"
        assert "Zo&#235; &lt;b&gt;" in kept["document"]["html"]
        assert kept["document"]["model"] == sent["document"]["model"]
        assert "html" not in sent["document"]
        assert kept["document"]["metadata"][first.site.outbox.metadata_key] == sent["id"]


@pytest.mark.gen_test
async def test_a_template_that_neither_has_is_refused_by_the_second_for_good(
    relays: tuple[Relay, Relay],
) -> None:
    first, second = relays
    reply = await first.form(template_id="nowhere")
    assert reply.status == 400
    assert "1101" in reply.words
    assert first.outbox.last()["state"] == "failed"
    assert second.outbox.rows() == []


@pytest.mark.gen_test
async def test_a_key_that_the_second_does_not_know_leaves_mail_queued_in_the_first(
    relays: tuple[Relay, Relay], tmp_path: Path
) -> None:
    first, second = relays
    environment = {"FORM_KEY": FORM_KEY, "DESK_KEY": "another-key-another-key-another-key"}
    first.site.reload(relay_settings.load(tmp_path / "first" / "settings.toml", environment))
    reply = await first.form()
    assert (reply.status, reply.words) == (200, "Message queued")
    assert first.outbox.last()["state"] == "queued"
    assert second.outbox.rows() == []


@pytest.mark.gen_test
async def test_an_applications_call_passes_through_both_with_its_files_and_labels(
    relays: tuple[Relay, Relay],
) -> None:
    first, second = relays
    content = base64.b64encode(b"%PDF-1.7").decode()
    message = {
        "From": "registry@example.gov",
        "To": "desk@example.gov",
        "Subject": "Plan",
        "HtmlBody": '<img src="cid:l.png">',
        "Metadata": {"Order": "17"},
        "TrackOpens": False,
        "TrackLinks": "HtmlOnly",
        "MessageStream": "broadcast",
        "Headers": [{"Name": "X-Form", "Value": "é"}],
        "Attachments": [
            {"Name": "plan.pdf", "Content": content, "ContentType": "application/pdf"},
            {
                "Name": "l.png",
                "Content": content,
                "ContentType": "image/png",
                "ContentID": "cid:l.png",
            },
        ],
    }
    answer = await first.call("POST", "/email", message, FORM_KEY)
    assert answer.status == 200
    await first.delivered()
    await second.delivered()
    sent, kept = first.outbox.last(), second.outbox.last()
    for row in (sent, kept):
        row["document"]["metadata"].pop(second.site.outbox.metadata_key, None)
    assert kept["document"] == sent["document"]
    assert kept["document"]["attachments"] == [
        ["plan.pdf", "application/pdf", content, None],
        ["l.png", "image/png", content, "cid:l.png"],
    ]
    assert (kept["stream"], kept["document"]["track_opens"]) == ("broadcast", False)
    assert second.labels() == {"order": "17", first.site.outbox.metadata_key: sent["id"]}


@pytest.mark.gen_test
async def test_a_batch_of_the_first_is_taken_by_the_second_and_found_there_by_its_ids(
    relays: tuple[Relay, Relay],
) -> None:
    first, second = relays
    chain, key = first.site.chains["registry"], first.site.outbox.metadata_key
    messages = [
        Message(
            sender=Address("registry@example.gov"),
            to=(Address("desk@example.gov" if number else "desk@elsewhere.example"),),
            subject=f"Number {number}",
            text="Hello.",
            stream="broadcast" if number == 2 else None,
            metadata=freeze({key: f"message-{number}"}),
            id=f"message-{number}",
        )
        for number in range(4)
    ]
    refused, *taken = await asyncio.to_thread(chain.deliver, messages)
    assert type(refused) is DeliveryFailed
    kept = second.outbox.rows()
    assert [row["subject"] for row in kept] == ["Number 1", "Number 2", "Number 3"]
    assert [one.provider_id for one in taken] == [row["id"] for row in kept]
    found = [await asyncio.to_thread(chain.find, one, "postmark") for one in messages]
    assert found[0] is ABSENT
    assert all(isinstance(one, Confirmation) for one in found[1:])
    assert [one.provider_id for one in found[1:]] == [row["id"] for row in kept]
