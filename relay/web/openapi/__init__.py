"""GET /openapi.json: the HTTP interface in OpenAPI 3.1, with every server's own fields.

It is made of the servers' chains and the schemas of their forms as they are in force. What a robot
must not know, such as the name of a hidden field, is no field of a form and stands nowhere here.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from apispec import APISpec

from relay import __version__
from relay.config.keys import find_key, token_of
from relay.config.settings import Settings
from relay.core.errors import AuthenticationFailed
from relay.hooks.chain import Chain
from relay.site import Configuration
from relay.web import bodies
from relay.web.base import RelayHandler
from relay.web.openapi import calls, postmark_calls
from relay.web.openapi.kinds import Converter

ABOUT = "Takes mail from web forms and applications, stores it, and delivers it."


def document(settings: Settings, chains: Mapping[str, Chain]) -> dict[str, Any]:
    """Return the document of the HTTP interface that these settings and their chains make."""
    spec = APISpec(
        title="Relay",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": ABOUT},
        servers=[{"url": settings.public_url or "/"}],
    )
    converter = Converter(spec)
    for name, scheme in {**calls.SECURITY, **postmark_calls.SECURITY}.items():
        spec.components.security_scheme(name, scheme)
    shared = calls.components()
    for name, schema in {**shared["schemas"], **postmark_calls.SCHEMAS}.items():
        spec.components.schema(name, schema)
    for name, response in {**shared["responses"], **postmark_calls.responses()}.items():
        spec.components.response(name, response)
    for chain in chains.values():
        if chain.schema is not None:
            for form, schema in calls.form_schemas(chain.schema, chain.server, converter):
                spec.components.schema(form, schema)
    for path, operations in calls.paths(chains, settings.legacy_server):
        spec.path(path, operations=operations)
    for path, operations in postmark_calls.paths():
        spec.path(path, operations=operations)
    return spec.to_dict()


class DocumentHandler(RelayHandler):
    """For callers on this machine, and for every key; for everybody, if the settings say so."""

    methods = ("GET", "HEAD", "OPTIONS")

    def authenticate(self) -> None:
        settings, keys = self.configuration.settings, self.configuration.keys
        given = self.request.headers.get("Authorization", "")
        if settings.openapi_public or self.caller.local or find_key(keys, token_of(given)):
            return
        raise AuthenticationFailed(reason="unknown_key" if given else "no_header")

    def limit(self) -> None:
        self.configuration.post_limiter.take(self.caller)

    async def get(self) -> None:
        kept = self.application.settings
        if kept.get("described") is not self.configuration:  # it is made once for all who ask
            kept["document"] = await asyncio.to_thread(_text, self.configuration)
            kept["described"] = self.configuration
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(kept["document"])

    head = get


def _text(configuration: Configuration) -> str:
    return bodies.json_text(document(configuration.settings, configuration.chains))


ROUTES = [(r"/openapi\.json", DocumentHandler)]
