"""The stored templates: previews, versions, what changed between two, and going back to one."""

import difflib
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

from tornado.web import HTTPError

from relay.core.errors import StoredTemplateError, TemplateNotFound
from relay.operators.roles import Role
from relay.store.templates import StoredTemplate
from relay.web.console.handler import ConsoleHandler
from relay.web.pages.library import MAX_LISTED, preview

PARTS = ("name", "alias", "subject", "text", "html", "layout")


class DiffLine(NamedTuple):
    """A line of what changed: `added`, `removed`, `same`, or `place` between two places."""

    kind: str
    text: str


class TemplatesHandler(ConsoleHandler):
    """GET /templates: those of every group that has some."""

    role = Role.OPERATOR

    async def get(self) -> None:
        listed = []
        for group in self.configuration.groups:
            _, found = await self.site.library.listed(group, offset=0, count=MAX_LISTED)
            if found:
                listed.append((group, found))
        self.render("templates.html", listed=listed)


class OneTemplateHandler(ConsoleHandler):
    """What the pages of one template share: finding it."""

    role = Role.OPERATOR

    async def template(self, server: str, number: str) -> StoredTemplate:
        """Return a group's template, a deleted one too; raise HTTPError 404 for every other."""
        try:
            return await self.site.library.find(server, int(number))
        except TemplateNotFound:
            raise HTTPError(404) from None


class TemplateHandler(OneTemplateHandler):
    """GET /templates/{group}/{id}: as it looks; ?version=N: what changed from N to now."""

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


class TemplateHtmlHandler(OneTemplateHandler):
    """GET /templates/{group}/{id}/html: the rendered HTML part, for a frame of its own."""

    async def get(self, server: str, number: str) -> None:
        shown = await preview(self.site, await self.template(server, number))
        if shown.html is None:
            raise HTTPError(404)
        self.write_part(shown.html)


class RestoreHandler(OneTemplateHandler):
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
