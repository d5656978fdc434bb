"""What the settings say of canaries: what is refused, what `check` names, what is said of them."""

from collections.abc import Callable

import pytest

from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.hooks import loader
from relay.notifications.canaries import form
from relay.notifications.canaries.arrival import said
from relay.operators.findings import of_server
from relay.site import Site
from relay.store import canaries
from relay.store.canaries import Canary, NewCanary, Seen
from tests.notifications.canaries.conftest import ON, TO

Load = Callable[[str], Settings]
AT = 1_790_000_000.0

pytestmark = pytest.mark.sqlite


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("canary_minutes = 10", "canary_to: name the address that gets the canaries"),
        (f'canary_minutes = 4\ncanary_to = "{TO}"', "canary_minutes: 0 for none, or 5 at least"),
        (f'canary_minutes = -1\ncanary_to = "{TO}"', "canary_minutes: 0 for none, or 5 at least"),
        (f'canary_minutes = 1e9\ncanary_to = "{TO}"', "canary_minutes: 0 for none, or 5 at least"),
        ('canary_minutes = 10\ncanary_to = "nobody"', "canary_to"),
        (f'canary_minutes = 10\ncanary_to = ["{TO}"]', "canary_to"),
        (f'{ON}canary_fields = "order"', "canary_fields"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    load: Load, without_canaries: str, lines: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"\[servers\.boxed\].*") as refused:
        load(without_canaries.replace("[servers.boxed]\n", f"[servers.boxed]\n{lines}\n"))
    assert words in str(refused.value)


def test_a_server_without_forms_has_none(load: Load, without_canaries: str) -> None:
    settings = load(without_canaries.replace("[servers.alerts]\n", f"[servers.alerts]\n{ON}"))
    with pytest.raises(ConfigurationError, match="canary_minutes: this server takes no forms"):
        loader.build(settings, settings.keys)


ORDER = """
from marshmallow import fields

from relay import EmailForm, base_message, hookimpl

class Registry(EmailForm):
    order = fields.String(required=True)

@hookimpl
def schema():
    return Registry()

@hookimpl
def compose(form, server):
    return base_message(form, server)
"""
BREAKS = ORDER.replace("return base_message(form, server)", "return 1 / 0")
NEEDED = "made of them: its form is refused: order: Missing data for required field."


@pytest.mark.parametrize(
    ("plugin", "fields", "words"),
    [
        (ORDER, "", NEEDED),
        (ORDER, 'order = "42"', ""),
        (ORDER, 'order = "42", to = "mayor@elsewhere.gov"', "to_address: not a recipient"),
        (ORDER, 'order = "42", senddatetime = "yesterday?"', "senddatetime"),
        (BREAKS, 'order = "42"', "ZeroDivisionError in order compose"),
    ],
)
def test_check_names_the_fields_without_which_none_can_be_made(
    load: Load, without_canaries: str, plugin: str, fields: str, words: str
) -> None:
    lines = f"{ON}canary_fields = {{ {fields} }}\n"
    toml = without_canaries.replace("[servers.boxed]\n", f"[servers.boxed]\n{lines}")
    settings = load(toml.replace('"contactform", "mailbox"', '"order", "mailbox"'))
    settings.path.with_name("plugins").joinpath("order.py").write_text(plugin, encoding="utf-8")
    chains = loader.build(settings, settings.keys)
    found = [one for one in of_server("boxed", chains) if "canary" in one]
    assert len(found) == bool(words)
    assert all(words in one and one.startswith("canary_fields: ") for one in found)


@pytest.mark.parametrize(
    ("recipients", "named"),
    [
        ("", TO),
        ('recipients = ["@example.org"]', TO),
        ('recipients = ["@example.gov", "desk@example.com"]', "desk@example.com"),
        ('recipients = ["@example.gov"]', "canary@example.gov"),
        ('recipients = ["*"]', TO),
    ],
)
def test_two_lines_are_enough_for_a_plain_server(
    load: Load, without_canaries: str, recipients: str, named: str
) -> None:
    toml = without_canaries.replace(
        'recipients = ["@example.gov"]\n\n[servers.scr', "\n[servers.scr"
    )
    settings = load(toml.replace("[servers.boxed]\n", f"[servers.boxed]\n{ON}{recipients}\n"))
    chain = loader.build(settings, settings.keys)["boxed"]
    assert form.objection(chain) == ""
    assert form.submission(chain, "", 0.0).fields["to_address"] == named


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        (Canary("a", "x", AT, True), "on its way since 2026-09-21 14:13:20Z"),
        (Canary("a", "x", AT, False, AT + 4, 4.2), "arrived 2026-09-21 14:13:24Z, took 4s"),
        (Canary("a", "x", AT + 600, True, AT, 4), "arrived 2026-09-21 14:13:20Z, took 4s"),
        (
            Canary("a", "x", AT + 600, True, AT, 4, AT, "it came back"),
            "missing since 2026-09-21 14:13:20Z: it came back",
        ),
    ],
)
def test_how_they_do_is_said_in_a_line(canary: Canary, words: str) -> None:
    assert said(canary) == words


@pytest.mark.gen_test
async def test_the_gauges_say_whether_they_arrive(site: Site) -> None:
    async def gauges() -> list[str]:
        site.measurements._read_again_at = 0.0
        text = (await site.measurements.text([])).decode()
        return [
            line.partition(".")[0] for line in text.splitlines() if line.startswith("relay_canary")
        ]

    made = Canary("registry", "", AT, is_awaited=True)
    await site.store.write(canaries.begin, NewCanary(made, None))
    assert await gauges() == []
    there = made._replace(is_awaited=False, arrived_at=AT + 4, took=4.0)
    await site.store.write(canaries.note, Seen(there, made))
    ok, age = await gauges()
    assert ok == 'relay_canary_ok{server="registry"} 1'
    assert age.startswith('relay_canary_age_seconds{server="registry"} ')
    gone = there._replace(missing_since=AT)
    await site.store.write(canaries.note, Seen(gone, there))
    assert (await gauges())[0] == 'relay_canary_ok{server="registry"} 0'
