"""Postmark's calls, as far as they are served: what they take and answer, in its names.

Members are found without regard to case, null counts as absent, and flags and numbers may be
written as strings, as Postmark has it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from relay.web.openapi.calls import REPEATABLE, body, content, reference
from relay.web.postmark.handler import ACCOUNT_TOKEN, SERVER_TOKEN
from relay.web.postmark.messages import MAX_METADATA_NAME, TRACK_LINKS
from relay.web.postmark.outbound import MAX_COUNT as MAX_MESSAGES
from relay.web.postmark.sending import MAX_BATCH
from relay.web.postmark.suppressions import MAX_CHANGES

Json = dict[str, Any]

SECURITY: Mapping[str, Json] = {
    "serverToken": {
        "type": "apiKey",
        "in": "header",
        "name": SERVER_TOKEN,
        "description": "a secret key that is good for one server",
    },
    "accountToken": {
        "type": "apiKey",
        "in": "header",
        "name": ACCOUNT_TOKEN,
        "description": "an account key",
    },
}

TEXT: Json = {"type": ["string", "null"]}
FLAG: Json = {
    "type": ["boolean", "string", "null"],
    "pattern": "^ *([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])? *$",
}
NUMBER: Json = {"type": ["integer", "string", "null"], "pattern": "^ *([0-9]{1,18})? *$"}
OBJECT: Json = {"type": ["object", "null"]}
_STRING: Json = {"type": "string"}
_INTEGER: Json = {"type": "integer"}
_BOOLEAN: Json = {"type": "boolean"}
_MAILBOXES = {"type": ["string", "null"], "format": "mailbox-list"}


def _list(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def _listed(items: Json) -> Json:
    """Return the schema of a list that may be absent: null, blank, or an empty object."""
    types = ["array", "object", "string", "null"]
    return {"type": types, "items": items, "maxProperties": 0, "maxLength": 0}


def _object(properties: Mapping[str, Json], *required: str) -> Json:
    made: Json = {"type": "object", "properties": dict(properties)}
    return {**made, "required": list(required)} if required else made


def _one_of(*names: str) -> Json:
    """Say that one of these must be given."""
    given = {"type": ["integer", "string"], "pattern": "."}
    return {"anyOf": [{"properties": {one: given}, "required": [one]} for one in names]}


_RECIPIENTS = ("To", "Cc", "Bcc")
_HEADERS = _listed(
    _object({"Name": {**_STRING, "pattern": "^[!-9;-~]{1,76}$"}, "Value": TEXT}, "Name")
)
_ATTACHMENTS = _listed(
    _object(
        {
            "Name": {**_STRING, "minLength": 1, "maxLength": 255},
            "Content": {**_STRING, "contentEncoding": "base64"},
            "ContentType": TEXT,
            "ContentID": TEXT,
        },
        *("Name", "Content"),
    )
)
_METADATA = {
    **OBJECT,
    "propertyNames": {"pattern": f"^[!-~]{{1,{MAX_METADATA_NAME}}}$"},
    "additionalProperties": {"type": ["string", "number", "boolean", "null"], "maxLength": 80},
    "maxProperties": 10,
}
_COMMON = {
    "From": {**_STRING, "format": "mailbox"},
    "To": _MAILBOXES,
    "Cc": _MAILBOXES,
    "Bcc": _MAILBOXES,
    "ReplyTo": {**_MAILBOXES, "type": ["string", "array", "null"], "items": _MAILBOXES},
    "Tag": TEXT,
    "Headers": _HEADERS,
    "TrackOpens": FLAG,
    "TrackLinks": {"enum": [*TRACK_LINKS.values(), "", None]},
    "Metadata": _METADATA,
    "Attachments": _ATTACHMENTS,
    "MessageStream": TEXT,
}
_PARTS = {"Subject": TEXT, "HtmlBody": TEXT, "TextBody": TEXT}
_TEMPLATE_PARTS = {"Name": TEXT, "Alias": TEXT, **_PARTS, "LayoutTemplate": TEXT}
_TYPE = {"enum": ["Standard", "Layout", None]}


def _summary(*names: str) -> Json:
    kinds: Mapping[str, Json] = {
        "TemplateId": _INTEGER,
        "Active": _BOOLEAN,
        "AssociatedServerId": _INTEGER,
    }
    return _object({name: kinds.get(name, TEXT) for name in names})


SCHEMAS: Mapping[str, Json] = {
    "PostmarkError": _object({"ErrorCode": _INTEGER, "Message": _STRING}, "ErrorCode", "Message"),
    "PostmarkMessage": {
        **_object({**_COMMON, **_PARTS}, "From"),
        "allOf": [_one_of(*_RECIPIENTS), _one_of("TextBody", "HtmlBody")],
    },
    "PostmarkTemplatedMessage": {
        **_object(
            {
                **_COMMON,
                "TemplateId": NUMBER,
                "TemplateAlias": TEXT,
                "TemplateModel": OBJECT,
                "InlineCss": FLAG,
            },
            *("From", "TemplateModel"),
        ),
        "allOf": [_one_of(*_RECIPIENTS), _one_of("TemplateId", "TemplateAlias")],
    },
    "PostmarkSent": _object(
        {
            **{
                name: _STRING for name in ("To", "Cc", "Bcc", "SubmittedAt", "MessageID", "Message")
            },
            "ErrorCode": _INTEGER,
        },
        *("ErrorCode", "Message"),
    ),
    "PostmarkTemplate": _summary(
        *("Name", "TemplateId", "Subject", "HtmlBody", "TextBody", "AssociatedServerId"),
        *("Active", "Alias", "TemplateType", "LayoutTemplate"),
    ),
    "PostmarkTemplateSummary": _summary(
        *("TemplateId", "Name", "Active", "Alias", "TemplateType", "LayoutTemplate")
    ),
    "PostmarkNewTemplate": _object({**_TEMPLATE_PARTS, "TemplateType": _TYPE}, "Name"),
    "PostmarkTemplateEdit": _object(_TEMPLATE_PARTS),
    "PostmarkServer": _object(
        {"ID": _INTEGER, "Name": _STRING, "DeliveryType": _STRING}, "ID", "Name"
    ),
    "PostmarkStream": _object(
        {"ID": _STRING, "ServerID": _INTEGER, "Name": _STRING, "MessageStreamType": _STRING}, "ID"
    ),
    "PostmarkOutbound": _object(
        {
            **{
                name: _STRING
                for name in ("MessageID", "MessageStream", "ReceivedAt", "From", "Status")
            },
            **{name: TEXT for name in ("Tag", "Subject")},
            **{name: _list({"type": "object"}) for name in ("To", "Cc", "Bcc")},
            "Recipients": _list(_STRING),
        },
        "MessageID",
    ),
    "PostmarkSuppressionChanges": _object(
        {"Suppressions": _list(_object({"EmailAddress": TEXT}), minItems=1, maxItems=MAX_CHANGES)},
        "Suppressions",
    ),
}

REFUSED: Mapping[int, str] = {
    400: "the Idempotency-Key cannot be used",
    401: "the token is wrong or missing",
    403: "templates and suppressions are the group's to change",
    409: "the same request is being answered",
    413: "the body is too large",
    415: "the body is not JSON",
    422: "the call cannot be done: `ErrorCode` and `Message` say why",
    429: "too many requests",
    503: "nothing can be stored right now",
}


def responses() -> dict[str, Json]:
    """Return the refusals that the calls share, by their names."""
    return {
        f"Postmark{status}": {"description": words, "content": content(reference("PostmarkError"))}
        for status, words in REFUSED.items()
    }


def _query(name: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _path(name: str) -> Json:
    schema = {**_STRING, "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


_AT_MOST = {**_INTEGER, "minimum": 0, "maximum": 10**18 - 1}
_DAY = {**_STRING, "description": '2014-02-01, in UTC; `""` for any'}


def _call(
    name: str,
    summary: str,
    answer: Json,
    *parameters: Json,
    takes: Json | None = None,
    account: bool = False,
) -> Json:
    """Return a call; takes: the body's schema, where there is one."""
    given = (400, 409, 413, 415) if takes is not None else ()
    made: Json = {
        "operationId": name,
        "summary": summary,
        "tags": ["postmark"],
        "security": [{"accountToken" if account else "serverToken": []}],
        "parameters": list(parameters),
        "responses": {
            "200": {"description": "done", "content": content(answer)},
            **{
                str(status): {"$ref": f"#/components/responses/Postmark{status}"}
                for status in sorted({401, 403, 422, 429, 503, *given})
            },
        },
    }
    return made if takes is None else {**made, "requestBody": body(takes)}


