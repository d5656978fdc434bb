"""The stored templates: every server's listed, and each as it looks with its suggested model."""

from collections.abc import Sequence
from typing import NamedTuple

from tornado.web import HTTPError

from relay.core.errors import TemplateError, TemplateFault, TemplateNotFound
from relay.site import Site
from relay.store.templates import StoredTemplate
from relay.templates.rules import TemplateDraft
from relay.templates.validation import PartValidation, Validation
from relay.web.pages.handler import PageHandler, VisitHandler
from relay.web.pages.message import pretty

# A server has fewer: what is shown is all of them.
MAX_LISTED = 1000

# What stands in a layout here in the place of its templates.
CONTENT = "The content of a template stands here."


class Preview(NamedTuple):
    """How a template looks with the model it suggests, or why it cannot be shown.

    `faults` are what is wrong with it, by part.
    """

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    model: str = ""
    faults: Sequence[str] = ()


class LibraryHandler(PageHandler):
    """GET /templates: the stored templates of every server that has some."""

    async def get(self) -> None:
        self.render("templates.html", listed=await listed(self.site))


class TemplateReader(VisitHandler):
    """What shows a template, whoever may see it."""

    async def template(self, server: str, number: str) -> StoredTemplate:
        """Return a server's template, a deleted one too; raise HTTPError 404 for every other."""
        try:
            return await self.site.library.find(server, int(number))
        except TemplateNotFound:
            raise HTTPError(404) from None


class PreviewPart(TemplateReader):
    """GET .../html: the rendered HTML part of a template, for a frame of its own."""

    async def get(self, server: str, number: str) -> None:
        shown = await preview(self.site, await self.template(server, number))
        if shown.html is None:
            raise HTTPError(404)
        self.write_part(shown.html)


class PreviewHandler(TemplateReader, PageHandler):
    """GET /templates/{server}/{id}: a template, rendered with the model it suggests."""

    async def get(self, server: str, number: str) -> None:
        template = await self.template(server, number)
        self.render(
            "template.html",
            template=template,
            preview=await preview(self.site, template),
        )


class PreviewHtmlHandler(PreviewPart, PageHandler):
    """GET /templates/{server}/{id}/html."""


async def listed(site: Site) -> list[tuple[str, Sequence[StoredTemplate]]]:
    """Return the templates of every group that has some."""
    found = []
    for group in site.configuration.groups:
        _, templates = await site.library.listed(group, offset=0, count=MAX_LISTED)
        if templates:
            found.append((group, templates))
    return found


async def preview(site: Site, template: StoredTemplate) -> Preview:
    """Render a template with the model it suggests; a layout around a line of its own."""
    try:
        found = await site.library.validate(template.server, _draft(template), None, True)
    except TemplateNotFound:
        return Preview(faults=(f"There is no layout {template.layout or template.alias}.",))
    except TemplateError as error:
        return Preview(faults=(str(error),))
    return Preview(
        subject=_rendered(found.subject),
        text=_rendered(found.text),
        html=_rendered(found.html),
        model=pretty(found.suggested_model),
        faults=_faults(found),
    )


def _draft(template: StoredTemplate) -> TemplateDraft:
    if template.type == "Layout" and template.active:
        # A template in this layout.
        return TemplateDraft(
            type="Standard",
            html=f"<p>{CONTENT}</p>" if template.html else None,
            text=CONTENT if template.text else None,
            layout=template.alias,
        )
    return TemplateDraft(
        type=template.type,
        subject=template.subject,
        html=template.html,
        text=template.text,
        layout=template.layout,
    )


def _rendered(part: PartValidation | None) -> str | None:
    return part.rendered if part is not None and part.valid else None


def _faults(found: Validation) -> list[str]:
    named = {"Subject": found.subject, "Text": found.text, "HTML": found.html}
    return [
        f"{name}: {_words(fault)}" for name, part in named.items() if part for fault in part.errors
    ]


def _words(fault: TemplateFault) -> str:
    place = f"line {fault.line}, character {fault.character}: " if fault.line else ""
    return place + fault.message


ROUTES = [
    (r"/templates", LibraryHandler),
    (r"/templates/([a-z0-9_-]{1,100})/([0-9]{1,15})", PreviewHandler),
    (r"/templates/([a-z0-9_-]{1,100})/([0-9]{1,15})/html", PreviewHtmlHandler),
]
