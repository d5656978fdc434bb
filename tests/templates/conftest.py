"""A library over a store of its own, and the drafts that the tests change."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from relay.core.addresses import Address
from relay.core.message import Message
from relay.store.engine.database import Store
from relay.templates.library import Library
from relay.templates.rules import TemplateDraft

Run = Callable[[Any], Any]


@pytest.fixture
def library(store: Store) -> Library:
    return Library(store)


@pytest.fixture(scope="module")
def kept_library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library for all generated examples of a test, which must leave nothing active in it."""
    folder = tmp_path_factory.mktemp("templates")
    store = Store(f"sqlite:///{folder}/relay.db", folder)
    store.open()
    yield Library(store)
    store.close()


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Run a coroutine to its end: for tests with generated examples."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()


class Rows:
    """What the store holds of templates: current rows and former versions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self) -> list[dict[str, Any]]:
        return self._all("SELECT * FROM templates ORDER BY server, id")

    def former(self) -> list[dict[str, Any]]:
        return self._all("SELECT * FROM template_versions ORDER BY server, id, version")

    def everything(self) -> list[list[dict[str, Any]]]:
        return [self.current(), self.former()]

    def _all(self, query: str) -> list[dict[str, Any]]:
        rows = self._store.read_now(lambda connection: connection.execute(text(query)).all())
        return [dict(row._mapping) for row in rows]


@pytest.fixture
def rows(store: Store) -> Rows:
    return Rows(store)


def standard(**changes: Any) -> TemplateDraft:
    """A draft of a standard template with an alias, a subject and both parts."""
    values: dict[str, Any] = {
        "name": "Welcome",
        "alias": "welcome",
        "subject": "Hello {{name}}",
        "html": "<p>{{name}}</p>",
        "text": "{{name}}",
    }
    return TemplateDraft(**(values | changes))


def layout(**changes: Any) -> TemplateDraft:
    """A draft of a layout with both parts."""
    values: dict[str, Any] = {
        "name": "Base",
        "alias": "base",
        "type": "Layout",
        "html": "<h1>{{title}}</h1>{{{ @content }}}",
        "text": "{{title}}: {{{@content}}}",
    }
    return TemplateDraft(**(values | changes))


def message(template: int | str, model: Any = None, **changes: Any) -> Message:
    """A message to one recipient with a template."""
    return Message(
        sender=Address("relay@example.gov"),
        to=(Address("resident@example.com"),),
        template=template,
        model=model,
        **changes,
    )
