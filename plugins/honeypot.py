"""A field that people do not see: whoever fills it in is a robot."""

from collections.abc import Mapping

from marshmallow import fields

from relay import Decoy, Server, Submission, hookimpl, setting


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """`honeypot`: the name of the hidden field."""
    return {"honeypot": setting(fields.String(), "contact", "the hidden field's name")}


@hookimpl
def screen(submission: Submission, server: Server) -> Decoy | None:
    """Catch a submission whose hidden field is filled in; one that lacks the field passes."""
    value = submission.fields.get(server.options["honeypot"])
    filled = value.strip() if isinstance(value, str) else value
    return Decoy("honeypot") if filled else None
