"""What is changed about people by a command, in a daemon or without one."""

from collections.abc import Mapping
from typing import Any

from relay.config.settings import ConsoleSettings
from relay.core.urls import http_url
from relay.operators.people import People
from relay.operators.roles import role_of
from relay.store.acts import By

CHANGES = ("invite", "link", "role", "remove", "sign-out")


async def carry_out(
    people: People, change: str, asked: Mapping[str, str], by: By
) -> dict[str, Any]:
    """Make one of CHANGES; raise Refused. `secret` is a new link's, `count` that of sessions."""
    if change == "invite":
        return {"secret": await people.invite(asked["name"], role_of(asked["role"]), by)}
    person = await people.named(asked["name"])
    if change == "link":
        return {"secret": await people.relink(person, by)}
    if change == "role":
        await people.change_role(person, role_of(asked["role"]), by)
    elif change == "remove":
        await people.remove(person, by)
    else:
        return {"count": await people.sign_out_everywhere(person, by)}
    return {}


def link_url(console: ConsoleSettings, listening: tuple[str, int] | None, secret: str) -> str:
    """Return the address of a link, as people reach the console."""
    url = console.public_url or (http_url(*listening) if listening else "")
    return f"{url.rstrip('/')}/sign-in/link/{secret}"
