"""What a web team would otherwise write: a form comes in, a call to the provider goes out.

It stores nothing: when the provider is down, or the process dies, the message is lost.
"""

import os
import threading

import requests
from flask import Flask, request

app = Flask(__name__)
local = threading.local()


@app.post("/")
def take() -> tuple[dict[str, str], int]:
    """Post the form to the provider and say what came of it."""
    fields = request.get_json()["email"]
    if not hasattr(local, "session"):
        local.session = requests.Session()
    message = {
        "From": "relay@example.gov",
        "To": fields["to_address"],
        "ReplyTo": fields["from_address"],
        "Subject": fields["subject"],
        "TextBody": fields["message"],
    }
    headers = {"X-Postmark-Server-Token": "token", "Accept": "application/json"}
    url = os.environ["PROVIDER"] + "/email"
    answer = local.session.post(url, json=message, headers=headers, timeout=30)
    if answer.json()["ErrorCode"]:
        return {"status": "error", "response": "refused"}, 400
    return {"status": "success", "response": "Message sent"}, 200
