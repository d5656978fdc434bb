"""The fields that all forms share, a form that was read by them, and the message they make."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from marshmallow import INCLUDE, Schema, ValidationError, post_load, pre_load, validates_schema
from marshmallow import fields as marshmallow_fields

from relay.core import text
from relay.core.addresses import Address, listed
from relay.core.html_text import as_text
from relay.core.immutable import freeze
from relay.core.message import Message
from relay.core.server import Server
from relay.forms.fields import (
    Attachments,
    Headers,
    HiddenLine,
    Html,
    Line,
    MailAddress,
    MailAddresses,
    SendTime,
    TemplateReference,
    Text,
)

ALIASES: Mapping[str, str] = {
    "to": "to_address",
    "recipient": "to_address",
    "body": "message",
    "TemplateID": "template_id",
    "template_alias": "template_id",
}

# In these a page brings what its visitor proved themselves with, by the names that widgets use.
PROOF_FIELDS = frozenset(
    {
        "altcha",
        "cf-turnstile-response",
        "h-captcha-response",
        "g-recaptcha-response",
        "frc-captcha-response",
    }
)
# What steers Relay and is no business of a template's.
CONTROL_FIELDS = PROOF_FIELDS | frozenset(
    {"token_session", "useHtml", "template_id", "key", "return_to", "senddatetime", "attachments"}
    | {alias for alias, name in ALIASES.items() if name == "template_id"}
)

# Without a template, one of these must say something.
_SUBJECTS = frozenset({"template_id", "subject"})
_BODIES = frozenset({"template_id", "message", "TextBody", "HtmlBody"})
_SAYING = _SUBJECTS | _BODIES


class Form(Mapping[str, Any]):
    """A form's validated fields. `submitted` is what came in, under the names it came under.

    `aliases` are the other names of fields, and what each stands for.
    `used` collects the names that were read, so that the author of a plugin sees what was not.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        submitted: Mapping[str, Any],
        aliases: Mapping[str, str] = ALIASES,
    ) -> None:
        self._values = dict(values)
        self.submitted = submitted
        self.aliases = aliases
        self.used: set[str] = set()
        # What the history of its message is to say.
        self.warnings: tuple[str, ...] = ()
        # What the writer is told to ask by; "" where the server tells its writers nothing.
        self.reference = ""
        # Whether the caller may choose the name in From: its key is secret, or it posts no session.
        self.chooses_name = True

    def limit_choices(self, *, chooses_name: bool) -> None:
        """Leave out what a page must not choose: who is answered and, mostly, the name in From."""
        self.chooses_name = chooses_name
        self._values["reply_to"] = None
        if not chooses_name:
            self._values["sender"] = None

    def __getitem__(self, name: str) -> Any:
        self.used.add(name)
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        self.used.add(name)
        return self._values.get(name, default)

    def read(self, names: Collection[str]) -> Mapping[str, Any]:
        """Return all values, of which these are read."""
        self.used.update(names)
        return self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Form({sorted(self._values)})"  # names only: values are the writer's


