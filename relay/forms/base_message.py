"""The message that the shared fields make when a plugin adds nothing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from relay.core import text
from relay.core.addresses import Address, listed
from relay.core.message import Message
from relay.core.server import Server
from relay.forms.email_form import ALIASES, CONTROL_FIELDS, Form


def base_message(form: Mapping[str, Any], server: Server) -> Message:
    """Map every field that all forms share; a plugin replaces what it means differently.

    From is `from_address` only where the server's `senders` lists it. With a template, the model
    holds the submitted fields and the parts, and the message has no subject or parts itself.
    """
    return templated(plain_message(form, server), form, server)


def plain_message(form: Mapping[str, Any], server: Server) -> Message:
    """Map the shared fields as if no template had been named."""
    plain, markup = _parts(form)
    return Message(
        sender=_sender(form, server),
        to=form["to_address"],
        cc=form["cc"],
        bcc=form["bcc"],
        reply_to=form["reply_to"] or server.reply_to or (form["from_address"],),
        subject=form["subject"],
        text=plain,
        html=markup,
        tag=form["tag"],
        headers=form["headers"],
        attachments=form.get("attachments") or (),
        send_at=form["senddatetime"],
        writer=form["from_address"],
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
    return loaded if isinstance(value, str) and isinstance(loaded, str) else value


def _sender(form: Mapping[str, Any], server: Server) -> Address:
    writer: Address = form["from_address"]
    if listed(writer, server.senders):
        return Address(writer.email, form["sender"] or writer.name)
    if server.sender is None:  # refused when settings are read: servers with forms have one
        raise ValueError(f"server {server.name} has no sender")
    return Address(server.sender.email, form["sender"] or server.sender.name)


def _parts(form: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Choose the text and the HTML part; `message` fills the one that was not given outright."""
    markup = form["HtmlBody"]
    plain = form["TextBody"] or form["message"]
    if form["useHtml"] and not markup and plain:
        markup = text.as_html(form["message"] or plain)
    if markup and not plain:
        plain = text.as_text(markup)
    if form["useHtml"] is False and plain:
        markup = None
    return plain, markup
