"""Applications to boards and commissions: the fields that all forms share, as they are."""

from collections.abc import Mapping
from typing import Any

from relay import EmailForm, Message, Server, base_message, hookimpl


@hookimpl
def schema(server: Server) -> EmailForm:
    """Take the fields that all forms share."""
    return EmailForm()


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Map them as they are."""
    return base_message(form, server)
