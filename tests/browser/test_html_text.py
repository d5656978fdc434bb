"""The text part that is made of HTML says what a browser shows of it, and so does the HTML part.

Two texts are the same when they have the same words in the same order on the same lines. Blank
lines do not count, nor do how many blanks stand between words. What a text has besides, because no
browser shows it as words: where a link leads, the marks of lists, strokes through words, a rule.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from relay.core.html_cleaning import clean_html
from relay.core.html_text import as_text

FRAGMENTS = {
    "a letter in paragraphs": """<p>Dear Ms Doe,</p>
        <p>your pickup is on <b>Monday</b>,
        7 am.</p><p>Kind regards<br>Sanitation</p>""",
    "lines of Gmail": """<div dir="ltr">Hello Jane,<div>first line</div><div><br></div>
        <div>second <i>line</i></div></div>""",
    "text before and between blocks": "Hello<div>one</div>two<p>three</p>four<h2>five</h2>six",
    "a reply of Gmail": """<div dir="ltr">Yes.</div><br><div class="gmail_quote">
        <div dir="ltr" class="gmail_attr">On Mon, Jane &lt;<a href="mailto:jane@example.gov">
        jane@example.gov</a>&gt; wrote:<br></div><blockquote class="gmail_quote"
        style="margin:0 0 0 .8ex"><div>May I come?<br></div></blockquote></div>""",
    "a reply of Outlook": """<html xmlns:o="urn:schemas-microsoft-com:office:office"><head>
        <style><!-- p.MsoNormal {margin:0} --></style><!--[if gte mso 9]><xml><o:shapedefaults
        v:ext="edit" spidmax="1026" /></xml><![endif]--></head><body lang=EN-US link="#0563C1">
        <div class=WordSection1><p class=MsoNormal><span style='color:#1F497D'>We will.<o:p></o:p>
        </span></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><div style='border-top:solid #E1E1E1'>
        <p class=MsoNormal><b>From:</b> Resident &lt;r@example.com&gt;<br><b>Sent:</b> Monday<o:p>
        </o:p></p></div></div></body></html>""",
    "a reply of Apple Mail": """<html><body style="word-wrap: break-word;">Green it will be.
        <br class=""><div><br><blockquote type="cite"><div>On 2 May 2026, at 10:00, R wrote:</div>
        <br class="Apple-interchange-newline"><div>Make the roads green.</div></blockquote></div>
        <br></body></html>""",
    "a title, a style and a script": """<html><head><title>Untitled document</title>
        <style>p { color: red }</style></head><body><p>Hi</p><script>alert(1)</script></body>
        </html>""",
    "sections": "<section>one</section><section>two</section>three<article>four</article>five",
    "parts of a page": """<header>Town of X</header><nav>Home</nav><main>Text</main>
        <aside>Note</aside><footer>End</footer>""",
    "a centred line": "Before<center>The Centre</center>after",
    "an address": "Write to<address>Town Hall<br>1 Main St</address>or call.",
    "a figure": "See<figure><img src=x><figcaption>The plan</figcaption></figure>below",
    "a form that was copied": """<form><fieldset><legend>Who</legend><label>Name</label>
        Jane</fieldset></form>done""",
    "details": "<details open><summary>More</summary>Words</details>end",
    "headings": "<h1>Title</h1>text<h3>Part</h3><p>More</p>",
    "a rule": "above<hr>below",
    "a quotation": "He wrote<blockquote>Roads are grey.</blockquote>and left.",
    "an unordered list": "Bring<ul><li>a bag</li><li>a <b>box</b></li></ul>and come.",
    "an ordered list": "<ol><li>Open it<li>Read it<li>Close it</ol>Done",
    "lists in lists": "<ul><li>one<ol><li>a</li><li>b</li></ol></li><li>two</li></ul>end",
    "paragraphs in a list": "<ol><li><p>one</p></li><li><p>two</p><p>more</p></li></ol>",
    "definitions": "<dl><dt>Pickup</dt><dd>Monday</dd><dt>Return</dt><dd>Friday</dd></dl>end",
    "a table": """<table><tr><th>Day</th><th>Time</th></tr><tr><td>Monday</td><td>7 am</td></tr>
        <tr><td colspan=2>closed</td></tr></table>""",
    "a table with a caption and a head": """Hours<table><caption>Summer</caption><thead><tr>
        <th>Day</th></tr></thead><tbody><tr><td>Monday</td></tr></tbody></table>end""",
    "a table for the layout": """<table width=600><tr><td><table><tr><td><p>Dear Jane</p></td></tr>
        <tr><td><div>Your pickup</div><div>is on Monday</div></td></tr></table></td></tr>
        </table>""",
    "links": """See <a href="https://example.gov/pickup?a=1&amp;b=2">our page</a>, or write to
        <a href="mailto:desk@example.gov">desk@example.gov</a>.""",
    "words that are struck out": """On <s>Monday</s> <del>Tuesday</del>
        <strike>Wednesday</strike> <ins>Friday</ins>""",
    "preformatted": "Log:<pre>one\n  two\n\nthree</pre>end",
    "blanks and line breaks": "<p>a  b\n\t c<br>  d <br><br> e</p>   f",
    "blanks at the edges of elements": "<b>a </b> <i> b</i>c <span> d</span><br> e",
    "hard blanks": "<p>5&nbsp;pm</p><p>&nbsp;</p><p>end</p>",
    "entities": "<p>Fish &amp; chips &lt; &#8364;5 &copy; &eacute;&#x1F600;</p>",
    "comments": """<p>a<!-- b > c -->d</p><!--[if mso]><p>e</p><![endif]-->
        <![if !mso]><p>f</p><![endif]>""",
    "what is not closed": "<p>one<p>two<ul><li>three<li>four</ul><b>five",
    "fonts of old": """<font color=red>Dear</font> <big>Jane</big>,<tt>x</tt>
        <nobr>y z</nobr><acronym>W</acronym>""",
    "drawings": "<svg width=9><path d='M0 0'/><title>Icon</title></svg><p>Text</p>",
    "words in angle brackets, escaped": "<p>Jane &lt;jane@example.gov&gt;</p>",
}  # fmt: skip


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def shown(window: Page, markup: str) -> list[str]:
    window.set_content(markup)
    return lines(window.evaluate("document.body.innerText"))


def lines(text: str) -> list[str]:
    return [line for line in (" ".join(one.split()) for one in text.splitlines()) if line]


def words_alone(text: str) -> list[str]:
    """The lines of a text part without what it has besides words."""
    text = re.sub(r"~~|^---$|^ *(?:-|\d+\.) ", "", text, flags=re.MULTILINE)
    return lines(re.sub(r" \((?:https?:|mailto:)[^)]*\)", "", text))


@pytest.mark.parametrize("name", FRAGMENTS)
def test_both_parts_say_what_a_browser_shows_of_the_html(window: Page, name: str) -> None:
    markup = FRAGMENTS[name]
    expected = shown(window, markup)
    cleaned = clean_html(markup)
    assert shown(window, cleaned) == expected
    assert words_alone(as_text(cleaned)) == expected
    # Nor does the text part of HTML that is too much to be cleaned.
    assert words_alone(as_text(markup)) == expected


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Jane <jane@example.gov></p>", "Jane <jane@example.gov>"),
        ("See <https://example.gov/x><br>Dear <name>", "See <https://example.gov/x>\nDear <name>"),
        ("if x<y and y>z<p>then</p>", "if x<y and y>z\n\nthen"),
    ],
)
def test_what_is_no_element_is_shown_as_the_text_it_is(
    window: Page, markup: str, text: str
) -> None:
    assert shown(window, clean_html(markup)) == lines(text)
    assert as_text(clean_html(markup)) == text
