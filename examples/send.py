"""Send one mail through Relay from a server-side application, with a secret key.

    RELAY_URL=http://127.0.0.1:8025 RELAY_KEY=... python send.py \
        --to desk@example.gov --from resident@example.com --subject "An idea" "Make it green."

Needs `requests`. Prints what the relay says; the exit code is 0 where it took the mail, else 1.
A relay that is busy says when to come back: after 429 and 503 nothing was stored, and the same
post is repeated. After a lost answer it is not: the mail may have arrived.
"""

import argparse
import os
import sys
import time

import requests

TRIES = 4
PATIENCE = 60  # seconds: the longest wait before another try


def main() -> None:
    """Send what the command line says."""
    parser = argparse.ArgumentParser(description="Send one mail through Relay.")
    parser.add_argument("--to", required=True, help="recipients, separated by commas")
    parser.add_argument("--from", required=True, dest="writer", help="the writer's address")
    parser.add_argument("--name", default="", help="the writer's name")
    parser.add_argument("--subject", required=True)
    parser.add_argument("--server", default="contactform", help="the relay's server")
    parser.add_argument("message")
    given = parser.parse_args()
    email = {
        "to_address": given.to,
        "from_address": given.writer,
        "name": given.name,
        "subject": given.subject,
        "message": given.message,
    }
    try:
        reply = post(f"/rest/email/{given.server}", {"email": email})
    except requests.RequestException as error:
        sys.exit(f"no answer from the relay: {type(error).__name__}")
    if reply.status_code != 200:
        sys.exit(f"refused with {reply.status_code}: {words(reply)}")
    print(words(reply))


def post(path: str, content: dict) -> requests.Response:
    """Post JSON; come back when a busy relay says so, a few times and not after too long."""
    tries = TRIES
    while True:
        tries -= 1
        reply = requests.post(
            os.environ["RELAY_URL"] + path,
            json=content,
            headers={"Authorization": f"token {os.environ['RELAY_KEY']}"},
            allow_redirects=False,
            timeout=30,
        )
        wait = reply.headers.get("Retry-After", "")
        busy = reply.status_code in (429, 503) and wait.isdecimal() and int(wait) <= PATIENCE
        if not busy or not tries:
            return reply
        print(f"{words(reply)}; again in {wait} s", file=sys.stderr)
        time.sleep(int(wait))


def words(reply: requests.Response) -> str:
    """What the relay says, or the status of whatever stands in front of it."""
    try:
        return reply.json()["response"]
    except (ValueError, KeyError):
        return reply.reason


if __name__ == "__main__":
    main()
