"""`run.py keys make` and `revoke`, with and without a daemon beside them."""

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from relay.cli.main import relay
from relay.config import settings
from relay.core import clock
from relay.core.secret import digest
from relay.intake.keys import DAY
from relay.store import keys
from relay.store.engine.database import Store
from relay.store.keys import NewKey
from tests.conftest import FORM
from tests.support.daemon import SHIPPED, Daemon

KEY = re.compile(r"relay_secret_[0-9A-Za-z]{49}\n")
SHOP = ("keys", "make", "shop", "--servers", "contactform")


@pytest.fixture
def alone(offline: Daemon, empty_database: Path) -> Daemon:
    """Settings with a database, and no daemon."""
    (offline.folder / "var").mkdir(mode=0o700)
    shutil.copy(empty_database, offline.folder / "var")
    return offline


def run(daemon: Daemon, *arguments: str) -> Result:
    """Run a command in this process."""
    logging = structlog.get_config()  # a command configures its own
    try:
        return CliRunner().invoke(relay, ["--settings", str(daemon.settings), *arguments])
    finally:
        structlog.configure(**logging)


def test_a_key_is_printed_alone_and_nowhere_again(alone: Daemon) -> None:
    made = run(alone, *SHOP, "--expires", "90d")
    assert KEY.fullmatch(made.stdout)
    assert made.stderr == "shop is good now; it is not shown again\n"
    today = datetime.now(UTC).date()
    end = today + timedelta(days=90)
    [listed] = run(alone, "keys").stdout.splitlines()
    assert re.fullmatch(
        rf"shop +secret +contactform +store  made {today}  expires {end}  never used", listed
    )
    secret = made.stdout.strip()
    content = (alone.folder / "var" / "relay.db").read_bytes()
    assert secret.encode() not in content
    assert secret not in run(alone, "acts").stdout
    assert run(alone, "keys", "revoke", "shop").stdout == "shop  revoked\n"
    assert f"revoked {today}" in run(alone, "keys").stdout


REFUSED = [
    (["make", "a b", "--servers", "contactform"], "a key's name has letters"),
    (["make", "shop"], "name the servers that it opens"),
    (["make", "shop", "--servers", "contactfrom"], "did you mean contactform?"),
    (["make", "shop", "--servers", "contactform", "--kind", "root"], "Invalid value"),
    (["make", "shop", "--servers", "contactform", "--expires", "2020-01-01"], "expired"),
    (["make", "shop", "--servers", "contactform", "--expires", "0d"], "a day in UTC"),
    (["make", "shop", "--servers", "contactform", "--expires", "soon"], "a day in UTC"),
    (["make", "shop", "--servers", "contactform", "--expires", "2027-02-30"], "a day in UTC"),
    (["make", "shop", "--servers", "contactform", "--expires", "٩d"], "a day in UTC"),
    (["make", "shop", "--servers", "contactform", "--expires", "99999999d"], "a day in UTC"),
    (["make", "application", "--servers", "contactform"], "the settings have a key"),
    (["revoke", "nobody"], "no key nobody was made here"),
    (["revoke", "application"], "stands in the settings"),
]


def test_what_cannot_be_done_is_told_and_nothing_is_made(alone: Daemon) -> None:
    for arguments, words in REFUSED:
        done = run(alone, "keys", *arguments)
        told = done.stderr + str(done.exception)
        assert (done.exit_code != 0, done.stdout, words in told) == (True, "", True), arguments
    assert run(alone, "keys").stdout == ""


