"""Who may import whom: each module only what stands before it, and no plugin a module inside."""

import ast
from pathlib import Path

import pytest

from tests.support.daemon import ROOT

# In order: a module imports only from lines above its own, or from its own package.
LAYERS = [
    "relay.errors",
    "relay.times relay.brackets relay.ids relay.text relay.addresses relay.secret relay.retry",
    "relay.timeouts relay.space relay.sockets relay.smtp.mailserver",
    "relay.strtotime relay.schedule",
    "relay.mustachio",
    "relay.frozen relay.server relay.submission relay.message",
    "relay.replies.addresses",
    "relay.callback relay.fields relay.deadlines relay.smtp",
    "relay.media relay.filekinds relay.batches relay.logs relay.mime relay.attachments",
    "relay.forms",
    "relay.hookspecs relay.policy relay.offices relay.replies.answers",
    "relay.receipts.terms relay.kinds relay.checking",
    "relay.tables",
    "relay.wording",
    "relay.alerts.kinds relay.alerts.files relay.alerts.terms",
    "relay.keys relay.receipts.letters relay.mapping relay.credentials",
    "relay.settings",
    "relay.chain",
    "relay.stopwatch",
    "relay.plugins relay.composition",
    "relay.store",
    "relay.templates relay.records relay.idempotency",
    "relay.suppressions relay.pausing relay.housekeeping",
    "relay.feedback relay.replies relay.receipts",
    "relay.admission relay.screening relay.making",
    "relay.acceptance relay.sending",
    "relay.delivery",
    "relay.web.replies relay.web.bodies relay.web.callers relay.web.cors relay.web.urls",
    "relay.rehearsal",
    "relay.testing",
    "relay.web.receiving",
    "relay.web.handler",
    "relay.alerts relay.web.health",
    "relay.web.forms relay.web.webhooks relay.web.cancel relay.web.tokens relay.web.postmark",
    "relay.app",
    "relay.web.pages relay.web.operations relay.web.control",
    "relay.commands",
    "relay.cli",
    "run",
]

RANK = {module: rank for rank, names in enumerate(LAYERS) for module in names.split()}

# Only these touch the web framework.
TORNADO = ("relay.web.", "relay.app", "relay.commands.serve")

PLUGIN_MAY_IMPORT = {"relay", "marshmallow", "requests", "structlog"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str | None:
    """The longest listed name that a module is, or stands in."""
    names = [name for name in RANK if module == name or module.startswith(f"{name}.")]
    return max(names, key=len, default=None)


def imports(path: Path) -> set[str]:
    """The modules that a file imports, but for those it needs only to name types."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = ROOT / node.module.replace(".", "/") / f"{alias.name}.py"
                found.add(f"{node.module}.{alias.name}" if inner.exists() else node.module)
    return found


MODULES = [
    path
    for path in sorted((ROOT / "relay").rglob("*.py"))
    if "migrations" not in path.parts and path != ROOT / "relay/__init__.py"
]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_what_stands_before_it(path: Path) -> None:
    own = layer_of(name_of(path))
    if name_of(path) in (
        "relay.web",
        "relay.store",
        "relay.delivery",
        "relay.commands",
        "relay.templates",
    ):
        assert imports(path) == set()
        return
    assert own is not None, f"{name_of(path)} has no place in the order"
    for module in imports(path):
        if module.split(".")[0] == "relay":
            other = layer_of(module)
            assert other is not None, f"{module} has no place in the order"
            assert other == own or RANK[other] <= RANK[own], f"{own} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_web_side_imports_tornado(path: Path) -> None:
    if not name_of(path).startswith(TORNADO):
        assert not any(module.startswith("tornado") for module in imports(path))


def test_nothing_in_relay_imports_a_plugin() -> None:
    for path in MODULES:
        assert not any(module.split(".")[0] == "plugins" for module in imports(path))


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").glob("*.py")), ids=name_of)
def test_a_plugin_imports_public_names_and_libraries(path: Path) -> None:
    import sys

    for module in imports(path):
        first = module.split(".")[0]
        assert module == "relay" or first != "relay", f"{path.name} reaches into {module}"
        assert first in PLUGIN_MAY_IMPORT | sys.stdlib_module_names, f"{path.name}: {module}"


def test_the_public_names_are_exactly_those_that_are_listed() -> None:
    import relay

    public = {
        alias.asname or alias.name
        for node in ast.parse((ROOT / "relay/__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(public) == sorted(relay.__all__)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_and_public_thing_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"
    for node in tree.body:
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if named and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name_of(path)}.{node.name} has no docstring"
