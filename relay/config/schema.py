"""The tables of settings.toml as schemas: every key, its type, its default, its limits."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from marshmallow import INCLUDE, RAISE, Schema, ValidationError, fields, validate, validates_schema

from relay.config.fields import (
    KEEP_DAYS,
    Days,
    Names,
    Parsed,
    SecretReference,
    base_url,
    listen_address,
    optional,
    origin,
    url,
)
from relay.config.receipts import ReceiptField
from relay.core import addresses
from relay.core import reply_address as reply_addresses
from relay.core.file_types import KINDS
from relay.core.server import AttachmentRules

# How long an office may answer to a reply address.
REPLY_DAYS = 90.0

_COUNT = validate.Range(min=0)


class RelayTable(Schema):
    """`[relay]`"""

    class Meta:
        unknown = RAISE

    host = fields.String(load_default="127.0.0.1")
    port = fields.Integer(load_default=8025, validate=validate.Range(min=0, max=65535))
    pages = Parsed(optional(listen_address), load_default=("127.0.0.1", 8026))
    data = fields.String(load_default="var", validate=validate.Length(min=1))
    database = fields.String(load_default="")
    legacy_server = fields.String(load_default="contactform")
    unknown_server = fields.String(load_default="")
    wait = fields.Float(load_default=3.0, validate=validate.Range(min=0, max=60))
    public_url = Parsed(optional(base_url), load_default=None)
    trusted_proxies = Names(Parsed(ipaddress.ip_network), load_default=list)
    enabled = fields.Boolean(load_default=True)
    queue_enabled = fields.Boolean(load_default=True)
    secret = SecretReference(load_default=None)
    log = fields.String(load_default="auto", validate=validate.OneOf(["auto", "json", "console"]))
    limits = fields.Dict(load_default=dict)


class LimitsTable(Schema):
    """`[relay.limits]`; 0 is no limit."""

    class Meta:
        unknown = RAISE

    form_bytes = fields.Integer(load_default=262_144, validate=validate.Range(1024, 16 * 2**20))
    webhook_bytes = fields.Integer(
        load_default=50 * 2**20, validate=validate.Range(1024, 60 * 2**20)
    )
    posts_per_minute = fields.Integer(load_default=60, validate=_COUNT)
    tokens_per_minute = fields.Integer(load_default=60, validate=_COUNT)
    max_waiting = fields.Integer(load_default=2_000_000, validate=_COUNT)


class TokensTable(Schema):
    """`[tokens]`"""

    class Meta:
        unknown = RAISE

    minutes = fields.Float(load_default=60.0, validate=validate.Range(min=1, max=7 * 24 * 60))
    key = fields.String(load_default="none", validate=validate.OneOf(["none", "required"]))


class KeyTable(Schema):
    """`[keys.NAME]`"""

    class Meta:
        unknown = RAISE

    secret = SecretReference(load_default=None)
    secrets = fields.List(SecretReference(), load_default=list, validate=validate.Length(max=2))
    kind = fields.String(
        load_default="secret", validate=validate.OneOf(["secret", "publishable", "account"])
    )
    servers = fields.List(fields.String(), load_default=list)


class FilesTable(Schema):
    """`attachments = { ... }` of a server: the files its forms may bring."""

    class Meta:
        unknown = RAISE

    max_files = fields.Integer(load_default=5, validate=validate.Range(1, 10))
    max_file_bytes = fields.Integer(load_default=5_000_000, validate=validate.Range(1, 20_000_000))
    max_bytes = fields.Integer(load_default=7_000_000, validate=validate.Range(1, 20_000_000))
    types = fields.List(
        fields.String(validate=validate.OneOf(KINDS, error=f"one of {', '.join(KINDS)}")),
        load_default=lambda: list(KINDS),
        validate=validate.Length(min=1),
    )


class Files(fields.Field[AttachmentRules | None]):
    """`true`, `false`, or a table of limits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value is False:
            return None
        if value is not True and not isinstance(value, dict):
            raise ValidationError("true, false, or a table of limits")
        limits = FilesTable().load({} if value is True else value)
        return AttachmentRules(**{**limits, "types": frozenset(limits["types"])})


class ServerTable(Schema):
    """`[servers.NAME]`: what every server may have. Other keys are its plugins' business."""

    class Meta:
        unknown = INCLUDE

    plugins = fields.List(fields.String(), required=True, validate=validate.Length(min=1))
    group = fields.String(load_default="")
    sender = Parsed(addresses.parse, load_default=None)
    senders = fields.List(Parsed(addresses.pattern), load_default=list)
    reply_to = Parsed(addresses.parse_list, load_default=())
    replies = Parsed(optional(reply_addresses.inbox), load_default=None)
    reply_days = fields.Float(load_default=None, validate=validate.Range(min=1, max=3650))
    recipients = fields.List(Parsed(addresses.pattern), load_default=None)
    backup = Parsed(optional(addresses.parse), load_default=None)
    webhook_secrets = fields.List(
        SecretReference(), load_default=list, validate=validate.Length(max=2)
    )
    webhook_networks = Names(Parsed(ipaddress.ip_network), load_default=list)
    origins = fields.List(Parsed(origin), load_default=list)
    session_key = fields.String(
        load_default="required", validate=validate.OneOf(["required", "optional"])
    )
    return_to = fields.Dict(fields.String(), Parsed(url), load_default=dict)
    headers = fields.List(
        fields.String(validate=validate.Regexp(r"[A-Za-z0-9-]+\Z")), load_default=list
    )
    attachments = Files(load_default=None)
    receipt = ReceiptField(load_default=None)
    enabled = fields.Boolean(load_default=True)
    queue_enabled = fields.Boolean(load_default=True)
    retry = fields.List(
        fields.Float(validate=validate.Range(min=1, max=7 * 86400)),
        load_default=lambda: [15, 60, 300, 900, 1800, 3600, 7200, 14400],
        validate=validate.Length(min=1),
    )
    settle = fields.List(
        fields.Float(validate=validate.Range(min=0.1, max=86400)),
        load_default=lambda: [120, 600, 1800],
        validate=validate.Length(min=1),
    )
    in_doubt = fields.String(
        load_default="look_up", validate=validate.OneOf(["look_up", "hold", "resend"])
    )
    keep_days = Days(load_default=lambda: dict(KEEP_DAYS))
    scheduling = fields.Boolean(load_default=True)
    deadline = fields.Float(load_default=25.0, validate=validate.Range(min=1, max=300))
    max_age_hours = fields.Float(load_default=72.0, validate=validate.Range(min=0.01, max=720))
    expect_mail_hours = fields.Float(load_default=0.0, validate=_COUNT)

    @validates_schema
    def _replies_come_back(self, values: Mapping[str, Any], **kwargs: Any) -> None:
        """Refuse reply addresses that stand in nobody's mail, or that anybody could answer to."""
        replies, sender = values["replies"], values["sender"]
        words = ""
        if replies is None:
            if values["reply_days"] is not None:
                raise ValidationError("is for reply addresses: set replies too", "reply_days")
        elif values["reply_to"]:
            words = "reply_to would stand in its place in all mail; set one of them"
        elif values["recipients"] is None:
            words = "needs recipients: only they may answer"
        elif sender is not None and sender.email.lower() == replies.email:
            words = "must not be the sender's address"
        if words:
            raise ValidationError(words, "replies")
