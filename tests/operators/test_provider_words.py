"""What providers' words mean: of every kind that Relay writes into a history."""

import pytest

from relay.operators.provider_words import _CODES, _ENHANCED, _OWN, _POSTMARK, meaning


@pytest.mark.parametrize(
    ("words", "means", "remedy"),
    [
        ("RCPT: 550 5.1.1 <(address)>: no such user", "There is no such mailbox.", "right address"),
        ("RCPT: 450 4.2.0 greylisted", "makes strangers come again", "tried again by itself"),
        ("RCPT: 451 4.2.0 odd", "recipient's mailbox", "tried again by itself. If that"),
        ("RCPT: 451 try later", "makes strangers wait", "tried again by itself"),
        ("end: 552 5.2.2 over quota", "mailbox is full", "another way"),
        ("end: 552 5.3.4 too big", "larger than the mail system takes", "without its files"),
        ("end: 554 5.7.1 looks like spam", "often spam", "spam"),
        ("RCPT: 554 5.7.1 relay access denied", "by a rule", "Mend the account"),
        ("MAIL: 553 5.7.1 Sender address rejected: not owned by user", "by a rule", "Mend the"),
        ("AUTH: 535 5.7.8 bad", "our user or password", "Mend the account"),
        ("greeting: 554 no service", "refuses the message", "Mend the account"),
        ("RCPT: 421 4.7.28 too much", "too much mail like this", "by itself"),
        ("end: 599 5.99.99 hm", "its words say why", ""),
        ("EHLO: 421 busy", "it is busy", "by itself"),
        ("250 2.0.0 ok; refused: 550 5.1.1 no", "no such mailbox", "right address"),
        ("Postmark answered 422: no (ErrorCode 300)", "fault in the message", "Mend what it names"),
        ("Postmark answered 401: no (ErrorCode 10)", "our token", "`postmark_token`"),
        ("Postmark answered 422: no (ErrorCode 1235)", "no such message stream", "add it there"),
        ("Postmark answered 422: no (ErrorCode 99999)", "its words say why", ""),
        ("Postmark answered 503: no text", "fault of its own", "by itself"),
        ("Postmark answered 404: no text", "not Postmark's own answer", "`postmark_url`"),
        ("Postmark answered 429: slow down", "more slowly", "by itself"),
        ("no clear search: Postmark answered 500: x (ErrorCode 101)", "fault of its own", "itself"),
        ("no connection: NameResolutionError", "name is not found", "DNS"),
        ("no connection: ConnectionRefusedError", "Nothing listens", "URL"),
        ("no connection: SSLCertVerificationError (expired)", "certificate", "clock"),
        ("no connection: TimeoutError", "cannot be reached", "network"),
        ("the connection was lost at RCPT: BrokenPipeError", "before it had the message", "itself"),
        ("no answer: ReadTimeout; sent again: may be delivered twice", "it may have it", ""),
        ("no answer to the message's end: TimeoutError", "it may have it", ""),
        ("the plugin raised KeyError", "plugin broke", "reload"),
        ("no mail goes to ann@example.gov", "list of those that get no mail", "suppressions lift"),
    ],
)
def test_words_mean_something(words: str, means: str, remedy: str) -> None:
    known = meaning(words)
    assert known is not None
    assert means in known.means
    assert remedy in known.remedy
    assert "@" not in known.means + known.remedy


@pytest.mark.parametrize("words", ["", "250 2.0.0 queued", "end: 250 ok", "OK", "by jane"])
def test_good_news_and_nothing_mean_nothing_special(words: str) -> None:
    assert meaning(words) is None


def test_every_sentence_is_one() -> None:
    known = [*_ENHANCED.values(), *_CODES.values(), *_POSTMARK.values()]
    for means, remedy in [*known, *((one[1], one[2]) for one in _OWN)]:
        assert means.endswith(".")
        assert not remedy or remedy.endswith(".")
