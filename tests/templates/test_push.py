"""Templates brought to another server: by push, and from drafts."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from relay.core.errors import (
    NothingToPush,
    StoredTemplateError,
    TemplateIncomplete,
    TemplateInvalid,
    TemplateNotFound,
    TooManyTemplates,
    TypesDiffer,
)
from relay.store.engine.database import Store
from relay.store.schema import templates
from relay.store.templates import FIRST
from relay.templates.changes import Change
from relay.templates.library import Library
from relay.templates.rules import TemplateDraft
from tests.support.stored import by
from tests.templates.conftest import Rows, layout, standard


async def filled(library: Library) -> None:
    """A server `a` with a template that was there before the layout it stands in."""
    await library.create("a", standard(), by("key"))
    await library.create("a", layout(), by("key"))
    await library.edit("a", "welcome", TemplateDraft(layout="base"), by("key"))


@pytest.mark.gen_test
async def test_a_dry_run_tells_what_would_be_and_changes_nothing(
    library: Library, rows: Rows
) -> None:
    await filled(library)
    before = rows.everything()
    assert await library.push("a", "b", False, by("key")) == [
        Change("Create", None, "base", "Base", "Layout"),
        Change("Create", None, "welcome", "Welcome", "Standard"),
    ]
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_a_push_brings_layouts_first_and_leaves_out_what_is_the_same(
    library: Library, rows: Rows
) -> None:
    await filled(library)
    assert await library.push("a", "b", True, by("key")) == [
        Change("Create", FIRST + 2, "base", "Base", "Layout"),
        Change("Create", FIRST + 3, "welcome", "Welcome", "Standard"),
    ]
    pushed = await library.find("b", "welcome")
    assert (pushed.html, pushed.layout, pushed.edited_by) == ("<p>{{name}}</p>", "base", "key")
    before = rows.everything()
    assert await library.push("a", "b", True, by("key")) == []
    assert rows.everything() == before
    await library.edit("a", "welcome", TemplateDraft(layout="", html="", name="New"), by("key"))
    changed = [Change("Edit", FIRST + 3, "welcome", "New", "Standard")]
    assert await library.push("a", "b", False, by("key")) == changed
    assert (await library.find("b", "welcome")) == pushed
    assert await library.push("a", "b", True, by("other")) == changed
    again = await library.find("b", "welcome")
    assert (again.layout, again.html, again.version, again.edited_by) == (None, None, 2, "other")


def without_alias(connection: Connection, batch: list[None]) -> list[None]:
    connection.execute(update(templates).values(alias=None))
    return batch


def insert_many(connection: Connection, batch: list[list[dict[str, Any]]]) -> list[None]:
    for values in batch:
        connection.execute(insert(templates), values)
    return [None] * len(batch)


@pytest.mark.gen_test
async def test_without_a_template_with_an_alias_there_is_nothing_to_push(
    library: Library, store: Store, rows: Rows
) -> None:
    with pytest.raises(NothingToPush):
        await library.push("a", "b", True, by("key"))
    await library.create("a", standard(), by("key"))
    store.write_now(without_alias, [None])
    before = rows.everything()
    with pytest.raises(NothingToPush):
        await library.push("a", "b", True, by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_more_than_a_hundred_templates_are_not_pushed(
    library: Library, store: Store, rows: Rows
) -> None:
    await library.create("a", standard(), by("key"))
    [row] = rows.current()
    store.write_now(insert_many, [[row | {"id": n, "alias": f"alias-{n}"} for n in range(1, 101)]])
    before = rows.everything()
    with pytest.raises(NothingToPush, match="100"):
        await library.push("a", "b", True, by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_a_push_that_fails_at_its_end_leaves_nothing_behind(
    library: Library, rows: Rows
) -> None:
    await filled(library)
    await library.create("b", layout(alias="welcome"), by("key"))
    before = rows.everything()
    for perform in (False, True):
        with pytest.raises(TypesDiffer, match="welcome"):
            await library.push("a", "b", perform, by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_a_push_does_not_overfill_the_destination(
    library: Library, store: Store, rows: Rows
) -> None:
    await filled(library)
    row = rows.current()[0] | {"server": "b", "layout": None}
    store.write_now(insert_many, [[row | {"id": n, "alias": f"alias-{n}"} for n in range(1, 100)]])
    before = rows.everything()
    with pytest.raises(TooManyTemplates):
        await library.push("a", "b", True, by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_pushes_at_once_create_each_template_once(library: Library, rows: Rows) -> None:
    await filled(library)
    results = await asyncio.gather(*(library.push("a", "b", True, by("key")) for _ in range(4)))
    assert [len(changes) for changes in results] == [2, 0, 0, 0]
    assert len([row for row in rows.current() if row["server"] == "b"]) == 2


@pytest.mark.gen_test
async def test_drafts_are_created_or_edited_by_alias_in_any_order(
    library: Library, rows: Rows
) -> None:
    drafts = [standard(layout="base", id=4711), layout()]
    assert await library.apply("a", drafts, by("key"), perform=False) == [
        Change("Create", None, "base", "Base", "Layout"),
        Change("Create", None, "welcome", "Welcome", "Standard"),
    ]
    assert rows.everything() == [[], []]
    created = await library.apply("a", drafts, by("key"))
    assert [change.id for change in created] == [FIRST, 4711]
    assert await library.apply("a", drafts, by("key")) == []
    renamed = [drafts[1], replace(drafts[0], name="Renamed", html=None)]
    assert await library.apply("a", renamed, by("key")) == [
        Change("Edit", 4711, "welcome", "Renamed", "Standard")
    ]
    assert (await library.find("a", 4711)).html == "<p>{{name}}</p>"


@pytest.mark.gen_test
async def test_a_draft_without_an_alias_is_found_by_its_number(library: Library) -> None:
    draft = standard(alias=None, id=4711)
    [created] = await library.apply("a", [draft], by("key"))
    assert (created.action, created.id, created.alias) == ("Create", 4711, "welcome")
    assert await library.apply("a", [draft], by("key")) == []
    [edited] = await library.apply("a", [replace(draft, name="Renamed")], by("key"))
    assert (edited.action, edited.id, edited.alias) == ("Edit", 4711, "welcome")


@pytest.mark.parametrize(
    ("drafts", "error", "words"),
    [
        ([standard(alias="new"), standard(html="{{#a}}")], TemplateInvalid, "welcome: .*line 1"),
        ([standard(alias="new"), standard(alias="new")], TemplateInvalid, "new: .*twice"),
        ([standard(alias="new"), TemplateDraft(alias="x", text="x")], TemplateIncomplete, "x: "),
        ([standard(alias="new"), standard(layout="no")], TemplateNotFound, "welcome: "),
        ([standard(alias="new"), layout(alias="welcome")], TypesDiffer, "welcome: "),
        ([standard(alias="new"), standard(alias="a b")], TemplateInvalid, "a b: "),
    ],
)
@pytest.mark.gen_test
async def test_one_wrong_draft_refuses_them_all_by_name(
    library: Library,
    rows: Rows,
    drafts: list[TemplateDraft],
    error: type[StoredTemplateError],
    words: str,
) -> None:
    await library.create("a", standard(), by("key"))
    before = rows.everything()
    for perform in (False, True):
        with pytest.raises(error, match=words):
            await library.apply("a", drafts, by("key"), perform)
    assert rows.everything() == before
