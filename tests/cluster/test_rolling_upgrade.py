"""A release is rolled out under load, and back: two versions run at once on one database."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.store.engine.migrate import newest_schema
from tests.cluster.rig import Cluster, port_of
from tests.support.daemon import ROOT, Daemon
from tests.support.killable_postgresql import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# What a next version's first migration does, and its second: an index of a large table.
EXPANDS = '''"""A column that only the next version knows."""

import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = {newest!r}
oldest = {newest!r}


def upgrade() -> None:
    op.add_column("messages", sa.Column("colour", sa.String(10), server_default="green"))
'''
INDEXES = '''"""An index for it."""

from relay.store.engine.migrations.indexes import create_index

revision = "9001"
down_revision = "9000"
oldest = {newest!r}


def upgrade() -> None:
    create_index("messages_by_colour", "messages", ["colour"])
'''


def next_version(folder: Path) -> Sequence[str]:
    """Make a copy of the program with two more migrations; return how it is run."""
    for name in ("relay", "plugins"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("run.py", "settings.toml"):
        shutil.copy(ROOT / name, folder)
    versions = folder / "relay" / "store" / "engine" / "migrations" / "versions"
    for name, text in (("9000_colour", EXPANDS), ("9001_by_colour", INDEXES)):
        (versions / f"{name}.py").write_text(text.format(newest=newest_schema()), encoding="utf-8")
    version = folder / "relay" / "__init__.py"
    version.write_text(version.read_text().replace('__version__ = "', '__version__ = "9.'))
    return [sys.executable, str(folder / "run.py")]


def replace(cluster: Cluster, daemon: Daemon, program: Sequence[str]) -> None:
    """Roll one daemon over to another program, as its operator does."""
    cluster.balancer.take_out(port_of(daemon))
    assert daemon.stop() == 0
    daemon.program = [*program]
    daemon.start()
    cluster.balancer.put_back(port_of(daemon))
    cluster.let_run(1, 2)


def test_a_release_is_rolled_out_and_back_under_load(tmp_path: Path, server: Server) -> None:
    newer = next_version(tmp_path / "next")
    with Cluster(tmp_path, server, 2) as cluster:
        older = cluster.daemons[0].program
        cluster.call(3)
        cluster.let_run(1, 2)
        for program, daemons in ((newer, cluster.daemons), (older, cluster.daemons)):
            replace(cluster, daemons[0], program)
            versions = {row.version for row in cluster.rows("SELECT version FROM daemons")}
            assert len(versions) == 2
            replace(cluster, daemons[1], program)
        found = cluster.compared()
        assert len(found.promised) > 20
        assert {row.colour for row in cluster.rows("SELECT colour FROM messages")} >= {"green"}
        assert cluster.rows("SELECT version_num FROM alembic_version")[0][0] == "9001"
        assert [one["schema"] for one in cluster.events("schema.newer")] == ["9001"] * 2
