"""From a message that names a template to one with subject and parts."""

from typing import Any

import pytest

from relay.core.errors import TemplateNotFound, TemplateRenderError
from relay.core.immutable import freeze
from relay.store import templates as stored
from relay.store.engine.database import Store
from relay.templates.library import Library
from relay.templates.parts import Cache, Compiled
from relay.templates.rules import TemplateDraft
from tests.support.stored import by
from tests.templates.conftest import Rows, layout, message, standard


@pytest.mark.parametrize("reference", ["id", "alias"])
@pytest.mark.gen_test
async def test_a_message_gets_the_templates_subject_and_parts(
    library: Library, reference: str
) -> None:
    new = await library.create("a", standard(subject="For {{name}} & all"), by("key"))
    sent = message(getattr(new, reference), freeze({"name": "<Ann> & Bob"}))
    rendered, warnings = await library.rendered(sent, "a")
    assert rendered.subject == "For <Ann> & Bob & all"
    assert rendered.text == "<Ann> & Bob"
    assert rendered.html == "<p>&lt;Ann&gt; &amp; Bob</p>"
    assert (rendered.template, rendered.model, rendered.to) == (sent.template, sent.model, sent.to)
    assert rendered.is_rendered
    assert warnings == []


@pytest.mark.parametrize("template", [stored.FIRST, "welcome", "unknown", 0, 4711, ""])
@pytest.mark.gen_test
async def test_what_is_not_an_active_template_of_the_server_is_not_found(
    library: Library, template: int | str
) -> None:
    new = await library.create("a", standard(), by("key"))
    await library.create("b", standard(), by("key"))
    await library.delete("a", new.id, by("key"))
    with pytest.raises(TemplateNotFound, match="not valid or was not found"):
        await library.rendered(message(template), "a")


@pytest.mark.gen_test
async def test_a_layout_is_not_sent(library: Library) -> None:
    await library.create("a", layout(), by("key"))
    with pytest.raises(TemplateNotFound, match="layout"):
        await library.rendered(message("base"), "a")


@pytest.mark.gen_test
async def test_a_template_stands_in_its_layout_part_by_part(library: Library) -> None:
    await library.create("a", layout(text=None), by("key"))
    await library.create("a", standard(layout="base"), by("key"))
    await library.create("a", standard(alias="html", layout="base", text=None), by("key"))
    model = {"name": "Ann", "title": "Relay"}
    both, _ = await library.rendered(message("welcome", model), "a")
    assert (both.html, both.text) == ("<h1>Relay</h1><p>Ann</p>", "Ann")
    html, _ = await library.rendered(message("html", model), "a")
    assert (html.html, html.text) == ("<h1>Relay</h1><p>Ann</p>", None)
    await library.edit("a", "base", TemplateDraft(html="", text="{{{@content}}}!"), by("key"))
    turned, _ = await library.rendered(message("html", model), "a")
    assert (turned.html, turned.text) == ("<p>Ann</p>", None)


@pytest.mark.gen_test
async def test_the_next_message_shows_the_edit(library: Library) -> None:
    await library.create("a", layout(), by("key"))
    await library.create("a", standard(layout="base"), by("key"))
    sent = message("welcome", {"name": "Ann", "title": "One"})

    async def html() -> str | None:
        return (await library.rendered(sent, "a"))[0].html

    assert await html() == "<h1>One</h1><p>Ann</p>"
    await library.edit("a", "base", TemplateDraft(html="<b>{{{@content}}}</b>"), by("key"))
    assert await html() == "<b><p>Ann</p></b>"
    await library.edit("a", "welcome", TemplateDraft(html="{{name}}"), by("key"))
    assert await html() == "<b>Ann</b>"
    await library.restore("a", "welcome", 1, by("key"))
    assert await html() == "<b><p>Ann</p></b>"
    await library.edit("a", "base", TemplateDraft(alias="frame", html="{{{@content}}}!"), by("key"))
    assert await html() == "<p>Ann</p>!"