def paths() -> Iterator[tuple[str, Json]]:
    """Return each path with its calls."""
    yield from _sending()
    yield from _templates()
    yield from _servers()
    yield from _messages()


def _sending() -> Iterator[tuple[str, Json]]:
    sent, message = reference("PostmarkSent"), reference("PostmarkMessage")
    templated = reference("PostmarkTemplatedMessage")
    # What a message of a batch is refused for stands in its own response.
    batch = _list({}, maxItems=MAX_BATCH)
    yield "/email", {"post": _call("email", "Send a message", sent, REPEATABLE, takes=message)}
    yield (
        "/email/withTemplate",
        {
            "post": _call(
                "email_with_template", "Send one by a template", sent, REPEATABLE, takes=templated
            )
        },
    )
    yield (
        "/email/batch",
        {"post": _call("email_batch", "Send messages", _list(sent), REPEATABLE, takes=batch)},
    )
    yield (
        "/email/batchWithTemplates",
        {
            "post": _call(
                "email_batch_with_templates",
                "Send messages by templates",
                _list(sent),
                REPEATABLE,
                takes=_object({"Messages": _listed({})}, "Messages"),
            )
        },
    )


def _templates() -> Iterator[tuple[str, Json]]:
    named, listed, whole = (
        _path("idOrAlias"),
        reference("PostmarkTemplateSummary"),
        reference("PostmarkTemplate"),
    )
    count = (_query("Count", _AT_MOST, required=True), _query("Offset", _AT_MOST, required=True))
    type = _query("TemplateType", _STRING)
    page = _object({"TotalCount": _INTEGER, "Templates": _list(listed)}, "TotalCount", "Templates")
    new, edit = reference("PostmarkNewTemplate"), reference("PostmarkTemplateEdit")
    yield (
        "/templates",
        {
            "get": _call(
                "templates",
                "List the templates",
                page,
                *count,
                type,
                _query("LayoutTemplate", _STRING),
            ),
            "post": _call("create_template", "Make a template", listed, takes=new),
        },
    )
    yield (
        "/templates/{idOrAlias}",
        {
            "get": _call("template", "Show a template", whole, named),
            "put": _call("edit_template", "Change a template", listed, named, takes=edit),
            "delete": _call(
                "delete_template", "Delete a template", reference("PostmarkError"), named
            ),
        },
    )
    found = _object(
        {"AllContentIsValid": _BOOLEAN, "SuggestedTemplateModel": {}}, "AllContentIsValid"
    )
    tried = _object(
        {
            **_TEMPLATE_PARTS,
            "TemplateType": _TYPE,
            "TestRenderModel": OBJECT,
            "InlineCssForHtmlTestRender": FLAG,
        }
    )
    yield (
        "/templates/validate",
        {
            "get": _call("validate_nothing", "Is refused, as there", reference("PostmarkError")),
            "post": _call(
                "validate_template", "Say what is wrong with a template", found, takes=tried
            ),
        },
    )
    pushed = _object(
        {"SourceServerID": NUMBER, "DestinationServerID": NUMBER, "PerformChanges": FLAG}
    )
    changes = _object(
        {"TotalCount": _INTEGER, "Templates": _list({"type": "object"})}, "TotalCount"
    )
    yield (
        "/templates/push",
        {
            "put": _call(
                "push_templates",
                "Copy templates to another server",
                changes,
                takes=pushed,
                account=True,
            )
        },
    )


