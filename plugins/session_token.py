"""One-time session tokens: the field `token_session` of a session post."""

import re

from relay import Claim, Identity, Server, Submission, TokenRefused, hookimpl

# Neither signs, blanks, underscores nor other scripts' digits, all of which int() would take.
_TOKEN = re.compile(r"[1-9][0-9]{15}", re.ASCII)


@hookimpl
def check_token(submission: Submission, identity: Identity, server: Server) -> Claim | None:
    """Claim the token that a session post brings, an integer or its digits."""
    if not submission.session:
        return None
    token = submission.fields.get("token_session")
    if token is None or token == "":
        return None
    if isinstance(token, bool) or not isinstance(token, int | str):
        raise TokenRefused(reason="token_unknown")
    if not _TOKEN.fullmatch(str(token)):
        raise TokenRefused(reason="token_unknown")
    return Claim(int(token))
