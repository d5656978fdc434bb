"""CSS inlining: the rules of a document's style tags also become its elements' own styles."""

import re

import css_inline
import structlog

from relay.mustachio.program import MAX_OUTPUT

# The inliner recurses once for each level of nesting, on the thread's stack, and keeps the
# interpreter to itself. A letter has some hundred elements and declarations; at these limits the
# worst that can be made up takes about a second, and far beyond them the process would end.
MAX_LENGTH = 500_000
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
        if _DOCUMENT.search(html):
            styled = _INLINER.inline(html)
        else:
            styled = _INLINER.inline_fragment(html, "")
    except (css_inline.InlineError, ValueError) as error:
        log.info("styles.kept", error=type(error).__name__)
        return html, False
    return (styled, True) if len(styled) <= MAX_OUTPUT else (html, False)


def _is_modest(html: str, begin: int) -> bool:
    """Return whether the work is bounded, by counts that are never too low.

    begin: where the first style tag is. Every declaration has a colon, whether in style tags or in
    an element's own style.
    """
    elements = len(_ELEMENT.findall(html))
    if len(html) > MAX_LENGTH or elements > MAX_ELEMENTS:
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
