"""Keys in the authorization header, or in the field `key` of a session post."""

from relay import AuthenticationFailed, Identity, Server, Submission, hookimpl
from relay.provider import find_key, token_of


@hookimpl
def authenticate(submission: Submission, server: Server) -> Identity | None:
    """Find the caller's key; it must be for this server and good for this kind of post."""
    token = _token(submission)
    if token is None:
        anonymous = submission.session and server.session_key == "optional"
        return Identity("", "anonymous") if anonymous else None
    key = find_key(server.keys, token)
    if key is None:
        raise AuthenticationFailed(reason="unknown_key")
    if not key.opens(server.name):
        raise AuthenticationFailed(reason="wrong_server", key=key.id)
    if key.kind == "account" or (key.kind == "publishable" and not submission.session):
        raise AuthenticationFailed(reason="key_kind", key=key.id)
    return Identity(key.id, key.kind)


def _token(submission: Submission) -> bytes | None:
    header = submission.headers.get("authorization", "")
    if header.strip():
        return token_of(header)
    key = submission.fields.get("key")
    # A form without JavaScript cannot set a header.
    return key.encode() if submission.session and isinstance(key, str) and key else None
