"""What a web page does in its visitor's browser: it takes a session token and posts a form."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from tornado.escape import json_decode
from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPResponse

from relay.core.secret import Secret

# An answer takes no longer than the relay waits for a first attempt, and this.
MARGIN_SECONDS = 20


class PostedForm(NamedTuple):
    """What the relay answered: its status and words, and the stored message's id."""

    status: int
    words: str
    id: str | None = None


async def post_form(
    api: str, server: str, key: Secret, fields: Mapping[str, str], wait: float
) -> PostedForm:
    """Post a form as a page with this publishable key would; never raise for what is answered."""
    seconds = wait + MARGIN_SECONDS
    try:
        made = await _post(f"{api}/rest/email_token/create", key, {}, seconds)
        if made.code != 200:
            return _answer(made)
        token = str(json_decode(made.body)["token_session"])
        brought = {f"email[{name}]": value for name, value in fields.items()}
        brought["email[token_session]"] = token
        return _answer(await _post(f"{api}/rest/email_session/{server}", key, brought, seconds))
    except (OSError, HTTPError):
        return PostedForm(502, f"there is no answer from {api}")


async def _post(url: str, key: Secret, fields: Mapping[str, str], seconds: float) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        url,
        method="POST",
        headers={"Authorization": f"token {key.reveal()}"},
        body=urlencode(fields),
        request_timeout=seconds,
        follow_redirects=False,
        raise_error=False,
    )


def _answer(response: HTTPResponse) -> PostedForm:
    words = json_decode(response.body)["response"]
    return PostedForm(response.code, words, response.headers.get("X-Relay-Message-Id"))
