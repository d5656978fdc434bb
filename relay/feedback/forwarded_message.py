"""An answer to a reply address: was it a person who wrote it, and the message that passes it on."""

import base64
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from relay.core.addresses import Address
from relay.core.file_types import file_name, is_forbidden, media_type
from relay.core.html_cleaning import clean_html
from relay.core.html_text import as_text
from relay.core.message import Attachment, Message, Reply
from relay.core.reply_address import without
from relay.core.server import Server
from relay.core.text import as_html, lines, one_line, storable

# What Relay passed on carries this: a second time it would go round in circles.
HOP = "X-Relay-Hop"

# Characters of a text, of a subject and of a name; HTML has the limits of clean_html.
MAX_TEXT = 1_000_000
MAX_SUBJECT = 500
MAX_NAME = 100
# 7 MiB of files, in characters of base64: with the parts they stay under a provider's 10 MB.
MAX_FILES = 10
MAX_ENCODED = 7 * 2**20 * 4 // 3
# How many files that are left out are named.
MAX_NAMES = 20

# How many characters of the thread's ids are kept, the last ones: a header of one line.
MAX_THREAD = 900

_BULK = frozenset({"bulk", "junk", "list", "auto_reply"})
_THREAD = ("In-Reply-To", "References")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")


class ForwardedReply(NamedTuple):
    """The message that passes an answer on.

    left_out: how many of its files it leaves out. lacks_html: whether its HTML was too much. held:
    why a person must decide about it, where it has the beginning of the text alone; or "".
    """

    message: Message
    left_out: int = 0
    lacks_html: bool = False
    held: str = ""


def not_written(headers: Sequence[tuple[str, str]]) -> str | None:
    """Say why a mail is no person's answer, `automatic` or `loop`; None for one that is.

    After RFC 3834, and by what older machines say instead. Not by X-Auto-Response-Suppress, which
    people's own mail has too: it asks that no machine answers.
    """
    for name, given in headers:
        value = given.strip().lower()
        kind = re.split(r"[;(\s]", value, maxsplit=1)[0]
        match name.lower():
            case "x-relay-hop" if value != "0":
                return "loop"
            case "auto-submitted" if kind != "no":
                return "automatic"
            case "return-path" if value in ("", "<>"):
                return "automatic"
            case "precedence" if value in _BULK:
                return "automatic"
            case "x-autoreply" | "x-autorespond" if value not in ("", "no"):
                return "automatic"
    return None


def answer(reply: Reply, writer: Address, office: Address, server: Server) -> ForwardedReply:
    """Make the message that passes an answer on, or as much of it as a mail can carry.

    It comes from the server's own sender, because no provider lets Relay write as the office, and
    under the name of the person who answered. What the writer answers goes to the office.
    """
    given = reply.message
    plain, markup = _parts(given, writer, server)
    lacks_html, held = markup is None, ""
    if len(plain) > MAX_TEXT:
        held = f"an answer of {len(plain):,} characters, of which {MAX_TEXT:,} can be passed on"
        plain, markup = plain[:MAX_TEXT], None
    files, left_out = _fitting(given.attachments)
    if left_out:
        notice = _hidden(_notice(left_out), writer, server)
        plain = f"{notice}\n\n{plain}" if plain else notice
        markup = f"<p>{as_html(notice)}</p>{markup}" if markup else None
    name = _line(given.sender.name, MAX_NAME, writer, server)
    own = server.sender or office
    message = Message(
        sender=Address(own.email, name or own.name),
        to=(writer,),
        reply_to=(office,),
        subject=_line(given.subject or "", MAX_SUBJECT, writer, server),
        # No provider takes a mail that has files and not a word.
        text=plain or "-",
        html=markup or None,
        headers=(*_thread(reply.headers), (HOP, "1")),
        attachments=tuple(files),
        writer=writer,
    )
    return ForwardedReply(message, len(left_out), lacks_html, held)


def _parts(given: Message, writer: Address, server: Server) -> tuple[str, str | None]:
    """Return text and HTML, cleaned; None for HTML that is too much, of which a text is made."""
    plain, markup = lines(given.text or ""), lines(given.html or "")
    plain = _hidden(plain if plain.strip() else as_text(markup), writer, server)
    try:
        return plain, _hidden(clean_html(markup), writer, server)
    except ValueError:
        return plain, None


def _notice(left_out: Sequence[str]) -> str:
    """Return what the writer reads of files that the answer had besides."""
    names = ", ".join(left_out[:MAX_NAMES])
    others = f" and {len(left_out) - MAX_NAMES} more" if len(left_out) > MAX_NAMES else ""
    return f"These files of the answer could not be passed on: {names}{others}"


def _hidden(text: str, writer: Address, server: Server) -> str:
    """Keep the reply address between Relay and the office: clients quote it."""
    return text if server.replies is None else without(text, server.replies, writer.email)


def _line(text: str, most: int, writer: Address, server: Server) -> str:
    return _hidden(one_line(storable(text)), writer, server)[:most]


def _thread(headers: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Keep what says which mail is answered, and nothing else of the office's headers."""
    given = {name.lower(): value for name, value in headers}
    for name in _THREAD:
        kept: list[str] = []
        for id in reversed(_MESSAGE_ID.findall(given.get(name.lower(), ""))):
            if len(" ".join([id, *kept])) > MAX_THREAD:
                break
            kept.insert(0, id)
        if kept:
            yield name, " ".join(kept)


def _fitting(given: Sequence[Attachment]) -> tuple[list[Attachment], list[str]]:
    """Return the files that a mail can carry, and the names of those that are left out.

    They are ordinary files: no HTML shows them any more.
    """
    kept: list[Attachment] = []
    left_out = []
    total = 0
    for one in given:
        name, size = file_name(one.name), len(one.content)
        fits = len(kept) < MAX_FILES and total + size <= MAX_ENCODED
        # For a file of a forbidden kind, a provider would refuse the whole answer.
        if fits and not is_forbidden(name) and _is_base64(one.content):
            total += size
            kept.append(Attachment(name, media_type(one.content_type), one.content))
        else:
            left_out.append(name)
    return kept, left_out


def _is_base64(content: str) -> bool:
    try:
        return bool(base64.b64decode(content, validate=True))
    except ValueError:
        return False
