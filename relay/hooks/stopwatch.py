"""How long the plugins' hooks take: who is too slow is named in the log."""

import time
from collections.abc import Callable
from typing import Any

import pluggy
import structlog

from relay.hooks.chain import hook_names

SLOW_SECONDS = 1.0

log = structlog.get_logger()


def watch(manager: pluggy.PluginManager, deadline: float) -> None:
    """Log every hook that takes too long, under its plugin's name."""
    for hook in hook_names():
        limit = deadline if hook in ("deliver", "find") else SLOW_SECONDS
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if not implementation.wrapper:
                name = implementation.plugin_name
                implementation.function = _timed(implementation.function, hook, name, limit)


def _timed(
    function: Callable[..., Any], hook: str, plugin: str, limit: float
) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds = time.perf_counter() - started
            if seconds > limit:
                log.warning("hook.slow", hook=hook, plugin=plugin, seconds=round(seconds, 3))

    return call
