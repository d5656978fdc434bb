"""Every hook is documented where it stands, in the docs, and used by a test or a plugin."""

import inspect
import re
from pathlib import Path

import pytest

from relay.hooks import specs
from relay.hooks.chain import hook_names
from tests.support.daemon import ROOT
from tests.support.docs import page

NAMES = hook_names()

DECIDING = {
    "schema",
    "account",
    "authenticate",
    "check_token",
    "screen",
    "challenge",
    "verify",
    "compose",
    "deliver",
    "find",
    "receive",
}


def test_the_hooks_are_those_of_the_design_in_the_order_of_calls() -> None:
    deciding = (
        "settings schema account authenticate check_token screen challenge verify compose"
        " deliver find receive"
    )
    running = "started stopping"
    observing = "accepted screened refused sent deferred failed expired quarantined bounced"
    assert f"{deciding} {running} {observing}".split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_hook_says_what_it_does_and_where_it_runs(name: str) -> None:
    hook = getattr(specs, name)
    assert re.search(r"\b(Startup|Loop|Thread)\.", inspect.getdoc(hook))
    options = hook.relay_spec
    assert options["firstresult"] == (name in DECIDING)
    assert not inspect.iscoroutinefunction(hook)


@pytest.mark.parametrize("name", NAMES)
def test_a_hook_takes_server_last(name: str) -> None:
    names = list(inspect.signature(getattr(specs, name)).parameters)
    assert names == [] or names[-1] == "server"


@pytest.mark.parametrize("name", NAMES)
def test_a_hook_is_in_the_docs_with_its_arguments(name: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(specs, name)).parameters)
    assert f"`{name}({arguments})`" in page("reference/hooks")


@pytest.mark.parametrize("name", NAMES)
def test_a_hook_is_used_by_a_plugin_that_a_test_runs(name: str) -> None:
    sources = [*(ROOT / "plugins").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    used = re.compile(rf"@hookimpl(\(wrapper=True\))?\s+def {name}\(")
    users = [path for path in sources if used.search(path.read_text(encoding="utf-8"))]
    assert [path for path in users if path != Path(__file__)]
