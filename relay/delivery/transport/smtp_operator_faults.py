"""Which refusals of a mail server are for the operator to mend: a table, each row with its source.

The first row that fits a reply of 5xx decides; what fits none judges the message, or the recipient
that it was asked about. Words count where the numbers say too little: 5.7.1 is both "relay access
denied" and "this is spam". Those that a server might take from a message's content count only
before it has any.
"""

import re
from typing import Literal, NamedTuple

# The steps at which a server has heard of no message yet, and those up to a message's content.
BEFORE_MESSAGE = frozenset({"greeting", "EHLO", "HELO", "STARTTLS", "AUTH"})
_SENDER, _ENVELOPE = frozenset({"MAIL"}), frozenset({"MAIL", "RCPT", "DATA"})
_ALL = BEFORE_MESSAGE | _ENVELOPE | {"end"}

_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")


class _Row(NamedTuple):
    """steps: where it is said. codes, enhanced, words: what the reply is like; empty for any.

    words: patterns, any of them, in lower case.
    """

    whose: Literal["operator", "message"]
    source: str
    steps: frozenset[str]
    codes: str = ""
    enhanced: str = ""
    words: tuple[str, ...] = ()

    def fits(self, step: str, code: str, enhanced: str, words: str) -> bool:
        """Return whether a reply at a step is one of these."""
        return (
            step in self.steps
            and (not self.codes or re.fullmatch(self.codes, code) is not None)
            and (not self.enhanced or re.fullmatch(self.enhanced, enhanced) is not None)
            and (not self.words or re.search("|".join(self.words), words.lower()) is not None)
        )


_TABLE = (
    # Who we are to the server.
    _Row("operator", "RFC 5321 3.1, 4.3.2: 554 no service here, 550 by policy", BEFORE_MESSAGE),
    _Row("operator", "RFC 4954 6: authentication required, too weak, refused", _ALL, "53[0458]"),
    _Row("operator", "RFC 5321 4.1.4: AUTH or STARTTLS should come first", _ENVELOPE, "503"),
    _Row("operator", "RFC 4954 6, RFC 5248: credentials, trust", _ALL, "", r"5\.7\.(8|9|10|11|14)"),
    _Row(
        "operator",
        "Exchange NDR: 5.7.3 not authorized, 5.7.30 basic authentication, 5.7.57 anonymous",
        _ALL,
        enhanced=r"5\.7\.(3|30|57)",
    ),
    _Row(
        "operator",
        "Exim, hMailServer, Exchange 5.7.1: authentication required",
        _ENVELOPE,
        words=(
            r"\b(auth|authentication|log ?in) (is )?(required|first)",
            r"\bmust (first )?(authenticate|log ?in)",
            r"\bnot (been )?(authenticated|logged in)",
        ),
    ),
    # What is the message's, or its recipient's, though a row below would take it.
    _Row("message", "RFC 1870 6.1: larger than the server takes", _SENDER, "523|552"),
    _Row("message", "RFC 3463: 5.2.3, 5.3.4 too large", _SENDER, "", r"5\.(2\.3|3\.4)"),
    _Row(
        "message",
        "Postfix reject_unverified_recipient: another server's words follow",
        _ENVELOPE,
        words=("recipient address rejected",),
    ),
    _Row(
        "message",
        "Exchange NDR 5.2.12x, Gmail 5.2.1: what a mailbox may receive",
        _ALL,
        words=(r"(limit|quota).*receiv", r"receiv.*(limit|quota)", r"mailbox.*quota"),
    ),
    # The sender of the envelope.
    _Row("operator", "RFC 5321 4.3.2: 550, 552, 553, 503, 555 to MAIL", _SENDER),
    _Row(
        "operator", "Exchange NDR: 5.1.8 bad sender, 5.7.60 send as", _ALL, "", r"5\.(1\.8|7\.60)"
    ),
    _Row(
        "operator",
        "Postfix reject_sender_login_mismatch and others, after RCPT by smtpd_delay_reject; Exim",
        _ENVELOPE,
        words=(
            r"\bsender (address )?(rejected|not allowed|verify failed)",
            r"\bnot owned by\b",
            r"\bpermissions? to send as\b",
        ),
    ),
    # Where the server relays to for us.
    _Row("operator", "Exchange NDR: 5.7.54, 5.7.64 relay", _ALL, "", r"5\.7\.(54|64)"),
    _Row(
        "operator",
        "Postfix reject_unauth_destination, Exim, sendmail, qmail, Exchange 5.7.1, Gmail 5.7.0",
        _ENVELOPE,
        words=(
            r"\brelay(ing)?( access)?( is)? (denied|not permitted|not allowed|prohibited)",
            r"\b(unable|not permitted|not allowed) to relay\b",
            r"\brcpthosts\b",
        ),
    ),
    # How much we may send.
    _Row(
        "operator", "Gmail 5.4.5, Exchange NDR 5.1.90: the day's mail", _ALL, "", r"5\.(4\.5|1\.90)"
    ),
    _Row(
        "operator",
        "Gmail 5.7.1 relay limit, Exchange SubmissionQuotaExceeded, hosters 5.7.0",
        _ALL,
        words=(
            r"\b(daily|hourly|monthly|sending|relay) ([\w-]+ ){0,4}(limit|quota)",
            r"\bsubmission ?quota",
            r"\b(limit|quota) ([\w-]+ ){0,6}(per (hour|day)|outgoing|sent)\b",
        ),
    ),
    # Our address and our domain, where they are not let in.
    _Row(
        "operator",
        "Exchange NDR: 5.7.50x to 511 banned, 5.7.606 to 649 banned IP, 5.7.705, 708, 750 tenant",
        _ALL,
        enhanced=r"5\.7\.(50[1-9]|51[01]|60[6-9]|6[1-4][0-9]|70[58]|750)",
    ),
    _Row("operator", "RFC 7372, RFC 7505: DKIM, SPF, reverse DNS", _ALL, "", r"5\.7\.2[0-7]"),
    _Row(
        "operator",
        "Postfix reject_rbl_client, check_client_access, check_helo_access; Gmail 5.7.1",
        _ALL,
        words=(
            r"\bclient host\b.*\b(blocked|rejected)",
            r"\bhelo command rejected",
            r"\bcannot find your (reverse )?hostname",
            r"\b(your|sending|client) ip\b",
            r"\bip( address)? .*\b(banned|blocked|blacklisted|listed)\b",
            r"\b(banned|blocked|blacklisted)( \w+)? ip\b",
        ),
    ),
)


def enhanced_code(words: str) -> str:
    """Return the enhanced status code that a reply's words begin with (RFC 3463), or ""."""
    found = _ENHANCED.match(words)
    return found[0] if found else ""


def is_operators(step: str, code: int, words: str) -> bool:
    """Return whether a refusal at a step is for the operator to mend, and judges no message."""
    if code // 100 != 5:
        return False
    reply = (step, str(code), enhanced_code(words), words)
    found = next((row for row in _TABLE if row.fits(*reply)), None)
    return found is not None and found.whose == "operator"
