"""Stored templates as rows: the current ones, and every version they had before."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeVar, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    false,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.engine import Row

from relay.core.errors import StoredTemplateError
from relay.core.text import is_storable
from relay.store.engine.expressions import lock
from relay.store.schema import template_versions, templates

T = TypeVar("T")
TemplateType = Literal["Standard", "Layout"]

# Postmark's own numbers are far below: a template that comes from there keeps its number.
FIRST = 1_000_000_000

# In the words of the partial index on aliases, so that SQLite recognises it.
IS_ACTIVE = text("templates.active")


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template of a server (a group's name), as one of its versions.

    `alias` and `layout` (another template's alias) may be None, and so may the parts that it does
    not have. A deleted one is not `active`. `edited_by` is an operator, a
    system's user, or a key's id.
    """

    server: str
    id: int
    version: int
    name: str
    alias: str | None
    type: TemplateType
    subject: str | None
    html: str | None
    text: str | None
    layout: str | None
    active: bool
    edited_at: float
    edited_by: str


class Standing(NamedTuple):
    """Which version of an active template is current, and of the layout that it stands in."""

    id: int
    version: int
    type: TemplateType
    layout_id: int | None
    layout_version: int | None


def change(
    connection: Connection, batch: Sequence[Callable[[Connection], T]]
) -> list[T | Exception]:
    """Make changes one after the other; of one that is refused nothing remains."""
    lock(connection, "templates")
    results: list[T | Exception] = []
    for one in batch:
        try:
            with connection.begin_nested():
                results.append(one(connection))
        except StoredTemplateError as error:
            results.append(error)
    return results


@contextmanager
def taken_back(connection: Connection) -> Iterator[None]:
    """Take back in the end what is done within."""
    with connection.begin_nested() as savepoint:
        yield
        savepoint.rollback()


def by_number(connection: Connection, server: str, id: int) -> StoredTemplate | None:
    """Find a template by its number, a deleted one too."""
    return _one(connection, _of(server).where(_named(id)))


def by_alias(connection: Connection, server: str, alias: str) -> StoredTemplate | None:
    """Find an active template by its alias."""
    return _one(connection, _active(server).where(_named(alias)))


def by_reference(
    connection: Connection, server: str, reference: int | str
) -> StoredTemplate | None:
    """Find a template by its number, a deleted one too, or an active one by its alias."""
    if isinstance(reference, int):
        return by_number(connection, server, reference)
    return by_alias(connection, server, reference)


def standing(connection: Connection, server: str, reference: int | str) -> Standing | None:
    """Return which version of an active template is current, without its content."""
    layout = templates.alias("layout")
    framed = (
        (layout.c.server == templates.c.server)
        & (layout.c.alias == templates.c.layout)
        & text("layout.active")
    )
    query = (
        select(templates.c.id, templates.c.version, templates.c.type, layout.c.id, layout.c.version)
        .outerjoin(layout, framed)
        .where(templates.c.server == server, IS_ACTIVE, _named(reference))
    )
    row = connection.execute(query).first()
    return None if row is None else Standing(*row)


def listed(
    connection: Connection,
    server: str,
    offset: int,
    count: int,
    type: str | None,
    layout: str | None,
) -> tuple[int, Sequence[StoredTemplate]]:
    """Count a server's active templates and give some of them, newest first."""
    found = _active(server)
    if type is not None:
        found = found.where(templates.c.type == type)
    if layout is not None:
        found = found.where(_equals(templates.c.layout, layout))
    total = connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()
    page = found.order_by(templates.c.id.desc()).offset(min(offset, total)).limit(min(count, total))
    return total, [_template(row) for row in connection.execute(page)]


def active(connection: Connection, server: str) -> Sequence[StoredTemplate]:
    """Return all of a server's active templates."""
    return [_template(row) for row in connection.execute(_active(server).order_by(templates.c.id))]


def count_active(connection: Connection, server: str) -> int:
    """Count a server's active templates."""
    counted = select(func.count()).select_from(templates)
    return connection.execute(counted.where(templates.c.server == server, IS_ACTIVE)).scalar_one()


def standing_in(connection: Connection, server: str, layout: str) -> Sequence[StoredTemplate]:
    """Return the active templates that stand in a layout."""
    found = _active(server).where(templates.c.layout == layout)
    return [_template(row) for row in connection.execute(found)]


def versions(connection: Connection, server: str, id: int) -> Sequence[StoredTemplate]:
    """Return a template as it was before, newest first, without the current version."""
    former = template_versions.c
    found = select(template_versions).where(former.server == server, former.id == id)
    rows = connection.execute(found.order_by(former.version.desc()))
    return [_template(row) for row in rows]


def next_number(connection: Connection) -> int:
    """Return a number that no template of this installation ever had."""
    highest = select(func.max(templates.c.id)).where(templates.c.id >= FIRST)
    return (connection.execute(highest).scalar() or FIRST - 1) + 1


def add(connection: Connection, template: StoredTemplate) -> None:
    """Store a new template."""
    connection.execute(insert(templates).values(asdict(template)))


def replace(connection: Connection, former: StoredTemplate, new: StoredTemplate) -> None:
    """Put a new version in the place of the current one, which is kept among the former ones."""
    connection.execute(insert(template_versions).values(asdict(former)))
    same = (templates.c.server == former.server, templates.c.id == former.id)
    connection.execute(update(templates).where(*same).values(asdict(new)))


def _named(reference: int | str) -> ColumnElement[bool]:
    return _equals(templates.c.id if isinstance(reference, int) else templates.c.alias, reference)


def _equals(column: Column[Any], value: int | str) -> ColumnElement[bool]:
    """Compare; a number or a text that the database cannot hold is nobody's."""
    if isinstance(value, int):
        return column == value if value.bit_length() < 64 else false()
    return column == value if is_storable(value) else false()


def _of(server: str) -> Select[Any]:
    return select(templates).where(templates.c.server == server)


def _active(server: str) -> Select[Any]:
    return _of(server).where(IS_ACTIVE)


def _one(connection: Connection, found: Select[Any]) -> StoredTemplate | None:
    row = connection.execute(found).first()
    return None if row is None else _template(row)


def _template(row: Row[Any]) -> StoredTemplate:
    return StoredTemplate(**cast("dict[str, Any]", row._mapping))
