"""What a provider's words mean, in plain words, and what to do about it: a table with sources.

It judges no message: whether something is tried again was decided when it was said. Whose fault an
SMTP refusal is, is asked where that is decided (`smtp_operator_faults`).
"""

import re
from typing import NamedTuple

from relay.delivery.transport import smtp_operator_faults


class Meaning(NamedTuple):
    """What words mean, and what a person does about it: a sentence each, "" where there is none."""

    means: str
    remedy: str = ""


_ADDRESS = "Ask for the right address, and send it again to that one: `queue readdress`."
_LATER = "It is tried again by itself."
_SIZE = "Send it without its files, or to an address that takes more."
_CONTENT = "Look what in it may seem to be spam; ask the recipient's mail administrators."
_ACCOUNT = "Mend the account or the settings; what waits goes on by itself."
_THEIRS = "Ask the recipient's mail administrators; they can look it up by the time."

# RFC 3463 and IANA's registry of enhanced status codes; what no row has is looked up by its code.
# The first digit, for now or for good, is left out.
_ENHANCED = {
    "1.0": Meaning("The server says that something is wrong with the address.", _ADDRESS),
    "1.1": Meaning("There is no such mailbox.", _ADDRESS),
    "1.2": Meaning("The part of the address behind the @ is no mail domain.", _ADDRESS),
    "1.3": Meaning("The server cannot read the address.", _ADDRESS),
    "1.4": Meaning("The address may mean several mailboxes.", _ADDRESS),
    "1.6": Meaning("The mailbox has moved to another address.", _ADDRESS),
    "1.7": Meaning("The server cannot read the sender's address.", _ACCOUNT),
    "1.8": Meaning("The server does not know the sender's domain.", _ACCOUNT),
    "1.9": Meaning("The server does not send on what this server sends it.", _ACCOUNT),
    "1.10": Meaning("The recipient's domain says that it takes no mail at all.", _ADDRESS),
    "1.90": Meaning("The account has sent as much as it may in a day.", _ACCOUNT),
    "2.0": Meaning("Something is wrong with the recipient's mailbox.", _THEIRS),
    "2.1": Meaning("The recipient's mailbox is switched off.", _ADDRESS),
    "2.2": Meaning("The recipient's mailbox is full.", "Tell the recipient by another way."),
    "2.3": Meaning("It is larger than the recipient's mailbox takes.", _SIZE),
    "2.4": Meaning("The mailing list could not hand it on.", _THEIRS),
    "3.0": Meaning("Something is wrong with the recipient's mail system.", _THEIRS),
    "3.1": Meaning("The recipient's mail system is full.", _THEIRS),
    "3.2": Meaning("The recipient's mail system takes no mail at present.", _THEIRS),
    "3.3": Meaning("The recipient's mail system cannot do what was asked of it.", _THEIRS),
    "3.4": Meaning("It is larger than the mail system takes.", _SIZE),
    "4.1": Meaning("The recipient's mail server does not answer.", _THEIRS),
    "4.2": Meaning("The connection to the recipient's mail server was lost.", _LATER),
    "4.3": Meaning("The server could not look the recipient's domain up.", _LATER),
    "4.4": Meaning("The server finds no way to the recipient's domain.", _ADDRESS),
    "4.5": Meaning("Too much mail was sent for now.", _ACCOUNT),
    "4.6": Meaning("It goes round in circles between mail servers.", _THEIRS),
    "4.7": Meaning("It could not be delivered for too long.", _THEIRS),
    "5.1": Meaning("The servers do not understand each other.", _ACCOUNT),
    "5.3": Meaning("There are too many recipients.", "Send it to fewer of them."),
    "6.0": Meaning("The server does not like something in the message.", _CONTENT),
    "6.1": Meaning("The server does not take such content.", _CONTENT),
    "7.0": Meaning("The server refuses it by a rule of its own.", _CONTENT),
    "7.1": Meaning(
        "The server refuses it by a rule: often spam, or a sender it mistrusts.", _CONTENT
    ),
    "7.2": Meaning("The mailing list does not take it from this sender.", _THEIRS),
    "7.3": Meaning("The server does not take it from us.", _ACCOUNT),
    "7.5": Meaning("The server asks for encryption.", _ACCOUNT),
    "7.8": Meaning("The mail server refuses our user or password.", _ACCOUNT),
    "7.9": Meaning("The mail server refuses our way to sign in.", _ACCOUNT),
    "7.10": Meaning("The mail server asks for encryption.", _ACCOUNT),
    "7.11": Meaning("The mail server asks for encryption before the password.", _ACCOUNT),
    "7.13": Meaning("Our account at the mail server is switched off.", _ACCOUNT),
    "7.20": Meaning("No valid DKIM signature: the sender's domain is not set up.", _ACCOUNT),
    "7.21": Meaning("No acceptable DKIM signature: the sender's domain is not set up.", _ACCOUNT),
    "7.22": Meaning("The DKIM signature is not the sender's domain's.", _ACCOUNT),
    "7.23": Meaning("SPF: our mail server may not send for the sender's domain.", _ACCOUNT),
    "7.24": Meaning("SPF: the sender's domain has a faulty record.", _ACCOUNT),
    "7.25": Meaning("Our mail server's address has no name in DNS.", _ACCOUNT),
    "7.26": Meaning("SPF, DKIM and DMARC all failed for the sender's domain.", _ACCOUNT),
    "7.27": Meaning("The sender's domain says that it takes no mail.", _ACCOUNT),
    "7.28": Meaning("The server has got too much mail like this.", _LATER),
    "7.54": Meaning("The mail server does not send on to this recipient for us.", _ACCOUNT),
    "7.57": Meaning("The mail server asks us to sign in.", _ACCOUNT),
    "7.60": Meaning("Our account may not send as this sender.", _ACCOUNT),
    "7.64": Meaning("The mail server does not send on to this recipient for us.", _ACCOUNT),
}

