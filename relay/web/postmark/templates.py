"""/templates: the stored templates of a server, and pushing them to another."""

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

from relay.core.errors import TemplateEmpty, TemplateNotFound
from relay.core.immutable import thaw
from relay.store import installation
from relay.store.templates import StoredTemplate
from relay.templates.changes import Change
from relay.templates.rules import TemplateDraft
from relay.templates.validation import PartValidation, Validation
from relay.web.postmark import errors
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.handler import PostmarkHandler
from relay.web.postmark.messages import UNKNOWN_ID
from relay.web.postmark.reading import Fields, is_digits, json_value
from relay.web.postmark.servers import AccountHandler

# A page of the list has no more than this, whatever is asked for: a server has 100 templates.
MAX_COUNT = 500

TYPES = {"all": None, "standard": "Standard", "layout": "Layout"}

# Postmark's names, and in which order each response has them.
PROPERTIES = {
    "Active": attrgetter("active"),
    "TemplateId": attrgetter("id"),
    "Name": attrgetter("name"),
    "Alias": attrgetter("alias"),
    "TemplateType": attrgetter("type"),
    "LayoutTemplate": attrgetter("layout"),
    "Subject": attrgetter("subject"),
    "HtmlBody": attrgetter("html"),
    "TextBody": attrgetter("text"),
}
LISTED = ("Active", "TemplateId", "Name", "Alias", "TemplateType", "LayoutTemplate")
CHANGED = ("TemplateId", "Name", "Active", "Alias", "TemplateType", "LayoutTemplate")
WHOLE = (
    *("Name", "TemplateId", "Subject", "HtmlBody", "TextBody", "AssociatedServerId"),
    *("Active", "Alias", "TemplateType", "LayoutTemplate"),
)

# Which of the two servers of a push was found, and what is said of the others.
UNKNOWN_SERVERS = {
    (False, False): "The source and destination servers were not found.",
    (False, True): "The source server was not found.",
    (True, False): "The destination server was not found.",
}


class TemplatesHandler(PostmarkHandler):
    """GET /templates, POST /templates: the list, and a new template."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")
    shared_methods = ("POST",)

    async def get(self) -> None:
        offset, count = self.query_number("Offset"), self.query_number("Count")
        if offset is None or count is None:
            raise PostmarkError(1100, "The parameters 'Count' and 'Offset' must be numbers.")
        type = (self.query("TemplateType") or "All").lower()
        if type not in TYPES:
            raise PostmarkError(1100, "'TemplateType' is All, Standard or Layout.")
        total, templates = await self.site.library.listed(
            self.group,
            offset=offset,
            count=min(count, MAX_COUNT),
            type=TYPES[type],
            layout=self.query("LayoutTemplate"),
        )
        self.respond({"TotalCount": total, "Templates": [_shown(one, LISTED) for one in templates]})

    async def post(self) -> None:
        draft = _draft(await read_fields(self), with_type=True)
        created = await self.site.library.create(self.group, draft, self.by)
        self.respond(_shown(created, CHANGED))


class TemplateHandler(PostmarkHandler):
    """GET, PUT, DELETE /templates/{idOrAlias}: one template."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "PUT", "DELETE")
    shared_methods = ("PUT", "DELETE")

    async def get(self, given: str) -> None:
        template = await self.site.library.find(self.group, _reference(given))
        numbers = await installation.numbered(self.site.store, self.configuration.chains)
        await self.respond_aside(
            lambda: _shown(template, WHOLE, AssociatedServerId=numbers[template.server])
        )

    async def put(self, given: str) -> None:
        draft = _draft(await read_fields(self), with_type=False)
        reference = _reference(given)
        edited = await self.site.library.edit(self.group, reference, draft, self.by)
        self.respond(_shown(edited, CHANGED))

    async def delete(self, given: str) -> None:
        deleted = await self.site.library.delete(self.group, _reference(given), self.by)
        self.respond(errors.envelope(0, f"Template {deleted.id} removed."))


