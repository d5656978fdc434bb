"""A server's chain: its plugins in call order, behind one typed method for each deciding hook."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pluggy
import structlog
from marshmallow import Schema

from relay import hookspecs
from relay.errors import DeliveryError
from relay.message import (
    Account,
    Claim,
    Decoy,
    Identity,
    Message,
    Receipt,
    Server,
    Submission,
)

SLOW_SECONDS = 1.0

log = structlog.get_logger()


class Chain:
    """A server and its plugins in call order; each deciding hook is a method.

    `max_batch` is how many messages its delivery takes in one call: what the plugin's own
    `max_batch` says, or one. `account` is the provider's, if it has templates of its own.
    """

    def __init__(self, server: Server, manager: pluggy.PluginManager) -> None:
        self.server = server
        self._hook = manager.hook
        self.schema: Schema | None = manager.hook.schema(server=server)
        self.account: Account | None = manager.hook.account(server=server)
        self.deliver_plugins = tuple(self.describe()["deliver"])
        delivering = manager.get_plugin(self.deliver_plugins[0]) if self.deliver_plugins else None
        self.max_batch: int = getattr(delivering, "max_batch", 1)

    @property
    def takes_forms(self) -> bool:
        """Tell whether submissions may be posted to this server."""
        return self.schema is not None

    def authenticate(self, submission: Submission) -> Identity | None:
        identity: Identity | None = self._hook.authenticate(
            submission=submission, server=self.server
        )
        return identity

    def check_token(self, submission: Submission, identity: Identity) -> Claim | None:
        claim: Claim | None = self._hook.check_token(
            submission=submission, identity=identity, server=self.server
        )
        return claim

    def screen(self, submission: Submission) -> Decoy | None:
        decoy: Decoy | None = self._hook.screen(submission=submission, server=self.server)
        return decoy

    def compose(self, form: Mapping[str, Any]) -> Message | None:
        message: Message | None = self._hook.compose(form=form, server=self.server)
        return message

    def deliver(self, messages: Sequence[Message]) -> Sequence[Receipt | DeliveryError] | None:
        outcomes: Sequence[Receipt | DeliveryError] | None = self._hook.deliver(
            messages=messages, server=self.server
        )
        return outcomes

    def observe(self, hook: str, **arguments: Any) -> None:
        """Call every observer; one that raises is logged and the others still run."""
        known = {**arguments, "server": self.server}
        for implementation in reversed(getattr(self._hook, hook).get_hookimpls()):
            try:
                implementation.function(*(known[name] for name in implementation.argnames))
            except Exception as error:  # noqa: BLE001 - an observer decides nothing
                log.error(
                    "observer.failed",
                    hook=hook,
                    plugin=implementation.plugin_name,
                    error=type(error).__name__,
                )

    def describe(self) -> dict[str, list[str]]:
        """Give, for each hook, the names of the plugins that have it, in call order."""
        return {
            hook: [
                implementation.plugin_name
                for implementation in reversed(getattr(self._hook, hook).get_hookimpls())
            ]
            for hook in hook_names()
        }


def hook_names() -> list[str]:
    """Give the hooks' names in the order in which they are called."""
    return [name for name, value in vars(hookspecs).items() if hasattr(value, "relay_spec")]


def watch(manager: pluggy.PluginManager, deadline: float) -> None:
    """Log every hook that takes too long, under its plugin's name."""
    for hook in hook_names():
        limit = deadline if hook == "deliver" else SLOW_SECONDS
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if not implementation.wrapper:
                name = implementation.plugin_name
                implementation.function = _timed(implementation.function, hook, name, limit)


def _timed(
    function: Callable[..., Any], hook: str, plugin: str, limit: float
) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds = time.perf_counter() - started
            if seconds > limit:
                log.warning("hook.slow", hook=hook, plugin=plugin, seconds=round(seconds, 3))

    return call
