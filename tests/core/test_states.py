"""A message's states have one owner: nowhere else does the program spell one out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.core import states
from relay.core.states import FINAL, ORDERS, TRANSITIONS, ForbiddenTransition, State
from tests.support.daemon import ROOT

# What shares its word with a state and is something else.
OTHERS = {
    ("core/errors.py", "suppressed"): "an error's code",
    ("store/schema.py", "screened"): "a column of the ledger",
    ("store/schema.py", "sent"): "a column of the ledger",
    ("store/schema.py", "failed"): "a column of the ledger",
    ("store/outbox/ledger.py", "screened"): "a column of the ledger",
    ("store/outbox/ledger.py", "sent"): "a column of the ledger",
    ("store/outbox/ledger.py", "failed"): "a column of the ledger",
    ("web/console/charts.py", "screened"): "a column of the ledger",
    ("web/console/charts.py", "sent"): "a column of the ledger",
    ("web/console/charts.py", "failed"): "a column of the ledger",
    ("core/server.py", "expired"): "what may be true of a key",
    ("cli/keys.py", "expired"): "what may be true of a key",
    ("store/reply_addresses.py", "expired"): "what may be true of a reply address",
    ("feedback/reply_forwarding.py", "expired"): "what may be true of a reply address",
    ("cli/main.py", "screened"): "a command",
    ("cli/screened.py", "screened"): "a command",
}
MODULES = [
    path
    for path in sorted((ROOT / "relay").rglob("*.py"))
    if "migrations" not in path.parts and path.name != "states.py"
]
IN_SQL = re.compile(rf"'({'|'.join(State)})'")


def spelled_out(path: Path) -> Iterator[tuple[str, int]]:
    """Every state that a module has as a string, alone or quoted in SQL, and its line.

    The name of a hook that observers are called by is none.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hooks = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "observe"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in hooks:
            if node.value in set(State):
                yield node.value, node.lineno
            yield from ((name, node.lineno) for name in IN_SQL.findall(node.value))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_state_is_spelled_out_but_where_they_are_named(path: Path) -> None:
    name = path.relative_to(ROOT / "relay").as_posix()
    assert [found for found in spelled_out(path) if (name, found[0]) not in OTHERS] == []


@pytest.mark.slow
def test_every_exception_is_still_there() -> None:
    found = {
        (path.relative_to(ROOT / "relay").as_posix(), word)
        for path in MODULES
        for word, _ in spelled_out(path)
    }
    assert found == set(OTHERS)


def test_a_state_is_written_as_its_name_wherever_it_goes() -> None:
    assert f"{State.IN_DOUBT} {State.SENT!s}" == "in_doubt sent"
    assert {State.SENT: 1}["sent"] == 1
    assert states.in_sql([State.SENT, State.HELD]) == "('sent', 'held')"


def test_what_is_final_is_left_by_an_order_alone() -> None:
    assert not any(state in TRANSITIONS for state in FINAL)
    assert not {State.SENT, State.CANCELLED, State.SUPPRESSED} & ORDERS.keys()


def test_every_state_is_final_or_open_and_can_be_come_to() -> None:
    assert sorted((*FINAL, *states.OPEN)) == sorted(State)
    reached = {state for to in (*TRANSITIONS.values(), *ORDERS.values()) for state in to}
    assert reached == set(State) - {State.SCREENED}


def test_a_transition_that_the_table_lacks_is_refused() -> None:
    states.check([State.QUEUED, State.SCHEDULED], State.SENDING)
    states.check([State.FAILED], State.QUEUED, ordered=True)
    with pytest.raises(ForbiddenTransition, match="failed does not become queued"):
        states.check([State.FAILED], State.QUEUED)
    with pytest.raises(ForbiddenTransition):
        states.check([State.QUEUED, State.SENT], State.SENDING)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_the_guarded_update_writes_a_message_s_state(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if path.name != "transitions.py" and "update(messages)" in source:
        values = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "values"
        ]
        named = {word.arg for call in values for word in call.keywords}
        assert values
        assert "state" not in named
        assert not any(call.args for call in values), "its columns are named in the call"