@pytest.mark.gen_test
async def test_values_that_the_model_lacks_are_warnings(library: Library) -> None:
    body = "{{#company}}{{name}}{{/company}}{{#each rows}}{{title}}{{../../name}}{{/each}}{{{raw}}}"
    draft = standard(subject="{{greeting}}, {{name}}", html=body, text="{{name}}{{company.phone}}")
    await library.create("a", draft, by("key"))
    model = {"company": {"fax": 1}, "rows": [{}, {"title": "x"}], "name": None}
    rendered, warnings = await library.rendered(message("welcome", model), "a")
    assert rendered.html == "x"
    assert list(warnings) == [
        f"the model has no value for {name}"
        for name in ("greeting", "name", "company.phone", "company.name", "rows.title", "raw")
    ]


@pytest.mark.gen_test
async def test_at_most_twenty_missing_values_are_named(library: Library) -> None:
    body = "".join(f"{{{{value{n}}}}}" for n in range(200))
    await library.create("a", standard(text=body), by("key"))
    _, warnings = await library.rendered(message("welcome"), "a")
    assert len(warnings) == 20


@pytest.mark.gen_test
async def test_a_model_that_does_not_fit_is_refused(library: Library) -> None:
    await library.create("a", standard(text="{{#each rows}}{{/each}}"), by("key"))
    with pytest.raises(TemplateRenderError, match="rows") as refusal:
        await library.rendered(message("welcome", {"rows": "secret"}), "a")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "value",
    ["x\r\nBcc: a@b", "x\nBcc: a@b", "x\rBcc: a@b", "x\x00\x0b\x0c\x1c\x85\u2028\u2029Bcc: a@b"],
)
@pytest.mark.gen_test
async def test_a_value_makes_no_second_line_of_a_subject(library: Library, value: str) -> None:
    await library.create("a", standard(subject="\nFor\n {{name}}\u202e\n"), by("key"))
    rendered, _ = await library.rendered(message("welcome", {"name": value}), "a")
    assert rendered.subject == "For  x Bcc: a@b"


@pytest.mark.gen_test
async def test_a_subject_that_grows_too_long_is_refused(library: Library) -> None:
    await library.create("a", standard(), by("key"))
    rendered, _ = await library.rendered(message("welcome", {"name": "n" * 1994}), "a")
    assert len(rendered.subject or "") == 2000
    with pytest.raises(TemplateRenderError, match="2000"):
        await library.rendered(message("welcome", {"name": "n" * 1995}), "a")


@pytest.mark.gen_test
async def test_no_part_has_what_no_mail_can_carry(library: Library) -> None:
    await library.create("a", standard(), by("key"))
    rendered, _ = await library.rendered(message("welcome", {"name": "a\x00\ud800b\tc\n"}), "a")
    assert rendered.text == "a\ufffdb\tc\n"
    assert "\x00" not in (rendered.html or "")
    assert "\x00" not in (rendered.subject or "")
    "".join(filter(None, (rendered.subject, rendered.html, rendered.text))).encode()


@pytest.mark.parametrize(
    "place",
    [
        "{{{ pm:unsubscribe }}}",
        "{{{pm:unsubscribe}}}",
        '{{{ pm:unsubscribe label="Stop\n😀" }}}',
        "{{{ pm:unsubscribe_url }}}",
    ],
)
@pytest.mark.gen_test
async def test_the_place_for_an_unsubscribe_link_prints_nothing(
    library: Library, rows: Rows, place: str
) -> None:
    html = f"<p>a{place}b</p>"
    await library.create("a", standard(html=html, text=f"{place}."), by("key"))
    rendered, warnings = await library.rendered(message("welcome", {"name": ""}), "a")
    assert (rendered.html, rendered.text, warnings) == ("<p>ab</p>", ".", [])
    assert rows.current()[0]["html"] == html
    result = await library.validate("a", standard(html=f"{place}{{{{#a}}}}"), None, False)
    assert result.html is not None
    [fault] = result.html.errors
    units = len(place.rsplit("\n", 1)[-1].encode("utf-16-le")) // 2
    assert (fault.line, fault.character) == (1 + place.count("\n"), units + 1)


