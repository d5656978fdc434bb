"""settings.toml: every table, and every key with its type, its default and what it means.

settings.toml stands beside run.py, or where `--settings` or `RELAY_SETTINGS` says. `plugins/` and
`templates/` beside it are the installation's own. Relative paths count from its folder. Keys of
`[relay]`, but for `limits` and the secrets, can be overridden by the environment: `RELAY_PORT`,
`RELAY_DATA`, `RELAY_PAGES`, and so on; `[console] listen` by `RELAY_CONSOLE`.

A secret never stands in the file. It is `{ env = "NAME" }` or `{ file = "path" }`; a file that
others may write is refused.
"""

# What a setting means stands below it, for the page of settings.

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range, Regexp

from relay.config.fields import (
    AT_LEAST,
    KEEP_DAYS,
    Counts,
    DatabaseUrl,
    Days,
    Names,
    Parsed,
    Seconds,
    SecretReference,
    SecretUrl,
    TemplateLine,
    TimeZone,
    TrueOrTable,
    base_url,
    choice,
    clock,
    digests,
    issuer,
    listen_address,
    long_enough,
    number,
    optional,
    origin,
    setting,
    several,
    url,
    whole,
)
from relay.core import addresses
from relay.core import reply_address as reply_addresses
from relay.core.file_types import FILE_TYPES
from relay.core.header_names import is_reserved
from relay.core.immutable import freeze
from relay.core.server import AttachmentRules, ReceiptTerms
from relay.core.states import EVENTS

_COUNT = Range(min=0)
# Mail takes a while; what comes more often than this is a burden and tells no more.
LEAST_CANARY_MINUTES = 5
_POSITIVE = Range(min=0, min_inclusive=False)
_FILE = Regexp(r"[A-Za-z0-9_-]+\Z", error="a template file's name without its ending")

# What an operator names may be in a local network.
_address = partial(addresses.parse, domains=addresses.ANY_DOMAIN)
_addresses = partial(addresses.parse_list, domains=addresses.ANY_DOMAIN)


