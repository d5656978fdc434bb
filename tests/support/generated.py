"""Hypothesis for the tests: how many examples, no deadline, and nothing written into the tree."""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

# In the tree its folder would be taken for one with tests in it.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "relay-hypothesis")


# `make test` looks at a fifth of the examples, `make test-all` at all of them.
SHARE = 1 if os.environ.get("RELAY_TESTS") == "all" else 5


def examples(count: int) -> settings:
    """Decorate a test to be run with so many generated examples, or RELAY_EXAMPLES if more."""
    return settings(
        max_examples=max(count // SHARE, 20, int(os.environ.get("RELAY_EXAMPLES", "0"))),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
