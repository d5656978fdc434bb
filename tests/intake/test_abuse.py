"""Nobody makes an open relay of a form: every field that names somebody, by every known trick."""

import json
import re
from email import message_from_bytes
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core import policy
from relay.core.errors import InvalidSubmission, MalformedBody
from relay.core.html_cleaning import clean_html
from relay.core.immutable import freeze
from relay.core.mime import as_bytes
from relay.core.submission import Submission
from relay.hooks import loader
from relay.hooks.chain import Chain
from relay.intake.message_builder import compose
from relay.intake.outbox import identified
from relay.web import bodies
from tests.conftest import FORM, Outbox, Post
from tests.core.test_html_cleaning import MARKUP, Reader, assert_harmless
from tests.core.test_mime import shown
from tests.support.generated import examples

# Who is let in, and how often, is no matter of the database's.
pytestmark = pytest.mark.sqlite

# Each would reach somebody who is not listed, if it were read carelessly.
STRANGERS = [
    "stranger@example.com",
    "other@example.org",
    "desk+evil@example.org",
    "a@evil-example.gov",
    "a@evilexample.gov",
    "a@example.gov.evil.com",
    "a@sub.example.gov",
    "a@example.gov-evil.com",
    "a@ex\u0430mple.gov",
    "a@\u0435\u0445\u0430mple.gov",
    "a@xn--exmple-4nf.gov",
    "A@EVIL-EXAMPLE.GOV",
    '"desk@example.gov" <a@evil.com>',
    "desk@example.gov <a@evil.com>",
    "<a@evil.com> desk@example.gov",
    "a@evil.com <desk@example.gov>",
    "a@evil.com]<desk@example.gov>",
    "<desk@example.gov><a@evil.com>",
    "a@example.gov@evil.com",
    "a@evil.com@example.gov",
    "a@evil.com(@example.gov)",
    "a@evil.com (desk@example.gov)",
    "desk(@example.gov)@evil.com",
    "(desk@example.gov) a@evil.com",
    "Desk: a@evil.com;",
    "Desk: desk@example.gov, a@evil.com;",
    "@example.gov:a@evil.com",
    "<@example.gov:a@evil.com>",
    "@evil.com:a@example.gov",
    '"a@evil.com"@example.gov',
    '"a b"@example.gov',
    '"a\\@evil.com"@example.gov',
    "a%evil.com@example.gov",
    "a%evil.com@example.org",
    "evil.com!a@example.gov",
    "a@[203.0.113.7]",
    "a@[IPv6:2001:db8::1]",
    "a@203.0.113.7",
    "a@localhost",
    "a@gov",
    "a@example.gov.",
    "a@.example.gov",
    "a@example..gov",
    "@example.gov",
    "*@example.gov, a@evil.com",
    "desk@",
    "desk",
    "desk@example.gov, a@evil.com",
    "desk@example.gov,,a@evil.com,",
    "desk@example.gov; a@evil.com",
    "desk@example.gov a@evil.com",
    '"x, y" <desk@example.gov>, "z" <a@evil.com>',
    "desk@example.gov\na@evil.com",
    "desk@example.gov\r\nBcc: a@evil.com",
    "desk@example.gov%0ABcc:a@evil.com",
    "desk@example.gov\u2028a@evil.com",
    "desk@example.gov\x85a@evil.com",
    "desk@example.gov\ta@evil.com",
    "=?utf-8?q?a=40evil.com?=",
    "=?utf-8?q?a=40evil.com=2C?=@example.gov",
    "=?utf-8?b?ZGVzaw==?= <a@evil.com>",
    "a@evil.com?=@example.gov",
    "a@evil.com NOTIFY=NEVER",
    "mailto:a@evil.com",
    "desk@example.gov?cc=a@evil.com",
    "a@evil.com%00@example.gov",
    "a@\u0435xample.gov",
]
RECIPIENTS = ["to_address", "to", "recipient", "cc", "bcc"]
LISTED = [
    "desk@example.gov",
    "anybody.else@example.gov",
    "DESK@Example.GOV",
    "Desk <desk@example.org>",
    '"a@evil.com" <desk@example.org>',
    "a@example。gov",
    "=?utf-8?q?a=40evil.com?= <desk@example.gov>",
]
BARE = {name: FORM[name] for name in FORM if name != "to_address"}


