"""A database that a newer program migrated, and the copy that it made of it before."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from relay.core.errors import ConfigurationError


class NewerSchema(ConfigurationError):
    """The database's schema is newer than this program.

    copy: the database as it was before, of a schema that this program works with; None where there
    is none.
    """

    def __init__(self, where: str, schema: str, copy: Path | None) -> None:
        words = f"its schema ({schema}) is newer than this program"
        kept = f"; as it was before, it is kept as {copy}" if copy else ""
        super().__init__(f"{where}: {words}: run the newer one{kept}")
        self.copy = copy


def copied_before(path: Path, schema: str) -> Path:
    """Name the copy of a database that is made before it is migrated to a schema."""
    return path.with_name(f"{path.name}.before-{schema}")


def schema_of(path: Path) -> str | None:
    """Return the schema of a database that is no daemon's; None where it has none."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return str(found[0]) if found else None
