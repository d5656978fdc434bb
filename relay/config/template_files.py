"""Template files: the words of a form server's own mail, in Postmark's template language.

A file stands in `templates/` of the installation or, if it is not there, beside the plugins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields

from relay.core.errors import ConfigurationError, TemplateSyntaxError
from relay.core.message import Message
from relay.core.server import Server
from relay.core.suggest import nearest
from relay.core.text import as_html
from relay.mustachio import Template, parse


@dataclass(frozen=True, slots=True)
class TemplateFiles:
    """A mail's words: the template file of its text part, and that of its HTML part if any."""

    text: Template
    html: Template | None = None

    def fill(
        self, message: Message, words: Mapping[str, Any], markup: Mapping[str, Any] | None
    ) -> Message:
        """Return the message with its parts filled in.

        words: what the text part's file may use. markup: the same for the HTML part, where
        `{{name}}` is escaped and `{{{name}}}` is not; None is no HTML part.
        """
        plain = self.text.render(words, escape=False)
        if markup is None:
            return replace(message, text=plain, html=None)
        html = self.html.render(markup) if self.html else as_html(plain)
        return replace(message, text=plain, html=html)


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


@lru_cache(maxsize=256)
def _wording(folders: tuple[str, ...], name: str) -> TemplateFiles:
    markup = f"{name}.html"
    has_markup = any((Path(folder) / markup).is_file() for folder in folders)
    return TemplateFiles(
        _read(folders, f"{name}.txt"), _read(folders, markup) if has_markup else None
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
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}") from None


def parsed(path: Path, *contents: str) -> Template:
    """Parse a template file's content, or layouts and content; ConfigurationError tells where."""
    try:
        return parse(*contents)
    except TemplateSyntaxError as error:
        fault = error.errors[0]
        place = f"{path}, line {fault.line}, character {fault.character}"
        raise ConfigurationError(f"{place}: {fault.message}") from None


def forget() -> None:
    """Read every file again when it is next asked for."""
    _wording.cache_clear()
    _read.cache_clear()
