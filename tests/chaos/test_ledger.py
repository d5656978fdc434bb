"""The oracle itself: fed with what must never be, it says so."""

from typing import Any

import pytest
import requests

from tests.chaos.ledger import QUEUED, SENT, Ledger, Row
from tests.chaos.provider import Acceptance, Provider

pytestmark = pytest.mark.slow


def taken(*names: str) -> list[Acceptance]:
    return [Acceptance(f"id-{name}", name, 1.0) for name in names]


def row(name: str, state: str = "sent", maybe_twice: bool = False) -> Row:
    return Row(f"id-{name}", name, state, maybe_twice)


def test_nothing_is_wrong_where_all_three_agree() -> None:
    answers = {"a": SENT, "b": QUEUED, "c": "", "d": "", "e": QUEUED}
    rows = [row("a"), row("b"), row("c", maybe_twice=True), row("e", "in_doubt")]
    found = Ledger(answers, taken("a", "b", "c", "c"), rows)
    assert found.faults == {}
    assert found.doubled == {"c"}


@pytest.mark.parametrize(
    ("answers", "accepted", "rows", "faults"),
    [
        ({"a": QUEUED}, [], [], {"lost": {"a"}}),
        ({"a": QUEUED}, [], [row("a")], {"lost": {"a"}, "untrue": {"a"}}),
        ({"a": SENT}, [], [row("a", "queued")], {"untrue": {"a"}}),
        ({"a": SENT}, taken("a", "a"), [row("a")], {"unflagged": {"a"}}),
        ({}, taken("a"), [row("a")], {"ghosts": {"a"}}),
        ({"a": ""}, taken("a"), [], {"ghosts": {"a"}}),
        ({"a": ""}, [], [row("a", "queued"), row("b", "queued")], {"ghosts": {"b"}}),
        ({"a": SENT}, taken("a"), [row("a"), row("a", "queued")], {"repeated": {"a"}}),
    ],
    ids=[
        *("lost", "never taken but sent", "told too early", "doubled", "never posted"),
        *("taken and not stored", "stored and not posted", "stored twice"),
    ],
)
def test_what_must_never_be_is_told(
    answers: dict[str, str], accepted: list[Acceptance], rows: list[Row], faults: Any
) -> None:
    assert Ledger(answers, accepted, rows).faults == faults


def message(reference: str, label: str) -> dict[str, Any]:
    return {"To": "desk@example.gov", "Subject": reference, "Metadata": {"relay-0": label}}


def search(provider: Provider, label: str) -> requests.Response:
    query = {"count": "1", "offset": "0", "metadata_relay-0": label}
    return requests.get(f"{provider.url}/messages/outbound", params=query, timeout=10)


def test_the_provider_takes_fails_and_finds_as_it_is_told(tmp_path: Any) -> None:
    with Provider(tmp_path) as provider:
        url = f"{provider.url}/email"
        provider.script("busy", "reset", "lost", "html", "")
        assert requests.post(url, json=message("one", "1"), timeout=10).status_code == 503
        for label in ("2", "3"):
            with pytest.raises(requests.ConnectionError):
                requests.post(url, json=message("two", label), timeout=10)
        assert requests.post(url, json=message("four", "4"), timeout=10).text[0] == "<"
        provider.set(items={"six": 406})
        both = [message("five", "5"), message("six", "6")]
        answers = requests.post(f"{url}/batch", json=both, timeout=10).json()
        assert [answer["ErrorCode"] for answer in answers] == [0, 406]
        assert [one[:2] for one in provider.accepted()] == [
            ("3", "two"),
            ("4", "four"),
            ("5", "five"),
        ]
        assert search(provider, "3").json()["TotalCount"] == 1
        assert search(provider, "2").json()["TotalCount"] == 0
        provider.set(lag=60)
        assert search(provider, "3").json()["TotalCount"] == 0
        provider.set(down=True)
        assert search(provider, "3").status_code == 503
        assert provider.counts() == {"calls": 5, "searches": 4, "largest": 2, "script": 0}


def test_faults_by_chance_are_the_same_for_the_same_seed(tmp_path: Any) -> None:
    drawn = []
    for run in ("first", "second"):
        with Provider(tmp_path / run) as provider:
            provider.set(seed=5, rates={"busy": 0.3, "throttled": 0.3})
            replies = [
                requests.post(f"{provider.url}/email", json=message("a", "1"), timeout=10)
                for _ in range(20)
            ]
            drawn.append([reply.status_code for reply in replies])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {200, 429, 503}
