"""People take a while to fill in a form: who posts at once is a robot."""

from collections.abc import Mapping

from marshmallow import fields, validate

from relay import Decoy, Server, Submission, hookimpl, setting


@hookimpl
def settings() -> Mapping[str, fields.Field]:
    """`min_fill_seconds`: how old the session token must be, at least, when the form comes."""
    between = validate.Range(min=0, max=600)
    return {
        "min_fill_seconds": setting(
            fields.Float(validate=between),
            3.0,
            "how old the session token must be, at least, when the form comes",
        )
    }


@hookimpl
def screen(submission: Submission, server: Server) -> Decoy | None:
    """Catch a post whose token was just made; one without a token, or of unknown age, passes."""
    age = submission.token_age
    # A clock that was set back makes an age negative: that tells nothing.
    if age is None or age < 0 or age >= server.options["min_fill_seconds"]:
        return None
    return Decoy("fill_time")
