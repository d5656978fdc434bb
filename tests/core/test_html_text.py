"""The text of HTML: the lines that a browser shows, and where links lead."""

import time

import pytest

from relay.core.html_text import as_text


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<p>We are <b>pleased</b></p>", "We are pleased"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("one<br>two<BR />three", "one\ntwo\nthree"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("<h1>Title</h1>text", "Title\n\ntext"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a\tb\nc"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "a\nb"),
        ("a &amp; b &lt;c&gt; &quot;d&quot; &nbsp;e", 'a & b <c> "d" \xa0e'),
        ("&amp;lt;", "&lt;"),
        ('<a href="https://example.gov">here</a>', "here (https://example.gov)"),
        ("<script>alert(1)</script><style>x</style>y", "y"),
        ("", ""),
    ],
)
def test_the_words_of_html_are_its_text(markup: str, words: str) -> None:
    assert as_text(markup) == words


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (
            "Hello Jane,<div>first line</div><div>second line</div>",
            "Hello Jane,\nfirst line\nsecond line",
        ),
        ("one<blockquote>two</blockquote>three", "one\n\ntwo\n\nthree"),
        ("one<h1>two</h1>three", "one\n\ntwo\n\nthree"),
        ("one<hr>two", "one\n---\ntwo"),
        ("one<p>two<div>three</div>four", "one\n\ntwo\nthree\nfour"),
        ("<section>one</section><section>two</section>", "one\ntwo"),
        ("one<center>two</center>three", "one\ntwo\nthree"),
        ("<div>one<br></div><div><br></div><div>two</div>", "one\n\ntwo"),
        ("<p>one</p><br><br><br><p>two</p>", "one\n\ntwo"),
        ("one\v two\fthree\vfour", "one\n two\nthree\nfour"),
        ("<p>one\vtwo\fthree</p>", "one two three"),
        ("<pre>one\n  two\n\nthree</pre>four", "one\n  two\n\nthree\n\nfour"),
        ("<b>one </b> two", "one two"),
    ],
)
def test_no_words_are_glued_and_lines_are_lines(markup: str, text: str) -> None:
    assert as_text(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<ol><li>one<li>two</ol>three", "1. one\n2. two\nthree"),
        (
            "<ul><li>one<ol><li>a</li><li>b</li></ol></li><li>two</li></ul>",
            "- one\n  1. a\n  2. b\n- two",
        ),
        ("<ol><li><p>one</p></li><li><p>two</p></li></ol>", "1. one\n\n2. two"),
        ("<ol><li></li><li>two</li></ol>", "2. two"),
        ("<li>one</li></ul><li>two</li>", "- one\n- two"),
        ("<ol>" * 3 + "<li>deep", "    1. deep"),
        ("<s>Monday</s> <del>noon</del> <strike>x</strike>", "~~Monday~~ ~~noon~~ ~~x~~"),
        (
            "<table><tr><th>a</th><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>e",
            "a\tb\nc\td\ne",
        ),
    ],
)
def test_lists_strokes_and_cells_can_be_seen(markup: str, text: str) -> None:
    assert as_text(markup) == text.strip()


@pytest.mark.parametrize(
    ("link", "text"),
    [
        (
            '<a href="https://example.gov/x?a=1&amp;b=2">here</a>',
            "here (https://example.gov/x?a=1&b=2)",
        ),
        ("<a href=https://example.gov/x>here</a>", "here (https://example.gov/x)"),
        ('<a href="https://example.gov/x">here </a>', "here (https://example.gov/x) "),
        ('<a href="https://example.gov/x">https://example.gov/x</a>', "https://example.gov/x"),
        ('<a href="https://www.example.gov/">Example.gov</a>', "Example.gov"),
        ('<a href="mailto:jane@example.gov">Jane</a>', "Jane (jane@example.gov)"),
        ('<a href="mailto:jane@example.gov?subject=x">jane@example.gov</a>', "jane@example.gov"),
        ('<a href="tel:+16175551234">call us</a>', "call us (+16175551234)"),
        ('<a href="https://example.gov"><img src=x></a>', "https://example.gov"),
        ('<a href="https://example.gov"><b>a</b> <i>b</i></a>', "a b (https://example.gov)"),
        ('<a href="https://exam\nple.gov/x">here</a>', "here (https://example.gov/x)"),
        ('<a href="https://example.gov@evil.example">here</a>', "here"),
        ('<a href="javascript:alert(1)">here</a>', "here"),
        ('<a href="/path">here</a>', "here"),
        ('<a name="x">here</a>', "here"),
    ],
)
def test_a_link_says_where_it_leads_unless_it_misleads(link: str, text: str) -> None:
    assert as_text(f"See {link}!") == f"See {text}!"


def test_a_link_that_never_ends_has_its_target_all_the_same() -> None:
    assert as_text('<a href="https://example.gov">one<a href="/x">two') == (
        "one (https://example.gov)two"
    )


@pytest.mark.parametrize(
    "shape",
    [
        *("<div>", "<ol><li>", "<table>", "<b ", '<b "', '<a href="<b', "<!", "<!--", "&", "<"),
        *(
            "<title>",
            "<title></title",
            "</title>",
            "<svg>",
            "<x>",
            "<pre>\n",
            "<a href=https://a.b>",
        ),
        *("""<b "'<b'" '"<b"' """, "<p>" + " " * 1000, "<a " + "x" * 1000, "<td>a", "<script>"),
    ],
)
def test_long_html_of_any_shape_takes_time_by_its_length(shape: str, no_collector: None) -> None:
    started = time.process_time()
    as_text(shape * (2**17 // len(shape)))
    assert time.process_time() - started < 1
