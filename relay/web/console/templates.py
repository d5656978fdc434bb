"""The stored templates: previews, versions, what changed between two, and going back to one."""

import difflib
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

from tornado.web import HTTPError

from relay.core.errors import StoredTemplateError
from relay.operators.roles import Role
from relay.store.templates import StoredTemplate
from relay.web.console.handler import ConsoleHandler
from relay.web.pages.library import PreviewPart, TemplateReader, listed, preview

PARTS = ("name", "alias", "subject", "text", "html", "layout")


class DiffLine(NamedTuple):
    """A line of what changed: `added`, `removed`, `same`, or `place` between two places."""

    kind: str
    text: str


class TemplatesHandler(ConsoleHandler):
    """GET /templates: those of every group that has some."""

    role = Role.OPERATOR

    async def get(self) -> None:
        self.render("templates.html", listed=await listed(self.site))


class TemplateHandler(TemplateReader, ConsoleHandler):
    """GET /templates/{group}/{id}: as it looks; ?version=N: what changed from N to now."""

    role = Role.OPERATOR

    async def get(self, server: str, number: str) -> None:
        template = await self.template(server, number)
        versions = await self.site.library.versions(server, int(number))
        asked = self.get_query_argument("version", "")
        old = next((one for one in versions if str(one.version) == asked), None)
        if asked and old is None:
            raise HTTPError(404)
        self.render(
            "template.html",
            template=template,
            versions=versions,
            preview=await preview(self.site, template),
            old=old,
            changes=list(changes(old, template)) if old else [],
        )


class TemplateHtmlHandler(PreviewPart, ConsoleHandler):
    """GET /templates/{group}/{id}/html."""

    role = Role.OPERATOR


class RestoreHandler(TemplateReader, ConsoleHandler):
    """POST /templates/{group}/{id}/restore: make it what it was in a version."""

    methods: ClassVar[tuple[str, ...]] = ("POST",)
    role = Role.ADMIN

    async def post(self, server: str, number: str) -> None:
        asked = await self.form()
        version, page = asked.get("version", ""), f"/templates/{server}/{number}"
        if not version.isdecimal() or len(version) > 9:
            raise HTTPError(400)
        await self.template(server, number)
        try:
            made = await self.site.library.restore(server, int(number), int(version), self.by)
        except StoredTemplateError as error:
            self.go_to(page, f"{error}", is_bad=True)
            return
        self.go_to(page, f"Version {made.version} is what version {version} was.")


def changes(old: StoredTemplate, new: StoredTemplate) -> Iterator[tuple[str, Sequence[DiffLine]]]:
    """Return the parts that differ between two versions, each with its lines."""
    for part in PARTS:
        before, after = (getattr(one, part) or "" for one in (old, new))
        if before != after:
            lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=3))
            yield part, [_line(line) for line in lines[2:]] or [DiffLine("place", "line ends")]


def _line(line: str) -> DiffLine:
    kinds = {"+": "added", "-": "removed", "@": "place"}
    kind = kinds.get(line[:1], "same")
    return DiffLine(kind, line.rstrip("\n") if kind == "place" else line[1:])


_ONE = r"/templates/([a-z0-9_-]{1,100})/([0-9]{1,15})"

ROUTES = [
    (r"/templates", TemplatesHandler),
    (_ONE, TemplateHandler),
    (rf"{_ONE}/html", TemplateHtmlHandler),
    (rf"{_ONE}/restore", RestoreHandler),
]
