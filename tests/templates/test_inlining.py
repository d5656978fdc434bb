"""CSS inlining: what becomes of documents, fragments, broken ones and those that are too large."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from relay.templates.inlining import MAX_ELEMENTS, MAX_STYLED_LENGTH, inlined
from tests.support.generated import examples

STYLE = "<style>p{color:red}</style>"
RED = '<p style="color: red;">x</p>'
DECLARATIONS = "p{color:red}" * 1_000
PARAGRAPHS = "<p>x</p>" * 500


@pytest.mark.parametrize(
    ("html", "styled"),
    [
        (f"{STYLE}<p>x</p>", f'{STYLE}<p style="color: red;">x</p>'),
        (f"<p>x</p>{STYLE}", f'<p style="color: red;">x</p>{STYLE}'),
        (
            "<STYLE\n>p{color:red}</STYLE><p>x",
            '<style>p{color:red}</style><p style="color: red;">x</p>',
        ),
        (
            f"<!DOCTYPE html><html><head>{STYLE}</head><body><p>x</p></body></html>",
            f"<!DOCTYPE html><html><head>{STYLE}</head><body>{RED}</body></html>",
        ),
    ],
)
def test_rules_become_the_elements_own_styles(html: str, styled: str) -> None:
    assert inlined(html) == (styled, True)


XHTML = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"'
    ' "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">'
)
OTHERS = [
    '<!DOCTYPE html SYSTEM "about:legacy-compat">',
    '<!doctype HTML PUBLIC "-//W3C//DTD HTML 4.01//EN"\n"http://www.w3.org/TR/html4/strict.dtd">',
    "<!DOCTYPE html>",
    f'<?xml version="1.0" encoding="UTF-8"?>{XHTML}',
    f"<!-- a comment -->{XHTML}",
    "<!--[if mso]><!DOCTYPE x><![endif]--><!DOCTYPE html>",
]


@pytest.mark.parametrize("doctype", [XHTML, *OTHERS])
def test_a_documents_type_stays_as_it_is(doctype: str) -> None:
    begin = f'{doctype}<html xmlns="http://www.w3.org/1999/xhtml"><head>{STYLE}</head><body>'
    assert inlined(f"{begin}<p>x</p></body></html>") == (f"{begin}{RED}</body></html>", True)


CONDITIONAL = [
    "<![if !mso]>{}<![endif]>",
    "<![if (gte mso 9)|(IE)]>{}<![endif]><![if !vml]><b>y</b><![endif]>",
    "<!--[if !mso]><!-->{}<!--<![endif]-->",
    "<!--[if mso]><table><tr><td><![endif]-->{}<!--[if mso]></td></tr></table><![endif]-->",
    "<!--[if !mso]> --><![if !mso]>{}<![endif]><!-- <![endif]-->",
    "<?mso-application progid='Word.Document'?>{}",
    "<table><tbody><tr><td><![if !mso]>{}<![endif]></td></tr></tbody></table>",
    '<![if !mso]>{}<![endif]><a title="<![if x]>">y</a>',
]


@pytest.mark.parametrize("around", CONDITIONAL)
def test_conditional_comments_and_declarations_stay_as_they_are(around: str) -> None:
    for begin, end in ((STYLE, ""), (f"<html><head>{STYLE}</head><body>", "</body></html>")):
        html, styled = around.replace("{}", "<p>x</p>"), around.replace("{}", RED)
        assert inlined(f"{begin}{html}{end}") == (f"{begin}{styled}{end}", True)


@pytest.mark.parametrize("html", ["", "<p>x", "<td>cell</td>&nbsp;<styled>", "a < b", "{{x}}"])
def test_html_without_styles_stays_as_it_is(html: str) -> None:
    assert inlined(html) == (html, True)


@pytest.mark.parametrize(
    "html",
    [
        STYLE + "<p>x</p>" * MAX_ELEMENTS,
        STYLE + "<div>" * 20_000,
        STYLE + "x" * MAX_STYLED_LENGTH,
        f"<style>{DECLARATIONS}</style>{PARAGRAPHS}",
        f"<style></style><b></b><style>{DECLARATIONS}</style>{PARAGRAPHS}",
        f"<style>p{{}}</style ><svg><style>{DECLARATIONS}{PARAGRAPHS}",
        f"<style>{'p,' * 7_000}p{{a:b}}</style>{'<p>x</p>' * 2_400}",
        f"<style>{'q~p,' * 100}p{{a:b}}</style>{'<p>x</p>' * 2_400}",
        STYLE + "\ud800",
    ],
)
def test_what_is_too_much_or_cannot_be_read_stays_as_it_is(html: str) -> None:
    assert inlined(html) == (html, False)


def test_styles_that_multiply_what_stands_there_are_dropped() -> None:
    long = "x" * 3000
    html = f"<style>p{{content:'{long}'}}</style>" + "<p>x</p>" * 2000
    assert inlined(html) == (html, False)


# The stack of a thread is smaller than that of the program, and the deepest tree must fit.
def test_the_deepest_document_that_is_inlined_fits_into_a_threads_stack() -> None:
    results: list[bool] = []
    html = STYLE + "<div>" * (MAX_ELEMENTS - 1)
    thread = threading.Thread(target=lambda: results.append(inlined(html)[1]))
    thread.start()
    thread.join()
    assert results == [True]


@pytest.mark.gen_test
async def test_nothing_is_fetched_and_links_stay() -> None:
    asked: list[str] = []

    class Stylesheet(RequestHandler):
        def get(self) -> None:
            asked.append(self.request.path)
            self.finish("p{color:blue}")

    server = HTTPServer(Application([(".*", Stylesheet)]))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    url = f"http://127.0.0.1:{port}/style.css"
    link = f'<link rel="stylesheet" href="{url}">'
    imported = f"<style>@import url({url});p{{color:red}}</style>"
    html, is_inlined = inlined(f"{link}{imported}<p>x</p>")
    assert is_inlined
    assert html == f'{link}{imported}<p style="color: red;">x</p>'
    server.stop()
    assert asked == []


PIECES = st.sampled_from(
    [
        *("<style>", "</style>", "<p>", "</p>", "<div>", "<table>", "<td>", "<svg>", "<b a=1>"),
        *("p{color:red}", "p{", "}", "@media x{", "a:b;", "/*", "*/", "'", '"', "<!--", "-->"),
        *("<![if x]>", "<![endif]>", "<?xml ?>", "<!", "<?"),
        *(
            "<html>",
            "<body>",
            "<head>",
            "&nbsp;",
            "\x00",
            "é",
            "😀",
            "<p style='a:b'>",
            "x",
            ":not(",
        ),
    ]
)


@examples(300)
@given(html=st.lists(PIECES, max_size=30).map("".join) | st.text())
def test_any_html_is_inlined_or_stays_as_it_is(html: str) -> None:
    styled, is_inlined = inlined(html)
    assert is_inlined or styled == html
    for tag in ("<html", "<head", "<body"):
        assert tag not in styled or "<html" in html or "<head" in html or "<body" in html
