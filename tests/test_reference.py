"""The pages of docs/reference that are made of the code's own declarations are up to date."""

from docs import generate


def test_the_generated_pages_are_what_the_declarations_say() -> None:
    for name, text in generate.pages().items():
        assert (generate.FOLDER / name).read_text(encoding="utf-8") == text, (
            f"{name}: run `python -m docs.generate`"
        )


def test_every_setting_of_a_shipped_plugin_has_a_type_a_default_and_a_meaning() -> None:
    page = generate.settings_page().partition("## Settings of plugins")[2]
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert all(len(row) == 5 and row[2] and row[4].strip(" |") for row in rows)