class EmailForm(Schema):
    """What every form takes; a plugin's schema inherits from it and adds its own fields.

    A field that was not given, or given blank, is None. Fields that no schema declares are kept
    as they came, for templates.

    template: the stored template of the server's settings, where the form names none. aliases:
    further names of fields, and what each stands for.
    """

    class Meta:
        unknown = INCLUDE

    # Whether a message must be given: a plugin whose own body stands without one says False.
    message_required: ClassVar[bool] = True
    # The same of the subject: a plugin that makes one says False.
    subject_required: ClassVar[bool] = True
    # The media types that such a form may come in; none are all.
    media_types: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        *,
        template: int | str | None = None,
        aliases: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.template = template
        self.aliases = {**ALIASES, **(aliases or {})}
        self._hidden = {
            name: field for name, field in self.fields.items() if isinstance(field, HiddenLine)
        }

    token_session = marshmallow_fields.Raw(load_default=None)
    to_address = MailAddresses(required=True)
    from_address = MailAddress(required=True, max=255)
    sender = Line(load_default=None, max=200)
    reply_to = MailAddresses(load_default=None)
    subject = Line(load_default=None, max=2000)
    message = Text(load_default=None)
    TextBody = Text(load_default=None)
    HtmlBody = Html(load_default=None)
    useHtml = marshmallow_fields.Boolean(load_default=None)
    template_id = TemplateReference(load_default=None)
    cc = MailAddresses(load_default=())
    bcc = MailAddresses(load_default=())
    tag = Line(load_default=None, max=1000)
    headers = Headers(load_default=())
    attachments = Attachments(load_default=())
    senddatetime = SendTime(load_default=None)

    def given_in(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Resolve aliases and drop what is blank: browsers send every field they show."""
        given: dict[str, Any] = {}
        for name, value in data.items():
            # Most texts begin with a letter: to ask about each would be a call for each.
            if not (type(value) is str and value[:1].isalnum()) and text.is_empty(value):
                continue
            canonical = self.aliases.get(name, name)
            if given.setdefault(canonical, value) != value:
                raise ValidationError("given twice with different values", canonical)
        for name in given.keys() - self.fields.keys():
            value = given[name]
            is_text = type(value) is str
            given[name] = text.lines(value) if is_text else freeze(text.each(text.lines, value))
        if self.template is not None:
            given.setdefault("template_id", self.template)
        return given

    def lacks(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the errors of a form that says nothing, by the names of what it lacks.

        Without a template there must be a subject and a body, unless the plugin says no.
        """
        # What was given and cleaned away, such as HTML that is only a script, says nothing.
        said = {name for name in given.keys() & _SAYING if values.get(name) != ""}
        if self.template is not None:
            said.add("template_id")
        missing = {}
        if self.subject_required and said.isdisjoint(_SUBJECTS):
            missing["subject"] = ["Missing data for required field."]
        if self.message_required and said.isdisjoint(_BODIES):
            missing["message"] = ["Missing data for required field."]
        # A schema that requires the field itself has said so.
        for name in [*missing]:
            if self.fields[name].required:
                del missing[name]
        return missing

    def form_of(
        self, values: dict[str, Any], submitted: Mapping[str, Any], given: Mapping[str, Any]
    ) -> Form:
        """Return the form of valid values; given: what `given_in` found in what was submitted."""
        form = Form(values, submitted, self.aliases)
        for name, field in self._hidden.items():
            if field.cuts(given.get(name)):
                form.warnings += (f"{name} was cut to {field.max} characters",)
        return form

    # What `Loader` does for most schemas, for those that load by themselves.

    @pre_load
    def _one_name_each(self, data: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self.given_in(data)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _says_something(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        missing = self.lacks(data, self.given_in(original))
        if missing:
            raise ValidationError(missing)

    @post_load(pass_original=True)
    def _form(self, data: dict[str, Any], original: Mapping[str, Any], **kwargs: Any) -> Form:
        return self.form_of(data, original, self.given_in(original))


# What every message is made of.
_MAPPED = (
    *("to_address", "cc", "bcc", "reply_to", "from_address", "sender", "subject", "tag", "headers"),
    *("HtmlBody", "TextBody", "useHtml", "attachments", "senddatetime"),
)


def base_message(form: Mapping[str, Any], server: Server) -> Message:
    """Map every field that all forms share; a plugin replaces what it means differently.

    From is `from_address` only where the server's `senders` lists it. With a template, the model
    holds the submitted fields and the parts, and the message has no subject or parts itself.
    """
    return templated(plain_message(form, server), form, server)


def plain_message(form: Mapping[str, Any], server: Server) -> Message:
    """Map the shared fields as if no template had been named."""
    given = form.read(_MAPPED) if isinstance(form, Form) else form
    plain, markup = _parts(form, given)
    return Message(
        sender=_sender(given, server, chooses_name=_chooses_name(form)),
        to=given["to_address"],
        cc=given["cc"],
        bcc=given["bcc"],
        reply_to=given["reply_to"] or server.reply_to or (given["from_address"],),
        subject=given["subject"],
        text=plain,
        html=markup,
        tag=given["tag"],
        headers=given["headers"],
        attachments=given.get("attachments") or (),
        send_at=given["senddatetime"],
        writer=given["from_address"],
    )


def templated(
    message: Message,
    form: Mapping[str, Any],
    server: Server,
    template: int | str | None = None,
) -> Message:
    """Where the form names a template, turn subject and parts into its model.

    template: the one to use instead of the form's.

    The model holds every submitted field that is not a control field, under the name it came
    under and, where the schema knows it as text, as the schema left it; and `subject`, `TextBody`,
    `HtmlBody` and `ReplyTo` as the message has them.
    """
    template = template or form["template_id"]
    if not template:
        return message
    control = CONTROL_FIELDS | {server.options.get("honeypot")}
    submitted = form.submitted if isinstance(form, Form) else form
    if isinstance(form, Form):
        form.used.update(submitted)
    kept = [name for name in submitted if name not in control and name != "HtmlBody"]
    model = {name: _cleaned(form, name, submitted[name]) for name in kept}
    parts = {"subject": message.subject, "TextBody": message.text, "HtmlBody": message.html}
    model |= {name: value for name, value in parts.items() if value is not None}
    model["ReplyTo"] = ", ".join(map(str, message.reply_to))
    if reference_of(form):
        model["reference"] = reference_of(form)
    return replace(message, subject=None, text=None, html=None, template=template, model=model)


def reference_of(form: Mapping[str, Any]) -> str:
    """Return the reference number that a form's writer is told; "" where he is told nothing."""
    return form.reference if isinstance(form, Form) else ""


def _cleaned(form: Mapping[str, Any], name: str, value: Any) -> Any:
    """Return a text as the schema left it: HTML as it was submitted was not cleaned."""
    aliases = form.aliases if isinstance(form, Form) else ALIASES
    loaded = form.get(aliases.get(name, name))
    if isinstance(value, str) and isinstance(loaded, str):
        return loaded
    return freeze(text.each(text.lines, value))


def _sender(given: Mapping[str, Any], server: Server, *, chooses_name: bool) -> Address:
    writer: Address = given["from_address"]
    if server.sender is None:  # refused when settings are read: servers with forms have one
        raise ValueError(f"server {server.name} has no sender")
    name = given["sender"]
    is_listed = bool(server.senders) and listed(writer, server.senders)
    if not name and not is_listed:
        return server.sender
    named = writer if is_listed and chooses_name else server.sender
    email = writer.email if is_listed else server.sender.email
    return Address(email, name or named.name)


def _chooses_name(form: Mapping[str, Any]) -> bool:
    return form.chooses_name if isinstance(form, Form) else True


def _parts(form: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Choose the text and the HTML part; `message` fills the one that was not given outright.

    given: the form's values, where its `message` is read only if need be.
    """
    markup = given["HtmlBody"]
    plain = given["TextBody"] or form["message"]
    if given["useHtml"] and not markup and plain:
        markup = text.as_html(form["message"] or plain)
    if markup and not plain:
        plain = as_text(markup)
    if given["useHtml"] is False and plain:
        markup = None
    return plain, markup
