"""Whatever bytes come as a form's body: a refusal that says why, or mail that is sound."""

import re
import unicodedata
from email import message_from_bytes, policy
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.config import settings
from relay.core.errors import InvalidSubmission, SubmissionError
from relay.core.immutable import freeze
from relay.core.mime import as_bytes
from relay.core.submission import Submission
from relay.hooks import loader
from relay.hooks.chain import Chain
from relay.intake.message_builder import compose
from relay.intake.outbox import identified
from relay.web import bodies, responses
from tests.conftest import SETTINGS
from tests.support.generated import examples
from tests.support.keys import ENVIRONMENT

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
JSON = "application/json"
MEDIA = [
    *(URLENCODED, MULTIPART, JSON, "multipart/form-data", "text/plain", "", "x", "a/b; c=\u00ff"),
    *(f"{URLENCODED}; charset=windows-1252", f"{JSON}; charset=utf-16", f"{URLENCODED}; charset=x"),
]
NAMES = [
    "to",
    "from_address",
    "subject",
    "message",
    "name",
    "url",
    "useHtml",
    "HtmlBody",
    "headers",
]
VALUES = [
    "desk@example.gov",
    "A B <a@example.com>",
    "1",
    "[1]",
    '{"a": 1}',
    "<p>x</p>",
    "\x0b",
    "\r",
]
TEXTS = st.text(max_size=30) | st.sampled_from(VALUES)
FORM = {
    "to": "desk@example.gov",
    "from_address": "a@example.com",
    "subject": "Streetlight",
    "message": "It is out.",
}


def written(fields: dict[str, str], media: str) -> bytes:
    """Return a form as bodies of its kind have it."""
    if media.startswith(JSON):
        pairs = ",".join(f'"{name}":"{value}"' for name, value in fields.items())
        return ("{" + pairs + "}").encode("utf-8", "surrogatepass")
    if media.startswith("multipart"):
        head = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
        parts = "".join(head.format(*pair) for pair in fields.items())
        return (parts + "--b--").encode("utf-8", "surrogatepass")
    return urlencode(fields, errors="surrogatepass").encode()


def damaged(body: bytes, place: int, damage: bytes) -> bytes:
    at = place % (len(body) + 1)
    return body[:at] + damage + body[at + len(damage) :]


FORMS = st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=4).map(lambda given: FORM | given)
WRITTEN = st.builds(written, FORMS, st.sampled_from(MEDIA[:3]))
BODIES = (
    WRITTEN
    | st.binary(max_size=100)
    | st.builds(damaged, WRITTEN, st.integers(0, 500), st.binary(max_size=3))
)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The contact form's chain: one for all examples."""
    path = tmp_path_factory.mktemp("bodies") / "settings.toml"
    path.write_text(SETTINGS)
    read = settings.load(path, ENVIRONMENT)
    return loader.build(read, read.keys)["contactform"]


def check_refusal(error: SubmissionError) -> None:
    """A refusal is the caller's fault, in the error's shape; what is wrong has a name."""
    answer = responses.failure(error)
    assert 400 <= responses.status(error) < 500
    assert answer["status"] == "error"
    assert answer["response"].isprintable()
    if isinstance(error, InvalidSubmission):
        assert error.fields
        assert all(f"{name}: " in answer["response"] for name in error.fields)


def check_mail(content: bytes) -> str:
    """Return the text of a mail that has no defect and no control character."""
    mail = message_from_bytes(content, policy=policy.default)
    for part in mail.walk():
        assert not part.defects
        assert all(not value.defects for value in part.values())
        for name, value in part.items():
            assert not re.search("[\x00-\x1f\x7f-\x9f]", value), name
    words = [part.get_content() for part in mail.walk() if not part.is_multipart()]
    shown = "".join(words).replace("\r\n", "\n")
    assert all(one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs") for one in shown)
    return shown


def mail_of(chain: Chain, media: str, body: bytes) -> bytes | None:
    try:
        fields = bodies.parse(media, body).fields
        message = compose(chain, Submission("contactform", freeze(fields)))
    except SubmissionError as error:
        check_refusal(error)
        return None
    return as_bytes(identified(message, "relay-12345678"))


@examples(600)
@given(st.sampled_from(MEDIA), BODIES)
@example(JSON, b'{"to":"desk@example.gov"}')
@example(JSON, b'\xef\xbb\xbf{"to":["a"],"subject":{},"message":"\\ud800"}')
@example(URLENCODED, b"to=desk@example.gov&from_address=a@example.com&subject=%ED%A0%80")
@example(URLENCODED, urlencode({**FORM, "message": "a\x00\x0b\x1b\x7f\x85b"}).encode())
@example(f"{URLENCODED}; charset=windows-1252", b"a%0Db=\x8d")
def test_any_body_is_refused_with_words_or_makes_sound_mail(
    chain: Chain, media: str, body: bytes
) -> None:
    content = mail_of(chain, media, body)
    if content is not None:
        check_mail(content)


READABLE = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \n\t"), min_size=1, max_size=60
)


@examples(300)
@given(st.sampled_from(MEDIA[:2]), READABLE)
@example(URLENCODED, "if x<y then call \U0001f600 \u6f22")
def test_what_can_be_read_arrives_as_it_was_written(chain: Chain, media: str, words: str) -> None:
    body = written({**FORM, "message": f"Begin {words} end"}, media)
    content = mail_of(chain, media, body)
    assert content is not None
    assert f"Begin {words} end" in check_mail(content)