# RFC 5321 4.2.3, RFC 4954 6, RFC 7504.
_CODES = {
    421: Meaning("The mail server closes: it is busy, or it has had enough of us for now.", _LATER),
    432: Meaning("The password must be changed at the mail server.", _ACCOUNT),
    450: Meaning(
        "The mailbox cannot be reached just now; strangers are often made to wait.", _LATER
    ),
    451: Meaning("The mail server has a fault of its own, or makes strangers wait.", _LATER),
    452: Meaning("The mail server has no room for it now.", _LATER),
    454: Meaning("The mail server cannot sign us in just now.", _LATER),
    500: Meaning("The mail server does not understand us.", _ACCOUNT),
    501: Meaning("The mail server cannot read an address.", _ADDRESS),
    502: Meaning("The mail server does not do what was asked of it.", _ACCOUNT),
    503: Meaning("The mail server wants us to sign in or to encrypt first.", _ACCOUNT),
    504: Meaning("The mail server does not do what was asked of it.", _ACCOUNT),
    521: Meaning("This server takes no mail at all.", _ADDRESS),
    523: Meaning("It is larger than the mail server takes.", _SIZE),
    530: Meaning("The mail server asks us to sign in, or to encrypt first.", _ACCOUNT),
    534: Meaning("The mail server finds our way to sign in too weak.", _ACCOUNT),
    535: Meaning("The mail server refuses our user or password.", _ACCOUNT),
    538: Meaning("The mail server asks for encryption before the password.", _ACCOUNT),
    550: Meaning("The mail server refuses it: no such mailbox, or a rule of its own.", _ADDRESS),
    551: Meaning("The recipient is not on this mail server.", _ADDRESS),
    552: Meaning("It is too large, or the mailbox is full.", _SIZE),
    553: Meaning("The mail server does not allow the address.", _ADDRESS),
    554: Meaning("The mail server refuses the message.", _CONTENT),
    555: Meaning("The mail server does not take the sender or the recipient.", _ACCOUNT),
    556: Meaning("The recipient's domain says that it takes no mail at all.", _ADDRESS),
}

# Postmark's "API error codes", and texts that its API was seen to answer.
_POSTMARK = {
    10: Meaning("Postmark does not know our token.", "Set `postmark_token` to the server's token."),
    100: Meaning("Postmark is being maintained.", _LATER),
    101: Meaning("Postmark has a fault of its own.", _LATER),
    300: Meaning(
        "Postmark finds a fault in the message: an address, a header, a size, or no body.",
        "Mend what it names where the message is made, and send it again.",
    ),
    400: Meaning(
        "Postmark does not know the sender's address.",
        "Confirm it in Postmark as a Sender Signature or its domain; it goes on by itself.",
    ),
    401: Meaning(
        "The sender's address is not confirmed in Postmark.",
        "Confirm it there; what waits goes on by itself.",
    ),
    402: Meaning("Postmark could not read our request.", "Report it: Relay is at fault."),
    403: Meaning("Postmark found a field of the wrong kind.", "Report it: Relay is at fault."),
    405: Meaning("The Postmark account has no credits left.", _ACCOUNT),
    406: Meaning(
        "Postmark sends nothing to the recipient: mail to it came back, or it complained.",
        "Ask for another address; or, where it works again, lift it in Postmark and retry.",
    ),
    409: Meaning("Postmark did not get JSON.", "Report it: Relay is at fault."),
    410: Meaning("There were too many messages in one call.", "Report it: Relay is at fault."),
    411: Meaning("Postmark does not take files of this kind.", "Send it without that file."),
    412: Meaning(
        "The Postmark account is not approved yet: it may only send to its own domain.",
        "Ask Postmark to approve the account; what waits goes on by itself.",
    ),
    413: Meaning(
        "The Postmark account is not approved for sending.",
        "Ask Postmark to approve the account; what waits goes on by itself.",
    ),
    422: Meaning("Postmark does not know the server or the account.", _ACCOUNT),
    429: Meaning("Postmark wants us to send more slowly.", _LATER),
    1101: Meaning(
        "Postmark has no such template.", "Store the template here, or add it in Postmark."
    ),
    1120: Meaning("A part that the template needs is missing.", "Mend the model or the template."),
    1121: Meaning("A field is longer than Postmark takes.", "Shorten it where it is made."),
    1122: Meaning("The template or its model cannot be used.", "Mend the model or the template."),
    1123: Meaning("Fields exclude each other.", "Report it: Relay is at fault."),
    1235: Meaning(
        "Postmark has no such message stream.", "Mend `message_stream`, or add it there."
    ),
    1236: Meaning("This message stream is not for sending.", "Name another as `message_stream`."),
    1480: Meaning(
        "Postmark takes no calls from this machine's address.",
        "Add the address to the server's list in Postmark; what waits goes on by itself.",
    ),
}

