"""The stored templates of an installation, as handlers and acceptance use them."""

from collections.abc import Sequence

from relay.errors import TemplateNotFound
from relay.message import Message
from relay.store.database import Store

Warnings = Sequence[str]


class Library:
    """Finds, changes, checks and renders stored templates. `server` is always a group's name.

    What takes long runs in a thread.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def rendered(self, message: Message, server: str) -> tuple[Message, Warnings]:
        """Give a message with a template its subject and parts, and what the model lacked.

        Raise TemplateNotFound or TemplateRenderError.
        """
        raise TemplateNotFound("No templates are stored.")
