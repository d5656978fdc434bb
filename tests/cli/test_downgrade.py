"""An older program on a newer one's database: it says which copy it can use, and how."""

import re
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from relay.store.engine.database import Store
from relay.store.engine.migrate import newest_schema
from relay.store.engine.newer_schema import NewerSchema
from tests.support.daemon import SHIPPED, Daemon
from tests.support.stored import put


def schema_is(path: Path, schema: str) -> None:
    """Say of a database that it has another schema, with which no older program runs."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [schema])
        oldest = "UPDATE installation SET value = ? WHERE name = 'oldest_schema'"
        connection.execute(oldest, [schema])


def copied(path: Path, schema: str) -> Path:
    """Keep a database as one does that migrates it to a schema."""
    copy = path.with_name(f"{path.name}.before-{schema}")
    with closing(sqlite3.connect(path)) as before, closing(sqlite3.connect(copy)) as after:
        before.backup(after)
    return copy


def opened(folder: Path) -> Store:
    store = Store(f"sqlite:///{folder / 'relay.db'}", folder)
    store.open()
    return store


def none(path: Path) -> None:
    schema_is(path, "9998")


def one(path: Path) -> Path:
    copy = copied(path, "9998")
    schema_is(path, "9998")
    return copy


def of_two_migrations(path: Path) -> Path:
    copy = one(path)
    copied(path, "9999")
    schema_is(path, "9999")
    return copy


def of_an_older_schema(path: Path) -> Path:
    copy = one(path)
    schema_is(copy, "0004")
    return copy


def damaged(path: Path) -> None:
    one(path).write_bytes(b"no database" * 500)


def empty(path: Path) -> None:
    one(path).write_bytes(b"")


@pytest.mark.parametrize("kept", [none, one, of_two_migrations, of_an_older_schema, damaged, empty])
def test_the_copy_that_this_program_can_use_is_named(
    tmp_path: Path, kept: Callable[[Path], Path | None]
) -> None:
    opened(tmp_path).close()
    copy = kept(tmp_path / "relay.db")
    with pytest.raises(NewerSchema) as caught:
        opened(tmp_path)
    assert "is newer than this program" in str(caught.value)
    assert caught.value.copy == copy
    assert (f"it is kept as {copy}" in str(caught.value)) == (copy is not None)


@pytest.mark.slow
def test_the_command_that_is_named_puts_the_copy_back(tmp_path: Path) -> None:
    folder = tmp_path / "the city's relay"
    (folder / "var").mkdir(parents=True)
    old = Daemon(folder, SHIPPED)
    store = opened(folder / "var")
    waiting = put(store, 1, "queued", server="default")
    store.close()
    one(folder / "var" / "relay.db")
    store = Store(f"sqlite:///{folder / 'var' / 'relay.db'}", folder / "var")
    put(store, 2, "sent", server="default")
    refused = old.command("serve")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    [command] = re.findall(r"; `run.py (.*)` puts that back$", refused.stderr, re.MULTILINE)
    settings, path, *arguments = shlex.split(command)
    assert (settings, Path(path)) == ("--settings", old.settings)
    restored = old.command(*arguments, "--yes")
    assert restored.returncode == 0, restored.stderr
    assert (
        "1 message accepted since the backup: only in the database that was there"
        in restored.stdout
    )
    listed = old.command("queue").stdout
    assert listed.startswith(f"{waiting}  in_doubt")
    assert f"(schema {newest_schema()})" in old.command("status").stdout
    with old:
        assert "no daemon runs" not in old.command("status").stdout


def test_other_commands_say_it_too(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    opened(tmp_path / "var").close()
    one(tmp_path / "var" / "relay.db")
    ran = Daemon(tmp_path, SHIPPED).command("pause", "default")
    assert (ran.returncode, "restore" in ran.stderr) == (2, True)
