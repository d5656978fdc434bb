"""Characters that nobody sees: those that a word or an emoji needs stay, all others go."""

import pytest

from relay.core.invisible import MAX_KEPT, visible

NEEDED = {
    "Persian": "خانواده\u200cها و کتاب\u200cها",
    "Persian, after a vowel sign": "گفتهٔ\u200cآن",
    "a year of the Hijra": "1370ه\u200d.",
    "Sinhala": "ක\u0dca\u200dෂ",
    "Kannada": "ಫೇಸ್\u200cಬುಕ್",
    "Malayalam": "അവന\u0d4d\u200d വന്നു",
    "Bengali": "র\u200d\u09cdযাব",
    "Marathi": "द\u0930\u094d\u200dया",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ\u200dᠤᠨ",
    "a family": "👨\u200d👩\u200d👧\u200d👦",
    "with a skin tone": "👩🏽\u200d💻",
    "with a selector": "❤\ufe0f\u200d🔥",
    "with an arrow": "🙂\u200d↔\ufe0f",
    "an eye": "👁\ufe0f\u200d🗨\ufe0f",
    "a flag of tags": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "a key cap": "1\ufe0f\u20e3 #\ufe0f\u20e3",
    "a sign as a picture": "©\ufe0f ‼\ufe0f",
    "a variant of an ideograph": "葛\U000e0100城",
}


@pytest.mark.parametrize("text", NEEDED.values(), ids=NEEDED)
def test_what_shapes_a_word_or_an_emoji_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("a\u200db\u200cc", "abc"),
        ("a\ufe0fb", "ab"),
        ("pay\u200bpal", "paypal"),
        ("\u202eevil\u202c \u2066x\u2069 \u061cy\u200ez\u200f", "evil x yz"),
        ("\u200d\u200cx\u200d", "x"),
        ("כתב\u200cה", "כתבה"),
        ("کتاب\u200c", "کتاب"),
        ("ه\u200d\u200d\u200d", "ه\u200d"),
        ("ک\u200c\u200cت", "کت"),
        ("👩\u200dx", "👩x"),
        ("👩\u200d\u200d👩", "👩👩"),
        ("a\ufe0f\u200d\ufe0f\u200d\ufe0fb", "ab"),
        ("é\ufe0f\ufe0f\ufe0f", "é\ufe0f"),
        (" \ufe0f\u200c", " "),
        ("so\u00adft \u2060\ufeff\ufff9", "soft "),
        ("hidden\U000e0068\U000e0069\U000e007f", "hidden"),
        ("🏴\U000e0068" + "\U000e0069" * 9, "🏴"),
    ],
)
def test_padding_and_direction_controls_go(given: str, left: str) -> None:
    assert visible(given) == left


def test_a_line_full_of_joiners_keeps_none() -> None:
    assert visible("ک\u200cت" * MAX_KEPT) == "ک\u200cت" * MAX_KEPT
    assert visible("ک\u200cت" * (MAX_KEPT + 1)) == "کت" * (MAX_KEPT + 1)
