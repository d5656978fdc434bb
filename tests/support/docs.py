"""The README and the pages of docs/, and the blocks of code that they show."""

import re
from collections.abc import Iterator

from tests.support.daemon import ROOT

PAGES = {
    str(path.relative_to(ROOT / "docs").with_suffix("")): path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if "_build" not in path.parts
} | {"README": ROOT / "README.md"}

FENCE = re.compile(r"^( *)```([\w-]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def page(name: str) -> str:
    """A page's text, by its path in docs/ without the ending."""
    return PAGES[name].read_text(encoding="utf-8")


def blocks(name: str) -> Iterator[tuple[str, str]]:
    """The blocks of a page that say which language they are in: language and text."""
    for _, language, text in FENCE.findall(page(name)):
        if language:
            yield language, text


def block(name: str, language: str, first_line: str) -> str:
    """A block of a page, by its language and the start of its first line."""
    [found] = [
        text
        for kind, text in blocks(name)
        if (kind, text.startswith(first_line)) == (language, True)
    ]
    return found


def section(name: str, heading: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    return page(name).partition(f"{heading}")[2].partition("\n#")[0]
