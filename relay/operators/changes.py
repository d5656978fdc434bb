"""What an admin changes about people: by the console, by a command, in a daemon or without one."""

from collections.abc import Mapping
from typing import Any

from relay.config.settings import ConsoleSettings
from relay.core.urls import http_url
from relay.operators.people import FIRST, People, Refused
from relay.operators.roles import ROLES, role_of
from relay.store.acts import By

CHANGES = ("invite", "link", "role", "remove", "second-factor", "sign-out")


async def carry_out(
    people: People, change: str, asked: Mapping[str, str], by: By, console: ConsoleSettings
) -> dict[str, Any]:
    """Make one of CHANGES; raise Refused. `secret` is a new link's, `count` that of sessions."""
    if change not in CHANGES:
        raise Refused(f"there is no order {change[:30]}")
    if change in ("invite", "role") and asked.get("role") not in ROLES:
        raise Refused(f"a role is one of {', '.join(ROLES)}")
    is_first = asked["name"].strip().lower() == FIRST
    if change in ("invite", "link") and not (console.passwords or is_first):
        raise Refused("passwords are off: people come by the identity provider")
    if change == "invite":
        return {"secret": await people.invite(asked["name"], role_of(asked["role"]), by)}
    person = await people.named(asked["name"])
    if change == "link":
        return {"secret": await people.relink(person, by)}
    if change == "role":
        await people.change_role(person, role_of(asked["role"]), by)
    elif change == "remove":
        await people.remove(person, by)
    elif change == "second-factor":
        await people.drop_second_factor(person, by)
    else:
        return {"count": await people.sign_out_everywhere(person, by)}
    return {}


def link_url(console: ConsoleSettings, listening: tuple[str, int] | None, secret: str) -> str:
    """Return the address of a link, as people reach the console."""
    url = console.public_url or (http_url(*listening) if listening else "")
    return f"{url.rstrip('/')}/sign-in/link/{secret}"