class ValidateHandler(PostmarkHandler):
    """POST /templates/validate: what is wrong with a template, and how it looks."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")

    async def get(self) -> None:
        raise no_template()

    async def post(self) -> None:
        fields = await read_fields(self)
        inline_css = fields.flag("InlineCssForHtmlTestRender")
        validation = await self.site.library.validate(
            self.group,
            _draft(fields, with_type=True),
            fields.object("TestRenderModel"),
            inline_css is not False,
        )
        await self.respond_aside(lambda: _validated(validation))


class PushHandler(AccountHandler):
    """PUT /templates/push: one server's templates to another, or what would be pushed."""

    methods: ClassVar[tuple[str, ...]] = ("PUT",)

    async def put(self) -> None:
        fields = Fields(await self.json())
        servers = await self.servers()
        source = servers.get(fields.number("SourceServerID") or 0)
        destination = servers.get(fields.number("DestinationServerID") or 0)
        if source is None or destination is None:
            found = (source is not None, destination is not None)
            raise PostmarkError(601, UNKNOWN_SERVERS[found])
        group = destination.server.group
        if self.key.servers and not self.key.opens(group):
            raise errors.members_only_read(group)
        changes = await self.site.library.push(
            source.server.group,
            group,
            fields.flag("PerformChanges") or False,
            self.by,
        )
        self.respond({"TotalCount": len(changes), "Templates": [_pushed(one) for one in changes]})


async def read_fields(handler: PostmarkHandler) -> Fields:
    """Read a template's fields; raise TemplateEmpty if the body says nothing at all."""
    body = handler.raw_body()
    if not body.strip():
        raise no_template()
    value = await handler.aside(partial(json_value, handler.content_type), body)
    if value is None or value == {}:
        raise no_template()
    return Fields(value)


def no_template() -> TemplateEmpty:
    """Make the refusal of a call that says nothing of a template."""
    return TemplateEmpty("No template data received.")


def _reference(given: str) -> int | str:
    """Read the path's reference: all digits are a number, whatever else is an alias."""
    if is_digits(given):
        return int(given)
    if given.isascii() and given.isdecimal():
        raise TemplateNotFound(UNKNOWN_ID)  # longer than any number
    return given


def _draft(fields: Fields, *, with_type: bool) -> TemplateDraft:
    """Read a template; the type of one that is there already does not change."""
    return TemplateDraft(
        name=fields.text("Name"),
        alias=fields.text("Alias"),
        type=fields.text("TemplateType") if with_type else None,
        subject=fields.text("Subject"),
        html=fields.text("HtmlBody"),
        text=fields.text("TextBody"),
        layout=fields.text("LayoutTemplate"),
    )


def _shown(template: StoredTemplate, names: Sequence[str], **others: object) -> dict[str, Any]:
    """Return a template's properties of these names, in their order; others: what it lacks."""
    return {name: others[name] if name in others else PROPERTIES[name](template) for name in names}


def _validated(validation: Validation) -> dict[str, Any]:
    """Return what a validation found; null for a part that was not given."""
    return {
        "AllContentIsValid": validation.all_valid,
        "HtmlBody": _part(validation.html),
        "TextBody": _part(validation.text),
        "Subject": _part(validation.subject),
        "SuggestedTemplateModel": thaw(validation.suggested_model),
    }


def _part(part: PartValidation | None) -> Mapping[str, Any] | None:
    """Return a part's verdict; a fault without a place has null for line and character."""
    if part is None:
        return None
    return {
        "ContentIsValid": part.valid,
        "ValidationErrors": [
            {
                "Message": fault.message,
                "Line": fault.line or None,
                "CharacterPosition": fault.character or None,
            }
            for fault in part.errors
        ],
        "RenderedContent": part.rendered,
    }


def _pushed(change: Change) -> dict[str, Any]:
    """Return a change; what a dry run would create has no number yet, and no key for it."""
    return {
        "Action": change.action,
        **({} if change.id is None else {"TemplateId": change.id}),
        "Alias": change.alias,
        "Name": change.name,
        "TemplateType": change.type,
    }


ROUTES = [
    (r"(?i)/templates/?", TemplatesHandler),
    (r"(?i)/templates/push/?", PushHandler),
    (r"(?i)/templates/validate/?", ValidateHandler),
    (r"(?i)/templates/([^/]+)/?", TemplateHandler),
]
