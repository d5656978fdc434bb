"""Names with brackets: what PHP makes of them, and what cannot be told apart."""

import contextlib
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.forms.brackets import MAX_DEPTH, nest
from tests.support.generated import examples

MEMBER = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="[]"), min_size=1, max_size=8
)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.text(max_size=5),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(MEMBER.filter(lambda name: name != "0"), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("names", "nested"),
    [
        ({"a": "1"}, {"a": "1"}),
        ({"a[b]": "1"}, {"a": {"b": "1"}}),
        ({"a[b][c]": "1", "a[b][d]": "2", "e": "3"}, {"a": {"b": {"c": "1", "d": "2"}}, "e": "3"}),
        ({"a[0]": "x", "a[1]": "y"}, {"a": ["x", "y"]}),
        ({"a[0][Name]": "N", "a[0][Value]": "V"}, {"a": [{"Name": "N", "Value": "V"}]}),
        ({"a[1]": "x", "a[0]": "y"}, {"a": {"1": "x", "0": "y"}}),
        ({"a[1]": "x"}, {"a": {"1": "x"}}),
        ({"a[b c]": "1"}, {"a": {"b c": "1"}}),
        ({"a.b": "1"}, {"a.b": "1"}),
    ],
)
def test_brackets_make_groups_and_numbers_from_zero_make_lists(
    names: dict[str, str], nested: dict[str, Any]
) -> None:
    assert nest(names.items()) == nested


@pytest.mark.parametrize(
    ("pairs", "nested"),
    [
        ([("a[]", "x"), ("a[]", "x"), ("a[]", "y")], {"a": ["x", "x", "y"]}),
        ([("a[][n]", "x"), ("a[][n]", "y")], {"a": [{"n": "x"}, {"n": "y"}]}),
        ([("a[1]", "x"), ("a[]", "y")], {"a": {"1": "x", "2": "y"}}),
        ([("a[n]", "x"), ("a[]", "y")], {"a": {"n": "x", "0": "y"}}),
        ([("a[01]", "x"), ("a[]", "y")], {"a": {"01": "x", "0": "y"}}),
        ([("a[" + "9" * 5000 + "]", "x"), ("a[]", "y")], {"a": {"9" * 5000: "x", "0": "y"}}),
    ],
)
def test_empty_brackets_count_on_from_the_highest_number(
    pairs: list[tuple[str, str]], nested: dict[str, Any]
) -> None:
    assert nest(pairs) == nested


@pytest.mark.parametrize(
    "name",
    ["[", "]", "[]", "[a]", "a[", "a]", "a[b", "a[b]c", "a[[b]]", "a[b]]", "a]b[", "", "a[]b"],
)
def test_brackets_that_make_no_path_are_part_of_the_name(name: str) -> None:
    assert nest([(name, "1")]) == {name: "1"}


def test_the_same_value_twice_counts_once() -> None:
    assert nest([("a", "1")] * 2) == {"a": "1"}
    assert nest([("a[b]", "2")] * 3) == {"a": {"b": "2"}}


@pytest.mark.parametrize(
    ("pairs", "name"),
    [
        ([("a", "1"), ("a", "2")], "a"),
        ([("a", "1"), ("a[b]", "1")], "a"),
        ([("a[b]", "1"), ("a", "1")], "a"),
        ([("a", {"b": "1"}), ("a[c]", "2")], "a"),
        ([("x[b]", "1"), ("x[b]", "2")], "x"),
        ([("x[b]", "1"), ("x[b][c]", "1")], "x"),
        ([("x[b][c]", "1"), ("x[b]", "1")], "x"),
    ],
)
def test_two_values_for_one_name_are_refused_with_its_first_part(
    pairs: list[tuple[str, Any]], name: str
) -> None:
    with pytest.raises(ValueError) as raised:
        nest(pairs)
    assert raised.value.args == (name, "given twice with different values")


def test_brackets_go_eight_parts_deep() -> None:
    deepest = "a" + "[b]" * (MAX_DEPTH - 1)
    assert nest([(deepest, "1")])["a"]["b"]
    with pytest.raises(ValueError) as raised:
        nest([(deepest + "[b]", "1")])
    assert raised.value.args[0] == "a"
    assert "deeper" in raised.value.args[1]


@pytest.mark.parametrize("value", [{"0": "x"}, {"0": {"1": 2}}, ["x"], [{"a[b]": 1}], None, 1, {}])
def test_a_value_is_never_changed_even_if_it_looks_like_a_group(value: Any) -> None:
    assert nest([("a", value), ("b[c]", value)]) == {"a": value, "b": {"c": value}}
    assert nest([("a", value)])["a"] is value


def _names(tree: Any, path: str) -> list[tuple[str, str]]:
    """Write a tree as PHP's http_build_query would."""
    if isinstance(tree, str):
        return [(path, tree)]
    members = enumerate(tree) if isinstance(tree, list) else tree.items()
    return [pair for name, member in members for pair in _names(member, f"{path}[{name}]")]


@examples(200)
@given(st.dictionaries(MEMBER, TREES, max_size=4))
def test_what_is_written_with_brackets_is_read_as_it_was(trees: dict[str, Any]) -> None:
    pairs = [pair for name, tree in trees.items() for pair in _names(tree, name)]
    assert nest(pairs) == trees


@examples(200)
@given(st.lists(st.tuples(st.text("a[]0", max_size=12), st.text("xy", max_size=1)), max_size=6))
def test_any_pairs_make_a_dict_or_say_which_name_is_wrong(pairs: list[tuple[str, str]]) -> None:
    wrong: tuple[str, ...] = ()
    try:
        assert isinstance(nest(pairs), dict)
    except ValueError as error:
        wrong = error.args
    if wrong:
        name, words = wrong
        assert any(given.startswith(name) for given, _ in pairs)
        assert words


@pytest.mark.parametrize("shape", ["[", "]", "a[", "][", "[]", "a[b]", quote("[")])
def test_a_hostile_name_costs_next_to_nothing(shape: str) -> None:
    name = "a[" + shape * (2**18 // len(shape)) + "]"
    started = time.process_time()
    with contextlib.suppress(ValueError):
        nest([(name, "1")])
    assert time.process_time() - started < 0.5
