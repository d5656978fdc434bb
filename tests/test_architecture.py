"""Who may import whom: each package only those before it, and no plugin a module inside."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import ROOT

# In order; those of one line never import each other.
ORDER = """
    core
    mustachio
    forms
    config
    store
    templates
    hooks
    intake delivery
    feedback
    notifications
    operators
    site
    web
    cli
"""
RANK = {name: rank for rank, names in enumerate(ORDER.split("\n")) for name in names.split()}

# They only hand names on, or stand after everything.
UNRANKED = ("relay", "relay.provider", "relay.testing")
# The last ones are what a plugin is about.
PLUGIN_MAY_IMPORT = {"marshmallow", "requests", "structlog", "relay", "altcha"}
PLUGIN_MAY_IMPORT_OF_RELAY = {"relay", "relay.provider"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever and for whatever."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(module: str) -> str:
    return [*module.split("."), ""][1]


MODULES = [
    path
    for path in sorted((ROOT / "relay").rglob("*.py"))
    if "migrations" not in path.parts and name_of(path) not in UNRANKED
]
PLUGINS = sorted((ROOT / "plugins").glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_package_imports_only_what_stands_before_it(path: Path) -> None:
    own = package_of(name_of(path))
    named = {package_of(name) for name in imports(path) if name.split(".")[0] == "relay"}
    others = named - {own, "__version__"}
    assert own in RANK, f"relay/{own} has no place in the order"
    assert others <= {name for name in RANK if RANK[name] < RANK[own]}


def test_every_package_of_the_order_is_there() -> None:
    assert set(RANK) == {package_of(name_of(path)) for path in MODULES}
    assert len(list((ROOT / "relay").glob("*.py"))) <= 6


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_web_side_imports_tornado_and_only_the_store_sqlalchemy(path: Path) -> None:
    libraries = {name.split(".")[0] for name in imports(path)}
    is_web = name_of(path).startswith("relay.web") or name_of(path) == "relay.cli.serve"
    assert is_web or "tornado" not in libraries
    assert name_of(path).startswith("relay.store") or "sqlalchemy" not in libraries


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_in_relay_imports_a_plugin(path: Path) -> None:
    assert not any(name.split(".")[0] == "plugins" for name in imports(path))


@pytest.mark.parametrize("path", PLUGINS, ids=name_of)
def test_a_plugin_imports_public_names_and_libraries(path: Path) -> None:
    for module in imports(path):
        first = module.split(".")[0]
        assert first in PLUGIN_MAY_IMPORT | sys.stdlib_module_names, f"{path.name}: {module}"
        if first == "relay":
            assert module.rpartition(".")[0] in PLUGIN_MAY_IMPORT_OF_RELAY, f"{path.name}: {module}"


def test_the_public_names_are_exactly_those_that_are_listed_each_at_one_door() -> None:
    import relay
    from relay import provider

    for door in (relay, provider):
        public = {
            alias.asname or alias.name
            for node in ast.parse(Path(str(door.__file__)).read_text(encoding="utf-8")).body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if str(node.module).startswith("relay.")
        }
        assert sorted(public) == door.__all__
    assert not set(relay.__all__) & set(provider.__all__)


def test_plugins_may_import_what_they_once_did() -> None:
    import relay
    from relay import provider

    for name in provider.__all__:
        assert getattr(relay, name) is getattr(provider, name)
    assert relay.Receipt is provider.Confirmation  # type: ignore[attr-defined]
    assert relay.Wording is relay.TemplateFiles
    with pytest.raises(AttributeError):
        relay.Confirmations  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_and_public_thing_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"
    for node in tree.body:
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if named and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name_of(path)}.{node.name} has no docstring"


def test_the_migrations_stand_in_one_line() -> None:
    folder = ROOT / "relay" / "store" / "engine" / "migrations" / "versions"
    numbers = [path.name[:4] for path in sorted(folder.glob("*.py"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
