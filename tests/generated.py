"""Hypothesis for the tests: how many examples, no deadline, and nothing written into the tree."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

# In the tree its folder would be taken for one with tests in it.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "relay-hypothesis")


def examples(count: int) -> settings:
    """Decorate a test to be run with so many generated examples."""
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