# What Relay itself says of a conversation; the names of errors are Python's.
_OWN = (
    (
        r"no connection: .*(NameResolution|gaierror)",
        "The provider's name is not found: it is mistyped, or this machine's DNS fails.",
        "Look at the URL in the settings and at DNS; what waits goes on by itself.",
    ),
    (
        r"no connection: .*(SSL|Certificate)",
        "The provider's certificate is not trusted.",
        "Look at the URL, the machine's clock and its certificates.",
    ),
    (
        r"no connection: .*Refused",
        "Nothing listens at the provider's address and port.",
        "Look at the URL in the settings, and whether the provider is up.",
    ),
    (
        r"no connection: ",
        "The provider cannot be reached.",
        "Look at the network and the firewall; what waits goes on by itself.",
    ),
    (
        r"the connection was lost at ",
        "The mail server ended the connection before it had the message.",
        _LATER,
    ),
    (
        r"no answer|no clear answer|answer is not one for each",
        "The provider got the message and its answer was lost: it may have it.",
        "",
    ),
    (r"it offers no STARTTLS", "The mail server does not encrypt.", _ACCOUNT),
    (r"a password goes to another machine", "The password would travel in the open.", _ACCOUNT),
    (r"it offers neither AUTH", "The mail server offers no way to sign in.", _ACCOUNT),
    (
        r"the plugin (raised|gave no)",
        "The delivery plugin broke: the log of that time has its error.",
        "Mend the plugin, and `run.py reload`.",
    ),
    (r"no plugin took it", "No delivery plugin felt responsible.", "Look at `plugins`."),
    (r"not begun|its turn did not come in time", "There was no time left for it.", _LATER),
    (
        r"no mail goes to ",
        "The address is on the list of those that get no mail.",
        "Where it works again, lift it: `suppressions lift`.",
    ),
    (
        r"template .*not stored here",
        "The template is not stored here.",
        "Store it: `run.py templates pull` or `push`.",
    ),
    (r"no mail can be made of it|no JSON can be made|cannot be read", "It is damaged.", ""),
)

_SMTP = re.compile(
    r"(?:\b(greeting|EHLO|HELO|STARTTLS|AUTH|MAIL|RCPT|DATA|end|refused|not now): )"
    r"([245][0-9]{2})\b ?(.*)",
    re.DOTALL,
)
_GREYLISTED = re.compile("gr[ea]y.?list", re.IGNORECASE)
_POSTMARK_CODE = re.compile(r"\(ErrorCode ([0-9]{1,5})\)")
_POSTMARK_STATUS = re.compile(r"Postmark answered ([0-9]{3}): ")


def meaning(words: str) -> Meaning | None:
    """Return what a provider's words mean, as they stand in a message's history; None if unknown.

    The sentences name nobody, so that they may be shown to whoever sees no contents.
    """
    return _of_postmark(words) or _of_mail_server(words) or _of_our_own(words)


def _of_postmark(words: str) -> Meaning | None:
    if found := _POSTMARK_CODE.search(words):
        known = _POSTMARK.get(int(found[1]))
        return known or Meaning("Postmark refuses it; its words say why.")
    if found := _POSTMARK_STATUS.search(words):
        status = int(found[1])
        if status == 429:
            return _POSTMARK[429]
        if status >= 500:
            return Meaning("Postmark, or something before it, has a fault of its own.", _LATER)
        if status != 200:
            return Meaning(
                "This is not Postmark's own answer: the URL is wrong, or a proxy is in between.",
                "Look at `postmark_url` and at the network.",
            )
    return None


def _of_mail_server(words: str) -> Meaning | None:
    found = _SMTP.search(words)
    if found is None:
        return None
    step, code, said = found[1], int(found[2]), found[3]
    enhanced = smtp_operator_faults.enhanced_code(said)
    known = _ENHANCED.get(enhanced.partition(".")[2]) or _CODES.get(code)
    if code // 100 == 2:
        return None
    if code // 100 == 4 and _GREYLISTED.search(said):
        return Meaning("The mail server makes strangers come again, to keep robots out.", _LATER)
    if known is None:
        known = Meaning("The mail server refuses it; its words say why.")
    if smtp_operator_faults.is_operators(step, code, said):
        return known._replace(remedy=_ACCOUNT)
    if code // 100 == 4 and known.remedy != _LATER:
        return known._replace(remedy=f"{_LATER} If that does not help: {_lower(known.remedy)}")
    return known


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _of_our_own(words: str) -> Meaning | None:
    for pattern, means, remedy in _OWN:
        if re.search(pattern, words):
            return Meaning(means, remedy)
    return None
