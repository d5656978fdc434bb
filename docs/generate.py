"""The pages of docs/reference that are made of Relay's own declarations.

Run it as `python -m docs.generate`; a test tells when a page is not what it makes.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, validate

import relay
from relay import provider
from relay.config import fields as kinds
from relay.config import schema
from relay.config.settings import load
from relay.hooks import loader, specs
from relay.hooks.chain import hook_names
from relay.web.openapi import document

FOLDER = Path(__file__).parent / "reference"
SHIPPED = Path(__file__).parents[1] / "settings.toml"
HEAD = ["key", "type", "default", "meaning"]
PLUGINS = Path(__file__).parents[1] / "plugins"

TABLES: Mapping[str, type[Schema]] = {
    "[relay]": schema.RelayTable,
    "[relay.limits]": schema.LimitsTable,
    "[console]": schema.ConsoleTable,
    "[console.oidc]": schema.OidcTable,
    "[alerts]": schema.AlertsTable,
    "[alerts.webhook]": schema.AlertWebhookTable,
    "[webhooks.NAME]": schema.WebhookTable,
    "[tokens]": schema.TokensTable,
    "[keys.NAME]": schema.KeyTable,
    "[servers.NAME]": schema.ServerTable,
    "[servers.NAME.attachments]": schema.FilesTable,
    "[servers.NAME.receipt]": schema.ReceiptTable,
}
# Where more is said about a setting, by its table and its name.
MORE = {
    ("[servers.NAME]", "replies"): "../operate/replies.md",
    ("[servers.NAME]", "receipt"): "../forms/receipts.md",
    ("[servers.NAME]", "attachments"): "../forms/files.md",
    ("[servers.NAME]", "in_doubt"): "../operate/deliver.md",
    ("[servers.NAME]", "webhook_secrets"): "../operate/provider-events.md",
    ("[relay]", "metrics_token"): "../operate/metrics.md",
    ("[relay]", "trusted_proxies"): "../operate/deploy.md",
    ("[console]", "oidc"): "../operate/console.md",
    ("[alerts]", "to"): "../operate/alerts.md",
    ("[webhooks.NAME]", "url"): "../operate/webhooks.md",
    ("altcha", "altcha_key"): "../forms/captcha.md",
    ("siteverify", "captcha"): "../forms/captcha.md",
    ("[servers.NAME]", "when_unsure"): "../forms/captcha.md",
    ("mapped", "fields"): "../plugins/without-code.md",
}
# How a value is written in TOML, by its kind; the first that fits.
WRITTEN = (
    (provider.SecretReference, "secret"),
    (kinds.SecretUrl, "string or secret"),
    (relay.TemplateReference, "integer or string"),
    (relay.DeclaredFields, "table"),
    ((relay.Pattern, kinds.TemplateLine), "string, a template"),
    (kinds.TrueOrTable, "boolean or table"),
    (kinds.Days, "number or table"),
    ((kinds.Counts, fields.Dict), "table"),
    (fields.Boolean, "boolean"),
    (fields.Integer, "integer"),
    (fields.Float, "number"),
    (fields.Field, "string"),
)


def pages() -> dict[str, str]:
    """Return each page's text by its file's name."""
    return {"settings.md": settings_page(), "hooks.md": hooks_page(), "openapi.json": openapi()}


def openapi() -> str:
    """Write the document of the HTTP interface that the shipped settings make."""
    shipped = load(SHIPPED, {})
    return json.dumps(document(shipped, loader.build(shipped, ())), indent=1) + "\n"


def settings_page() -> str:
    """Write the page of every setting, as the tables declare it."""
    _, _, about = inspect.cleandoc(schema.__doc__ or "").partition("\n\n")
    parts = ["# Settings", about, *(_table(name, table) for name, table in TABLES.items())]
    parts.append("## Settings of plugins\n\nPlugins add keys of their own:")
    parts.append("\n".join(_rows(["plugin", *HEAD], _plugin_settings())))
    return "\n\n".join(parts) + "\n"


def _table(name: str, table: type[Schema]) -> str:
    heading, _, about = inspect.cleandoc(table.__doc__ or "").partition("\n\n")
    said = meanings(table)
    rows = [_cells(name, key, field, said[key]) for key, field in table().fields.items()]
    return "\n\n".join(filter(None, [f"## {heading}", "\n".join(_rows(HEAD, rows)), about]))


def meanings(table: type[Schema]) -> dict[str, str]:
    """Read what each setting of a table means: the string that stands below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(table))).body[0].body
    found = {}
    for above, below in pairwise(body):
        match above, below:
            case (ast.Assign(targets=[ast.Name(name)]), ast.Expr(ast.Constant(str(words)))):
                found[name] = " ".join(words.split())
    return found


def _plugin_settings() -> Iterator[list[str]]:
    for path in sorted(PLUGINS.glob("*.py")):
        module = loader.import_file(path.stem, path)
        if hasattr(module, "settings"):
            for key, field in module.settings().items():
                yield [
                    f"`{path.stem}`",
                    *_cells(path.stem, key, field, field.metadata["description"]),
                ]


def _cells(table: str, key: str, field: fields.Field, meaning: str) -> list[str]:
    if (table, key) in MORE:
        meaning += f" ([more]({MORE[table, key]}))"
    return [f"`{key}`", _type(field), _default(field), meaning]


def _type(field: fields.Field) -> str:
    """Say how a setting is written in TOML."""
    if isinstance(field, fields.List):
        words, comma, limits = _type(field.inner).partition(",")
        return f"list of {words}s{comma}{limits}"
    written = next(words for kind, words in WRITTEN if isinstance(field, kind))
    for one in field.validators:
        if isinstance(one, validate.OneOf) and len(list(one.choices)) < 5:
            return ", ".join(f"`{_toml(choice)}`" for choice in one.choices)
        if isinstance(one, validate.Range):
            written += _range(one)
    return written


def _range(one: validate.Range) -> str:
    if one.max is not None:
        return f", {one.min} to {one.max}"
    return f", {one.min} or more" if one.min_inclusive else f", more than {one.min}"


def _default(field: fields.Field) -> str:
    default, shown = field.metadata["default"], field.metadata["shown"]
    if shown is not None or default is None:
        return shown or ""
    return "required" if default is ... else f"`{_toml(default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        members = ", ".join(f"{key} = {_toml(member)}" for key, member in value.items())
        return f"{{ {members} }}" if members else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def hooks_page() -> str:
    """Write the page of every hook, as its specification says it."""
    _, _, about = inspect.cleandoc(specs.__doc__ or "").partition("\n\n")
    parts = ["# Every hook", about]
    for name in hook_names():
        hook = getattr(specs, name)
        parts.append(f"## `{name}({', '.join(inspect.signature(hook).parameters)})`")
        parts.append(inspect.cleandoc(hook.__doc__))
        returns = inspect.formatannotation(inspect.signature(hook).return_annotation)
        if hook.relay_spec["firstresult"]:
            parts.append(f"Returns `{re.sub(r'(?:[a-z_]+[.])+', '', returns)}`.")
    return "\n\n".join(parts) + "\n"


def _rows(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
