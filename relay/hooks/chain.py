"""A server's chain: its plugins in call order, behind one typed method for each deciding hook."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pluggy
import structlog
from marshmallow import Schema

from relay.core.errors import DeliveryError
from relay.core.message import Absent, Callback, Confirmation, Message, ProviderEvent, Reply
from relay.core.server import Account, Server
from relay.core.submission import (
    Claim,
    Decoy,
    Identity,
    Refused,
    Submission,
    Unsure,
    Verified,
)
from relay.forms.loading import Loader
from relay.hooks import specs

# The host's own observers: told the server's name, a hook's name or a state, and what it is about.
Listener = Callable[[str, str, Mapping[str, Any]], None]
# Those who want to hear of each hook or state: nobody is called for what they do not ask for.
Listeners = Mapping[str, Sequence[Listener]]
NOBODY: Listeners = {}

# The hooks that are asked on the loop, of every form.
OF_EVERY_FORM = ("authenticate", "check_token", "screen", "compose")

log = structlog.get_logger()


class Chain:
    """A server and its plugins in call order; each deciding hook is a method.

    `schema` is what its forms are read by, by the `loader`; `has_forms` tells whether it takes any.
    `deliver_plugins` are those that deliver: the first does, the others stand in for it;
    `authenticators` those that say who calls, `screens` those that look for robots, `verifiers`
    those that judge what whoever posts must prove. `account` is the provider's, if it has templates
    of its own. `listeners` hear what the observers hear, as far as they want to.
    """

    def __init__(
        self, server: Server, manager: pluggy.PluginManager, listeners: Listeners = NOBODY
    ) -> None:
        self.server = server
        self._manager = manager
        self._hook = manager.hook
        self.schema: Schema | None = manager.hook.schema(server=server)
        self.has_forms = self.schema is not None
        self.loader = Loader(self.schema) if isinstance(self.schema, Schema) else None
        self.account: Account | None = manager.hook.account(server=server)
        self.deliver_plugins = tuple(self._deciding("deliver"))
        # Whom every submission is shown to, for what its message's history says of it.
        self.authenticators = tuple(self._deciding("authenticate"))
        self.screens = tuple(self._deciding("screen"))
        self.verifiers = tuple(self._deciding("verify"))
        self._first = {hook: self._asking(hook) for hook in OF_EVERY_FORM}
        self.listeners = listeners
        # By hook, in call order.
        self._implementations = {
            hook: getattr(manager.hook, hook).get_hookimpls()[::-1] for hook in hook_names()
        }

    def authenticate(self, submission: Submission) -> Identity | None:
        identity: Identity | None = self._first["authenticate"](
            submission=submission, server=self.server
        )
        return identity

    def check_token(self, submission: Submission, identity: Identity) -> Claim | None:
        claim: Claim | None = self._first["check_token"](
            submission=submission, identity=identity, server=self.server
        )
        return claim

    def screen(self, submission: Submission) -> Decoy | None:
        decoy: Decoy | None = self._first["screen"](submission=submission, server=self.server)
        return decoy

    def challenge(self, token: str) -> Mapping[str, Any] | None:
        """Let a plugin make what a page must solve, for a session token or "" for none."""
        made: Mapping[str, Any] | None = self._hook.challenge(token=token, server=self.server)
        return made

    def verify(self, submission: Submission) -> Verified | Refused | Unsure:
        """Let the plugins judge what was to be proved; it passes where none of them does."""
        verdict = self._hook.verify(submission=submission, server=self.server)
        if verdict is None:
            return Verified()
        if not isinstance(verdict, Verified | Refused | Unsure):
            raise TypeError(f"verify of server {self.server.name} gave no verdict")
        return verdict

    def compose(self, form: Mapping[str, Any]) -> Message | None:
        message: Message | None = self._first["compose"](form=form, server=self.server)
        return message

    def deliver(
        self, messages: Sequence[Message], plugin: str | None = None
    ) -> Sequence[Confirmation | DeliveryError] | None:
        """Let one plugin deliver: the first that does, or the one that is named."""
        chosen = plugin or next(iter(self.deliver_plugins), "")
        outcomes: Sequence[Confirmation | DeliveryError] | None = self._only("deliver", chosen)(
            messages=messages, server=self.server
        )
        return outcomes

    def find(self, message: Message, plugin: str) -> Confirmation | Absent | None:
        """Let one plugin look a message up; None where it has no way to."""
        found: Confirmation | Absent | None = self._only("find", plugin)(
            message=message, server=self.server
        )
        return found

    def receive(self, callback: Callback) -> Reply | Sequence[ProviderEvent] | None:
        """Let the plugins read what a provider told; None where none of them can."""
        told: Reply | Sequence[ProviderEvent] | None = self._hook.receive(
            callback=callback, server=self.server
        )
        return told

    def can_find(self, plugin: str) -> bool:
        """Return whether a plugin of this server can look messages up."""
        return plugin in self._deciding("find")

    def batch_of(self, plugin: str) -> int:
        """Return how many messages a plugin takes in one call: its own `max_batch`, or one."""
        most: int = getattr(self._manager.get_plugin(plugin), "max_batch", 1)
        return most

    def has_account(self, plugin: str) -> bool:
        """Return whether a plugin delivers through an account with templates of its own."""
        return plugin in self._deciding("account")

    def has_same_terms(self, other: "Chain", plugin: str) -> bool:
        """Return whether a plugin treats another server's messages just as this one's.

        It does in the same time, by the same options of its own, and with nobody changing it.
        """
        terms = self._terms(plugin)
        return self is other or (terms is not None and terms == other._terms(plugin))

    def is_shared(self, plugin: str, other: "Chain") -> bool:
        """Return whether a plugin delivers for another server too, with the same account."""
        if plugin not in other.deliver_plugins:
            return False
        if plugin in self.describe()["account"]:
            return self.account == other.account
        return self._options_of(plugin) == other._options_of(plugin)

    def _options_of(self, plugin: str) -> dict[str, Any]:
        """Return the options that are a plugin's own."""
        named = [
            name
            for one in self._hook.settings.get_hookimpls()
            if one.plugin_name == plugin
            for name in cast("Mapping[str, Any]", one.function())
        ]
        return {name: self.server.options[name] for name in named}

    def _terms(self, plugin: str) -> tuple[Any, ...] | None:
        """Return what a plugin delivers by; None where wrappers have a hand in it."""
        implementations = self._hook.deliver.get_hookimpls()
        if any(one.wrapper or one.hookwrapper for one in implementations):
            return None
        return self._manager.get_plugin(plugin), self.server.deadline, self._options_of(plugin)

    def _deciding(self, hook: str) -> list[str]:
        """Name the plugins that answer a hook, in call order: wrappers only change answers."""
        return [
            implementation.plugin_name
            for implementation in reversed(getattr(self._hook, hook).get_hookimpls())
            if not (implementation.wrapper or implementation.hookwrapper)
        ]

    def _asking(self, hook: str) -> Callable[..., Any]:
        """Return what asks the plugins for an answer, one after the other until one has it.

        It looks them up once, as pluggy would each time; where wrappers have a hand in it, or
        arguments with defaults, it is pluggy's own.
        """
        caller: pluggy.HookCaller = getattr(self._hook, hook)
        found = [*reversed(caller.get_hookimpls())]
        if any(one.wrapper or one.hookwrapper or one.kwargnames for one in found):
            return caller
        functions = [(one.function, one.argnames) for one in found]

        def ask(**known: Any) -> Any:
            for function, names in functions:
                answer = function(*map(known.__getitem__, names))
                if answer is not None:
                    return answer
            return None

        return ask

    def _only(self, hook: str, plugin: str) -> pluggy.HookCaller:
        """Return a hook that asks one plugin; the wrappers of the others still run."""
        others = (name for name in self._deciding(hook) if name != plugin)
        return self._manager.subset_hook_caller(hook, map(self._manager.get_plugin, others))

    def note(self, what: str, **about: Any) -> None:
        """Call the host's own observers alone: there is no hook for it."""
        for listener in self.listeners.get(what, ()):
            listener(self.server.name, what, about)

    def observe(self, hook: str, **arguments: Any) -> None:
        """Call every observer; one that raises is logged and the others still run."""
        self.note(hook, **arguments)
        if self._implementations[hook]:
            self.tell(hook, **arguments)

    def tell(self, hook: str, **arguments: Any) -> None:
        """Call every plugin that has a hook, and nobody else; one that raises is logged."""
        known = {**arguments, "server": self.server}
        for implementation in self._implementations[hook]:
            try:
                implementation.function(*map(known.__getitem__, implementation.argnames))
            except Exception as error:  # noqa: BLE001 - an observer decides nothing
                log.error(
                    "observer.failed",
                    hook=hook,
                    plugin=implementation.plugin_name,
                    error=type(error).__name__,
                )

    def describe(self) -> dict[str, list[str]]:
        """Return, for each hook, the names of the plugins that have it, in call order."""
        return {
            hook: [implementation.plugin_name for implementation in implementations]
            for hook, implementations in self._implementations.items()
        }


def hook_names() -> list[str]:
    """Return the hooks' names in the order in which they are called."""
    return [name for name, value in vars(specs).items() if hasattr(value, "relay_spec")]