def addressed(field: str, value: Any) -> dict[str, Any]:
    """A form that names a recipient in one field, and nobody in the others."""
    return {**(BARE if field in RECIPIENTS[:3] else FORM), field: value}


@pytest.mark.gen_test
@pytest.mark.parametrize("value", STRANGERS)
async def test_no_recipient_that_is_not_listed_is_written_to(
    post: Post, outbox: Outbox, value: str
) -> None:
    for field in RECIPIENTS:
        fields = addressed(field, value)
        for reply in (
            await post(
                "/rest/email/contactform", {f"email[{name}]": fields[name] for name in fields}
            ),
            await post("/rest/email/contactform", content=fields),
        ):
            assert reply.status == 400, field
            assert "evil" not in reply.words
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("value", LISTED)
async def test_who_is_listed_is_written_to_and_nobody_else(
    post: Post, outbox: Outbox, value: str
) -> None:
    for field in RECIPIENTS:
        reply = await post("/rest/email/contactform", content=addressed(field, value))
        assert reply.status == 200, reply.words
        for email in outbox.last()["recipients"].split():
            assert email.endswith("@example.gov") or email == "desk@example.org"


NESTED: list[tuple[str, dict[str, Any] | bytes]] = [
    ("an array", {"to_address": ["desk@example.gov", "a@evil.com"]}),
    ("an object", {"to_address": {"0": "a@evil.com"}}),
    ("brackets", b"to_address[]=desk@example.gov&to_address[]=a@evil.com"),
    ("brackets in email", b"email[to_address][]=a@evil.com"),
    ("twice", b"to_address=desk@example.gov&to_address=a@evil.com"),
    ("bare and email", b"to_address=desk@example.gov&email[to_address]=a@evil.com"),
    ("alias", {"to_address": "desk@example.gov", "to": "a@evil.com"}),
    ("another alias", {"to_address": "desk@example.gov", "recipient": "a@evil.com"}),
    ("two aliases", {"to": "desk@example.gov", "recipient": "a@evil.com"}),
    ("cc in an array", {"to": "desk@example.gov", "cc": ["a@evil.com"]}),
    ("bcc in brackets", b"to=desk@example.gov&bcc[0]=a@evil.com"),
    ("email in email", {"to": "desk@example.gov", "email": {"cc": "a@evil.com"}}),
    ("a Bcc header", {"to": "desk@example.gov", "headers": {"Bcc": "a@evil.com"}}),
    ("a To header", {"to": "desk@example.gov", "headers": [{"Name": "To", "Value": "a@evil.com"}]}),
    ("a Cc header", b"to=desk@example.gov&headers[0][Name]=cc&headers[0][Value]=a@evil.com"),
    ("a header in two lines", {"to": "desk@example.gov", "headers": {"X-Form\r\nBcc": "a@b.co"}}),
    ("a value in two", {"to": "desk@example.gov", "headers": {"X-Form": "x\r\nBcc: a@evil.com"}}),
    ("a Sender header", {"to": "desk@example.gov", "headers": {"Sender": "a@evil.com"}}),
    ("a Resent-To header", {"to": "desk@example.gov", "headers": {"Resent-To": "a@evil.com"}}),
    ("an X-PM header", {"to": "desk@example.gov", "headers": {"X-PM-Bcc": "a@evil.com"}}),
    ("too many", {"to": ", ".join(f"a{n}@example.gov" for n in range(51))}),
    ("too many in all", {"to": "desk@example.gov", "cc": ", ".join(["a@example.gov"] * 50)}),
    ("a number", {"to": 7}),
    ("true", {"to": True}),
]


@pytest.mark.gen_test
@pytest.mark.parametrize("given", [case[1] for case in NESTED], ids=[case[0] for case in NESTED])
async def test_no_other_way_of_writing_reaches_anybody_else(
    post: Post, outbox: Outbox, given: dict[str, Any] | bytes
) -> None:
    if isinstance(given, bytes):
        body = urlencode(BARE).encode() + b"&" + given
        media = bodies.URLENCODED
    else:
        body, media = json.dumps({**BARE, **given}).encode(), "application/json"
    reply = await post("/rest/email/contactform", body=body, media=media)
    assert (reply.status, "evil" in reply.words) == (400, False)
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["To", "Cc", "Bcc", "From", "TO_ADDRESS", "To_Address", "mailto"])
async def test_fields_that_no_form_has_reach_nobody(post: Post, outbox: Outbox, name: str) -> None:
    reply = await post("/rest/email/contactform", content={**FORM, name: "a@evil.com"})
    assert reply.status == 200
    row = outbox.last()
    assert row["recipients"] == "desk@example.gov"
    assert row["document"]["sender"][0] == "contactform@example.gov"


