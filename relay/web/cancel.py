"""POST /rest/email_cancel/{server}: cancels a message before its scheduled time."""

from collections.abc import Collection, Mapping
from functools import cached_property

import structlog

from relay.core.errors import (
    AuthenticationFailed,
    InvalidSubmission,
    NotCancellable,
    UnknownMessage,
)
from relay.core.states import State
from relay.core.submission import Submission
from relay.hooks.chain import Chain
from relay.intake.authentication import identify
from relay.store import acts
from relay.store.acts import Act, Acted, By
from relay.store.outbox import operator_actions
from relay.store.outbox.operator_actions import Cancelling
from relay.web import responses
from relay.web.base import RelayHandler

# Why a message of a state cannot be cancelled; of every other, because its time has come.
ENDED: Mapping[str, str] = {
    State.SENT: "already sent",
    State.CANCELLED: "already cancelled",
    State.FAILED: "already failed",
    State.EXPIRED: "already expired",
    State.SUPPRESSED: "already suppressed",
    State.QUARANTINED: "already quarantined",
}
UNDER_WAY = "already being sent"

log = structlog.get_logger()


class CancelHandler(RelayHandler):
    """Cancels one message, for a secret key of its server."""

    @cached_property
    def chain(self) -> Chain:
        """The chain of the server that takes this post."""
        return self.configuration.chain(self.path_args[0])

    def origins(self) -> Collection[str]:
        return self.chain.server.origins

    def limit(self) -> None:
        self.configuration.post_limiter.take(self.caller)

    async def post(self, *args: str) -> None:
        body = await self.body()
        key = self._key(self.submission(self.chain.server.name, body))
        id = body.fields.get("id")
        if not isinstance(id, str) or not id:
            raise InvalidSubmission({"id": ["Missing data for required field."]})
        await self._cancel(Cancelling(id, self.chain.server.name, key, self.started_at))
        self.write_json(responses.success(State.CANCELLED))

    def _key(self, submission: Submission) -> str:
        """Return the id of the key that asks; raise AuthenticationFailed."""
        try:
            identity = identify(self.chain, submission)
            if identity.kind != "secret":
                raise AuthenticationFailed(reason="key_kind", key=identity.key)
        except AuthenticationFailed as error:
            self.site.event_counts.refused(self.chain.server.name, error)
            raise
        self.site.keys.used(identity.key)
        return identity.key

    async def _cancel(self, asked: Cancelling) -> None:
        by = By(asked.key, "api", self.caller.address)
        act = Act(asked.now, by, "cancel", asked.id, State.SCHEDULED, State.CANCELLED)
        cancelling = Acted(
            operator_actions.cancel_scheduled, asked, lambda state: [act] if state is None else []
        )
        state = await self.site.store.write(acts.acted, cancelling)
        if state == "":
            raise UnknownMessage
        if state is not None:
            raise NotCancellable(ENDED.get(state, UNDER_WAY))
        self.site.dispatcher.settled(1)
        self.chain.note("ordered", id=asked.id, state=State.CANCELLED)
        log.info("message.cancelled", id=asked.id, server=asked.server, key=asked.key)


ROUTES = [(r"/rest/email_cancel/([^/]+)/?", CancelHandler)]
