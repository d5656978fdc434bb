"""Stored templates: created, edited, found, listed, deleted, restored, and every refusal."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from relay.core.errors import (
    LayoutInUse,
    LayoutPlaceholder,
    TemplateConflict,
    TemplateEmpty,
    TemplateIncomplete,
    TemplateInvalid,
    TemplateNotFound,
    TemplateTooLong,
    TooManyTemplates,
)
from relay.store import templates as stored
from relay.store.engine.database import Store
from relay.store.schema import templates
from relay.store.templates import FIRST
from relay.templates.library import Library
from relay.templates.rules import TemplateDraft
from tests.support.stored import by
from tests.templates.conftest import Rows, layout, message, standard

REFUSED = [
    (TemplateDraft(), TemplateEmpty, "No template data received."),
    (TemplateDraft(type="Layout", id=7), TemplateEmpty, "No template data received."),
    (standard(name=None), TemplateIncomplete, "'Name'"),
    (standard(name=" "), TemplateIncomplete, "'Name'"),
    (standard(subject=None), TemplateIncomplete, "'Subject'"),
    (standard(subject=""), TemplateIncomplete, "'Subject'"),
    (standard(html=None, text=None), TemplateIncomplete, "'HtmlBody' or a 'TextBody'"),
    (standard(html="", text=""), TemplateIncomplete, "'HtmlBody' or a 'TextBody'"),
    (standard(name="n" * 1001), TemplateTooLong, "'Name' has more than 1000"),
    (standard(name="😀" * 501), TemplateTooLong, "'Name' has more than 1000"),
    (standard(alias="a" * 256), TemplateTooLong, "'Alias' has more than 255"),
    (standard(subject="s" * 2001), TemplateTooLong, "'Subject' has more than 2000"),
    (standard(html="h" * (5 * 2**20 + 1)), TemplateTooLong, "'HtmlBody' has more than 5242880"),
    (standard(text="{{a}}" * 50_001), TemplateTooLong, "'TextBody' has more than 50000 tags"),
    (standard(text="{{a.b.c}}" * 25_001), TemplateTooLong, "'TextBody' has more than 50000 tags"),
    (standard(alias=""), TemplateInvalid, "'Alias'"),
    (standard(alias="1st"), TemplateInvalid, "'Alias'"),
    (standard(alias="a b"), TemplateInvalid, "'Alias'"),
    (standard(alias="naïve"), TemplateInvalid, "'Alias'"),
    (standard(alias="welcome\n"), TemplateInvalid, "'Alias'"),
    (standard(type="Other"), TemplateInvalid, "'TemplateType'"),
    (standard(name="a\nb"), TemplateInvalid, "'Name'"),
    (standard(text="\x00"), TemplateInvalid, "'TextBody'"),
    (standard(text="\ud800"), TemplateInvalid, "'TextBody'"),
    (
        standard(html="one\n  {{#a}}"),
        TemplateInvalid,
        "'HtmlBody' is not valid: line 2, character 3",
    ),
    (standard(text="{{first-name}}"), TemplateInvalid, "line 1, character 1"),
    (standard(subject="{{/each}}"), TemplateInvalid, "'Subject' is not valid"),
    (standard(html="{{{@content}}}"), TemplateInvalid, "'HtmlBody' is not valid"),
    (standard(layout="unknown"), TemplateNotFound, "'LayoutTemplate'"),
    (layout(subject="Hello"), TemplateConflict, "'Subject'"),
    (layout(layout="base"), TemplateConflict, "'LayoutTemplate'"),
    (layout(html="<p>"), LayoutPlaceholder, "The layout content placeholder must be present"),
    (layout(text="{{{@content}}}" * 2), LayoutPlaceholder, "placeholder must be present"),
    (layout(html="{{@content}}"), LayoutPlaceholder, "placeholder must be present"),
    (layout(html=None, text=None), TemplateIncomplete, "'HtmlBody'"),
    (layout(html="{{{@content}}}{{#a}}"), TemplateInvalid, "line 1, character 15"),
]


@pytest.mark.parametrize(("draft", "error", "words"), REFUSED)
@pytest.mark.gen_test
async def test_what_cannot_be_a_template_is_refused(
    library: Library, rows: Rows, draft: TemplateDraft, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as refusal:
        await library.create("a", draft, by("key"))
    assert words in str(refusal.value)
    assert rows.everything() == [[], []]


@pytest.mark.gen_test
async def test_a_template_is_found_by_its_number_and_by_its_alias(library: Library) -> None:
    new = await library.create("a", standard(), by("website"))
    assert (new.id, new.version, new.alias, new.type) == (FIRST, 1, "welcome", "Standard")
    assert (new.active, new.edited_by, new.layout) == (True, "website", None)
    assert await library.find("a", new.id) == new
    assert await library.find("a", "welcome") == new


@pytest.mark.parametrize("reference", [FIRST, "welcome"])
@pytest.mark.gen_test
async def test_a_template_of_another_server_is_not_found(
    library: Library, rows: Rows, reference: int | str
) -> None:
    await library.create("b", standard(), by("key"))
    before = rows.everything()
    for attempt in (
        library.find("a", reference),
        library.edit("a", reference, standard(), by("key")),
        library.delete("a", reference, by("key")),
        library.versions("a", reference),
        library.restore("a", reference, 1, by("key")),
    ):
        with pytest.raises(TemplateNotFound, match=r"not valid or was not found"):
            await attempt
    assert rows.everything() == before


@pytest.mark.parametrize("reference", [0, -1, 2**63, 10**30, "", "\ud800", "a\x00", "x" * 10**6])
@pytest.mark.gen_test
async def test_what_no_template_could_be_called_is_not_found(
    library: Library, reference: int | str
) -> None:
    await library.create("a", standard(), by("key"))
    for attempt in (
        library.find("a", reference),
        library.delete("a", reference, by("key")),
        library.rendered(message(reference), "a"),
    ):
        with pytest.raises(TemplateNotFound):
            await attempt
    assert await library.listed("a", offset=10**30, count=10**30, layout=str(reference)) == (0, [])


@pytest.mark.gen_test
async def test_a_layout_without_a_part_has_only_the_other(library: Library) -> None:
    new = await library.create("a", layout(html="", text="{{{@content}}}", subject=""), by("key"))
    assert (new.html, new.text, new.subject) == (None, "{{{@content}}}", None)


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("Order Confirmation (2026)", "order-confirmation-2026"),
        ("1. Reminder", "reminder"),
        ("Übersicht", "ubersicht"),
        ("???", "standard-template"),
        ("Validate", "standard-template"),
        ("push", "standard-template"),
    ],
)
@pytest.mark.gen_test
async def test_a_template_without_an_alias_gets_one_of_its_name(
    library: Library, name: str, alias: str
) -> None:
    first = await library.create("a", standard(name=name, alias=None), by("key"))
    second = await library.create("a", standard(name=name, alias=None), by("key"))
    assert (first.alias, second.alias) == (alias, f"{alias}-2")


@pytest.mark.gen_test
async def test_an_alias_has_one_owner_a_server(library: Library, rows: Rows) -> None:
    first = await library.create("a", standard(), by("key"))
    other = await library.create("a", standard(alias="other"), by("key"))
    await library.create("b", standard(), by("key"))
    before = rows.everything()
    with pytest.raises(TemplateInvalid, match="in use"):
        await library.create("a", standard(), by("key"))
    with pytest.raises(TemplateInvalid, match="in use"):
        await library.edit("a", other.id, TemplateDraft(alias=first.alias), by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_of_two_creations_with_one_alias_at_once_one_wins(
    library: Library, rows: Rows
) -> None:
    attempts = [library.create("a", standard(name=f"Name {n}"), by("key")) for n in range(8)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert (
        sorted(type(result).__name__ for result in results)
        == ["StoredTemplate"] + ["TemplateInvalid"] * 7
    )
    assert len(rows.current()) == 1


@pytest.mark.gen_test
async def test_edits_at_once_are_made_one_after_the_other(library: Library) -> None:
    new = await library.create("a", standard(), by("key"))
    drafts = [TemplateDraft(name=f"Name {n}") for n in range(8)]
    await asyncio.gather(*(library.edit("a", new.id, draft, by("key")) for draft in drafts))
    versions = await library.versions("a", new.id)
    assert [version.version for version in versions] == list(range(9, 0, -1))
    assert {version.name for version in versions} == {"Welcome", *(d.name for d in drafts)}


def insert_many(connection: Connection, batch: list[list[dict[str, Any]]]) -> list[None]:
    for values in batch:
        connection.execute(insert(templates), values)
    return [None] * len(batch)


@pytest.mark.gen_test
async def test_a_server_has_a_hundred_templates_and_no_more(
    library: Library, store: Store, rows: Rows
) -> None:
    first = await library.create("a", standard(), by("key"))
    [row] = rows.current()
    store.write_now(insert_many, [[row | {"id": n, "alias": f"alias-{n}"} for n in range(1, 100)]])
    before = rows.everything()
    with pytest.raises(TooManyTemplates, match="100"):
        await library.create("a", standard(alias="one-more"), by("key"))
    assert rows.everything() == before
    await library.create("b", standard(), by("key"))
    await library.delete("a", first.id, by("key"))
    await library.create("a", standard(alias="one-more"), by("key"))
    before = rows.everything()
    with pytest.raises(TooManyTemplates):
        await library.restore("a", first.id, 1, by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_numbers_are_given_once_in_an_installation(library: Library) -> None:
    first = await library.create("a", standard(), by("key"))
    await library.delete("a", first.id, by("key"))
    second = await library.create("b", standard(), by("key"))
    third = await library.create("a", standard(), by("key"))
    assert [first.id, second.id, third.id] == [FIRST, FIRST + 1, FIRST + 2]


@pytest.mark.gen_test
async def test_a_number_that_is_brought_is_kept_while_it_is_free(library: Library) -> None:
    kept = await library.create("a", standard(id=4711), by("key"))
    same = await library.create("b", standard(id=4711), by("key"))
    taken = await library.create("a", standard(id=4711, alias="other"), by("key"))
    absurd = await library.create("a", standard(id=2**63, alias="absurd"), by("key"))
    ids = [template.id for template in (kept, same, taken, absurd)]
    assert ids == [4711, 4711, FIRST, FIRST + 1]


@pytest.mark.gen_test
async def test_an_edit_changes_what_is_given_and_keeps_the_rest(
    library: Library, rows: Rows
) -> None:
    await library.create("a", layout(), by("key"))
    new = await library.create("a", standard(layout="base"), by("first"))
    edited = await library.edit("a", "welcome", TemplateDraft(name="Renamed"), by("second"))
    assert edited == replace(
        new, name="Renamed", version=2, edited_at=edited.edited_at, edited_by="second"
    )
    assert rows.former() == [rows_of(new)]
    cleared = await library.edit("a", "welcome", TemplateDraft(layout="", html=""), by("third"))
    assert (cleared.layout, cleared.html, cleared.text) == (None, None, new.text)
    assert [version.edited_by for version in await library.versions("a", new.id)] == [
        "third",
        "second",
        "first",
    ]


def rows_of(template: stored.StoredTemplate) -> dict[str, Any]:
    return {name: getattr(template, name) for name in template.__slots__}


@pytest.mark.gen_test
async def test_an_edit_that_changes_nothing_makes_no_version(library: Library, rows: Rows) -> None:
    new = await library.create("a", standard(), by("key"))
    assert await library.edit("a", new.id, standard(type="Layout"), by("other")) == new
    assert rows.former() == []


REFUSED_EDITS = [
    (TemplateDraft(), TemplateEmpty),
    (TemplateDraft(type="Standard"), TemplateEmpty),
    (TemplateDraft(name=""), TemplateIncomplete),
    (TemplateDraft(subject=""), TemplateIncomplete),
    (TemplateDraft(html="", text=""), TemplateIncomplete),
    (TemplateDraft(alias=""), TemplateInvalid),
    (TemplateDraft(html="{{#a}}"), TemplateInvalid),
    (TemplateDraft(layout="unknown"), TemplateNotFound),
    (TemplateDraft(layout="welcome"), TemplateInvalid),
    (TemplateDraft(subject="s" * 2001), TemplateTooLong),
]


@pytest.mark.parametrize(("draft", "error"), REFUSED_EDITS)
@pytest.mark.gen_test
async def test_an_edit_that_makes_no_template_is_refused(
    library: Library, rows: Rows, draft: TemplateDraft, error: type[Exception]
) -> None:
    new = await library.create("a", standard(), by("key"))
    before = rows.everything()
    with pytest.raises(error):
        await library.edit("a", new.id, draft, by("key"))
    assert rows.everything() == before


@pytest.mark.parametrize(
    ("draft", "error"),
    [
        (TemplateDraft(subject="Hello"), TemplateConflict),
        (TemplateDraft(layout="base"), TemplateConflict),
        (TemplateDraft(text="no place"), LayoutPlaceholder),
    ],
)
@pytest.mark.gen_test
async def test_an_edit_that_makes_no_layout_is_refused(
    library: Library, rows: Rows, draft: TemplateDraft, error: type[Exception]
) -> None:
    await library.create("a", layout(), by("key"))
    before = rows.everything()
    with pytest.raises(error):
        await library.edit("a", "base", draft, by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_a_template_can_stand_in_a_layout_only(library: Library, rows: Rows) -> None:
    await library.create("a", standard(), by("key"))
    before = rows.everything()
    with pytest.raises(TemplateInvalid, match="not a layout"):
        await library.create("a", standard(alias="other", layout="welcome"), by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_templates_follow_the_alias_of_their_layout(library: Library, rows: Rows) -> None:
    base = await library.create("a", layout(), by("key"))
    inside = await library.create("a", standard(layout="base"), by("key"))
    outside = await library.create("a", standard(alias="alone"), by("key"))
    await library.edit("a", "base", TemplateDraft(alias="frame"), by("other"))
    moved = await library.find("a", inside.id)
    assert (moved.layout, moved.version, moved.edited_by) == ("frame", 2, "other")
    assert await library.find("a", outside.id) == outside
    assert rows.former() == [rows_of(base), rows_of(inside)]


@pytest.mark.gen_test
async def test_a_layout_in_use_is_not_deleted(library: Library, rows: Rows) -> None:
    await library.create("a", layout(), by("key"))
    inside = await library.create("a", standard(layout="base"), by("key"))
    before = rows.everything()
    with pytest.raises(LayoutInUse):
        await library.delete("a", "base", by("key"))
    assert rows.everything() == before
    await library.delete("a", inside.id, by("key"))
    assert (await library.delete("a", "base", by("key"))).active is False


@pytest.mark.gen_test
async def test_a_deleted_template_stays_under_its_number(library: Library, rows: Rows) -> None:
    new = await library.create("a", standard(), by("first"))
    deleted = await library.delete("a", "welcome", by("second"))
    assert (deleted.active, deleted.version, deleted.edited_by) == (False, 2, "second")
    assert await library.find("a", new.id) == deleted
    assert rows.former() == [rows_of(new)]
    before = rows.everything()
    for attempt in (
        library.find("a", "welcome"),
        library.delete("a", new.id, by("key")),
        library.edit("a", new.id, standard(), by("key")),
    ):
        with pytest.raises(TemplateNotFound):
            await attempt
    assert rows.everything() == before
    again = await library.create("a", standard(), by("key"))
    assert again.id != new.id


@pytest.mark.gen_test
async def test_a_former_version_becomes_a_new_one(library: Library) -> None:
    first = await library.create("a", standard(), by("one"))
    await library.edit("a", first.id, TemplateDraft(subject="Other", html=""), by("two"))
    third = await library.restore("a", first.id, 1, by("three"))
    assert third == replace(first, version=3, edited_at=third.edited_at, edited_by="three")
    assert [version.subject for version in await library.versions("a", first.id)] == [
        first.subject,
        "Other",
        first.subject,
    ]


@pytest.mark.gen_test
async def test_a_deleted_template_can_be_restored_while_its_alias_is_free(
    library: Library, rows: Rows
) -> None:
    first = await library.create("a", standard(), by("key"))
    await library.delete("a", first.id, by("key"))
    again = await library.restore("a", first.id, 2, by("key"))
    assert (again.active, again.version, again.alias) == (True, 3, "welcome")
    await library.delete("a", first.id, by("key"))
    await library.create("a", standard(), by("key"))
    before = rows.everything()
    with pytest.raises(TemplateInvalid, match="in use"):
        await library.restore("a", first.id, 1, by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_a_version_whose_layout_is_gone_is_not_restored(library: Library, rows: Rows) -> None:
    await library.create("a", layout(), by("key"))
    new = await library.create("a", standard(layout="base"), by("key"))
    await library.edit("a", new.id, TemplateDraft(layout=""), by("key"))
    await library.delete("a", "base", by("key"))
    before = rows.everything()
    for version in (1, 99):
        with pytest.raises(TemplateNotFound):
            await library.restore("a", new.id, version, by("key"))
    assert rows.everything() == before


@pytest.mark.gen_test
async def test_active_templates_are_listed_by_type_and_layout(library: Library) -> None:
    base = await library.create("a", layout(), by("key"))
    inside = await library.create("a", standard(layout="base"), by("key"))
    alone = await library.create("a", standard(alias="alone"), by("key"))
    gone = await library.create("a", standard(alias="gone"), by("key"))
    await library.delete("a", gone.id, by("key"))
    await library.create("b", standard(), by("key"))

    async def listed(**options: Any) -> tuple[int, list[int]]:
        total, page = await library.listed("a", **({"offset": 0, "count": 300} | options))
        return total, [template.id for template in page]

    assert await listed() == (3, [alone.id, inside.id, base.id])
    assert await listed(type="All", offset=1, count=1) == (3, [inside.id])
    assert await listed(type="Layout") == (1, [base.id])
    assert await listed(type="Standard") == (2, [alone.id, inside.id])
    assert await listed(layout="base") == (1, [inside.id])
    assert await listed(offset=3) == (3, [])
    with pytest.raises(TemplateInvalid):
        await listed(type="Other")


@pytest.mark.gen_test
async def test_as_much_as_a_template_may_have_is_taken(library: Library) -> None:
    prose = "One. Two. " * 10_000
    draft = standard(name="n" * 1000, alias="a" * 255, subject="s" * 2000, text=prose)
    new = await library.create("a", replace(draft, html="{{a}}" * 50_000), by("key"))
    assert (len(new.name), new.text, len(new.html or "")) == (1000, prose, 250_000)


@pytest.mark.gen_test
async def test_a_restored_layout_leaves_templates_in_the_one_that_took_its_alias(
    library: Library,
) -> None:
    first = await library.create("a", layout(alias="frame"), by("key"))
    await library.edit("a", first.id, TemplateDraft(alias="base"), by("key"))
    await library.delete("a", first.id, by("key"))
    await library.create("a", layout(), by("key"))
    inside = await library.create("a", standard(layout="base"), by("key"))
    restored = await library.restore("a", first.id, 1, by("key"))
    assert (restored.active, restored.alias) == (True, "frame")
    assert await library.find("a", inside.id) == inside
