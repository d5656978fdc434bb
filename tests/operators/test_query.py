"""The language of the search: what each part means, in any order, and what is said of the rest."""

from zoneinfo import ZoneInfo

import pytest

from relay.core.states import State
from relay.operators.query import parse
from relay.store.queries.word_search import Term, Wanted

# Noon of 2026-11-28, in UTC; in New York it is seven.
NOON = 1795867200.0
HOUR = 3600.0
MIDNIGHT_IN_NEW_YORK = NOON - 7 * HOUR
ID = "019acc24-3000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Wanted()),
        ("   ", Wanted()),
        ("Bridge", Wanted([Term(("bridge",))])),
        ("bri*", Wanted([Term(("bri",), is_prefix=True)])),
        ("jane.doe", Wanted([Term(("jane", "doe"))])),
        (
            "Jane@Example.com",
            Wanted([Term(("jane", "example", "com"), whole="jane@example.com")]),
        ),
        ('"the bridge"', Wanted([Term(("the", "bridge"))])),
        ('"the bridge', Wanted([Term(("the", "bridge"))])),
        ('the"bridge"', Wanted([Term(("the",)), Term(("bridge",))])),
        ("to:desk", Wanted([Term(("desk",), ("recipients",))])),
        ("TO:desk", Wanted([Term(("desk",), ("recipients",))])),
        ('from:"jane doe"', Wanted([Term(("jane", "doe"), ("senders",))])),
        ("subject:bri*", Wanted([Term(("bri",), ("subject",), is_prefix=True)])),
        ("re:bridge", Wanted([Term(("re", "bridge"))])),
        ("http://x.example", Wanted([Term(("http", "x", "example"))])),
        ("12:30", Wanted([Term(("12", "30"))])),
        ("server:permits", Wanted(servers=["permits"])),
        ("server:a,b server:a", Wanted(servers=["a", "b"])),
        ("state:failed", Wanted(states=[State.FAILED])),
        ("state:in-doubt,HELD", Wanted(states=[State.IN_DOUBT, State.HELD])),
        ('state:"in doubt"', Wanted(states=[State.IN_DOUBT])),
        ('tag:"A tag"', Wanted(tag="A tag")),
        ("id:019A", Wanted(id="019a")),
        (ID.upper(), Wanted(id=ID)),
        ("reference:k7m4qx9rd", Wanted(reference="k7m4qx9rd")),
        ("k7m4qx9rd", Wanted([Term(("k7m4qx9rd",), reference="K7M-4QX-9RD")])),
        ("after:2026-11-28", Wanted(since=MIDNIGHT_IN_NEW_YORK)),
        ("before:2026-11-28", Wanted(before=MIDNIGHT_IN_NEW_YORK)),
        ("before:2026-11-28T08:30", Wanted(before=NOON + 1.5 * HOUR)),
        ('before:"2026-11-28 08:30"', Wanted(before=NOON + 1.5 * HOUR)),
        ("after:2026-11-28T08:30Z", Wanted(since=NOON - 3.5 * HOUR)),
        ("after:2026-11-28T08:30+02:00", Wanted(since=NOON - 5.5 * HOUR)),
        ("after:today", Wanted(since=MIDNIGHT_IN_NEW_YORK)),
        ("after:Yesterday", Wanted(since=MIDNIGHT_IN_NEW_YORK - 24 * HOUR)),
        (
            "bridge state:sent after:today server:a",
            Wanted([Term(("bridge",))], ["a"], [State.SENT], since=MIDNIGHT_IN_NEW_YORK),
        ),
        (
            "server:a after:today state:sent bridge",
            Wanted([Term(("bridge",))], ["a"], [State.SENT], since=MIDNIGHT_IN_NEW_YORK),
        ),
    ],
)
def test_each_part_means_something_in_any_order(text: str, wanted: Wanted) -> None:
    found, problems = parse(text, ZoneInfo("America/New_York"), NOON)
    assert problems == []
    assert found == wanted._replace(
        terms=tuple(wanted.terms), servers=tuple(wanted.servers), states=tuple(wanted.states)
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("before:soon", "before: is not a date, such as 2026-11-28 or 2026-11-28T08:30"),
        ("after:2026-02-30", "after: is not a date"),
        ("after:28.11.2026", "after: is not a date"),
        ("before:99999-01-01", "before: is not a date"),
        ("before:", "before: is followed by nothing"),
        ('to:""', "to: is followed by nothing"),
        ("to:@", "to: needs letters or digits"),
        ("state:lost", "state: there is no state 'lost'; they are queued, scheduled"),
        ("id:xyz", "id: is not the beginning of an id"),
        ("id:%", "id: is not the beginning of an id"),
        ("reference:abc", "reference: is not a reference, such as K7M-4QX-9RD"),
        ("br*", "br*: needs three letters before its star"),
        ("to:a.b*", "to: a.b* needs three letters before its star"),
        ("&", "'&' has no letters or digits"),
    ],
)
def test_what_cannot_be_understood_is_said_and_the_rest_is_looked_for(
    text: str, problem: str
) -> None:
    found, [said] = parse(f"bridge {text} server:a")
    assert said.startswith(problem)
    assert (found.terms, found.servers) == ((Term(("bridge",)),), ("a",))
