"""The servers: each with its chain, its settings in force, its counts, and what is said of it."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, ClassVar

from tornado.web import HTTPError

from relay.core import clock
from relay.core.immutable import freeze
from relay.core.secret import Secret
from relay.core.server import Server
from relay.core.submission import Submission
from relay.hooks.chain import Chain
from relay.intake.dry_run import DryRun
from relay.notifications.canaries.arrival import said
from relay.operators import overview
from relay.operators.findings import of_server
from relay.operators.roles import Role
from relay.store import canaries
from relay.web.console import charts
from relay.web.console.handler import ConsoleHandler
from relay.web.console.overview import days_of, hour_of
from relay.web.pages.dry_run import Rehearsed, field_names, rehearsed
from relay.web.pages.trial import recipient

# What is shown elsewhere on the page, or is no setting; and digests of secrets.
_LEFT_OUT = {"name", "plugins", "templates", "keys", "options"}
_SECRETS = {"webhook_digests"}


class ServersHandler(ConsoleHandler):
    """GET /servers: all of them."""

    role = Role.VIEWER

    async def get(self) -> None:
        now = clock.now()
        standing = await self.site.store.read(overview.read, self.configuration.servers, now)
        self.render(
            "servers.html",
            lines=standing.servers,
            chains=self.configuration.chains,
            number=overview.number,
        )


class OneServerHandler(ConsoleHandler):
    """What the pages of one server share: finding it."""

    role = Role.VIEWER

    def chain(self, name: str) -> Chain:
        """Return the chain of a server; raise HTTPError 404 where there is none."""
        found = self.configuration.chains.get(name.lower())
        if found is None:
            raise HTTPError(404)
        return found


class ServerHandler(OneServerHandler):
    """GET /servers/{name}: a server."""

    async def get(self, name: str) -> None:
        chain, now = self.chain(name), clock.now()
        server = chain.server
        standing = await self.site.store.read(overview.read, {server.name: server}, now)
        [line] = standing.servers
        canary = (await self.site.store.read(canaries.read)).get(server.name)
        self.render(
            "server.html",
            server=server,
            line=line,
            canary=said(canary) if canary else "",
            hooks={hook: names for hook, names in chain.describe().items() if names},
            findings=list(of_server(server.name, self.configuration.chains)),
            values=list(settings_of(server)) if self.may(Role.OPERATOR) else [],
            days=days_of([line]),
            hour=hour_of(standing, now, server.name),
            columns=charts.columns,
            number=overview.number,
            unread=await self.unread(),
            takes_forms=chain.has_forms,
        )


class PauseHandler(OneServerHandler):
    """POST /servers/{name}/pause and /resume."""

    methods: ClassVar[tuple[str, ...]] = ("POST",)
    role = Role.OPERATOR

    async def post(self, name: str, order: str) -> None:
        asked = await self.form()
        server = self.chain(name).server.name
        change = self.site.pauses.pause if order == "pause" else self.site.pauses.resume
        await change(server, self.by)
        back = "/" if asked.get("back") == "overview" else f"/servers/{server}"
        self.go_to(back, f"{server} is {'paused' if order == 'pause' else 'sent for again'}.")


class TryHandler(OneServerHandler):
    """GET /servers/{name}/try: its fields; POST: the message that they would become."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")
    role = Role.OPERATOR

    def get(self, name: str) -> None:
        chain = self._forms(name)
        self._show(chain, {"to_address": recipient(chain.server)})

    async def post(self, name: str) -> None:
        asked = await self.form()
        chain = self._forms(name)
        typed = {
            name.removeprefix("f_"): value
            for name, value in asked.items()
            if name.startswith("f_") and value
        }
        submission = Submission(chain.server.name, freeze(typed), received_at=clock.now())
        self._show(chain, typed, rehearsed(DryRun(chain, submission)))

    def _forms(self, name: str) -> Chain:
        chain = self.chain(name)
        if not chain.has_forms:
            raise HTTPError(404)
        return chain

    def _show(self, chain: Chain, typed: Mapping[str, Any], came: Rehearsed | None = None) -> None:
        self.render(
            "try.html", server=chain.server, names=field_names(chain), typed=typed, came=came
        )


def settings_of(server: Server) -> Iterator[tuple[str, str]]:
    """Return a server's settings as they are in force; of secrets only that they are there."""
    for one in fields(server):
        if one.name not in _LEFT_OUT:
            value = getattr(server, one.name)
            is_secret = one.name in _SECRETS and value
            yield one.name, f"{len(value)} secrets" if is_secret else _written(value)
    for name, value in server.options.items():
        yield name, _written(value)


def _written(value: Any) -> str:
    if isinstance(value, Secret):
        return "a secret"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_written(one)}" for name, one in value.items()) or "none"
    if isinstance(value, (frozenset, set)):
        return ", ".join(sorted(map(_written, value))) or "none"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_written, value)) or "none"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "__dataclass_fields__"):
        return "; ".join(
            f"{one.name}: {_written(getattr(value, one.name))}" for one in fields(value) if one.repr
        )
    return str(value)


ROUTES = [
    (r"/servers", ServersHandler),
    (r"/servers/([A-Za-z0-9_-]{1,100})", ServerHandler),
    (r"/servers/([A-Za-z0-9_-]{1,100})/(pause|resume)", PauseHandler),
    (r"/servers/([A-Za-z0-9_-]{1,100})/try", TryHandler),
]