SENDERS = [
    *("mayor@example.gov", "contactform@example.gov", "Mayor <mayor@example.gov>", "a@evil.com"),
    *("relay@example.gov", '"x" <a@evil.com>', "a@sub.example.gov", "a@evil-example.gov"),
]


@pytest.mark.gen_test
@pytest.mark.parametrize("value", SENDERS)
async def test_nobody_chooses_the_from_of_a_server_that_lists_no_senders(
    post: Post, outbox: Outbox, value: str
) -> None:
    for fields in ({"from_address": value}, {"reply_to": value}, {"sender": value}):
        reply = await post("/rest/email/contactform", content={**FORM, **fields})
        if reply.status == 200:
            document = outbox.last()["document"]
            assert document["sender"][0] == "contactform@example.gov"
            assert [email for email, _ in document["to"]] == ["desk@example.gov"]
    with_template = {**FORM, "from_address": value, "template_id": "x"}
    await post("/rest/email/contactform", content=with_template)
    assert {row["document"]["sender"][0] for row in outbox.rows()} == {"contactform@example.gov"}


@pytest.mark.gen_test
@pytest.mark.parametrize("value", STRANGERS)
async def test_a_writer_is_where_answers_go_and_nowhere_else(
    post: Post, outbox: Outbox, value: str
) -> None:
    for field in ("from_address", "reply_to"):
        await post("/rest/email/contactform", content={**FORM, field: value})
    for row in outbox.rows():
        assert row["document"]["sender"][0] == "contactform@example.gov"
        assert row["recipients"] == "desk@example.gov"
        for email, _ in row["document"]["reply_to"]:
            assert re.fullmatch(r"[^\s<>\"(),:;@\[\]\\]+@[a-z0-9.-]+", email)


LINES = st.text(max_size=40) | st.lists(
    st.sampled_from(
        [
            *("=?utf-8?q?", "?=", "=0A", "\r\n", "\n", "Bcc:", " ", "é", "\u202e", "\x00"),
            *("a@b.co", "<", ">", '"', ",", "\\", "\u2028", "\x7f", "\ud800", "x" * 500),
            *("=?utf-8?q?=0ABcc:_a@b.co?=", "=?utf-8?b?QmNjOiBhQGIuY28=?="),
        ]
    ),
    max_size=8,
).map("".join)
NAMES = LINES | LINES.map(lambda text: '"' + text.replace("\\", "").replace('"', "") + '"')
ADDRESSES = st.builds("{} <desk@example.gov>".format, NAMES)
FIELDS = st.fixed_dictionaries(
    {},
    optional={name: LINES for name in ("subject", "sender", "name", "tag")}
    | {name: ADDRESSES for name in ("from_address", "reply_to", "to_address", "cc")},
)


@examples(600)
@given(FIELDS, LINES)
@example({"subject": "=?utf-8?q?=0ABcc:_a@b.co?=", "name": "=?utf-8?q?=0D=0ABcc:_a@b.co?="}, "")
def test_no_text_in_any_line_makes_a_header(
    chain_of_form: Chain, lines: dict[str, str], header: str
) -> None:
    fields = {**FORM, **lines, "headers": [{"Name": "X-Form", "Value": header}]}
    try:
        body = bodies.parse("application/json", json.dumps(fields).encode())
        message = compose(chain_of_form, Submission("contactform", freeze(body.fields)))
        policy.check_policy(message, chain_of_form.server)
    except (InvalidSubmission, MalformedBody):
        return
    mail = message_from_bytes(as_bytes(identified(message, "relay-test")))
    optional = {"Cc", "Subject", "X-Form"}
    expected = [
        *("Message-ID", "Date", "From", "To", "Cc", "Reply-To", "Subject", "X-Relay-Message-Id"),
        "X-Form",
    ]
    names = [name for name in mail.keys() if not name.startswith(("MIME-", "Content-"))]  # noqa: SIM118
    assert [name for name in expected if name in names] == names
    assert set(expected) - set(names) <= optional
    assert shown(mail, "Subject") == (message.subject or "")
    assert "\n" not in "".join(shown(mail, name) for name in names)


