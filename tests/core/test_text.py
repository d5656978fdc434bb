"""Text and HTML: what a line is, what is left of HTML, and that text stays the text it is."""

import html
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.text import (
    MAX_ENTITIES,
    MAX_HTML,
    MAX_TAGS,
    as_html,
    as_text,
    clean_html,
    is_storable,
    line,
    without_addresses,
)
from tests.support.generated import examples

# The promise, written down once more and apart from the code.
TAGS = set(
    "a abbr b blockquote br code dd div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre small span"  # noqa: SIM905
    " strong sub sup table tbody td tfoot th thead tr u ul".split()
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
        ("if x<y then call me at 5", "if x"),
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
        ("<font color=red>x</font><s>y</s>", "xy"),
        ("<br/><hr>", "<br><hr>"),
        ("<title>x</title>", "x"),
        ("<form action=//evil><input name=a><button>x</button></form>", "x"),
        ("<base href=//evil><meta http-equiv=refresh content=0><link href=x>", ""),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ("<b\x0cx=1>x</b>", "<b>x</b>"),
        ("x<b y=1", "x<b></b>"),
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
    " font form select option template xmp plaintext mglyph annotation-xml foreignObject".split()
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
def test_hostile_html_costs_little_and_does_not_grow(markup: str) -> None:
    started = time.process_time()
    cleaned = clean_html(markup)
    as_text(cleaned)
    assert time.process_time() - started < 0.5
    assert len(cleaned) < 3 * MAX_HTML


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("if x<y & z>\"1\" 'ok'", "if x&lt;y &amp; z&gt;&quot;1&quot; &#x27;ok&#x27;"),
        ("a\nb", "a<br>\nb"),
        ("a\r\nb\rc\n\nd", "a<br>\nb<br>\nc<br>\n<br>\nd"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("", ""),
    ],
)
def test_text_becomes_html_that_shows_the_same_text(text: str, markup: str) -> None:
    assert as_html(text) == markup


@examples(200)
@given(st.text(max_size=60))
def test_text_as_html_has_no_tags_but_line_breaks_and_reads_back(text: str) -> None:
    reader = Reader(as_html(text))
    assert {tag for tag, _ in reader.found} <= {"br"}
    assert html.unescape(as_html(text).replace("<br>\n", "\n")) == re.sub("\r\n?", "\n", text)


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<p>We are <b>pleased</b></p>", "We are pleased"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("one<br>two<BR />three", "one\ntwo\nthree"),
        ("<ul><li>one</li><li>two</li></ul>", "one\ntwo"),
        ("<h1>Title</h1>text", "Title\ntext"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "a\nb"),
        ("a &amp; b &lt;c&gt; &quot;d&quot; &nbsp;e", 'a & b <c> "d" \xa0e'),
        ("&amp;lt;", "&lt;"),
        ('<a href="https://example.gov">here</a>', "here"),
        ("<script>alert(1)</script><style>x</style>y", "y"),
        ("", ""),
    ],
)
def test_the_words_of_html_are_its_text(markup: str, words: str) -> None:
    assert as_text(markup) == words


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("I have a great idea.", "I have a great idea."),
        ("  x  ", "x"),
        ("a\u202eb\u2066c\u200bd\ufeffe\u2060f\u200dg", "abcdefg"),
        ("\u200b\u202e", ""),
        ("Zoë 市 😀", "Zoë 市 😀"),
        ("=?utf-8?q?x?=", "=?utf-8?q?x?="),
        ("", ""),
    ],
)
def test_a_line_loses_only_what_nobody_sees(given: str, kept: str) -> None:
    assert line(given) == kept


@pytest.mark.parametrize(
    "character",
    [*map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]), "\r\n"],
)
def test_a_line_with_a_control_character_is_refused_and_not_repaired(character: str) -> None:
    for text in (f"a{character}b", f"a{character}", f"{character}a"):
        with pytest.raises(ValueError):
            line(text)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("text\twith\r\nall the blanks\n", True),
        ("\x7f\x85\u2028\ufeff\ufffe😀", True),
        ("a\x00", False),
        ("a\x1b[0m", False),
        ("\ud83d", False),
        ("x\udc00", False),
        ("", True),
    ],
)
def test_a_store_takes_all_text_but_control_characters_and_lone_surrogates(
    text: str, fits: bool
) -> None:
    assert is_storable(text) is fits


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("Invalid 'To' address: 'x@y.gov'.", "Invalid 'To' address: '(address)'."),
        ("Found inactive addresses: a@x.co, B@Y.CO. Inactive", None),
        ('<a@x.co> "b@y.co" (c@z.co);d@w.co', '<(address)> "(address)" ((address));(address)'),
        ("It must contain the '@' symbol.", "It must contain the '@' symbol."),
        ("a" * 100 + "@example.gov", "(address)"),
        ("Jane=x@y.co", "(address)"),
        ("no address", "no address"),
        ("", ""),
    ],
)
def test_addresses_are_taken_out_of_other_peoples_words(words: str, left: str | None) -> None:
    expected = "Found inactive addresses: (address), (address) Inactive" if left is None else left
    assert without_addresses(words) == expected


@examples(200)
@given(st.text("ab@. ,<>\"'", max_size=30))
def test_no_address_survives_in_other_peoples_words(words: str) -> None:
    assert not re.search(r"\w@\w", without_addresses(words))


@pytest.mark.parametrize("shape", ["a", "@", "a@", "\\", "<", "a@b ", "'", " "])
def test_long_words_of_other_people_cost_next_to_nothing(shape: str) -> None:
    started = time.process_time()
    without_addresses(shape * (2**18 // len(shape)))
    assert time.process_time() - started < 0.5
