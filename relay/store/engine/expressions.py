"""The few expressions for which SQLite and PostgreSQL have different words."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Boolean, Connection, Float, Integer, Table, Text, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType


def upsert(engine: Connection | str, table: Table) -> Any:
    """Make an INSERT that may say what is done where the row is there: `on_conflict_do_update`.

    engine: the connection that it is for, or the name of its dialect.
    """
    name = engine if isinstance(engine, str) else engine.dialect.name
    insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[name]
    return insert(table)


def lock(connection: Connection, what: str) -> None:
    """Let no other daemon do a thing until this transaction ends. In SQLite one writes at a time.

    what: names the thing; two names may share a lock, by a rare accident that does no harm.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(what))))


class holds(FunctionElement[bool]):
    """Whether a text holds another. No LIKE: in SQLite its patterns have a limit of length."""

    type = Boolean()
    inherit_cache = True


class first_of(FunctionElement[str]):
    """The first item of a list that is a member of a JSON object, by its name; else NULL."""

    type = Text()
    inherit_cache = True


class member(FunctionElement[str]):
    """A member of a JSON object by its name, an object or a list as JSON; NULL for none."""

    type = Text()
    inherit_cache = True


class items(FunctionElement[str]):
    """The texts of a JSON list, as a table: `items(list).table_valued("value")`."""

    type = Text()
    inherit_cache = True


class is_listed(FunctionElement[bool]):
    """Whether a text is in a JSON list: found by an index, also in a table without statistics."""

    # What is a Boolean is compared with 1 in SQLite, and then no index is used.
    type: Any = NullType()
    inherit_cache = True


class whole(FunctionElement[int]):
    """A number that is not negative, without what stands after its point."""

    type = Integer()
    inherit_cache = True


class clock_time(FunctionElement[float]):
    """The time by the database's clock, in epoch seconds: not that at which a transaction began."""

    type = Float()
    inherit_cache = True


def _compiled(element: Any, **templates: str) -> None:
    for dialect, template in templates.items():
        compiles(element, dialect)(_filled(template))


def _filled(template: str) -> Callable[..., str]:
    def compile_element(element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
        return template.format(*(compiler.process(one, **kw) for one in element.clauses))

    return compile_element


_compiled(holds, sqlite="instr({0}, {1}) > 0", postgresql="strpos({0}, {1}) > 0")
_compiled(
    first_of,
    sqlite="json_extract({0}, '$.' || {1} || '[0]')",
    postgresql="CAST({0} AS json) -> {1} ->> 0",
)
_compiled(member, sqlite="json_extract({0}, '$.' || {1})", postgresql="CAST({0} AS json) ->> {1}")
_compiled(
    items,
    sqlite="json_each({0})",
    postgresql="json_array_elements_text(CAST({0} AS json))",
)
_compiled(
    is_listed,
    sqlite="{0} IN (SELECT value FROM json_each({1}))",
    postgresql="{0} = ANY(ARRAY(SELECT json_array_elements_text(CAST({1} AS json))))",
)
# A cast rounds in PostgreSQL, and not every SQLite has floor().
_compiled(whole, sqlite="CAST({0} AS INTEGER)", postgresql="CAST(floor({0}) AS INTEGER)")
_compiled(
    clock_time,
    sqlite="(julianday('now') - 2440587.5) * 86400.0",
    postgresql="CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
)
