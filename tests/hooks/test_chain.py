"""A chain with several plugins that deliver: one is asked at a time, and no other."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest

from relay.core.addresses import Address
from relay.core.message import ABSENT, Confirmation, Message
from relay.core.server import Server
from relay.hooks import specs
from relay.hooks.chain import Chain
from relay.hooks.specs import hookimpl

MESSAGE = Message(sender=Address("a@example.gov"), to=(Address("b@example.gov"),), id="1")


class Provider:
    """Delivers under its own name, and can look up what it delivered."""

    max_batch = 50

    def __init__(self, name: str) -> None:
        self.name = name
        self.answer: Any = Confirmation(name)

    @hookimpl
    def deliver(self, messages: Sequence[Message], server: Server) -> Any:
        return [Confirmation(self.name) for _ in messages]

    @hookimpl
    def find(self, message: Message, server: Server) -> Any:
        return self.answer


class Sender:
    """Delivers one message a call, and cannot look anything up."""

    @hookimpl
    def deliver(self, messages: Sequence[Message], server: Server) -> Any:
        return None


class Stamp:
    """Changes what the others answer."""

    @hookimpl(wrapper=True)
    def deliver(self, messages: Sequence[Message], server: Server) -> Any:
        outcomes = yield
        return outcomes and [Confirmation(one.provider_id, words="stamped") for one in outcomes]

    @hookimpl(wrapper=True)
    def find(self, message: Message, server: Server) -> Any:
        found = yield
        return found and Confirmation(found.provider_id, words="stamped")


@pytest.fixture
def plugins() -> dict[str, Any]:
    return {"first": Provider("first"), "second": Provider("second"), "third": Sender()}


def chain(plugins: dict[str, Any]) -> Chain:
    manager = pluggy.PluginManager("relay")
    manager.add_hookspecs(specs)
    for name in reversed(plugins):
        manager.register(plugins[name], name)
    return Chain(Server("registry", tuple(plugins)), manager)


def test_the_first_delivers_where_none_is_named(plugins: dict[str, Any]) -> None:
    built = chain(plugins)
    assert built.deliver_plugins == ("first", "second", "third")
    assert built.deliver([MESSAGE, MESSAGE]) == [Confirmation("first"), Confirmation("first")]


def test_the_one_that_is_named_delivers_and_no_other_is_asked(plugins: dict[str, Any]) -> None:
    built = chain(plugins)
    assert built.deliver([MESSAGE], "second") == [Confirmation("second")]
    assert built.deliver([MESSAGE], "third") is None
    assert built.deliver([MESSAGE], "unknown") is None


def test_only_the_one_that_is_named_looks_up(plugins: dict[str, Any]) -> None:
    plugins["second"].answer = ABSENT
    built = chain(plugins)
    assert built.find(MESSAGE, "first") == Confirmation("first")
    assert built.find(MESSAGE, "second") is ABSENT
    assert built.find(MESSAGE, "third") is None
    assert built.find(MESSAGE, "unknown") is None
    assert [built.can_find(name) for name in ("first", "third", "unknown")] == [True, False, False]


def test_each_takes_as_many_messages_a_call_as_it_says(plugins: dict[str, Any]) -> None:
    built = chain(plugins)
    assert [built.batch_of(name) for name in ("first", "third", "unknown")] == [50, 1, 1]
    assert built.batch_of(built.deliver_plugins[0]) == 50
    assert chain({"third": Sender()}).batch_of("third") == 1
    assert chain({"nothing": SimpleNamespace()}).batch_of("nothing") == 1


def test_a_wrapper_delivers_nothing_itself_and_works_around_each(plugins: dict[str, Any]) -> None:
    built = chain({"stamp": Stamp(), **plugins})
    assert built.deliver_plugins == ("first", "second", "third")
    assert not built.can_find("stamp")
    assert built.deliver([MESSAGE]) == [Confirmation("first", words="stamped")]
    assert built.deliver([MESSAGE], "second") == [Confirmation("second", words="stamped")]
    assert built.find(MESSAGE, "second") == Confirmation("second", words="stamped")
