"""Template files: the words of a form server's own mail.

A file stands in `templates/` of the installation or, if it is not there, beside the plugins. The
language is string.Template's: `$name` or `${name}`, and `$$` for a dollar sign.
"""

from functools import lru_cache
from pathlib import Path
from string import Template

from relay.errors import ConfigurationError
from relay.message import Server


def template_file(server: Server, name: str) -> Template:
    """Give a template file of this server; raise ConfigurationError if there is none.

    Read once and kept until the settings are read again, so that `compose` may call it; call it
    in `schema` too, and a missing file is told at startup.
    """
    return _read(server.templates, name)


@lru_cache(maxsize=256)
def _read(folders: tuple[str, ...], name: str) -> Template:
    for folder in folders:
        path = Path(folder) / name
        if path.is_file():
            template = Template(path.read_text(encoding="utf-8"))
            if not template.is_valid():
                raise ConfigurationError(f"{path}: a $ that starts no name; write $$ for a dollar")
            return template
    raise ConfigurationError(f"template file {name} is in none of: {', '.join(folders)}")


def forget() -> None:
    """Read every file again when it is next asked for."""
    _read.cache_clear()
