"""Postmark's API, as its clients call it; the last path takes what is not served here."""

from relay.web.postmark import outbound, sending, servers, suppressions, templates
from relay.web.postmark.handler import UnknownPostmarkPathHandler, UnknownSettingPathHandler

_CALLS = "email|templates|messages|stats|deliverystats|bounces|data-removals"
_SETTINGS = "server|servers|message-streams|webhooks|domains|senders|triggers"

ROUTES = [
    *sending.ROUTES,
    *templates.ROUTES,
    *servers.ROUTES,
    *suppressions.ROUTES,
    *outbound.ROUTES,
    (rf"(?i)/(?:{_CALLS})(?:/.*)?", UnknownPostmarkPathHandler),
    (rf"(?i)/(?:{_SETTINGS})(?:/.*)?", UnknownSettingPathHandler),
]
