"""Templates in a folder, one in a folder of its own, laid out as postmark-cli lays them out.

welcome/meta.json       Name, Alias, Subject, TemplateType, LayoutTemplate, TemplateId
welcome/content.html
welcome/content.txt
_layouts/basic/...      the same for a layout, without a subject
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.core.errors import TemplateInvalid
from relay.templates.rules import TemplateDraft

META, HTML, TEXT = "meta.json", "content.html", "content.txt"
LAYOUTS = "_layouts"

_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,199}")
_KINDS: Mapping[str, type] = {
    "Name": str,
    "Alias": str,
    "Subject": str,
    "TemplateType": str,
    "LayoutTemplate": str,
    "TemplateId": int,
}


@dataclass(frozen=True, slots=True)
class FolderTemplate:
    """A template of a folder: its `meta.json`, and everything that it is.

    The draft is whole: "" is a part or a layout that the template does not have.
    """

    path: Path
    draft: TemplateDraft


def paths(folder: Path) -> list[Path]:
    """Find every `meta.json` of a folder; raise TemplateInvalid if there is no such folder."""
    if not folder.is_dir():
        raise TemplateInvalid(f"{folder}: there is no such folder")
    return sorted(path for path in folder.rglob(META) if path.is_file())


def read_all(folder: Path) -> list[FolderTemplate]:
    """Read a folder's templates; raise TemplateInvalid for the first that cannot be used."""
    templates = [read(path) for path in paths(folder)]
    known: dict[str | None, Path] = {}
    for template in templates:
        other = known.setdefault(template.draft.alias, template.path)
        if template.draft.alias and other is not template.path:
            raise TemplateInvalid(f"{template.path}: Alias is also that of {other}")
    return templates


def read(path: Path) -> FolderTemplate:
    """Read the template of a `meta.json`; raise TemplateInvalid, one line with the file's path."""
    meta = _meta(path)
    kind = meta.get("TemplateType") or (
        "Layout" if path.parent.parent.name == LAYOUTS else "Standard"
    )
    if kind not in ("Standard", "Layout"):
        raise TemplateInvalid(f"{path}: TemplateType is neither Standard nor Layout")
    if not meta.get("Name"):
        raise TemplateInvalid(f"{path}: Name is missing")
    if not meta.get("Alias") and meta.get("TemplateId") is None:
        raise TemplateInvalid(f"{path}: Alias is missing")
    standard = kind == "Standard"
    return FolderTemplate(
        path,
        TemplateDraft(
            name=meta["Name"],
            alias=meta.get("Alias") or None,
            type=kind,
            subject=(meta.get("Subject") or "") if standard else meta.get("Subject"),
            html=_content(path.with_name(HTML)),
            text=_content(path.with_name(TEXT)),
            layout=(meta.get("LayoutTemplate") or "") if standard else meta.get("LayoutTemplate"),
            id=meta.get("TemplateId"),
        ),
    )


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(_decoded(path))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, character {error.colno}"
        raise TemplateInvalid(f"{path}: {place}: {error.msg}") from None
    except RecursionError:
        raise TemplateInvalid(f"{path}: nested too deeply") from None
    if not isinstance(meta, dict):
        raise TemplateInvalid(f"{path}: not a JSON object")
    for name, kind in _KINDS.items():
        value = meta.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise TemplateInvalid(f"{path}: {name} is no {'text' if kind is str else 'number'}")
        if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            raise TemplateInvalid(f"{path}: {name} holds half a character")
    return meta


def _content(path: Path) -> str:
    return _decoded(path) if path.is_file() else ""


def _decoded(path: Path) -> str:
    """Read a file as it is: its line ends are the template's; a mark of UTF-8 is the editor's."""
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise TemplateInvalid(f"{path}: not UTF-8") from None
    except OSError as error:
        raise TemplateInvalid(f"{path}: cannot be read ({error.strerror})") from None


def differing(folder: Path, drafts: Sequence[TemplateDraft]) -> dict[Path, str]:
    """Return the files, with their content, that are to be written for a folder to hold templates.

    A file that is as it should be is not among them. A part that a template does not have any
    more becomes an empty file.
    """
    files: dict[Path, str] = {}
    for draft in drafts:
        place = folder / LAYOUTS if draft.type == "Layout" else folder
        place /= folder_name(draft.alias, draft.id)
        for path, part in ((place / HTML, draft.html), (place / TEXT, draft.text)):
            if (part or path.is_file()) and not _is_content(path, part or ""):
                files[path] = part or ""
        meta = _described(draft)
        kept = _known(place / META)
        if kept != {**kept, **meta}:
            files[place / META] = json.dumps({**kept, **meta}, indent=2, ensure_ascii=False)
    return files


def _described(draft: TemplateDraft) -> dict[str, Any]:
    """Return what stands in `meta.json`, in postmark-cli's order."""
    standard = draft.type != "Layout"
    return {
        "Name": draft.name,
        "Alias": draft.alias,
        **({"Subject": draft.subject or ""} if standard else {}),
        "TemplateType": draft.type,
        **({"LayoutTemplate": draft.layout or None} if standard else {}),
        **({} if draft.id is None else {"TemplateId": draft.id}),
    }


def _known(path: Path) -> dict[str, Any]:
    """Return what an existing `meta.json` says; nothing if it is broken: it will be replaced."""
    if not path.is_file():
        return {}
    try:
        return _meta(path)
    except TemplateInvalid:
        return {}


def _is_content(path: Path, content: str) -> bool:
    try:
        return path.read_bytes() == content.encode()
    except OSError:
        return False


def write(files: Mapping[Path, str]) -> None:
    """Write files and the folders that they stand in; raise TemplateInvalid."""
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
        except OSError as error:
            raise TemplateInvalid(f"{path}: cannot be written ({error.strerror})") from None


def folder_name(alias: str | None, id: int | None) -> str:
    """Name the folder of a template: its alias, if that is one, or its number.

    An account elsewhere may hold anything. What could leave the folder, or be taken for another
    template's, gets a name of its own, which begins with `_` as no alias does.
    """
    if alias is None:
        return f"_{id}"
    if _SAFE.fullmatch(alias):
        return alias
    digest = hashlib.sha256(alias.encode("utf-8", "replace")).hexdigest()[:8]
    return f"_{re.sub('[^A-Za-z0-9-]', '_', alias)[:60]}-{digest}"