@pytest.mark.gen_test
async def test_styles_are_inlined_unless_the_message_says_no(library: Library) -> None:
    await library.create(
        "a", standard(html="<style>p{color:red}</style><p>{{name}}</p>"), by("key")
    )
    on, _ = await library.rendered(message("welcome", {"name": "A"}), "a")
    assert on.html == '<style>p{color:red}</style><p style="color: red;">A</p>'
    off, _ = await library.rendered(message("welcome", {"name": "A"}, inline_css=False), "a")
    assert off.html == "<style>p{color:red}</style><p>A</p>"


@pytest.mark.gen_test
async def test_styles_that_are_not_inlined_are_a_warning(library: Library) -> None:
    rows = "{{#each rows}}<p>x</p>{{/each}}"
    await library.create("a", standard(html=f"<style>p{{color:red}}</style>{rows}"), by("key"))
    model = {"name": "A", "rows": [1] * 2501}
    rendered, warnings = await library.rendered(message("welcome", model), "a")
    assert rendered.html == "<style>p{color:red}</style>" + "<p>x</p>" * 2501
    assert warnings == ["the styles of the HTML part are too much to be inlined"]


@pytest.mark.gen_test
async def test_a_layout_that_grew_too_deep_for_its_content_is_a_refusal(
    library: Library,
) -> None:
    def deep(levels: int, inside: str) -> str:
        return "{{#a}}" * levels + inside + "{{/a}}" * levels

    # `{{#a}}{{#a}}` on one path would be the other half, so the paths differ.
    nested = "".join(f"{{{{#a{n}}}}}" for n in range(300))
    closed = "".join(f"{{{{/a{n}}}}}" for n in reversed(range(300)))
    await library.create("a", layout(html=deep(1, "{{{@content}}}")), by("key"))
    await library.create("a", standard(layout="base", html=f"{nested}{closed}"), by("key"))
    await library.edit(
        "a", "base", TemplateDraft(html=f"{nested}{{{{{{@content}}}}}}{closed}"), by("key")
    )
    with pytest.raises(TemplateRenderError, match="layout"):
        await library.rendered(message("welcome"), "a")


def reading(size: int) -> Any:
    return lambda: (Compiled(None, None, None), size)


def refused() -> Any:
    raise AssertionError("read again")


def test_the_cache_keeps_what_was_used_last_within_its_limits() -> None:
    cache = Cache(entries=2, characters=100)
    one, two, three = (("a", number, 1, None, None) for number in (1, 2, 3))
    cache.find(one, reading(10))
    cache.find(two, reading(10))
    cache.find(one, refused)
    cache.find(three, reading(10))
    cache.find(one, refused)
    with pytest.raises(AssertionError):
        cache.find(two, refused)
    cache.find(two, reading(101))
    for key in (one, two, three):
        with pytest.raises(AssertionError):
            cache.find(key, refused)


@pytest.mark.gen_test
async def test_the_alias_and_the_current_version_are_found_through_an_index(store: Store) -> None:
    from sqlalchemy import event

    seen: list[tuple[str, Any]] = []

    def look(connection: Any) -> list[str]:
        def note(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
            seen.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", note)
        stored.standing(connection, "a", "welcome")
        stored.by_alias(connection, "a", "welcome")
        event.remove(connection, "before_cursor_execute", note)
        return [
            row[-1]
            for statement, parameters in list(seen)
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    plans = await store.read(look)
    assert len(plans) == 3
    assert all("templates_alias" in plan for plan in plans), plans