def _lowered(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise ValueError("a header's name has letters, digits and - only")
    if is_reserved(name):
        raise ValueError(f"the header {name} is not for forms to set")
    return name.lower()


def _canary_minutes(minutes: float) -> None:
    if minutes and not LEAST_CANARY_MINUTES <= minutes <= 7 * 1440:
        words = f"0 for none, or {LEAST_CANARY_MINUTES} at least and 10080 (a week) at most"
        raise ValidationError(words)


class LimitsTable(Schema):
    """`[relay.limits]`: 0 is no limit

    An address is one IPv4 address or one IPv6 network of 64 bits; a network of 56 bits gets as much
    as 4 addresses, one of 48 bits as much as 16. Callers on the same machine that
    are not behind a proxy are exempt.
    """

    form_bytes = setting(whole(1024, 16 * 2**20), 262_144)
    """bytes of a body without its files; at most 16 MiB"""
    webhook_bytes = setting(whole(1024, 60 * 2**20), 50 * 2**20)
    """bytes of what a provider tells: inbound mail comes with its attachments; at most 60 MiB"""
    posts_per_minute = setting(whole(), 60)
    """posts per address; an application that sends more needs a higher one; 0 is no limit"""
    tokens_per_minute = setting(whole(), 60)
    """tokens per address, and challenges; no limit with a secret key, or if it is 0"""
    bytes_at_once = setting(whole(), 64 * 2**20)
    """bytes of large bodies that are under way; above it they are answered 503; 0 is no limit"""
    connections = setting(whole(), 1000)
    """connections at a time; as many as the process may open files, if it is 0"""
    connections_per_address = setting(whole(), 100)
    """of these, those of one address that is no proxy: not loopback, nor in `trusted_proxies`"""
    address_bytes_per_hour = setting(whole(), 50 * 2**20)
    """bytes of session posts, with their files, per address; 0 is no limit"""
    server_bytes_per_day = setting(whole(), 2**30)
    """the same for each server and all its visitors; you are told when it is used up; 0 is no
    limit"""
    max_unspent_tokens = setting(whole(), 200_000)
    """session tokens that are good and not spent; above it only secret keys get more; 0 is no
    limit"""
    max_waiting = setting(whole(), 2_000_000)
    """messages that wait; above it posts are answered 503; 0 is no limit"""


class RelayTable(Schema):
    """`[relay]`"""

    host = setting(fields.String(), "127.0.0.1")
    """the address at which the API listens"""
    port = setting(whole(0, 65535), 8025)
    """the port where it listens"""
    pages = setting(Parsed(optional(listen_address)), "127.0.0.1:8026")
    """where the mailbox pages listen; `""` is off"""
    data = setting(fields.String(validate=Length(min=1)), "var")
    """the only folder written to: database, socket, made secrets"""
    database = setting(DatabaseUrl(), "", shown="made")
    """`"sqlite:///path"` or `"postgresql://user@host/name"`, also as a secret; without it
    `relay.db` in `data`"""
    database_password = setting(SecretReference(), None, shown="")
    """PostgreSQL's, where it stands neither in the URL nor in `PGPASSFILE`"""
    legacy_server = setting(fields.String(), "contactform")
    """the server that `/emails` posts to; `""` is none"""
    unknown_server = setting(fields.String(), "")
    """a server that takes posts to names without one; `""`: they are 404"""
    wait = setting(number(0, 60), 3)
    """seconds that a form's caller waits for the first attempt"""
    public_url = setting(Parsed(optional(base_url)), "")
    """how callers reach this relay, base path included"""
    openapi_public = setting(fields.Boolean(), False)
    """`true`: everybody may read `/openapi.json`; else who calls from this machine or has a key"""
    trusted_proxies = setting(Names(Parsed(ipaddress.ip_network)), [])
    """networks whose `X-Forwarded-For` and `-Proto` are believed"""
    enabled = setting(fields.Boolean(), True)
    """as for a server, for all of them"""
    queue_enabled = setting(fields.Boolean(), True)
    """as for a server, for all of them"""
    secret = setting(SecretReference(), None, shown="made")
    """what tokens and addresses are hashed with"""
    metrics_token = setting(SecretReference(validate=long_enough), None, shown="")
    """with which `/metrics` of the pages and the console is read from other machines"""
    log = setting(choice("auto", "json", "console"), "auto")
    """`json`, `console`, or by whether stderr is a terminal"""
    limits = setting(fields.Dict(), {}, shown="")
    """the table `[relay.limits]`"""


class ConsoleTable(Schema):
    """`[console]`: the operators' pages

    A listener of its own, where people sign in.
    """

    listen = setting(Parsed(optional(listen_address)), "127.0.0.1:8027")
    """where it listens; `""` is off. The environment's `RELAY_CONSOLE` overrides it"""
    public_url = setting(Parsed(optional(base_url)), "")
    """how people reach it behind a proxy that speaks TLS: `"https://relay.example.gov"`"""
    trusted_proxies = setting(Names(Parsed(ipaddress.ip_network)), [])
    """networks of that proxy: only they may forward to it; their `X-Forwarded-For` is believed"""
    passwords = setting(fields.Boolean(), True)
    """`false`: only the first admin may sign in with a password"""
    oidc = setting(fields.Dict(), {}, shown="")
    """the table `[console.oidc]`"""


class OidcTable(Schema):
    """`[console.oidc]`: an identity provider where people sign in

    Register `/sign-in/identity/callback` of the console there.
    """

    issuer = setting(Parsed(issuer), ...)
    """its address, exactly as it names itself: `"https://login.example.gov"`"""
    client_id = setting(fields.String(validate=Length(min=1)), ...)
    """as what the console is known there"""
    client_secret = setting(SecretReference(), ...)
    """what it was given there"""
    label = setting(fields.String(validate=Length(1, 50)), "your organisation")
    """what the button says after *Sign in with*"""
    scopes = setting(several(fields.String(), least=1), ["openid", "profile"])
    """what is asked for; `openid` must be one"""
    role_claim = setting(fields.String(validate=Length(min=1)), "roles")
    """the claim, of the ID token or the user info, that gives the role; dots lead into tables:
    `"realm_access.roles"`"""
    roles = setting(
        fields.Dict(fields.String(), choice("viewer", "operator", "admin"), validate=Length(min=1)),
        ...,
    )
    """values of that claim, and the role of each; nobody without one comes in"""
    name_claim = setting(fields.String(validate=Length(min=1)), "preferred_username")
    """the claim that gives the name"""


class AlertsTable(Schema):
    """`[alerts]`: who is told what goes wrong"""

    to = setting(several(Parsed(_address), most=20), [])
    """who is told by mail; needed, unless a webhook, Slack or Teams is named"""
    urgent_to = setting(several(Parsed(_address), most=20), [])
    """who is told, besides, what cannot wait: a pager"""
    server = setting(fields.String(post_load=str.lower), "alerts")
    """the server whose plugins carry the alerts; it needs a `sender` and takes no forms"""
    repeat_minutes = setting(
        several(Seconds(60, validate=Range(1, 7 * 1440)), least=1),
        [15, 60, 240, 1440],
        attribute="repeat",
    )
    """from one mail to the next on the same kind and server, the last one for ever"""
    at_least = setting(Counts(), AT_LEAST)
    """how many of these there must be before you are told"""
    breaker_minutes = setting(Seconds(60, validate=_COUNT), 2, attribute="breaker")
    """for how long a provider must have failed"""
    waiting_hours = setting(Seconds(3600, validate=_POSITIVE), 1, attribute="waiting")
    """how long the oldest message waits until you are told"""
    waiting_long_hours = setting(Seconds(3600, validate=_POSITIVE), 4, attribute="waiting_long")
    """how long the oldest message waits until the pager is told"""
    digest = setting(Parsed(clock), "07:00")
    """when the day's problems are told together, UTC; `""` is never"""
    digest_always = setting(fields.Boolean(), False)
    """`true`: also on a day without problems"""
    slack = setting(SecretUrl(), None, shown="")
    """the URL of an incoming webhook of Slack, `{ env = "SLACK_URL" }`: alerts go there too"""
    teams = setting(SecretUrl(), None, shown="")
    """the URL of a workflow of Teams that takes webhooks: alerts go there too"""
    networks = setting(Names(Parsed(ipaddress.ip_network)), [])
    """private networks that these two may be in"""
    webhook = setting(fields.Dict(), {}, shown="")
    """the table `[alerts.webhook]`"""


class AlertWebhookTable(Schema):
    """`[alerts.webhook]`: a webhook that alerts go to, beside mail"""

    url = setting(SecretUrl(), ...)
    """where, as for `[webhooks.NAME]`"""
    secret = setting(SecretReference(), None, shown="")
    """what calls are signed with"""
    secrets = setting(several(SecretReference(), most=2), [], shown="")
    """or two of them"""
    networks = setting(Names(Parsed(ipaddress.ip_network)), [])
    """private networks that its address may be in"""


class WebhookTable(Schema):
    """`[webhooks.NAME]`: who is called when something happens to a message"""

    url = setting(SecretUrl(), ...)
    """where: `"https://crm.example.gov/relay"`, or as a secret is given"""
    secret = setting(SecretReference(), None, shown="")
    """what calls are signed with: `whsec_` and, in base64, 24 to 64 random bytes"""
    secrets = setting(several(SecretReference(), most=2), [], shown="")
    """or two of them: every call is signed with both"""
    events = setting(several(choice(*EVENTS), least=1, into=frozenset), ...)
    """what it is told of"""
    servers = setting(several(fields.String(), into=_lowered), ["*"])
    """the servers whose messages it is told of; `["*"]` is all"""
    addresses = setting(fields.Boolean(), False)
    """`true`: calls name the recipients"""
    networks = setting(Names(Parsed(ipaddress.ip_network)), [])
    """private networks that its address may be in: `["10.1.0.0/16"]`"""


class TokensTable(Schema):
    """`[tokens]`"""

    minutes = setting(Seconds(60, validate=Range(1, 7 * 24 * 60)), 60, attribute="token_seconds")
    """how long a session token lives"""
    key = setting(
        choice("none", "required", into=lambda word: word == "required"),
        "none",
        attribute="token_key_required",
    )
    """`"required"`: making and removing tokens needs a key"""


class KeyTable(Schema):
    """`[keys.NAME]`: who may call

    Without any `[keys]` the daemon makes three at its first start and keeps them in
    `var/keys.json`. Beside those of the settings `run.py keys make` makes keys that open at once,
    expire and can be revoked.
    """

    secret = setting(SecretReference(), None, shown="")
    """the key, of 32 characters and more"""
    secrets = setting(several(SecretReference(), most=2), [], shown="")
    """or two of them: the old and the new one live together"""
    kind = setting(choice("secret", "publishable", "account"), "secret")
    """`"publishable"`: session posts only, may stand in a web page; `"account"`: Postmark's account
    token"""
    servers = setting(several(fields.String(), into=_lowered), [])
    """the servers it is good for; `["*"]` is all"""


class FilesTable(Schema):
    """`[servers.NAME.attachments]`"""

    max_files = setting(whole(1, 10), 5)
    """how many files a form may bring, 10 at most"""
    max_file_bytes = setting(whole(1, 20_000_000), 5_000_000)
    """how large each may be"""
    max_bytes = setting(whole(1, 20_000_000), 7_000_000)
    """how large all may be together; as base64 that is what Postmark takes"""
    types = setting(
        several(
            fields.String(validate=OneOf(FILE_TYPES, error=f"one of {', '.join(FILE_TYPES)}")),
            least=1,
            into=frozenset,
        ),
        list(FILE_TYPES),
        shown="all",
    )
    """the kinds that are taken, by extension: `["pdf", "jpg"]`"""


class ReceiptTable(Schema):
    """`[servers.NAME.receipt]`"""

    template = setting(fields.String(validate=_FILE), "receipt")
    """the template files of the receipt, without their ending"""
    subject = setting(TemplateLine(), "We received your message ({{reference}})")
    """its subject; the same words may stand in it"""
    failure_template = setting(fields.String(validate=_FILE), "not-delivered")
    """the files of the mail that says that a message was not delivered"""
    failure_subject = setting(TemplateLine(), "Your message was not delivered ({{reference}})")
    """its subject"""
    office = setting(fields.String(), "", shown="the sender's name")
    """what `office` says"""
    form_name = setting(fields.String(), "", shown="the contact form's")
    """what `form_name` says"""
    time_zone = setting(TimeZone(), "UTC")
    """of the time in `received`: `"America/New_York"`"""
    per_address_per_hour = setting(whole(1, 1000), 10)
    """how many an address gets in an hour"""
    per_address_per_day = setting(whole(1, 1000), 20)
    """how many an address gets in a day"""
    per_hour = setting(whole(), 500)
    """how many the server sends in an hour, to all; 0 is no limit"""


class ServerTable(Schema):
    """`[servers.NAME]`"""

    class Meta:
        unknown = EXCLUDE  # other keys are its plugins' business

    plugins = setting(several(fields.String(), least=1), ...)
    """the chain, in call order"""
    group = setting(fields.String(post_load=str.lower), "", shown="itself")
    """the server whose provider account, delivery and switches are used"""
    sender = setting(Parsed(_address), None, shown="required with forms")
    """From"""
    senders = setting(several(Parsed(addresses.pattern), into=frozenset), [])
    """addresses that callers may put into From: `"a@b.gov"`, `"@b.gov"`"""
    local_domains = setting(
        several(Parsed(addresses.domain), into=frozenset), [], attribute="named_domains"
    )
    """special-use domains and hosts without a dot, `"city.local"`, `"mailhost"`, whose addresses
    forms and calls may bring, besides those that `sender`, `senders` and `recipients` name"""
    reply_to = setting(Parsed(_addresses), "", shown="the writer")
    """Reply-To where the form gives none"""
    replies = setting(Parsed(optional(reply_addresses.inbox)), None, shown="none")
    """the address that reply addresses are made of; `recipients` and `webhook_secrets` must be set,
    `reply_to` must not"""
    reply_days = setting(Seconds(86400, validate=Range(1, 3650)), 90, attribute="reply_seconds")
    """days for which a reply address is good"""
    recipients = setting(several(Parsed(addresses.pattern), into=frozenset), None, shown="any")
    """addresses that may be written to, cc and bcc included; required with publishable keys. `"*"`
    only with the mailbox alone"""
    origins = setting(several(Parsed(origin), into=frozenset), [])
    """web origins whose pages may post"""
    session_key = setting(choice("required", "optional"), "required")
    """`"optional"`: session posts need no key"""
    return_to = setting(fields.Dict(fields.String(), Parsed(url), post_load=MappingProxyType), {})
    """names of pages for forms without JavaScript, and their URLs"""
    headers = setting(several(Parsed(_header_name), into=frozenset), [])
    """names of mail headers that forms may set; none that has a field of its own or is written by
    mail programs: `To`, `Subject`, `Date`, `Content-Type` and their like"""
    receipt = setting(TrueOrTable(ReceiptTable, ReceiptTerms, "true, false, or a table"), False)
    """`true`, or the table below: the writer gets a receipt"""
    backup = setting(Parsed(optional(_address)), None, shown="none")
    """who gets an office's mail while its own address takes none"""
    webhook_secrets = setting(
        several(SecretReference(), most=2, into=digests), [], attribute="webhook_digests"
    )
    """one or two secrets with which the provider calls; none: it cannot"""
    webhook_networks = setting(Names(Parsed(ipaddress.ip_network)), [], shown="any")
    """networks from which it may call"""
    attachments = setting(
        TrueOrTable(FilesTable, AttachmentRules, "true, false, or a table of limits"), False
    )
    """`true`, or the table below: forms may bring files"""
    enabled = setting(fields.Boolean(), True)
    """`false`: store, attempt nothing"""
    queue_enabled = setting(fields.Boolean(), True)
    """`false`: first attempts only, retries wait"""
    retry = setting(
        several(number(1, 7 * 86400), least=1), [15, 60, 300, 900, 1800, 3600, 7200, 14400]
    )
    """seconds between attempts, the last one for ever; each varies by a fifth"""
    settle = setting(several(number(0.1, 86400), least=1), [120, 600, 1800])
    """seconds after a lost answer at which the message is looked up at the provider, the last one
    for ever"""
    in_doubt = setting(choice("look_up", "hold", "resend"), "look_up")
    """`"hold"`: a person decides; `"resend"`: send again at once, it may arrive twice"""
    scheduling = setting(fields.Boolean(), True)
    """`false`: `senddatetime` is refused"""
    verify = setting(choice("all", "sessions"), "all")
    """which posts the plugins verify that can; `"sessions"`: not those with a secret key outside
    sessions"""
    verify_seconds = setting(number(0.1, 30), 2)
    """seconds that they have for an answer; what they take of it is taken off `wait`"""
    when_unsure = setting(choice("pass", "hold", "refuse"), "hold")
    """what becomes of a post when they cannot tell, or not in time; `"hold"`: it is kept for a
    person, as what was screened, and answered as if it were sent"""
    keep_days = setting(Days(), KEEP_DAYS, attribute="keep")
    """days after which the contents of a message in a final state are cleared; `0` is for ever;
    what failed stays unless it is named"""
    deadline = setting(number(1, 300), 25)
    """seconds that an attempt may take, all together"""
    max_age_hours = setting(Seconds(3600, validate=Range(0.01, 720)), 72, attribute="max_age")
    """what is older and was not sent expires, after five attempts at least"""
    expect_mail_hours = setting(Seconds(3600, validate=_COUNT), 0, attribute="expect_mail")
    """you are told when the server had no mail for so long; `0` is never"""
    canary_minutes = setting(Seconds(60, validate=_canary_minutes), 0, attribute="canary_seconds")
    """every so many minutes, 5 at least, Relay posts a form of its own and watches whether its mail
    arrives; `0` is never"""
    canary_to = setting(Parsed(optional(_address)), None, shown="none")
    """who gets that mail, and nobody else; required with `canary_minutes`"""
    canary_fields = setting(fields.Dict(fields.String(), post_load=freeze), {})
    """the fields of that form, where the server's plugin needs more than all forms do, or others"""

    @validates_schema
    def _canaries_arrive_somewhere(self, values: Mapping[str, Any], **kwargs: Any) -> None:
        """Refuse canaries that nobody would get."""
        if values["canary_seconds"] and values["canary_to"] is None:
            raise ValidationError("name the address that gets the canaries", "canary_to")

    @validates_schema(pass_original=True)
    def _replies_come_back(
        self, values: Mapping[str, Any], table: Mapping[str, Any], **kwargs: Any
    ) -> None:
        """Refuse reply addresses that stand in nobody's mail, or that anybody could answer to."""
        replies, sender = values["replies"], values["sender"]
        words = ""
        if replies is None:
            if "reply_days" in table:
                raise ValidationError("is for reply addresses: set replies too", "reply_days")
        elif values["reply_to"]:
            words = "reply_to would stand in its place in all mail; set one of them"
        elif values["recipients"] is None:
            words = "needs recipients: only they may answer"
        elif sender is not None and sender.email.lower() == replies.email:
            words = "must not be the sender's address"
        if words:
            raise ValidationError(words, "replies")
