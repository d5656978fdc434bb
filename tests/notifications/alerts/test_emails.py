"""An installation's own words for alerts, and what comes of a mistake in them."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.config.template_files import AlertTexts
from relay.core.errors import ConfigurationError, DeliveryFailed
from relay.site import Site
from tests.conftest import FORM, Post
from tests.notifications.alerts.conftest import PATH, Mail, script


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of the installation's own texts."""
    folder = tmp_path / "templates" / "alerts"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def settings_toml(settings_toml: str, own: Path) -> str:
    words = "{{place}}: mail is broken\n\nCall 555-0100.\n"
    (own / "failed.txt").write_text(words, encoding="utf-8")
    return settings_toml


@pytest.mark.gen_test
async def test_a_file_of_ones_own_takes_the_place_of_the_text_of_its_name(
    site: Site, post: Post, mails: Callable[[], list[Mail]]
) -> None:
    script("provider").answers[:] = [DeliveryFailed("no")]
    await post(PATH, FORM)
    await site.alerts.look(time.time())
    [mail] = mails()
    assert mail.subject == "[Relay] registry: mail is broken"
    assert mail.text.startswith("Call 555-0100.\n")
    assert "IDs: " in mail.text


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("faild.txt", "x", "no such text; did you mean failed.txt?"),
        ("failed.html", "x", "no such text"),
        ("failed.txt", "{{#place}}", "failed.txt, line 1"),
        ("section.txt", "{{#each}}", "section.txt, line 1"),
        ("mail.txt", "\udcff", "mail.txt cannot be read"),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_told_at_startup(
    own: Path, name: str, text: str, words: str
) -> None:
    (own / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigurationError) as raised:
        AlertTexts([str(own.parent)])
    assert words in str(raised.value)


def test_a_file_that_breaks_while_an_alert_is_written_gives_way(own: Path) -> None:
    (own / "failed.txt").write_text("{{#each place}}{{/each}}", encoding="utf-8")
    texts = AlertTexts([str(own.parent)])
    assert texts.render("failed", {"place": "registry"}).startswith("registry: ")
