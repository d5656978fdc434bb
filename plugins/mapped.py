"""A form server without code: its fields and its message stand in the settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import fields

from relay import (
    ConfigurationError,
    DeclaredFields,
    EmailForm,
    InvalidSubmission,
    MailAddresses,
    Message,
    Pattern,
    Server,
    TemplateReference,
    as_html,
    hookimpl,
    listed,
    one_line,
    plain_message,
    setting,
    template_files,
    templated,
)


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """`fields` declares the form; the others say how the message is made of it."""
    return {
        "fields": setting(
            DeclaredFields(), ..., "the form's own fields, and what is said of shared ones"
        ),
        "to": setting(MailAddresses(), None, "who gets it; a form may then not say so itself"),
        "subject": setting(Pattern(), None, "a pattern; without it the subject is the form's"),
        "tag": setting(Pattern(), None, "a pattern; without it the tag is the form's"),
        "template": setting(
            TemplateReference(), None, "a stored template, where the form names none"
        ),
        "template_files": setting(
            fields.String(), "mapped", "the body: template files, without their ending"
        ),
    }


@hookimpl
def schema(server: Server) -> EmailForm:
    """Make the schema of the declared fields; a mistake in what uses them is told now."""
    options = server.options
    template_files(server, options["template_files"])
    for key in ("subject", "tag"):
        used = options[key].suggested_model if options[key] else {}
        for fault in options["fields"].faults(used):
            raise ConfigurationError(f"{key}: {fault}")
    for address in options["to"] or ():
        if server.recipients is not None and not listed(address, server.recipients):
            words = f"{address.email} is not among the server's recipients"
            raise ConfigurationError(f"to: {words}")
    return options["fields"].form(
        subject_required=options["subject"] is None,
        to=options["to"],
        template=options["template"],
    )


@hookimpl
def compose(form: Mapping[str, Any], server: Server) -> Message:
    """Fill the settings' patterns and template file with what was submitted."""
    options = server.options
    if options["to"] and form["to_address"] != options["to"]:
        raise InvalidSubmission({"to_address": ["the settings say who gets it; leave it out"]})
    message = plain_message(form, server)
    words = options["fields"].words(form, message.text)
    for key, most in (("subject", 2000), ("tag", 1000)):
        if options[key]:
            line = one_line(options[key].render(words, escape=False), most)
            message = replace(message, **{key: line or getattr(message, key)})
    if not (message.subject or form["template_id"]):
        raise InvalidSubmission({"subject": ["nothing that was filled in makes a subject"]})
    message = templated(_filled(message, form, words, server), form, server)
    if message.model is None:
        return message
    own = {**options["fields"].values(form), "rows": words["rows"]}
    return replace(message, model={**message.model, **own})


def _filled(
    message: Message, form: Mapping[str, Any], words: Mapping[str, Any], server: Server
) -> Message:
    markup = None
    if form["useHtml"]:
        body = message.html or as_html(message.text or "")
        markup = server.options["fields"].words(form, body, markup=True)
    return template_files(server, server.options["template_files"]).fill(message, words, markup)
