"""/server, /servers and /message-streams: what the settings say, in Postmark's words.

settings.toml is the only switch: nothing is changed here, so PUT, POST and DELETE are answered 405.
"""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

from relay.core.server import Server
from relay.core.times import utc
from relay.hooks.chain import Chain
from relay.store import installation
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.handler import MADE_IN_SETTINGS, PostmarkHandler

STREAM_TYPES = ("Transactional", "Inbound", "Broadcasts")

# What every server has: id, name, type.
STREAMS = (
    ("outbound", "Default Transactional Stream", "Transactional"),
    ("inbound", "Default Inbound Stream", "Inbound"),
    ("broadcast", "Default Broadcast Stream", "Broadcasts"),
)

DEFAULT_STREAM = "outbound"


def default_stream(group: Server) -> str:
    """Return the stream of messages that name none, of the servers that this one delivers for."""
    return str(group.options.get("message_stream") or DEFAULT_STREAM)


def is_sandbox(group: Chain) -> bool:
    """Whether mail of this group never leaves: the embedded mailbox takes all of it."""
    return set(group.deliver_plugins) == {"mailbox"}


def shown_server(server: Server, number: int, sandbox: bool, link: str) -> dict[str, Any]:
    """Return a server in Postmark's names; what the relay does not do is false or empty."""
    return {
        "ID": number,
        "Name": server.name,
        "ApiTokens": [],  # keys stand in the settings, and only as digests in memory
        "Color": "grey",
        "SmtpApiActivated": False,
        "RawEmailEnabled": False,
        "DeliveryType": "Sandbox" if sandbox else "Live",
        "ServerLink": link,
        "InboundAddress": "",
        "InboundHookUrl": "",
        "BounceHookUrl": "",
        "OpenHookUrl": "",
        "DeliveryHookUrl": "",
        "PostFirstOpenOnly": False,
        "InboundDomain": "",
        "InboundHash": "",
        "InboundSpamThreshold": 0,
        "TrackOpens": False,
        "TrackLinks": "None",
        "IncludeBounceContentInHook": False,
        "ClickHookUrl": "",
        "EnableSmtpApiErrorHooks": False,
    }


class ServerHandler(PostmarkHandler):
    """GET /server: the server that the token is good for."""

    elsewhere = MADE_IN_SETTINGS

    async def get(self) -> None:
        server = self.chain.server
        sandbox = is_sandbox(self.group_chain)
        numbers = await installation.numbered(self.site.store, self.configuration.chains)
        link = self.configuration.settings.public_url or ""
        self.respond(shown_server(server, numbers[server.name], sandbox, link))


class AccountHandler(PostmarkHandler):
    """What calls with an account token share: the servers that its key opens."""

    account: ClassVar[bool] = True

    async def servers(self) -> dict[int, Chain]:
        """Return the servers of the settings that the key opens, by number, lowest first.

        A key that names no servers opens all of them, as one with `*` does.
        """
        chains = self.configuration.chains
        numbers = await installation.numbered(self.site.store, chains)
        opened = {
            numbers[name]: chain
            for name, chain in chains.items()
            if not self.key.servers or self.key.opens(name)
        }
        return dict(sorted(opened.items()))

    def shown(self, number: int, chain: Chain) -> dict[str, Any]:
        """Return a server in Postmark's names."""
        sandbox = is_sandbox(self.configuration.chains[chain.server.group])
        return shown_server(
            chain.server, number, sandbox, self.configuration.settings.public_url or ""
        )


class ServersHandler(AccountHandler):
    """GET /servers: those whose name holds `name`, in any case."""

    elsewhere = MADE_IN_SETTINGS

    async def get(self) -> None:
        count, offset = self.query_number("count"), self.query_number("offset")
        if count is None or offset is None:
            raise PostmarkError(600, "The parameters 'count' and 'offset' must be numbers.")
        name = (self.query("name") or "").lower()
        found = [
            (number, chain)
            for number, chain in (await self.servers()).items()
            if name in chain.server.name
        ]
        page = found[offset : offset + count]
        shown = [self.shown(number, chain) for number, chain in page]
        self.respond({"TotalCount": len(found), "Servers": shown})


class OneServerHandler(AccountHandler):
    """GET /servers/{id}: one server, by its number."""

    elsewhere = MADE_IN_SETTINGS

    async def get(self, number: str) -> None:
        servers = await self.servers()
        found = [item for item in servers.items() if str(item[0]) == number]
        if not found:
            raise PostmarkError(601, "The server was not found.")
        self.respond(self.shown(*found[0]))


class StreamsHandler(PostmarkHandler):
    """What the calls about message streams share: those that the server has."""

    async def streams(self) -> list[dict[str, Any]]:
        """Return the server's streams: Postmark's three, and the settings' own if it is another."""
        server = self.chain.server
        known = list(STREAMS)
        own = default_stream(self.group_chain.server)
        if own not in {id for id, _, _ in known}:
            known.append((own, own, "Transactional"))
        numbers = await installation.numbered(self.site.store, self.configuration.chains)
        since = await asyncio.to_thread(_written, self.configuration.settings.path)
        return [
            {
                "ID": id,
                "ServerID": numbers[server.name],
                "Name": name,
                "Description": None,
                "MessageStreamType": type,
                "CreatedAt": since,
                "UpdatedAt": None,
                "ArchivedAt": None,
                "ExpectedPurgeDate": None,
                "SubscriptionManagementConfiguration": {"UnsubscribeHandlingType": "None"},
            }
            for id, name, type in known
        ]

    async def stream(self, id: str) -> dict[str, Any]:
        """Return one stream by its id, in any case; raise PostmarkError."""
        for stream in await self.streams():
            if stream["ID"].lower() == id.lower():
                return stream
        raise PostmarkError(1226, "The message stream for the provided 'ID' was not found.")


class MessageStreamsHandler(StreamsHandler):
    """GET /message-streams: of one type, or all; none is ever archived."""

    elsewhere = MADE_IN_SETTINGS

    async def get(self) -> None:
        wanted = (self.query("MessageStreamType") or "All").lower()
        if wanted not in {"all", *(type.lower() for type in STREAM_TYPES)}:
            raise PostmarkError(1221, "The 'MessageStreamType' is not valid.")
        streams = [
            stream
            for stream in await self.streams()
            if wanted in ("all", stream["MessageStreamType"].lower())
        ]
        self.respond({"MessageStreams": streams, "TotalCount": len(streams)})


class MessageStreamHandler(StreamsHandler):
    """GET /message-streams/{id}: one stream."""

    elsewhere = MADE_IN_SETTINGS

    async def get(self, id: str) -> None:
        self.respond(await self.stream(id))


def _written(path: Path) -> str:
    """Return since when the settings say what they say: no stream is older or younger than that."""
    try:
        since = path.stat().st_mtime
    except OSError:
        since = 0.0
    return utc(since).isoformat(timespec="seconds")


ROUTES = [
    (r"(?i)/server/?", ServerHandler),
    (r"(?i)/servers/?", ServersHandler),
    (r"(?i)/servers/([^/]+)/?", OneServerHandler),
    (r"(?i)/message-streams/?", MessageStreamsHandler),
    (r"(?i)/message-streams/([^/]+)/?", MessageStreamHandler),
]
