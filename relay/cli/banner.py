"""What the daemon prints when it starts: where to look, and lines to paste."""

import shlex
import sys
from urllib.parse import urlencode

from relay.cli.control_socket import NAME
from relay.core.urls import http_url
from relay.site import Site

LAST_LINE = "Ctrl+C stops it."

SAMPLE = {
    "email[to_address]": "desk@example.gov",
    "email[from_address]": "resident@example.com",
    "email[name]": "A Resident",
    "email[subject]": "I have a great idea",
    "email[message]": "Make the roads green.",
}


def banner(site: Site, link: str | None = None) -> str:
    """Return addresses and, where the keys were made here, curl lines that work as they are.

    link: the secret of the link that signs the first admin in, where he has no password.

    The keys stand in the lines, so where nobody looks on they are printed at the first start only.
    """
    url = http_url(*site.listening)
    lines = [f"Relay listens on {url}"]
    if site.pages:
        pages = http_url(*site.pages)
        lines += [f"  Try a form:  {pages}/try", f"  Mailbox:     {pages}/"]
    if site.console:
        console = f"{http_url(*site.console)}/"
        lines.append(f"  Console:     {console}{f'sign-in/link/{link}' if link else ''}")
    lines.append(f"  Commands:    {site.settings.data / NAME}")
    if site.made_keys and not (site.first_start or sys.stdout.isatty()):
        lines += ["", "run.py keys show: the keys that were made at the first start"]
    elif site.made_keys and "contactform" in site.chains:
        lines += ["", "Post a form from a shell:", *curl_lines(site, url)]
    return "\n".join([*lines, "", LAST_LINE])


def curl_lines(site: Site, url: str) -> list[str]:
    """Return a post with the application's key, and the two calls of a web page."""
    application, page = (site.made_keys[id].secret.reveal() for id in ("application", "page"))
    body = shlex.quote(urlencode(SAMPLE, safe="[]@"))
    brought = '"email[token_session]=$TOKEN"'
    session = f"{url}/rest/email_session/contactform"
    create = f"curl -s -X POST {url}/rest/email_token/create"
    return [
        f"  curl -H 'authorization: token {application}' {url}/rest/email/contactform -d {body}",
        "",
        f"  TOKEN=$({create} | tr -dc 0-9)",
        f"  curl -H 'authorization: token {page}' {session} -d {body} -d {brought}",
    ]
