"""What stands between a server's settings and production, as `check` and the console say it."""

from collections.abc import Iterator, Mapping

from relay.config.template_files import unfilled_names
from relay.core.server import Server
from relay.delivery.transport.smtp_server import MailServer
from relay.hooks.chain import Chain
from relay.notifications.canaries.form import objection


def of_server(name: str, chains: Mapping[str, Chain]) -> Iterator[str]:
    """Return what is to be said of a server's settings, each as a sentence without its name."""
    chain = chains[name]
    if "mailbox" in chains[chain.server.group].deliver_plugins:
        yield "delivers to the embedded mailbox: nothing leaves this machine"
    if chain.has_forms:
        yield from _forms(chain.server)
    yield from unfilled_names(chain.server)
    if chain.server.canary_seconds and (words := objection(chain)):
        yield f"canary_fields: no canary can be made of them: {words}"
    for key, value in chain.server.options.items():
        if isinstance(value, MailServer) and value.is_exposed:
            yield f"{key} has no TLS: whoever is between reads the mail"


def _forms(server: Server) -> Iterator[str]:
    if server.recipients is None:
        yield "recipients is not set: a secret key may write to anybody"
    elif "*" in server.recipients:
        yield 'recipients is "*": anybody with a key may write to anybody'
    if server.sender and server.sender.domain.split(".")[-2:][0] == "example":
        yield f"sender {server.sender.domain} is an example"
    if server.replies and server.replies.domain.split(".")[-2:][0] == "example":
        yield f"replies {server.replies.domain} is an example"
    is_public = any(key.is_public_at(server.name) for key in server.keys)
    if is_public and not server.origins:
        yield "origins is empty: no page of another origin may post"
    yield from _receipts(server)


def _receipts(server: Server) -> Iterator[str]:
    """Say what strangers can do with a server that tells its writers what became of their mail."""
    if server.receipt is None or server.session_key == "required":
        return
    hour, day = server.receipt.per_address_per_hour, server.receipt.per_address_per_day
    more = "" if "honeypot" in server.plugins else "; add the honeypot against robots"
    yield (
        f'receipt with session_key = "optional": anybody can have a receipt sent to any address, '
        f"{hour} an hour and {day} a day{more}"
    )
