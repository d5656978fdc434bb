"""CSS inlining: the rules of a document's style tags also become its elements' own styles."""

import re
from secrets import token_hex

import css_inline
import structlog

from relay.mustachio.program import MAX_OUTPUT

# The inliner recurses once for each level of nesting, on the thread's stack, and keeps the
# interpreter to itself. A letter has some hundred elements and declarations; at these limits the
# worst that can be made up takes about a second, and far beyond them the process would end.
MAX_STYLED_LENGTH = 500_000
MAX_ELEMENTS = 2_500
# Each element is matched against each selector, and each declaration that matches is looked for
# among those that matched before.
MAX_MATCHING = 30_000_000
MAX_MERGING = 300_000_000
# `a ~ b` looks through all elements for each one.
MAX_SIBLINGS = 100_000_000

_STYLE = re.compile(r"<style[\s/>]", re.IGNORECASE)
_STYLE_END = re.compile(r"</style", re.IGNORECASE)
_ELEMENT = re.compile(r"<[A-Za-z]")
# `<![if !mso]>` and `<?xml version="1.0"?>`, which are no comments; what a comment has is its own.
_DECLARATION = re.compile(
    r"<!--.*?(?:-->|\Z)|(?P<doctype><!doctype[^<>]*>)|(?P<declaration><[!?][^<>]*>)",
    re.IGNORECASE | re.DOTALL,
)
_DOCUMENT = re.compile(r"<(?:!doctype|html|head|body)[\s/>]", re.IGNORECASE)

# Nothing is fetched and no file is read. Style tags stay, for rules that cannot be inlined.
_INLINER = css_inline.CSSInliner(
    load_remote_stylesheets=False, keep_style_tags=True, keep_link_tags=True
)

log = structlog.get_logger()


def inlined(html: str) -> tuple[str, bool]:
    """Return HTML with its styles inlined, and whether they are, or there are none.

    What is too large, or cannot be read, stays as it is. A fragment stays one.
    """
    first = _STYLE.search(html)
    if first is None:
        return html, True
    if not _is_modest(html, first.start()):
        return html, False
    try:
        styled = _inlined(html)
    except (css_inline.InlineError, ValueError) as error:
        log.info("styles.kept", error=type(error).__name__)
        return html, False
    return (styled, True) if len(styled) <= MAX_OUTPUT else (html, False)


def _inlined(html: str) -> str:
    """Inline styles; what the inliner's parser would rewrite stands in comments meanwhile."""
    mark, kept = token_hex(8), []

    def keep(found: re.Match[str]) -> str:
        if found["declaration"] is None:
            return found[0]
        kept.append(found[0])
        return f"<!--{mark} {len(kept) - 1}-->"

    held = _DECLARATION.sub(keep, html)
    is_document = _DOCUMENT.search(html)
    styled = _INLINER.inline(held) if is_document else _INLINER.inline_fragment(held, "")
    doctypes = (found["doctype"] for found in _DECLARATION.finditer(html) if found["doctype"])
    styled = styled.replace("<!DOCTYPE html>", next(doctypes, "<!DOCTYPE html>"), 1)
    return re.sub(rf"<!--{mark} ([0-9]+)-->", lambda found: kept[int(found[1])], styled)


def _is_modest(html: str, begin: int) -> bool:
    """Return whether the work is bounded, by counts that are never too low.

    begin: where the first style tag is. Every declaration has a colon, whether in style tags or in
    an element's own style.
    """
    elements = len(_ELEMENT.findall(html))
    if len(html) > MAX_STYLED_LENGTH or elements > MAX_ELEMENTS:
        return False
    end = max((close.start() for close in _STYLE_END.finditer(html, begin)), default=begin)
    if _STYLE.search(html, end):
        end = len(html)  # the last one never closes
    declarations = html.count(":", begin, end)
    merging = declarations * max(declarations * elements, html.count(":"))
    return (
        (end - begin) * elements <= MAX_MATCHING
        and merging <= MAX_MERGING
        and html.count("~", begin, end) * elements**2 <= MAX_SIBLINGS
    )
