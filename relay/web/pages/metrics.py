"""GET /metrics, on the listeners of the pages and of the console: what Prometheus reads.

Who asks on the machine itself, of a listener of this machine alone and by its name, may read it.
Everybody else, and whoever comes through a proxy, must bring `metrics_token`.
"""

import hmac
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from relay.core.errors import AuthenticationFailed, SubmissionError
from relay.core.secret import digest
from relay.delivery.transport.smtp_server import is_loopback
from relay.web.base import BaseHandler
from relay.web.health import unready
from relay.web.pages.handler import is_forwarded, own_hosts

log = structlog.get_logger()


class MetricsHandler(BaseHandler):
    """Answers in the text format of Prometheus.

    The application's setting `listener` is the site's name for where it listens.
    """

    def authenticate(self) -> None:
        if self._is_local:
            return
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        token = self.configuration.settings.metrics_token
        if not given or scheme.lower() != "bearer":
            raise AuthenticationFailed(reason="no_header")
        known = digest(token.reveal().encode()) if token else b""
        brought = digest(given.strip().encode("latin-1", "replace"))
        if not hmac.compare_digest(brought, known):
            raise AuthenticationFailed(reason="unknown_key")

    @property
    def _is_local(self) -> bool:
        """Whether somebody on this machine asks, and no page of a name that leads here."""
        host, port = getattr(self.site, self.application.settings["listener"]) or ("", 0)
        return (
            is_loopback(host)
            and is_loopback(self.request.remote_ip or "")
            and not is_forwarded(self.request)
            and self.request.headers.get("Host", "").lower() in own_hosts(host, port)
        )

    async def get(self) -> None:
        reasons = [one.reason async for one in unready(self.site)]
        self.set_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.finish(await self.site.measurements.text(reasons))

    def refuse(self, error: BaseException) -> None:
        if self.get_status() == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        super().refuse(error)

    def log_refusal(self, error: BaseException, known: dict[str, Any]) -> None:
        why = {"reason": error.reason} if isinstance(error, SubmissionError) else {}
        log.info("page.refused", **known, **why)


ROUTES = [(r"/metrics", MetricsHandler)]
