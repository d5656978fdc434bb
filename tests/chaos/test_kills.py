"""A daemon that is killed again and again under load: nothing answered is lost, nothing doubled.

Of the provider's calls one in twenty is refused for now, and of one in twenty the answer is lost.
"""

import signal
from pathlib import Path

import pytest

from tests.chaos.ledger import SENT, Ledger
from tests.chaos.rig import FULL, Rig

pytestmark = pytest.mark.slow

RATES = {"busy": 0.05, "lost": 0.05}
SEED = 11


def killed(rig: Rig, kills: int) -> Ledger:
    """Kill the daemon so many times under load, let it settle, and compare the accounts."""
    rig.provider.set(rates=RATES)
    rig.call()
    for _ in range(kills):
        rig.let_run(0.1, 0.7)
        assert rig.daemon.stop(signal.SIGKILL) == -signal.SIGKILL
        rig.daemon.start()
    rig.let_run(0.3, 0.5)
    rig.hang_up()
    rig.settled()
    assert rig.daemon.stop() == 0
    found = rig.ledger()
    print(  # noqa: T201 - pytest shows it where a test fails
        f"{kills} kills, {len(found.answers)} posts, {len(found.promised)} promised, "
        f"{len(found.accepted)} taken, {len(found.doubled)} doubled, {rig.flagged()} resent"
    )
    assert found.faults == {}
    assert rig.odd == []
    assert set(found.states.values()) == {"sent"}
    assert len(found.promised) > 10 * kills
    assert {SENT, ""} <= set(found.answers.values())
    return found


@pytest.mark.timeout(600)
def test_nothing_answered_is_lost_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    with Rig(tmp_path, SEED) as rig:
        found = killed(rig, 200 if FULL else 25)
        assert found.doubled == set()
        assert rig.flagged() > 0


@pytest.mark.timeout(400)
def test_a_search_that_lags_less_than_we_wait_makes_no_doubles(tmp_path: Path) -> None:
    with Rig(tmp_path, 12, settle=(1, 6)) as rig:
        rig.provider.set(lag=4)
        found = killed(rig, 100 if FULL else 5)
        assert found.doubled == set()
        assert rig.flagged() > 0


@pytest.mark.skipif(not FULL, reason="not run: RELAY_CHAOS=full only")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("settle", "in_doubt"), [((0.1, 0.2), "look_up"), ((0.5, 1), "resend")], ids=["lag", "resend"]
)
def test_doubles_are_seen_where_there_must_be_some_and_all_are_flagged(
    tmp_path: Path, settle: tuple[float, ...], in_doubt: str
) -> None:
    with Rig(tmp_path, 13, settle=settle, in_doubt=in_doubt) as rig:
        rig.provider.set(lag=12)
        found = killed(rig, 50 if FULL else 5)
        assert found.doubled