@pytest.fixture(scope="module")
def chain_of_form(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The contact form's chain: one for all examples."""
    from relay.config import settings
    from tests.conftest import SETTINGS
    from tests.support.keys import ENVIRONMENT

    path = tmp_path_factory.mktemp("abuse") / "settings.toml"
    path.write_text(SETTINGS)
    read = settings.load(path, ENVIRONMENT)
    return loader.build(read, read.keys)["contactform"]


NESTS = st.recursive(
    MARKUP,
    lambda inner: st.builds(
        "<{0} {1}>{2}</{3}>".format,
        st.sampled_from(["p", "a", "b", "table", "td", "svg", "math", "mtext", "style", "select"]),
        st.sampled_from(["", "href=javascript:x", "onclick=x", "style=x", "xmlns=x", "href=//x"]),
        inner,
        st.sampled_from(["p", "a", "b", "table", "td", "svg", "math", "mtext", "style", "select"]),
    ),
    max_leaves=6,
)
# What other sanitisers have let through, by mutation, namespace or encoding.
CORPUS = [
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=x'>",
    "<math><annotation-xml encoding='text/html'><p><script>x</script></p></annotation-xml></math>",
    '<noscript><p title="</noscript><img src=x onerror=x>">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=x>",
    "<svg></p><style><a id='</style><img src=1 onerror=x>'>",
    "<svg><p><style><!--</style><img src=x onerror=x>--></style>",
    "<textarea><p id='</textarea><script>x</script>'>",
    "<title><a href='</title><svg onload=x>'>",
    "<select><template><img src=x onerror=x></template></select>",
    "<table><a href='javascript:x'><td><a href=https://a.b>x</a>",
    "<a href='java\x00script:x'>x</a>",
    "<a href='&#x6A&#x61vascript:x'>x</a>",
    "<a href='https://a.b' ping='https://evil.com' target=_blank>x</a>",
    "<p style='background:url(javascript:x)' onmouseover=x>x</p>",
    "<!--[if gte IE 4]><script>x</script><![endif]-->",
    "<![CDATA[<script>x</script>]]>",
    "<?xml version='1.0'?><script>x</script>",
    "<plaintext><script>x</script>",
    "<xmp><script>x</script></xmp>",
    "<iframe srcdoc='&lt;script&gt;x&lt;/script&gt;'></iframe>",
    "<object data='data:text/html,x'></object><embed src=x>",
    "<meta http-equiv=refresh content='0;url=javascript:x'><base href=javascript:x>",
    "<body onload=x><html><head><link rel=stylesheet href=//x>",
    "<img src=https://track.evil.com/x.gif><video poster=x><audio src=x>",
    "<input value='x' onfocus=x autofocus><button formaction=javascript:x>x",
    "<b><table><b><td></b></table><a href=javascript:x><b>",
    "<scr<script>ipt>x</scr</script>ipt>",
    "\ufeff<script>x</script>\u202e<p>",
]


@pytest.mark.parametrize("markup", CORPUS)
def test_what_fooled_others_leaves_harmless_html(markup: str) -> None:
    cleaned = clean_html(markup)
    assert_harmless(cleaned)
    assert clean_html(cleaned) == cleaned


@examples(200)
@given(NESTS)
def test_no_nesting_leaves_anything_but_harmless_html(markup: str) -> None:
    cleaned = clean_html(markup)
    assert_harmless(cleaned)
    assert clean_html(cleaned) == cleaned


@examples(100)
@given(st.lists(st.text("abc xyz<&>é", min_size=1, max_size=8).map(str.strip), min_size=1))
def test_the_words_of_html_stand_in_the_text_part_too(words: list[str]) -> None:
    from relay.core.html_text import as_text
    from relay.core.text import as_html

    markup = "".join(f"<p>{as_html(word)}</p>" for word in words)
    cleaned = clean_html(markup)
    assert as_text(cleaned).split() == " ".join(words).split()
    assert Reader(cleaned).words.split() == Reader(markup).words.split()
