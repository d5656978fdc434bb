"""Relay's own calls: forms with every server's own fields, tokens, cancelling, webhooks, health."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from marshmallow import Schema

from relay.core.server import AttachmentRules, Server
from relay.forms.email_form import EmailForm
from relay.hooks.chain import Chain
from relay.intake.idempotency import HEADER
from relay.web import bodies, return_page
from relay.web.openapi.kinds import ANY, OTHERS, OTHERS_OF_A_FORM, SAYS_SOMETHING, Converter
from relay.web.responses import SUCCESS_WORDS
from relay.web.webhooks import SECRET_HEADER

Json = dict[str, Any]

SECURITY: Mapping[str, Json] = {
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`token KEY`, or `Bearer KEY`",
    },
    "webhook": {"type": "apiKey", "in": "header", "name": SECRET_HEADER},
    "webhookBasic": {"type": "http", "scheme": "basic"},
}

# What each of the fields that all forms share is for.
ABOUT: Mapping[str, str] = {
    "to_address": "who gets it: addresses, separated by commas; also `to`, `recipient`",
    "from_address": "who writes, and is answered",
    "sender": "the name that stands in From",
    "reply_to": "who is answered instead of `from_address`",
    "subject": "needed unless a template has one",
    "message": "the text; also `body`",
    "TextBody": "the text part, given outright",
    "HtmlBody": "the HTML part, given outright; it is cleaned",
    "useHtml": "whether there is an HTML part; left out: as what is given needs it",
    "template_id": "a stored template: its number or its alias; also `TemplateID`,"
    " `template_alias`",
    "headers": "headers of the mail, of those that the server allows",
    "attachments": "files, as Postmark names them; or parts of a multipart body",
    "senddatetime": "when to send it, up to 400 days ahead; in the past, it is refused",
}

_WORDS = {"type": "string"}
ERROR = {
    "type": "object",
    "properties": {"status": {"const": "error"}, "response": _WORDS},
    "required": ["status", "response"],
}
REFUSED: Mapping[int, str] = {
    400: "a field is missing or cannot be used, or the provider refused the message for good",
    401: "the key is wrong or missing",
    403: "the session token is missing, unknown, expired or used, or the page's origin not listed",
    404: "there is no such server or message",
    409: "the same request is being answered; or the message is sent already",
    413: "the body is too large",
    415: "the body's type is not read here",
    422: "the Idempotency-Key was used for another content",
    429: "too many requests",
    503: "nothing can be stored right now",
}
_RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}

_TOKEN = {"type": "integer", "description": "a session token, good once"}
# The header by which a request can be repeated safely.
REPEATABLE: Json = {
    "name": HEADER,
    "in": "header",
    "description": "names a request, so that it can be repeated safely",
    "schema": {**_WORDS, "pattern": "^[!#-~][!-~]{0,254}$"},
}


def components() -> dict[str, dict[str, Json]]:
    """Return what the calls share: schemas and responses."""
    results = [words for words in SUCCESS_WORDS.values() if words.startswith("Message")]
    schemas = {
        "Error": ERROR,
        "Taken": _success(results, id={**_WORDS, "description": "of what is sent later"}),
        "Ok": _success(["ok"]),
        "Any": dict(ANY),
    }
    return {
        "schemas": schemas,
        "responses": {f"Refused{status}": _refusal(status) for status in REFUSED},
    }


def _success(words: Iterable[str], **more: Json) -> Json:
    properties = {"status": {"const": "success"}, "response": {"enum": list(words)}, **more}
    return {"type": "object", "properties": properties, "required": ["status", "response"]}


def _refusal(status: int) -> Json:
    headers = {"headers": _RETRY} if status in (409, 429, 503) else {}
    return {"description": REFUSED[status], **headers, "content": _json("Error")}


def content(schema: Json) -> Json:
    """Return the content of a request or response in JSON."""
    return {bodies.JSON: {"schema": schema}}


def body(schema: Json) -> Json:
    """Return a request's body in JSON, which must be there."""
    return {"required": True, "content": content(schema)}


def reference(schema: str) -> Json:
    """Return a reference to a schema that calls share, by its name."""
    return {"$ref": f"#/components/schemas/{schema}"}


def _json(name: str) -> Json:
    return content(reference(name))


def _refusals(*statuses: int) -> Json:
    return {str(status): {"$ref": f"#/components/responses/Refused{status}"} for status in statuses}


