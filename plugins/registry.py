"""The registry of births, deaths and marriages: what it tells those who asked for a record."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import fields

from relay import (
    Address,
    EmailForm,
    Line,
    Message,
    Server,
    TemplateReference,
    hookimpl,
    plain_message,
    setting,
    templated,
)

# What stands in the subject, and the tag that it means.
TAGS = {
    "Birth": "Birth Certificate",
    "Intention": "Marriage Intention",
    "Death": "Death Certificate",
}


class RegistryForm(EmailForm):
    """The shared fields, and who asked."""

    name = Line(load_default=None, max=200)


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """`template` is for forms that name none; `tags` are by a word of the subject."""
    return {
        "template": setting(
            TemplateReference(), None, "the stored template, for forms that name none"
        ),
        "tags": setting(
            fields.Dict(fields.String(), fields.String()), TAGS, "the tag by a word of the subject"
        ),
    }


@hookimpl
def schema(server: Server) -> RegistryForm:
    """Take the registry's fields."""
    return RegistryForm(template=server.options["template"])


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Tag the mail by its subject; whoever has a name is answered by it."""
    message = plain_message(form, server)
    writer = form["from_address"]
    named = (Address(writer.email, form["name"] or writer.name),)
    tags = server.options["tags"]
    tag = next((tags[word] for word in tags if word in (form["subject"] or "")), form["tag"])
    reply_to = form["reply_to"] or server.reply_to or named
    return templated(replace(message, tag=tag, reply_to=reply_to), form, server)
