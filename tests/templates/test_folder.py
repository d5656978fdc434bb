"""Templates in a folder: postmark-cli's layout, read and written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from relay.core.errors import TemplateInvalid
from relay.templates import folder as folders
from relay.templates.rules import TemplateDraft

WELCOME = TemplateDraft(
    name="Welcome",
    alias="welcome",
    type="Standard",
    subject="Hello {{name}}",
    html="<p>Grüße,\r\n{{name}}</p>\n",
    text="Hello {{name}}",
    layout="basic",
    id=1234,
)
BASIC = TemplateDraft(
    name="Basic", alias="basic", type="Layout", html="<b>{{{ @content }}}</b>", text="", id=1233
)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(folder: Path, *drafts: TemplateDraft) -> None:
    folders.write(folders.differing(folder, drafts))


def meta(folder: Path, content: str, name: str = "welcome") -> Path:
    path = folder / name / "meta.json"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_a_folder_is_laid_out_as_postmark_cli_lays_it_out(tmp_path: Path) -> None:
    write(tmp_path, WELCOME, BASIC)
    files = tree(tmp_path)
    assert sorted(files) == [
        "_layouts/basic/content.html",
        "_layouts/basic/meta.json",
        "welcome/content.html",
        "welcome/content.txt",
        "welcome/meta.json",
    ]
    assert files["welcome/content.html"] == "<p>Grüße,\r\n{{name}}</p>\n".encode()
    assert list(json.loads(files["welcome/meta.json"]).items()) == [
        ("Name", "Welcome"),
        ("Alias", "welcome"),
        ("Subject", "Hello {{name}}"),
        ("TemplateType", "Standard"),
        ("LayoutTemplate", "basic"),
        ("TemplateId", 1234),
    ]
    assert json.loads(files["_layouts/basic/meta.json"]) == {
        "Name": "Basic",
        "Alias": "basic",
        "TemplateType": "Layout",
        "TemplateId": 1233,
    }


def test_what_is_written_is_read_again_whole(tmp_path: Path) -> None:
    bare = replace(WELCOME, alias="bare", text="", layout="", id=None)
    write(tmp_path, WELCOME, BASIC, bare)
    read = {one.draft.alias: one.draft for one in folders.read_all(tmp_path)}
    assert read == {"welcome": WELCOME, "basic": BASIC, "bare": bare}
    assert folders.differing(tmp_path, [WELCOME, BASIC, bare]) == {}


def test_the_folder_of_postmark_cli_is_read(tmp_path: Path) -> None:
    meta(tmp_path, '\ufeff{"Name": "Old", "Alias": "old", "LayoutTemplate": null}', "old")
    meta(tmp_path / "_layouts", '{"Name": "L", "Alias": "l"}', "l")
    meta(tmp_path / "deep", '{"Name": "D", "Alias": "d", "TestRenderModel": {"a": 1}}', "d")
    found = [one.draft for one in folders.read_all(tmp_path)]
    assert [(draft.alias, draft.type) for draft in found] == [
        ("l", "Layout"),
        ("d", "Standard"),
        ("old", "Standard"),
    ]
    assert (found[0].subject, found[0].layout, found[2].subject, found[2].layout) == (
        None,
        None,
        "",
        "",
    )


def test_only_what_differs_is_written_and_what_others_keep_in_meta_stays(tmp_path: Path) -> None:
    write(tmp_path, WELCOME)
    path = tmp_path / "welcome/meta.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({**known, "TestRenderModel": {"name": "Ann"}}))
    assert folders.differing(tmp_path, [WELCOME]) == {}
    changed = replace(WELCOME, name="Hello", text="Hi")
    assert sorted(folders.differing(tmp_path, [changed])) == [
        tmp_path / "welcome/content.txt",
        path,
    ]
    write(tmp_path, changed)
    assert json.loads(path.read_text()) == {
        **known,
        "Name": "Hello",
        "TestRenderModel": {"name": "Ann"},
    }


def test_a_part_that_a_template_lost_becomes_an_empty_file(tmp_path: Path) -> None:
    write(tmp_path, WELCOME)
    write(tmp_path, replace(WELCOME, text=""))
    assert (tmp_path / "welcome/content.txt").read_bytes() == b""
    assert folders.read_all(tmp_path)[0].draft.text == ""


@pytest.mark.parametrize(
    "alias",
    [
        "../../../escaped",
        "/etc/escaped",
        "..",
        ".",
        "",
        "a/b",
        "_layouts",
        "a\\b",
        "a\0b",
        "x" * 999,
    ],
)
def test_no_alias_leaves_the_folder(tmp_path: Path, alias: str) -> None:
    folder = tmp_path / "one" / "two"
    write(folder, replace(WELCOME, alias=alias))
    [place] = folder.iterdir()
    assert place.name.startswith("_")
    assert place.name != "_layouts"
    assert sorted(tree(tmp_path)) == sorted(f"one/two/{name}" for name in tree(folder))
    assert len(tree(folder)) == 3


def test_a_template_without_an_alias_goes_by_its_number(tmp_path: Path) -> None:
    old = replace(WELCOME, alias=None)
    write(tmp_path, old, replace(old, id=1235))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_1234", "_1235"]
    assert [one.draft.id for one in folders.read_all(tmp_path)] == [1234, 1235]
    assert folders.read_all(tmp_path)[0].draft == old


def test_two_aliases_never_share_a_folder() -> None:
    names = {folders.folder_name(alias, 1) for alias in ("a/b", "a_b", "a.b", "a b", "A_b", "a//b")}
    assert len(names) == 6


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"Name": "W",\n "Alias" "w"}', "line 2, character 10: Expecting ':' delimiter"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"Alias": "w"}', "Name is missing"),
        ('{"Name": "W", "Alias": ""}', "Alias is missing"),
        ('{"Name": 5, "Alias": "w"}', "Name is no text"),
        ('{"Name": "W", "Alias": "w", "TemplateId": true}', "TemplateId is no number"),
        ('{"Name": "W", "Alias": "w", "TemplateType": "Page"}', "neither Standard nor Layout"),
        ('{"Name": "\\ud800", "Alias": "w"}', "Name holds half a character"),
    ],
)
def test_a_broken_meta_file_is_one_line_with_its_path(
    tmp_path: Path, content: str, words: str
) -> None:
    path = meta(tmp_path, content)
    with pytest.raises(TemplateInvalid) as caught:
        folders.read_all(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_meta_file_is_replaced_when_its_template_is_written(tmp_path: Path) -> None:
    path = meta(tmp_path, "{")
    assert path in folders.differing(tmp_path, [WELCOME])
    write(tmp_path, WELCOME)
    assert folders.read_all(tmp_path)[0].draft == WELCOME


def test_a_body_that_is_not_utf_8_and_an_alias_that_stands_twice_are_named(tmp_path: Path) -> None:
    path = meta(tmp_path, '{"Name": "W", "Alias": "w"}')
    body = path.with_name("content.html")
    body.write_bytes(b"\xff")
    with pytest.raises(TemplateInvalid, match=rf"{body}: not UTF-8"):
        folders.read_all(tmp_path)
    body.unlink()
    second = meta(tmp_path, '{"Name": "W", "Alias": "w"}', "zweite")
    with pytest.raises(TemplateInvalid, match=rf"{second}: Alias is also that of {path}"):
        folders.read_all(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateInvalid, match="there is no such folder"):
        folders.read_all(tmp_path / "nowhere")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "welcome").write_text("a file")
    with pytest.raises(TemplateInvalid, match=r"welcome/.*: cannot be written"):
        write(tmp_path, WELCOME)
