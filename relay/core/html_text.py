"""The text of HTML, for a mail's text part: what a browser shows, and where its links lead."""

import html
import re

from relay.core.html_cleaning import is_safe_link
from relay.core.html_elements import Tag, tokens

# Elements with a line of their own, and those with a blank line around them.
_BLOCKS = frozenset({"dd", "div", "dl", "dt", "li", "ol", "table", "tr", "ul"})
_PARAGRAPHS = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "p", "pre"})

# Lists are indented so often; deeper ones no further.
MAX_INDENTS = 10

_BLANKS = re.compile("[ \t\n\v\f\r]+")


def as_text(markup: str) -> str:
    """Return the words of HTML in its lines: links as `words (https://...)`, lists with marks.

    It takes whatever HTML there is, and time that grows with its length alone.
    """
    found = list(tokens(markup))
    text = _Text()
    # Without any element its line breaks are what they are.
    text.preformatted = 0 if any(isinstance(one, Tag) for one in found) else 1
    for token in found:
        if isinstance(token, str):
            text.write(html.unescape(token))
        elif token.is_end:
            text.end(token)
        else:
            text.start(token)
    return text.finished()


class _Text:
    """Takes the tokens of HTML, and has the lines of its text."""

    def __init__(self) -> None:
        self.preformatted = 0
        self._lines: list[str] = []
        self._line: list[str] = []
        self._wants_blank_line = False
        # Of each list around: the number of its last item, None where they have no numbers.
        self._lists: list[int | None] = []
        self._mark = ""
        self._target = ""
        self._link: list[str] = []

    def start(self, tag: Tag) -> None:
        """Begin an element."""
        self._boundary(tag.name)
        match tag.name:
            case "br":
                self._break()
            case "hr":
                self._put("---")
                self._boundary("hr")
            case "td" | "th" if self._line:
                self._put("\t")
            case "pre":
                self.preformatted += 1
            case "ol" | "ul":
                self._lists.append(0 if tag.name == "ol" else None)
            case "li":
                self._mark = self._next_mark()
            case "del" | "s":
                self._put("~~")
            case "a":
                self._end_link()
                self._target = _target(html.unescape(tag.attribute("href") or ""))

    def end(self, tag: Tag) -> None:
        """End an element."""
        self._boundary(tag.name)
        match tag.name:
            case "pre":
                self.preformatted = max(0, self.preformatted - 1)
            case "ol" | "ul" if self._lists:
                self._lists.pop()
            case "del" | "s":
                self._put("~~")
            case "a":
                self._end_link()

    def write(self, text: str) -> None:
        """Add text; its blanks are one, unless it is preformatted."""
        if self.preformatted:
            first, *others = re.split(r"\r\n?|[\n\v\f]", text)
            self._put(first)
            for line in others:
                self._break()
                self._put(line)
            return
        words = _BLANKS.sub(" ", text)
        if not self._line or self._line[-1].endswith((" ", "\t")):
            words = words.lstrip(" ")
        self._put(words)

    def finished(self) -> str:
        """Return the text."""
        self._end_link()
        self._break()
        return "\n".join(self._lines).strip()

    def _put(self, words: str) -> None:
        if not words:
            return
        self._line += [self._mark, words]
        self._mark = ""
        if self._target:
            self._link.append(words)

    def _boundary(self, name: str) -> None:
        if name in _BLOCKS or name in _PARAGRAPHS or name == "hr":
            if self._line:
                self._break()
            self._wants_blank_line |= name in _PARAGRAPHS

    def _break(self) -> None:
        """End the line; two blank lines are one."""
        line = "".join(self._line).rstrip()
        self._line = []
        if self._lines and self._lines[-1]:
            if self._wants_blank_line and line:
                self._lines.append("")
            self._lines.append(line)
        elif line:
            self._lines.append(line)
        self._wants_blank_line = False

    def _next_mark(self) -> str:
        indent = "  " * min(len(self._lists) - 1, MAX_INDENTS)
        if not self._lists or self._lists[-1] is None:
            return f"{indent}- "
        self._lists[-1] += 1
        return f"{indent}{self._lists[-1]}. "

    def _end_link(self) -> None:
        """Say where a link leads, unless its words do."""
        target, words = self._target, "".join(self._link).strip()
        self._target, self._link = "", []
        if not target or _bare(target) in _bare(words):
            return
        blank = bool(self._line) and self._line[-1].endswith(" ")
        before = " " if self._line and not blank else ""
        self._put(f"{before}({target})" if words else f"{before}{target}")
        if words and blank:
            self._put(" ")


def _target(url: str) -> str:
    """Return where a link leads as people write it; "" for one that says something else."""
    if not is_safe_link(url):
        return ""
    url = "".join(url.split())
    scheme, _, rest = url.partition(":")
    return rest.partition("?")[0] if scheme.lower() in ("mailto", "tel") else url


def _bare(text: str) -> str:
    return re.sub(r"^https?://(www\.)?|[\s/]", "", text.lower())
