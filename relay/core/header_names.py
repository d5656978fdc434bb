"""Names of mail headers that nobody may choose: they have fields of their own, or are written here.

There is one list, for what settings let forms set and for what calls of the API bring.
"""

import re

_RESERVED = re.compile(
    r"from|to|cc|bcc|sender|reply-to|resent-.*|subject|date|content-.*|mime-.*|dkim-.*|received"
    r"|return-path|x-relay-message-id",
    re.IGNORECASE,
)


def is_reserved(name: str) -> bool:
    """Return whether a header of this name, in any case, is not for callers and forms to set."""
    return _RESERVED.fullmatch(name) is not None
