"""An address is found however it is written, and never as a part of another one."""

import json

import pytest

from relay.core.mentions import ERASED, Mentions

JO = Mentions("Jo@X.gov")
NAMES = {
    "jo@x.gov": ERASED,
    "Write to JO@X.GOV.": f"Write to {ERASED}.",
    "Jo <jo@x.gov>, bajo@x.gov": f"Jo <{ERASED}>, bajo@x.gov",
    "mailto:jo%40x.gov?subject=x": f"mailto:{ERASED}?subject=x",
    "%3Cjo%40x%2egov%3E": f"%3C{ERASED}%3E",
    "jo&#64;x.gov jo&#x40;x&#46;gov jo&commat;x&period;gov": f"{ERASED} {ERASED} {ERASED}",
    "=3Cjo=40x.gov=3E": f"=3C{ERASED}=3E",
    "href=jo@x.gov": f"href={ERASED}",
    "name|jo@x.gov|today": f"name|{ERASED}|today",
    "- jo@x.gov\n-jo@x.gov": f"- {ERASED}\n-{ERASED}",
    "'jo@x.gov'": f"'{ERASED}'",
    "jo@x.gov...": f"{ERASED}...",
    "メールはjo@x.govです": f"メールは{ERASED}です",
    "letter of jo@x.gov.pdf": f"letter of {ERASED}.pdf",
    "prvs=1a2b=jo@x.gov": f"prvs=1a2b={ERASED}",
}
OTHERS = [
    *("bajo@x.gov", "ba.jo@x.gov", "ba+jo@x.gov", "ba-jo@x.gov", "ba_jo@x.gov", "o'jo@x.gov"),
    *("jo+news@x.gov", "jo@x.gov.uk", "jo@x.government", "jo@x.gov-at.de", "jo@y.x.gov"),
    *("ba%2Bjo@x.gov", "jo@x.gov.pdf.example", "jo@xxgov", "jo x.gov", "", "a" * 10_000),
]


@pytest.mark.parametrize("text", NAMES)
def test_it_is_found_and_taken_out(text: str) -> None:
    assert JO.are_in(text)
    assert JO.without(text) == NAMES[text]
    assert all(stem in text.lower() for stem in JO.stems)
    value = {"fields": {text: ["", {"x": text}], "n": 1}}
    assert JO.are_in(value)
    assert JO.without(value) == {"fields": {NAMES[text]: ["", {"x": NAMES[text]}], "n": 1}}


@pytest.mark.parametrize("text", OTHERS)
def test_another_address_is_left_alone(text: str) -> None:
    assert not JO.are_in(text)
    assert JO.without(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("o'brien+x@bücher.example", "O'BRIEN+X@BÜCHER.EXAMPLE", "o'brien+x@bu\u0308cher.example"),
        *("o'brien+x@xn--bcher-kva.example", "o&#39;brien%2Bx@b%C3%BCcher.example"),
        *("o&apos;brien&#43;x@b&uuml;cher.example", json.dumps("o'brien+x@bücher.example")),
    ],
)
def test_its_characters_may_be_encoded_and_its_domain_in_unicode(text: str) -> None:
    mentions = Mentions("o'brien+x@bücher.example")
    assert mentions.address == "o'brien+x@xn--bcher-kva.example"
    assert mentions.are_in(text)
    assert all(stem in text.lower() for stem in mentions.stems)


def test_a_value_that_is_the_address_is_told_from_words_that_name_it() -> None:
    for whole in (
        "jo@x.gov",
        "Jo Doe <JO@x.gov>",
        "a@b.gov, jo@x.gov",
        ["jo@x.gov", "Jo"],
        {"fields": {"from_address": " jo@x.gov "}},
    ):
        assert JO.are_whole_in(whole)
    for other in ("Ask jo@x.gov", ["of jo@x.gov"], {"jo@x.gov": 1}, "bajo@x.gov", None, 1):
        assert not JO.are_whole_in(other)


@pytest.mark.parametrize("text", ["", "jo", "jo@", "@x.gov", "jo@x.gov, a@x.gov"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Mentions(text)