def test_which_are_unused_for_ninety_days_is_marked(alone: Daemon) -> None:
    now = clock.now()
    today = int(now // DAY)
    read = settings.load(alone.settings)
    store = Store(read.database, read.data)
    store.open()
    for name, made, used, expires in (
        ("new", 1, None, None),
        ("never", 91, None, None),
        ("lately", 200, 89, None),
        ("long", 200, 91, None),
        ("gone", 200, 150, 100),
    ):
        end = None if expires is None else now - expires * DAY
        new = NewKey(name, "secret", ["*"], digest(name.encode()), now - made * DAY, end)
        store.write_now(keys.add, [new])
        if used is not None:
            [id] = [row.id for row in store.read_now(keys.listed) if row.key.id == name]
            store.write_now(keys.note_use, [(id, today - used)])
    store.close()
    lines = run(alone, "keys").stdout.splitlines()
    marked = [line.split()[0] for line in lines if line.endswith("unused for 90 days")]
    assert marked == ["long", "never"]
    assert [line.split()[0] for line in lines if "expired" in line] == ["gone"]


def stored(daemon: Daemon, *new: NewKey) -> None:
    read = settings.load(daemon.settings)
    store = Store(read.database, read.data)
    store.open()
    store.write_now(keys.add, new)
    store.close()


def test_check_names_keys_that_do_not_fit_the_settings(alone: Daemon) -> None:
    toml = alone.settings.read_text(encoding="utf-8")
    secret = "x" * 40
    (alone.folder / "key").write_text(secret)
    alone.settings.write_text(
        f'{toml}\n[keys.shop]\nsecret.file = "key"\nservers = ["*"]\n'
        '[servers.open]\nplugins = ["bearer_token", "default", "mailbox"]\nsender = "a@b.example"\n'
    )
    at = clock.now()
    kinds = [
        ("shop", "secret", ["*"]),
        ("pages", "publishable", ["*"]),
        ("old", "secret", ["gone"]),
    ]
    stored(alone, *(NewKey(*one, one[0].encode().ljust(32), at, None) for one in kinds))  # type: ignore[arg-type]
    told = run(alone, "check").stdout
    for words in (
        "[keys.shop] has the name of a key of the store",
        "[servers.open] recipients is not set: the key pages is refused there",
        "the key old is for gone, and there is no [servers.gone]",
    ):
        assert told.count(words) == 1, told
    for name in ("shop", "pages", "old"):
        assert run(alone, "keys", "revoke", name).exit_code == (1 if name == "shop" else 0)
    told = run(alone, "check").stdout
    assert "key pages" not in told
    assert "key old" not in told


def test_a_form_is_tried_with_a_key_of_the_store(alone: Daemon) -> None:
    key = run(alone, *SHOP).stdout.strip()
    form = alone.folder / "form.json"
    form.write_text(json.dumps(FORM))
    tried = ("try", "contactform", str(form), "--key", key)
    assert "Identity(key='shop', kind='secret')" in run(alone, *tried).stdout
    run(alone, "keys", "revoke", "shop")
    assert "refused with 401 (key_revoked)" in run(alone, *tried).stdout


@pytest.mark.slow
def test_a_daemon_hears_at_once_of_what_a_command_makes_and_revokes(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, SHIPPED)
    with daemon:
        made = daemon.command(*SHOP)
        assert KEY.fullmatch(made.stdout), made.stderr
        key = made.stdout.strip()
        assert daemon.post("/rest/email/contactform", key, data=FORM).status_code == 200
        again = daemon.command(*SHOP)
        assert (again.returncode, "there is a key shop already" in again.stderr) == (1, True)
        assert daemon.command("keys", "revoke", "shop").returncode == 0
        assert daemon.post("/rest/email/contactform", key, data=FORM).status_code == 401
        assert daemon.command("keys", "revoke", "shop").returncode == 1
        page = daemon.command("keys", "make", "page2", "--servers", "*").stdout.strip()
        assert daemon.post("/rest/email/contactform", page, data=FORM).status_code == 200
    [refusal] = [one for one in daemon.events() if one["event"] == "submission.refused"]
    assert (refusal["reason"], refusal["key"]) == ("key_revoked", "shop")
    assert key not in daemon.log()
    today = datetime.now(UTC).date()
    used = [line for line in daemon.command("keys").stdout.splitlines() if f"used {today}" in line]
    assert [line.split()[0] for line in used] == ["page2", "shop"]  # also what is revoked by now
