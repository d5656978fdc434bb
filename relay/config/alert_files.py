"""The template files of alerts: an installation's own, else those that come with Relay.

A file's first line is the subject. Whatever is wrong with a file of one's own is told at startup;
what is not found until an alert is written must not keep it from being sent.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from relay.config.template_files import content, parsed
from relay.core.errors import ConfigurationError, TemplateRenderError
from relay.core.suggest import nearest
from relay.mustachio import Template

FOLDER = Path(__file__).parent.parent / "notifications" / "alerts" / "texts"
# Where an installation has its own, in one of its folders of template files.
OWN = "alerts"
# What has no layout around it: the others are sections of a mail.
WHOLE = frozenset({"mail", "section", "digest", "test"})

log = structlog.get_logger()


class Texts:
    """Every text by its name; `folders` are those of template files, the first match wins.

    Raise ConfigurationError for a file that cannot be read, or that nothing reads.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        there = {path.stem: path for path in FOLDER.glob("*.txt")}
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
        for path in sorted((Path(folder) / OWN).glob("*")):
            if path.suffix != ".txt" or path.stem not in there:
                names = [file.name for file in there.values()]
                raise ConfigurationError(f"{path}: no such text{nearest(path.name, names)}")
            yield path.stem, path


def _templates(paths: Mapping[str, Path]) -> dict[str, Template]:
    contents = {name: content(path) for name, path in paths.items()}
    section = contents["section"]
    parsed(paths["section"], section, "")  # what is wrong with it is wrong with no other
    return {
        name: parsed(paths[name], *([text] if name in WHOLE else [section, text]))
        for name, text in contents.items()
        if name != "section"
    }
