"""What people order and are told, on both engines."""

import pytest

from tests.support.engines import both


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    both(metafunc)
