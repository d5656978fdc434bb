"""Template files: the words of a form server's own mail, in Postmark's template language.

A file stands in `templates/` of the installation or, if it is not there, beside the plugins.
"""

from functools import lru_cache
from pathlib import Path

from relay.errors import ConfigurationError, TemplateSyntaxError
from relay.message import Server
from relay.mustachio import Template, parse


def template_file(server: Server, name: str) -> Template:
    """Give a template file of this server; raise ConfigurationError if there is none.

    Read once and kept until the settings are read again, so that `compose` may call it; call it
    in `schema` too, and a missing or broken file is told at startup.
    """
    return _read(server.templates, name)


@lru_cache(maxsize=256)
def _read(folders: tuple[str, ...], name: str) -> Template:
    for folder in folders:
        path = Path(folder) / name
        if path.is_file():
            return _parse(path)
    raise ConfigurationError(f"template file {name} is in none of: {', '.join(folders)}")


def _parse(path: Path) -> Template:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except TemplateSyntaxError as error:
        fault = error.errors[0]
        place = f"{path}, line {fault.line}, character {fault.character}"
        raise ConfigurationError(f"{place}: {fault.message}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}") from None


def forget() -> None:
    """Read every file again when it is next asked for."""
    _read.cache_clear()
