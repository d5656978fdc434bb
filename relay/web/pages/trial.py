"""A form to try: one click posts it through the relay's own API, as a web page would."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from tornado.escape import json_decode
from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPResponse

from relay.core.secret import Secret
from relay.core.server import Server
from relay.core.states import State
from relay.core.urls import http_url
from relay.site import Site
from relay.web import responses
from relay.web.pages.handler import PageHandler

# A response takes no longer than the relay waits for a first attempt, and this.
MARGIN_SECONDS = 20

# The one server that the key made for web pages is good for.
SERVER = "contactform"
DESK = "desk@example.gov"

PREFILLED = {
    "to_address": DESK,
    "name": "A Resident",
    "from_address": "resident@example.com",
    "subject": "I have a great idea",
    "message": "Make the roads green.\n\nThey would be <b>so</b> much nicer to look at.",
    "useHtml": "1",
}


class PostedForm(NamedTuple):
    """What the relay answered: its status and words, and the stored message's id."""

    status: int
    words: str
    id: str | None = None


class TrialHandler(PageHandler):
    """GET /try: the form, or how to post without it; POST /try: post it."""

    methods = ("GET", "POST")

    def get(self) -> None:
        self._show(prefilled(self.site))

    async def post(self) -> None:
        typed = await self._typed()
        if obstacle(self.site):
            self._show(typed)
            return
        response = await self._posted(typed)
        if response.words == responses.SUCCESS_WORDS[State.SENT]:
            self.redirect(f"/messages/{response.id}", status=303)
        else:
            self.set_status(response.status)
            self._show(typed, response)

    async def _typed(self) -> dict[str, str]:
        """Read the form; a box that is not ticked is not in it."""
        fields = (await self.body()).fields
        typed = {name: fields.get(name, "") for name in PREFILLED}
        return {name: value if isinstance(value, str) else "" for name, value in typed.items()}

    async def _posted(self, typed: Mapping[str, str]) -> PostedForm:
        fields = {**typed, "useHtml": typed["useHtml"] or "0"}
        fields["url"] = f"{self.request.protocol}://{self.request.host}/try"
        key = self.site.made_keys["page"].secret
        api = http_url(*self.site.listening)
        return await post_form(api, SERVER, key, fields, self.configuration.settings.wait)

    def _show(self, typed: Mapping[str, str], response: PostedForm | None = None) -> None:
        why, servers = obstacle(self.site), taking_forms(self.site)
        if why is None:
            self.render("try.html", typed=typed, response=response, servers=servers)
            return
        api = self.configuration.settings.public_url or http_url(*self.site.listening)
        self.render("posting.html", why=why, api=api, servers=servers, recipient=recipient)


async def post_form(
    api: str, server: str, key: Secret, fields: Mapping[str, str], wait: float
) -> PostedForm:
    """Post a form as a page with this publishable key would; never raise for what is answered."""
    seconds = wait + MARGIN_SECONDS
    try:
        made = await _post(f"{api}/rest/email_token/create", key, {}, seconds)
        if made.code != 200:
            return _read(made)
        token = str(json_decode(made.body)["token_session"])
        brought = {f"email[{name}]": value for name, value in fields.items()}
        brought["email[token_session]"] = token
        return _read(await _post(f"{api}/rest/email_session/{server}", key, brought, seconds))
    except (OSError, HTTPError):
        return PostedForm(502, f"there is no answer from {api}")


async def _post(url: str, key: Secret, fields: Mapping[str, str], seconds: float) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        url,
        method="POST",
        headers={"Authorization": f"token {key.reveal()}"},
        body=urlencode(fields),
        request_timeout=seconds,
        follow_redirects=False,
        raise_error=False,
    )


def _read(response: HTTPResponse) -> PostedForm:
    words = json_decode(response.body)["response"]
    return PostedForm(response.code, words, response.headers.get("X-Relay-Message-Id"))


def obstacle(site: Site) -> str | None:
    """Name what keeps the form from being posted here: `keys`, `server`, `mailed`; or None."""
    chain = site.chains.get(SERVER)
    if site.settings.keys or "page" not in site.made_keys:
        return "keys"
    if chain is None or not chain.has_forms:
        return "server"
    if site.chains[chain.server.group].deliver_plugins[:1] != ("mailbox",):
        return "mailed"  # one click must not mail a stranger
    return None


def taking_forms(site: Site) -> list[Server]:
    """Return the servers that take forms, the contact form's first."""
    servers = [chain.server for chain in site.chains.values() if chain.has_forms]
    return sorted(servers, key=lambda server: (server.name != SERVER, server.name))


def prefilled(site: Site) -> dict[str, str]:
    """Return what the form holds at first: it can be sent as it is."""
    chain = site.chains.get(SERVER)
    return {**PREFILLED, "to_address": recipient(chain.server)} if chain else dict(PREFILLED)


def recipient(server: Server) -> str:
    """Choose an address that a server's `recipients` allow."""
    allowed = sorted(server.recipients or {"*"})
    if "*" in allowed or "@example.gov" in allowed or DESK in allowed:
        return DESK
    return f"desk{allowed[0]}" if allowed[0].startswith("@") else allowed[0]


ROUTES = [(r"/try", TrialHandler)]