def form_schemas(
    schema: Schema, server: Server, converter: Converter
) -> Iterator[tuple[str, Json]]:
    """Return what a server's form takes, as JSON Schema: in JSON, and from a page's form.

    Further fields are for its template.
    """
    for kind in ("Json", "Form"):
        properties = _properties(schema, server, converter, json=kind == "Json")
        required = [name for name, field in schema.fields.items() if field.required]
        made: Json = {
            "type": "object",
            "title": server.name,
            "properties": properties,
            "required": required,
            **(OTHERS if kind == "Json" else OTHERS_OF_A_FORM),
        }
        if conditions := list(_conditions(schema, required)):
            made["allOf"] = conditions
        yield f"{kind}-{server.name}", made


def _properties(schema: Schema, server: Server, converter: Converter, *, json: bool) -> Json:
    properties = converter.properties(schema, json=json)
    properties.pop("token_session", None)
    if server.attachments is None:
        properties.pop("attachments", None)
    if not server.headers:
        properties.pop("headers", None)
    described = {
        name: {"description": ABOUT[name], **one} if name in ABOUT else one
        for name, one in properties.items()
    }
    if "attachments" in described and server.attachments is not None:
        described["attachments"]["description"] += _files(server.attachments)
    if "headers" in described:
        described["headers"]["items"]["properties"]["Name"] = {"enum": sorted(server.headers)}
    return described


def _files(rules: AttachmentRules) -> str:
    return f"; {rules.max_files} at most, of: {', '.join(sorted(rules.types))}"


def _conditions(schema: Schema, required: Iterable[str]) -> Iterator[Json]:
    """Say which of some fields must be given, where a template may have them instead."""
    if not isinstance(schema, EmailForm) or schema.template is not None:
        return
    if schema.subject_required and "subject" not in required:
        yield {"anyOf": [_says("subject"), _says("template_id")]}
    if schema.message_required and "message" not in required:
        names = ("message", "TextBody", "HtmlBody", "template_id")
        yield {"anyOf": [_says(name) for name in names]}


def _says(name: str) -> Json:
    return {"properties": {name: dict(SAYS_SOMETHING)}, "required": [name]}


def paths(chains: Mapping[str, Chain], legacy: str) -> Iterator[tuple[str, Json]]:
    """Return each path with its calls. legacy: the server that the old path posts to."""
    for name, chain in chains.items():
        if chain.has_forms:
            yield f"/rest/email/{name}", {"post": _form(chain)}
            yield (
                f"/rest/email_session/{name}",
                {"post": _form(chain, session=True)},
            )
            yield f"/rest/email_cancel/{name}", {"post": _cancel(name)}
        if chain.describe()["challenge"]:
            yield f"/rest/challenge/{name}", {"get": _challenge(name)}
        if chain.server.webhook_digests:
            yield f"/rest/email/postmark/{name}/{{stream}}", {"post": _webhook(name)}
    if legacy in chains and chains[legacy].has_forms:
        yield (
            "/emails",
            {"post": {**_form(chains[legacy], "old"), "deprecated": True}},
        )
    yield "/rest/email_token/create", {"post": _create_token()}
    yield "/rest/email_token/remove", {"post": _remove_token()}
    yield "/rest/token/create", {"post": _create_token("alias")}
    yield "/rest/token/remove", {"post": _remove_token("alias")}
    yield from _health()


def _form(chain: Chain, kind: str = "", *, session: bool = False) -> Json:
    server, schema = chain.server, chain.schema
    media = sorted(getattr(schema, "media_types", ())) or [
        bodies.JSON,
        bodies.URLENCODED,
        bodies.MULTIPART,
    ]
    takes = {one: {"schema": _fields(server, one, session=session)} for one in media}
    optional: list[Json] = [{}] if session and server.session_key == "optional" else []
    came_back = {"303": {"description": "to the page of `return_to`"}} if server.return_to else {}
    what = "session_form" if session else "form"
    return {
        "operationId": "_".join(filter(None, [kind, what, server.name])),
        "summary": f"Take a form of {server.name}" + (" with a session token" if session else ""),
        "tags": ["forms"],
        "description": "Fields may be bare, in `email[...]`, or in an object `email`.",
        "security": [{"key": []}, *optional],
        "parameters": [REPEATABLE],
        "requestBody": {"required": True, "content": takes},
        "responses": {
            "200": {
                "description": "it is stored; `Message sent`: the provider has it",
                "headers": {"X-Relay-Message-Id": {"schema": _WORDS}},
                "content": _json("Taken"),
            },
            **came_back,
            **_refusals(*REFUSED),
        },
    }