def _servers() -> Iterator[tuple[str, Json]]:
    server, stream = reference("PostmarkServer"), reference("PostmarkStream")
    page = (_query("count", _AT_MOST, required=True), _query("offset", _AT_MOST, required=True))
    servers = _object({"TotalCount": _INTEGER, "Servers": _list(server)}, "TotalCount", "Servers")
    streams = _object({"TotalCount": _INTEGER, "MessageStreams": _list(stream)}, "MessageStreams")
    type = _query("MessageStreamType", _STRING)
    yield "/server", {"get": _call("server", "Show the token's server", server)}
    yield (
        "/servers",
        {
            "get": _call(
                "servers", "List the servers", servers, *page, _query("name", _STRING), account=True
            )
        },
    )
    yield (
        "/servers/{id}",
        {"get": _call("server_by_id", "Show a server", server, _path("id"), account=True)},
    )
    yield "/message-streams", {"get": _call("streams", "List the streams", streams, type)}
    yield "/message-streams/{id}", {"get": _call("stream", "Show a stream", stream, _path("id"))}
    suppressed = _object({"Suppressions": _list({"type": "object"})}, "Suppressions")
    changes = reference("PostmarkSuppressionChanges")
    filters = (
        *(_query(name, _STRING) for name in ("SuppressionReason", "Origin", "EmailAddress")),
        *(_query(name, _DAY) for name in ("fromdate", "todate")),
    )
    place = "/message-streams/{id}/suppressions"
    yield (
        f"{place}/dump",
        {"get": _call("suppressions", "List who gets no mail", suppressed, _path("id"), *filters)},
    )
    yield (
        place,
        {"post": _call("suppress", "Add addresses", suppressed, _path("id"), takes=changes)},
    )
    yield (
        f"{place}/delete",
        {
            "post": _call(
                "lift_suppressions", "Lift addresses", suppressed, _path("id"), takes=changes
            )
        },
    )


def _messages() -> Iterator[tuple[str, Json]]:
    outbound = reference("PostmarkOutbound")
    page = _object({"TotalCount": _INTEGER, "Messages": _list(outbound)}, "TotalCount", "Messages")
    filters = (
        _query("count", {**_INTEGER, "minimum": 1, "maximum": MAX_MESSAGES}, required=True),
        _query("offset", _AT_MOST, required=True),
        *(
            _query(name, _STRING)
            for name in ("recipient", "fromemail", "tag", "subject", "messagestream")
        ),
        _query("status", _STRING),
        *(_query(name, _DAY) for name in ("fromdate", "todate")),
    )
    dump = _object({"Body": _STRING}, "Body")
    yield (
        "/messages/outbound",
        {"get": _call("messages", "Search the server's messages", page, *filters)},
    )
    yield (
        "/messages/outbound/{id}/details",
        {"get": _call("message", "Show a message", outbound, _path("id"))},
    )
    yield (
        "/messages/outbound/{id}/dump",
        {"get": _call("message_dump", "Show a message's source", dump, _path("id"))},
    )
