"""Messages that break the plugin which delivers them: they are found out, their neighbours sent."""

from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.chaos.ledger import QUEUED
from tests.chaos.rig import FULL, TOKEN, Rig

pytestmark = pytest.mark.slow

# What a wrapper around delivery does to a message of this subject, and to all in its call.
POISON = '''
"""Breaks on messages whose subject says how."""

import os
import time

from relay import hookimpl


@hookimpl(wrapper=True)
def deliver(messages):
    subjects = {message.subject for message in messages}
    if "exit" in subjects:
        os._exit(3)
    if "hang" in subjects:
        time.sleep(60)
    if subjects & {"hang", "raise"}:
        raise RuntimeError("poison")
    outcomes = yield
    return [b"junk"] if "junk" in subjects else outcomes
'''

NEIGHBOURS = 5
FULL_ONLY = pytest.mark.skipif(not FULL, reason="not run: RELAY_CHAOS=full only")


def posted(rig: Rig, poison: str) -> dict[str, str]:
    """Post a poison and its neighbours at once, so that they share calls."""
    names = [poison, *(f"{poison}-{number}" for number in range(NEIGHBOURS))]
    messages = [
        {
            "From": "registry@example.gov",
            "To": "desk@example.gov",
            "Subject": name,
            "TextBody": "Make the roads green.",
        }
        for name in names
    ]
    headers = {"X-Postmark-Server-Token": TOKEN}
    url = f"{rig.daemon.url}/email/batch"
    reply = requests.post(url, json=messages, headers=headers, timeout=20)
    assert [one["ErrorCode"] for one in reply.json()] == [0] * len(names)
    return dict.fromkeys(names, QUEUED)


def poisoned(tmp_path: Path) -> Rig:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "poison.py").write_text(POISON)
    return Rig(tmp_path, 31, settle=(0.1, 0.2), plugins=("poison",))


def check(rig: Rig, answers: dict[str, str], poisons: set[str]) -> None:
    """Check that the poison is quarantined and nothing else is."""
    found = rig.ledger(answers)
    quarantined = {name for name, state in found.states.items() if state == "quarantined"}
    assert quarantined == poisons, rig.daemon.log()
    assert {state for name, state in found.states.items() if name not in poisons} == {"sent"}
    assert found.faults == {}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "poison",
    [
        "raise",
        pytest.param(
            "hang", marks=pytest.mark.skipif(not FULL, reason="not run: RELAY_CHAOS=full only")
        ),
    ],
)
def test_a_plugin_that_breaks_on_a_message_gives_it_up_and_sends_the_others(
    tmp_path: Path, poison: str
) -> None:
    with poisoned(tmp_path) as rig:
        answers = posted(rig, poison)
        rig.settled(100)
        check(rig, answers, {poison})


@pytest.mark.timeout(120)
def test_a_message_that_ends_the_daemon_does_so_four_times_and_never_again(tmp_path: Path) -> None:
    with poisoned(tmp_path) as rig:
        answers = dict.fromkeys([*(f"exit-{n}" for n in range(NEIGHBOURS)), "exit"], QUEUED)
        with suppress(requests.ConnectionError):  # it may be gone before it answers
            posted(rig, "exit")
        for _ in range(4):
            rig.died(3)
            rig.daemon.start()
        rig.settled()
        assert rig.daemon.process.poll() is None
        check(rig, answers, {"exit"})


@pytest.mark.timeout(60)
def test_what_was_sent_before_its_plugin_broke_is_found_and_not_sent_again(tmp_path: Path) -> None:
    with poisoned(tmp_path) as rig:
        answers = posted(rig, "junk")
        rig.settled()
        check(rig, answers, set())
        assert rig.flagged() == 0
