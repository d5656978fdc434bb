"""Template files: the words of a form server's own mail, in Postmark's template language.

A file stands in `templates/` of the installation or, if it is not there, beside the plugins; the
texts of alerts in `templates/alerts/` or, if they are not there, in the package.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from marshmallow import ValidationError, fields

from relay.core.errors import ConfigurationError, TemplateRenderError, TemplateSyntaxError
from relay.core.message import Message
from relay.core.server import Server
from relay.core.text import as_html, nearest
from relay.forms.declared import OWN_WORDS, Declaration
from relay.mustachio import Template, parse

log = structlog.get_logger()


# What is said of names that no model has, while somebody notices.
_noticed: ContextVar[dict[str, None] | None] = ContextVar("noticed", default=None)


@contextmanager
def noticing() -> Iterator[Mapping[str, None]]:
    """Collect what is said of names in template files that print nothing, as they are filled."""
    noticed: dict[str, None] = {}
    reset = _noticed.set(noticed)
    try:
        yield noticed
    finally:
        _noticed.reset(reset)


@dataclass(frozen=True, slots=True)
class TemplateFiles:
    """A mail's words: the template file of its text part, and that of its HTML part if any.

    `name`: what they are called in the folder.
    """

    text: Template
    html: Template | None = None
    name: str = ""

    def fill(
        self, message: Message, words: Mapping[str, Any], markup: Mapping[str, Any] | None
    ) -> Message:
        """Return the message with its parts filled in.

        words: what the text part's file may use. markup: the same for the HTML part, where
        `{{name}}` is escaped and `{{{name}}}` is not; None is no HTML part.
        """
        plain = self._rendered(self.text, words, escape=False)
        if markup is None:
            return replace(message, text=plain, html=None)
        html = self._rendered(self.html, markup) if self.html else as_html(plain)
        return replace(message, text=plain, html=html)

    def _rendered(self, template: Template, model: Mapping[str, Any], escape: bool = True) -> str:
        noticed = _noticed.get()
        if noticed is None:
            return template.render(model, escape)
        missing: dict[str, None] = {}
        rendered = template.render(model, escape, missing=missing)
        for path in missing:
            if not _has(model, path.split(".")):
                words = f"template files {self.name}: nothing is called {path}"
                noticed[f"{words}{nearest(path, model)}; it prints nothing"] = None
        return rendered


def _has(model: Any, path: Sequence[str]) -> bool:
    """Return whether a model has a path, be it without a value."""
    if not path or not isinstance(model, Mapping | list | tuple):
        return True
    if isinstance(model, Mapping):
        return path[0] in model and _has(model[path[0]], path[1:])
    return any(_has(one, path[path[0].isdecimal() :]) for one in model)


class Pattern(fields.Field[Template]):
    """A setting that is a template of one line, such as `subject = "Permit {{permit}}"`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Template:
        if not isinstance(value, str):
            raise ValidationError("Not a valid string.")
        try:
            return parse(value)
        except TemplateSyntaxError as error:
            raise ValidationError(str(error)) from None


def template_files(server: Server, name: str) -> TemplateFiles:
    """Return the template files NAME.txt and, where there is one, NAME.html of this server.

    As `template_file`: call it in `schema` too, so that a mistake is told at startup.
    """
    return _wording(server.templates, name)


def template_file(server: Server, name: str) -> Template:
    """Return a template file of this server; raise ConfigurationError if there is none.

    Read once and kept until the settings are read again, so that `compose` may call it; call it
    in `schema` too, and a missing or broken file is told at startup.
    """
    return _read(server.templates, name)


def unfilled_names(server: Server) -> list[str]:
    """Say which names in the template files of a form in the settings no field ever fills."""
    form, name = server.options.get("fields"), server.options.get("template_files")
    if not isinstance(form, Declaration) or not isinstance(name, str):
        return []
    files = template_files(server, name)
    parts = (part for part in (files.text, files.html) if part is not None)
    faults = (fault for part in parts for fault in form.faults(part.suggested_model, OWN_WORDS))
    return [f"template files {name}: {fault}; it prints nothing" for fault in dict.fromkeys(faults)]


@lru_cache(maxsize=256)
def _wording(folders: tuple[str, ...], name: str) -> TemplateFiles:
    markup = f"{name}.html"
    has_markup = any((Path(folder) / markup).is_file() for folder in folders)
    return TemplateFiles(
        _read(folders, f"{name}.txt"), _read(folders, markup) if has_markup else None, name
    )


@lru_cache(maxsize=256)
def _read(folders: tuple[str, ...], name: str) -> Template:
    for folder in folders:
        path = Path(folder) / name
        if path.is_file():
            return parsed(path, content(path))
    there = [path.name for folder in folders for path in Path(folder).glob("*.*")]
    words = f"template file {name} is in none of: {', '.join(folders)}"
    raise ConfigurationError(words + nearest(name, there))


def content(path: Path) -> str:
    """Read a template file; raise ConfigurationError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}") from None


@lru_cache(maxsize=64)
def _parsed(*contents: str) -> Template:
    """Parse; most texts of a reload are those that it had before."""
    return parse(*contents)


def parsed(path: Path, *contents: str) -> Template:
    """Parse a template file's content, or layouts and content; ConfigurationError tells where."""
    try:
        return _parsed(*contents)
    except TemplateSyntaxError as error:
        fault = error.errors[0]
        place = f"{path}, line {fault.line}, character {fault.character}"
        raise ConfigurationError(f"{place}: {fault.message}") from None


def forget() -> None:
    """Read every file again when it is next asked for."""
    _wording.cache_clear()
    _read.cache_clear()


# The texts of alerts that come with Relay.
ALERT_TEXTS = Path(__file__).parent.parent / "notifications" / "alerts" / "texts"
# Where an installation has its own, in one of its folders of template files.
_OWN = "alerts"
# What has no layout around it: the others are sections of a mail.
_WHOLE = frozenset({"mail", "section", "digest", "test"})


class AlertTexts:
    """Every text of alerts by its name: an installation's own, else the one that comes with Relay.

    A text's first line is the subject. `folders` are those of template files, the first match wins.
    Raise ConfigurationError for a file that cannot be read, or that nothing reads; what is not
    found until an alert is written must not keep it from being sent.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        there = {path.stem: path for path in ALERT_TEXTS.glob("*.txt")}
        own = dict(_own(folders, there))
        self._shipped = _templates(there)
        self._templates = _templates({**there, **own}) if own else self._shipped

    def render(self, name: str, model: Mapping[str, Any]) -> str:
        """Fill in a text; an own one that breaks gives way to the one that comes with Relay."""
        try:
            return self._templates[name].render(model, escape=False)
        except TemplateRenderError as error:
            log.error("alert.unwritten", text=name, problem=str(error))
            return self._shipped[name].render(model, escape=False)


def _own(folders: Sequence[str], there: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Find an installation's own files, the ones that win last."""
    for folder in reversed(folders):
        for path in sorted((Path(folder) / _OWN).glob("*")):
            if path.suffix != ".txt" or path.stem not in there:
                names = [file.name for file in there.values()]
                raise ConfigurationError(f"{path}: no such text{nearest(path.name, names)}")
            yield path.stem, path


def _templates(paths: Mapping[str, Path]) -> dict[str, Template]:
    contents = {name: content(path) for name, path in paths.items()}
    section = contents["section"]
    parsed(paths["section"], section, "")  # what is wrong with it is wrong with no other
    return {
        name: parsed(paths[name], *([text] if name in _WHOLE else [section, text]))
        for name, text in contents.items()
        if name != "section"
    }
