"""HTML from outside: what is left of it is harmless, and says what it said."""

import html
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.html_cleaning import MAX_ENTITIES, MAX_HTML, MAX_TAGS, clean_html
from relay.core.html_elements import is_html
from relay.core.html_text import as_text
from relay.core.text import as_html
from tests.support.generated import examples

# The promise, written down once more and apart from the code.
TAGS = set(
    "a abbr b blockquote br code dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre s small"  # noqa: SIM905
    " span strong sub sup table tbody td tfoot th thead tr u ul".split()
)
ATTRIBUTES = {
    "a": {"href", "title", "rel"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}


class Reader(HTMLParser):
    """Reads markup apart from the library that cleaned it."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.odd: list[str] = []
        self.words = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        self.odd.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def assert_harmless(markup: str) -> None:
    reader = Reader(markup)
    assert not reader.odd
    for tag, attributes in reader.found:
        assert tag in TAGS
        assert attributes.keys() <= ATTRIBUTES.get(tag, set())
        href = attributes.get("href")
        if href is not None:
            assert_harmless_link(href)


def assert_harmless_link(href: str) -> None:
    seen = re.sub("[\t\r\n]", "", href).strip("".join(map(chr, range(33)))).lower()
    scheme, colon, rest = seen.partition(":")
    assert colon
    assert scheme in ("http", "https", "mailto", "tel")
    if scheme in ("http", "https"):
        host = re.split(r"[/\\?#]", rest.lstrip("/\\"), maxsplit=1)[0]
        assert "@" not in host


@pytest.mark.parametrize(
    ("markup", "left"),
    [
        ("plain", "plain"),
        ("a & b < c", "a &amp; b &lt; c"),
        ("if x<y then call me at 5", "if x&lt;y then call me at 5"),
        ("<p>We are <b>pleased</b></p>", "<p>We are <b>pleased</b></p>"),
        ("<script>alert(1)</script>x", "x"),
        ("<style>p{}</style>x", "x"),
        ("<SCRIPT SRC=//evil></SCRIPT>x", "x"),
        ("<p onclick=alert(1) style='x' class=y id=z>x</p>", "<p>x</p>"),
        ("<img src=x onerror=alert(1)>x", "x"),
        ("<svg onload=alert(1)><p>x</p></svg>", "<p>x</p>"),
        ("<iframe src=//evil>x</iframe>", "x"),
        ("<!-- x -->y<!doctype html><?php x ?>", "y"),
        ("<b>x", "<b>x</b>"),
        ("</blockquote></div>x", "x"),
        ("<td colspan=2 width=3>x</td>", "x"),
        (
            "<table><tr><td colspan=2 width=3>x</td></tr></table>",
            '<table><tbody><tr><td colspan="2">x</td></tr></tbody></table>',
        ),
        ("<b class=x title=y>x</b>", "<b>x</b>"),
        ("<font color=red>x</font><s class=y>y</s>", "x<s>y</s>"),
        ("<br/><hr>", "<br><hr>"),
        ("<title>x</title>y", "y"),
        ("<form action=//evil><input name=a><button>x</button></form>", "<div>x</div>"),
        ("<base href=//evil><meta http-equiv=refresh content=0><link href=x>", ""),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ("<b\x0cx=1>x</b>", "<b>x</b>"),
        ("x<b y=1", "x&lt;b y=1"),
    ],
)
def test_only_the_harmless_part_of_html_is_left(markup: str, left: str) -> None:
    assert clean_html(markup) == left
    assert_harmless(left)


LINK = '<a href="{}" rel="noopener noreferrer">x</a>'
NO_LINK = '<a rel="noopener noreferrer">x</a>'


@pytest.mark.parametrize(
    "href",
    [
        "https://example.gov",
        "http://example.gov/@name?a@b#c@d",
        "https://example.gov?user@evil.com",
        "https://example.gov#user@evil.com",
        "HTTPS://EXAMPLE.GOV",
        "mailto:desk@example.gov",
        " mailto:desk@example.gov",
        "MAILTO:desk@example.gov",
        "tel:+1-617-555-1234",
        r"https://evil.com\@example.gov",
    ],
)
def test_links_to_where_they_say_are_kept(href: str) -> None:
    assert clean_html(f'<a href="{href}">x</a>') == LINK.format(href)


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java&#10;script:alert(1)",
        " javascript:alert(1)",
        "&#1;javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.gov",
        "//evil.com",
        "/path",
        "path",
        "?query",
        "#fragment",
        "",
        r"\\evil.com",
        "https://example.gov@evil.com",
        "https://example.gov%2f@evil.com",
        "https://user:password@evil.com",
        "https:example.gov@evil.com",
        "https:/example.gov@evil.com",
        "https:///example.gov@evil.com",
        r"https:\\example.gov@evil.com",
        "HTTP://example.gov@evil.com",
        "ht&#9;tps://example.gov@evil.com",
        "https://example&#10;.gov@evil.com",
        " https://example.gov@evil.com",
        "&#1;https://example.gov@evil.com",
        "&#31;https://example.gov@evil.com",
        "&#9;&#8;https://example.gov@evil.com",
        "https://@evil.com",
    ],
)
def test_links_elsewhere_and_links_that_mislead_lose_their_target(href: str) -> None:
    assert clean_html(f'<a href="{href}">x</a>') == NO_LINK


TAG = st.sampled_from(
    "a b p div span table td tr th script style svg math title textarea noscript iframe img br"  # noqa: SIM905
    " font form select option template xmp plaintext mglyph annotation-xml foreignObject"
    " section center strike ins o:p name jane@example.gov https://example.gov x-y".split()
)
LINKS = ["javascript:x", "https://a@b", "&#1;http://a@b", "//x", "mailto:a@b", "data:,", "http://a"]
ATTRIBUTE = st.sampled_from(
    [f'href="{link}"' for link in LINKS]
    + ["onclick=x", "style='x'", "class=x", "title='<b x>'", "rowspan=2", "src=x", "x=`>", "y='"]
)
MARKUP = st.lists(
    st.one_of(
        st.builds("<{} {}>".format, TAG, ATTRIBUTE),
        st.builds("<{}>".format, TAG),
        st.builds("</{}>".format, TAG),
        st.sampled_from(
            ["<!--", "-->", "--!>", "<![CDATA[", "]]>", "&lt;", "&#60;", "<", ">", '"']
        ),
        st.text("ab &<>\"'=/!-\u202e", max_size=5),
    ),
    max_size=14,
).map("".join)


@examples(500)
@given(MARKUP)
def test_no_markup_leaves_anything_but_harmless_html(markup: str) -> None:
    cleaned = clean_html(markup)
    assert_harmless(cleaned)
    assert clean_html(cleaned) == cleaned


@examples(200)
@given(st.text(max_size=60))
def test_cleaning_text_that_was_escaped_changes_nothing_a_reader_sees(text: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    cleaned = clean_html(as_html(text))
    assert Reader(cleaned).words.replace("\n", "") == Reader(as_html(text)).words.replace("\n", "")


@pytest.mark.parametrize(
    ("markup", "left"),
    [
        ("<section>one</section><section>two</section>", "<div>one</div><div>two</div>"),
        ("a<center class=x>b</center>c", "a<div>b</div>c"),
        ("<address>Town Hall</address>open", "<div>Town Hall</div>open"),
        (
            "<header>a</header><main>b</main><footer>c</footer>",
            "<div>a</div><div>b</div><div>c</div>",
        ),
        ("<figure><figcaption>a</figcaption></figure>", "<div><div>a</div></div>"),
        ("<select><option>a<option>b</select>", "<div>a<div>b</div></div>"),
        ("<ul><legend>a</legend><li>b</ul>", "<ul><div>a</div><li>b</li></ul>"),
        ("<menu><li>a</menu>", "<ul><li>a</li></ul>"),
        ("<strike>Monday</strike> <del>noon</del>", "<s>Monday</s> <del>noon</del>"),
        ("<ins>Friday</ins>", "<u>Friday</u>"),
        ("<tt>a</tt><kbd>b</kbd>", "<code>a</code><code>b</code>"),
    ],
)
def test_what_mail_programs_do_not_know_becomes_what_it_means(markup: str, left: str) -> None:
    assert clean_html(markup) == left
    assert_harmless(left)


@pytest.mark.parametrize(
    "markup",
    [
        "<title>Untitled</title>",
        "<TITLE lang=en>Untitled</TITLE >",
        "<style>Untitled</style>",
        "<style type='text/css'><!-- Untitled --></style>",
        "<script>if (a<b) Untitled</script>",
        "<template><p>Untitled</p></template>",
        "<svg><title>Untitled</title></svg>",
        "<xml><o:x>Untitled</o:x></xml>",
        "<!--[if mso]><p>Untitled</p><![endif]-->",
        "<!-- Untitled",
        "<style>Untitled",
        "<script src=x>Untitled",
    ],
)
def test_what_nobody_is_to_see_never_shows(markup: str) -> None:
    for whole in (markup, f"<html><head>{markup}"):
        assert clean_html(f"<p>seen</p>{whole}") == "<p>seen</p>"
        assert as_text(f"<p>seen</p>{whole}") == "seen"


@pytest.mark.parametrize(
    "text",
    [
        "Write to Jane <jane@example.gov> today.",
        "See <https://example.gov/a?b=c#d> or <www.example.gov>",
        "<mailto:jane@example.gov>",
        "Dear <name>, dear <First Name>, dear </name>",
        "at <time> in <address>, room <table 5",
        "if x<y then call me at 5",
        "if a<b or so",
        "I <3 Boston",
        "<-- see here -->",
        "a <> b </ c",
        "<o'neill@example.gov> <C:\\temp>",
        '<Jane "JD" Doe>',
        "«<ä>»",
        "<x-y>custom</x-y>",
        "vector<int> v;",
    ],
)
def test_what_is_no_element_stays_text(text: str) -> None:
    assert not is_html(text)
    shown = html.escape(text, quote=False)
    assert clean_html(text) == shown
    assert as_text(clean_html(text)) == as_text(text) == text
    for around in ("<p>{}</p>", "<div>a <b>{}</b></div>", '<p title="\'">{}</p>'):
        cleaned = clean_html(around.format(text))
        assert shown in cleaned
        assert text in as_text(cleaned)
        assert_harmless(cleaned)


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\ntwo", "Jane <jane@example.gov>\nThanks"])
def test_without_any_element_line_breaks_are_kept(text: str) -> None:
    lines = text.splitlines()
    assert clean_html(text) == "<br>\n".join(html.escape(line) for line in lines)
    assert as_text(clean_html(text)) == as_text(text) == "\n".join(lines)
    assert clean_html("<p>one\ntwo</p>") == "<p>one\ntwo</p>"


@pytest.mark.parametrize(
    "text",
    [
        "<p>x</p>",
        "x<br>",
        "<BR/>",
        "</p>",
        "<time>7 am</time>",
        "<time datetime=x>",
        "<o:p></o:p>",
        "<img src='a>b'>",
        "<p title=it's>",
        "<script>x</script>",
    ],
)
def test_one_element_makes_a_text_html(text: str) -> None:
    assert is_html(text)
    assert is_html(f"Jane <jane@example.gov> {text}")


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("x" * (MAX_HTML + 1), "characters"),
        ("<p>" * (MAX_TAGS + 1), "tags"),
        ("<" * (MAX_TAGS + 1), "tags"),
        ("&" * (MAX_ENTITIES + 1), "entities"),
    ],
)
def test_html_that_is_too_much_for_a_mail_is_refused(markup: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        clean_html(markup)
    assert clean_html("x" * MAX_HTML) == "x" * MAX_HTML


OPEN = "<p>" + "".join(f"<b x={number}>" for number in range(MAX_TAGS // 2))


@pytest.mark.parametrize(
    "markup",
    [
        "<div>" * MAX_TAGS,
        "<table>" * MAX_TAGS,
        "<b " * MAX_TAGS,
        "<b" + " x" * 40_000,
        "<p" + "".join(f" x{number}" for number in range(15_000)) + ">",
        "<span>" * (MAX_TAGS // 2) + "</x>" * (MAX_TAGS // 2),
        OPEN + "</p><p>x" * (MAX_TAGS // 4 - 1),
        OPEN.replace("<b ", "<BIG/") + "<p>x" * (MAX_TAGS // 2 - 1),
        "<a href=x><div></a>" * (MAX_TAGS // 3),
        "&" * MAX_ENTITIES,
        "&#" * MAX_ENTITIES,
    ],
)
def test_hostile_html_costs_little_and_does_not_grow(markup: str, no_collector: None) -> None:
    started = time.process_time()
    cleaned = clean_html(markup)
    as_text(cleaned)
    assert time.process_time() - started < 0.5
    assert len(cleaned) < 3 * MAX_HTML