def _fields(server: Server, media: str, *, session: bool) -> Json:
    """Return the schema of a form that comes in a media type."""
    kind = "Json" if media == bodies.JSON else "Form"
    fields = reference(f"{kind}-{server.name}")
    more: Json = {"properties": {}}
    if session:
        more = {"properties": {"token_session": _TOKEN}, "required": ["token_session"]}
    if server.return_to and kind == "Form":
        page = {"enum": sorted(server.return_to), "description": "the page to come back to"}
        more["properties"][return_page.FIELD] = page
    return {"allOf": [fields, more]} if more["properties"] else fields


def _cancel(name: str) -> Json:
    id = {**_WORDS, "minLength": 1, "description": "what the answer named"}
    return {
        "operationId": f"cancel_{name}",
        "summary": f"Cancel a scheduled message of {name}",
        "tags": ["forms"],
        "security": [{"key": []}],
        "requestBody": body(
            {"type": "object", "properties": {"id": id}, "required": ["id"], **OTHERS}
        ),
        "responses": {
            "200": {"description": "it is cancelled", "content": _json("Taken")},
            **_refusals(400, 401, 403, 404, 409, 413, 415, 429, 503),
        },
    }


def _challenge(name: str) -> Json:
    token = {"name": "token_session", "in": "query", "schema": _WORDS}
    made = content({"type": "object"})
    return {
        "operationId": f"challenge_{name}",
        "summary": f"Make what a page must solve before its form goes to {name}",
        "tags": ["forms"],
        "security": [],
        "parameters": [token],
        "responses": {
            "200": {"description": "as the plugin makes it", "content": made},
            **_refusals(400, 403, 404, 429, 503),
        },
    }


def _webhook(name: str) -> Json:
    stream = {
        "name": "stream",
        "in": "path",
        "required": True,
        "schema": {**_WORDS, "minLength": 1},
    }
    return {
        "operationId": f"webhook_{name}",
        "summary": f"Take what the provider of {name} tells",
        "tags": ["webhooks"],
        "security": [{"webhook": []}, {"webhookBasic": []}],
        "parameters": [stream],
        "requestBody": body({"type": "object"}),
        "responses": {
            "200": {
                "description": "it is stored, or ignored",
                "content": content(_success([SUCCESS_WORDS["noted"]])),
            },
            **_refusals(400, 403, 404, 413, 415, 429, 503),
        },
    }


def _create_token(kind: str = "") -> Json:
    made = {
        "type": "object",
        "properties": {"token_session": _TOKEN},
        "required": ["token_session"],
    }
    return {
        "operationId": "_".join(filter(None, ["create_token", kind])),
        "summary": "Make a session token",
        "tags": ["tokens"],
        "security": [{}, {"key": []}],
        "responses": {
            "200": {"description": "a token", "content": content(made)},
            **_refusals(400, 401, 403, 413, 415, 429, 503),
        },
    }


def _remove_token(kind: str = "") -> Json:
    words = {"type": "object", "properties": {"token_session": {"enum": ["removed", "not found"]}}}
    given = {
        "type": "object",
        "properties": {"token_session": reference("Any")},
        **OTHERS,
    }
    return {
        "operationId": "_".join(filter(None, ["remove_token", kind])),
        "summary": "Make a session token unusable",
        "tags": ["tokens"],
        "security": [{}, {"key": []}],
        "requestBody": {**body(given), "required": False},
        "responses": {
            "200": {
                "description": "whether there was one",
                "content": content(words),
            },
            **_refusals(400, 401, 403, 413, 415, 429, 503),
        },
    }


def _health() -> Iterator[tuple[str, Json]]:
    ready = {
        "type": "object",
        "properties": {
            "ready": {"type": "boolean"},
            "reasons": {"type": "array", "items": _WORDS},
            **{name: _WORDS for name in ("version", "engine", "schema")},
        },
        "required": ["ready", "reasons"],
    }
    said = {
        "/healthz": ("Whether mail is taken", _json("Ok"), _refusals(503)),
        "/livez": ("Whether the daemon answers at all", _json("Ok"), {}),
        "/readyz": (
            "Whether mail is taken, with every reason",
            content(ready),
            {
                "503": {
                    "description": "and why not",
                    "headers": _RETRY,
                    "content": content(ready),
                }
            },
        ),
    }
    for path, (summary, answer, others) in said.items():
        yield (
            path,
            {
                "get": {
                    "operationId": path.strip("/"),
                    "summary": summary,
                    "tags": ["health"],
                    "security": [],
                    "responses": {"200": {"description": "yes", "content": answer}, **others},
                }
            },
        )
