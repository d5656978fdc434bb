"""Postmark's API, as its clients call it; the last path takes what is not served here."""

from relay.web.postmark import outbound, sending, servers, suppressions, templates
from relay.web.postmark.handler import UnknownPostmarkPathHandler

_RESOURCES = (
    *("email", "templates", "server", "servers", "message-streams", "messages", "stats"),
    *("deliverystats", "bounces", "webhooks", "domains", "senders", "triggers", "data-removals"),
)

ROUTES = [
    *sending.ROUTES,
    *templates.ROUTES,
    *servers.ROUTES,
    *suppressions.ROUTES,
    *outbound.ROUTES,
    (rf"(?i)/(?:{'|'.join(_RESOURCES)})(?:/.*)?", UnknownPostmarkPathHandler),
]
