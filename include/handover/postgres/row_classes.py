"""Predicates against a real table: what a predicate means is proven by the server, then rows are counted.

The proof is an index on an empty temporary copy of the table: the server refuses one whose condition is
not boolean or hangs on anything but the row (a time zone, a setting, the clock), and writes down which
functions and operators of users it would call, of which there must be none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from handover.errors import CaseInvalid, NotReady
from handover.model.scope import ScopeProblem
from handover.postgres.predicates import parse_predicate
from handover.postgres.session import Connection, database_errors, fetch, qualified, stripped

# A scan of the largest table takes minutes; a predicate that takes longer is at fault itself.
SCAN_SECONDS = 1800
_COLUMNS = """
SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""
# Dependencies on what the server brings along are not recorded.
_OF_USERS = """
SELECT count(*) FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
AND d.objid = to_regclass('pg_temp.proof') AND d.deptype <> 'p'
AND d.refclassid = ANY(ARRAY['pg_proc', 'pg_operator']::regclass[])
"""
_REASONS = {
    "42804": ("it is not one boolean expression, or mixes types", "compare it with something"),
    "42883": ("an operator or function does not fit the types", "cast one side to the type of the other"),
    "42725": ("an operator or function fits in several ways", "cast its arguments"),
    "42P17": (
        "it hangs on more than the row, for instance on the time zone",
        "compare a timestamp with time zone with a literal of its own type, as in '2025-01-01 00:00+08'",
    ),
    "54001": ("it is too long", "write it shorter"),
    "42P22": ("two collations meet", "compare the column with a literal"),
}
_OF_VALUES = ("22", "23")


@dataclass(frozen=True)
class ClassCounts:
    """Rows by class. Only rows of ``by_class`` are in exactly one class; the others block.

    ``unknown``: some class's predicate gives NULL for the row; the row is then in no other count.
    """

    rows: int
    by_class: dict[str, int]
    none: int
    several: int
    unknown: int

    @property
    def complete(self) -> bool:
        """Say whether every row is in exactly one class."""
        return self.rows == sum(self.by_class.values())


def checked_predicate(connection: Connection, schema: str, table: str, text: str) -> sql.Composable:
    """Return a predicate as a condition on the alias ``t`` of its table, proven by the server.

    The session must be outside a transaction and may make temporary tables; what it makes is rolled back.
    Raises CaseInvalid that names what is wrong, never a literal.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise NotReady("a predicate is proven inside a transaction", hint="prove it before one is opened")
    doing = f"proving a predicate on {schema}.{table}"
    with database_errors(doing):
        names = [str(name) for (name,) in fetch(connection, _COLUMNS, schema, table)]
        condition = parse_predicate(text, names)
        connection.execute("BEGIN READ WRITE")
    try:
        _prove(connection, schema, table, condition)
    except psycopg.Error as problem:
        state = problem.sqlstate or ""
        if state not in _REASONS and not state.startswith(_OF_VALUES):
            raise stripped(problem, doing) from None
        said, remedy = _REASONS.get(
            state, ("a literal is no value of the type that it is compared with", "correct the literal")
        )
        raise CaseInvalid(f"the predicate on {schema}.{table} is refused: {said}", hint=remedy) from None
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")
    return condition


def _prove(connection: Connection, schema: str, table: str, condition: sql.Composable) -> None:
    # The copy bears the name of the alias, for the condition of an index can have none.
    connection.execute(sql.SQL("CREATE TEMP TABLE t (LIKE {})").format(qualified(schema, table)))
    connection.execute(sql.SQL("CREATE INDEX proof ON pg_temp.t ((1)) WHERE {}").format(condition))
    if fetch(connection, _OF_USERS)[0][0]:
        raise CaseInvalid(
            f"the predicate on {schema}.{table} is refused: it would call a function or operator of the "
            "database's users",
            hint="compare columns of such types with literals, or cast them to text",
        )


def classify_rows(
    connection: Connection,
    rows: sql.Composable,
    classes: Mapping[str, sql.Composable],
    within: sql.Composable | None = None,
) -> ClassCounts:
    """Count the rows of each class in one scan of ``rows`` (a table as ordering.rows_of names it).

    ``classes``: proven predicates. ``within`` is a further condition on the alias ``t``, as scoped_rows.
    """
    query = sql.SQL(
        "SELECT answers, count(*) FROM"
        " (SELECT ARRAY[{}]::boolean[] AS answers FROM {} AS t WHERE {}) AS asked GROUP BY answers"
    ).format(sql.SQL(", ").join(classes.values()), rows, within or sql.SQL("true"))
    counts = Counter(dict.fromkeys(classes, 0))
    none = several = unknown = 0
    with database_errors("counting rows by class"), reading(connection):
        for answers, found in cast(list[tuple[list[bool | None], int]], fetch(connection, query)):
            matching = [name for name, answer in zip(classes, answers, strict=True) if answer]
            if None in answers:
                unknown += found
            elif len(matching) == 1:
                counts[matching[0]] += found
            elif matching:
                several += found
            else:
                none += found
    return ClassCounts(sum(counts.values()) + none + several + unknown, dict(counts), none, several, unknown)


def class_problems(field: tuple[int | str, ...], label: str, counts: ClassCounts) -> list[ScopeProblem]:
    """Return a problem for each way in which rows of a table are not in exactly one class."""
    found = (
        (counts.none, "match no class", "widen a class or add one"),
        (counts.several, "match several classes", "narrow the classes until they exclude each other"),
        (counts.unknown, "make a predicate NULL", "say what NULL means, as in x IS NULL or coalesce(x, 0)"),
    )
    return [
        ScopeProblem(field, f"{rows} rows of {label} {said}", remedy) for rows, said, remedy in found if rows
    ]


@contextmanager
def reading(connection: Connection) -> Iterator[None]:
    """Run a block in a read-only transaction, the open one or its own, with a limit on each statement."""
    own = connection.info.transaction_status == TransactionStatus.IDLE
    if own:
        connection.execute("BEGIN READ ONLY")
    try:
        if fetch(connection, "SHOW transaction_read_only")[0][0] != "on":
            raise NotReady("a predicate ran outside a read-only transaction", hint="open a read-only one")
        connection.execute(
            sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(f"{SCAN_SECONDS}s"))
        )
        yield
        if not own:
            connection.execute("SET LOCAL statement_timeout = 0")
    finally:
        if own and not connection.closed:
            connection.execute("ROLLBACK")
