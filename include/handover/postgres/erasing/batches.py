"""Finds the rows that may go and numbers them, so that whatever refers to a row has no higher number.

All rows up to a number, once those below it are gone, can then go together: no subject is cut in half, no
child is left without its parent. The subjects count up; what hangs on them takes the lowest number of what it
refers to; rows that only others need come last. Everything is in temporary tables of the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from psycopg import sql

from handover.model.catalog import Table
from handover.postgres.erasing.circles import components
from handover.postgres.erasing.request import Request
from handover.postgres.erasing.staging import Stage, load
from handover.postgres.ordering import rows_of
from handover.postgres.references import Part, Reference
from handover.postgres.session import Connection, database_errors, fetch, qualified

# So many subjects share a number; a transaction takes as many numbers as its time allows.
SUBJECTS_OF_A_NUMBER = 50
# The state of a row: it goes, or why it is not erased; the two last ones stay where they are.
GOING, GONE, DIFFERS, NEEDED = "", "gone", "differs", "needed"
# Of what is loaded only rough figures are needed, and no row is looked for twice.
_PLANNED = """
SELECT set_config(name, CASE name WHEN 'enable_memoize' THEN 'off' ELSE '10' END, false) FROM pg_settings
WHERE name IN ('default_statistics_target', 'enable_memoize')
"""
_FILES = """
SELECT part.oid::bigint, pg_relation_filenode(part.oid)::bigint FROM unnest(%s::text[]) AS name,
LATERAL (SELECT name::regclass AS oid UNION SELECT relid FROM pg_partition_tree(name::regclass)) AS part
WHERE pg_relation_filenode(part.oid) IS NOT NULL
"""
Column = tuple[str, Part]


@dataclass(frozen=True)
class Work:
    """The rows of one table of the graph that may go. ``kept``: columns of references, by their place.

    Beside them stand, for each row: its ``unit``, where it lies in the stage (``origin``) and in the table
    (``part``, ``place``), the transaction that made it so (``version``), its ``batch`` number, and its
    ``state``: going, or why it is not. Place and version name one content, as long as ``files`` are the same.
    """

    number: int
    table: Table
    stages: tuple[Stage, ...]
    asked: int
    kept: Mapping[Column, str]

    @property
    def place(self) -> sql.Identifier:
        """Return the temporary table's quoted name."""
        return sql.Identifier("pg_temp", f"erase_rows_{self.number}")


@dataclass(frozen=True)
class Works:
    """All rows that may go; their numbers begin at 0 and are below ``end``.

    ``files``: where the tables' rows lay when they were looked for, by table or partition.
    """

    tables: Mapping[int, Work]
    order: tuple[tuple[int, ...], ...]
    references: tuple[Reference, ...]
    starts: Mapping[int, int]
    end: int
    files: Mapping[int, int] = field(default_factory=dict)


def load_backup(connection: Connection, request: Request) -> Works:
    """Load the backed-up rows that may go; they are not looked for yet."""
    connection.execute(_PLANNED)
    stages: dict[int, list[Stage]] = {}
    asked: dict[int, int] = {}
    for position, unit in enumerate(request.units):
        number, _ = request.graph.places[unit.plan.schema_name, unit.plan.name]
        stage, rows = load(connection, position, unit)
        stages.setdefault(number, []).append(stage)
        asked[number] = asked.get(number, 0) + rows
    references = [r for r in request.graph.references if {r.child.table, r.parent.table} <= stages.keys()]
    edges = [(r.parent.table, r.child.table) for r in references]
    order = components(stages, edges)
    kept = _kept(references, stages)
    tables = {n: Work(n, request.graph.tables[n], tuple(stages[n]), asked[n], kept[n]) for n in stages}
    starts, end = _starts([n for circle in order for n in circle], request.roots, asked)
    return Works(tables, tuple(order), tuple(references), starts, end)


def find(connection: Connection, works: Works) -> Works:
    """Find the loaded rows in their tables, compare and number them."""
    tables, references = works.tables, works.references
    files = read_files(connection, works)
    for circle in works.order:
        for number in circle:
            outer = [r for r in references if r.child.table == number and r.parent.table not in circle]
            _number(connection, tables, number, works.starts[number], outer)
        _settle(connection, tables, [r for r in references if {r.child.table, r.parent.table} <= {*circle}])
    for work in tables.values():
        with database_errors(f"ordering the rows of {work.table.label} that may go"):
            connection.execute(sql.SQL("CREATE INDEX ON {} (batch)").format(work.place))
    return replace(works, files=files)


def read_files(connection: Connection, works: Works) -> dict[int, int]:
    """Return in which file the rows of each table or partition lie; it is another one after a rewrite."""
    names = [
        qualified(stage.plan.schema_name, stage.plan.name).as_string(connection)
        for work in works.tables.values()
        for stage in work.stages
    ]
    with database_errors("looking where the rows that may go lie"):
        return {int(str(part)): int(str(file)) for part, file in fetch(connection, _FILES, names)}


def _kept(references: Iterable[Reference], numbers: Iterable[int]) -> dict[int, dict[Column, str]]:
    found: dict[int, dict[Column, str]] = {number: {} for number in numbers}
    for reference in references:
        for side in (reference.child, reference.parent):
            for column in side.columns:
                found[side.table].setdefault((column, side.part), f"r{len(found[side.table])}")
    return found


def _starts(
    parents_first: list[int], roots: frozenset[int], rows: Mapping[int, int]
) -> tuple[dict[int, int], int]:
    """Return the number of each table's first row, if nothing lowers it: subjects first, then children."""
    ordered = [n for n in parents_first if n in roots] + [n for n in parents_first[::-1] if n not in roots]
    starts, here = {}, 0
    for number in ordered:
        starts[number] = here
        here += -(-rows[number] // SUBJECTS_OF_A_NUMBER)
    return starts, here


def _number(
    connection: Connection, tables: Mapping[int, Work], number: int, start: int, outer: list[Reference]
) -> None:
    """Find the rows of a table and give them numbers, not above those of parents outside its circle."""
    work = tables[number]
    with database_errors(f"finding the rows of {work.table.label} that may go"):
        connection.execute(_definition(work))
        joins, lowest = [], [_own_number(start)]
        for place, reference in enumerate(outer):
            alias = sql.Identifier(f"p{place}")
            joins.append(_parents(tables[reference.parent.table], reference, alias))
            lowest.append(sql.SQL("{}.batch").format(alias))
        for stage in work.stages:
            connection.execute(
                sql.SQL("INSERT INTO {} SELECT {}, {} FROM {} {}").format(
                    work.place,
                    _identity(stage),
                    sql.SQL(", ").join(
                        [
                            sql.SQL("least({})").format(sql.SQL(", ").join(lowest)),
                            _state(stage),
                            *(value_of(*column) for column in work.kept),
                        ]
                    ),
                    found_rows(stage),
                    sql.SQL(" ").join(joins),
                )
            )
        connection.execute(sql.SQL("ANALYZE {}").format(work.place))


def _definition(work: Work) -> sql.Composed:
    kept = [sql.SQL(", {} AS {}").format(value_of(*c), sql.Identifier(n)) for c, n in work.kept.items()]
    return sql.SQL(
        "CREATE TEMPORARY TABLE {} AS SELECT 0 AS unit, t.ctid AS origin, t.tableoid AS part,"
        " t.ctid AS place, t.xmin AS version, 0 AS batch, ''::text AS state{} FROM {} AS t WITH NO DATA"
    ).format(sql.Identifier(f"erase_rows_{work.number}"), sql.SQL("").join(kept), rows_of(work.table))


def _own_number(start: int) -> sql.Composable:
    return sql.SQL("({} + (row_number() OVER () - 1) / {})::int").format(
        sql.Literal(start), sql.Literal(SUBJECTS_OF_A_NUMBER)
    )


def _identity(stage: Stage) -> sql.Composable:
    return sql.SQL("{}, s.ctid, t.tableoid, t.ctid, t.xmin").format(sql.Literal(stage.number))


def _state(stage: Stage) -> sql.Composable:
    """Return whether a row that was found goes; one without a key was found by its content."""
    if not stage.keyed:
        return sql.Literal(GOING)
    return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(
        stage.unlike(), sql.Literal(DIFFERS), sql.Literal(GOING)
    )


def found_rows(stage: Stage) -> sql.Composable:
    """Return the join of a stage, alias ``s``, with the rows ``t`` that it names; equal rows one by one."""
    table = rows_of(stage.plan)
    if stage.keyed:
        return sql.SQL("{} AS s JOIN {} AS t ON {}").format(stage.place, table, stage.same())
    copies = sql.SQL(
        "(SELECT {what}, {text} AS text, row_number() OVER (PARTITION BY {text}) AS copy"
        " FROM {rows} AS x) AS {a}"
    )
    there = sql.SQL("x.tableoid AS part, x.ctid AS place")
    return sql.SQL(
        "{} JOIN {} ON (s.text, s.copy) = (h.text, h.copy)"
        " JOIN {} AS t ON (t.tableoid, t.ctid) = (h.part, h.place)"
    ).format(
        copies.format(what=sql.SQL("x.ctid"), text=stage.text("x"), rows=stage.place, a=sql.SQL("s")),
        copies.format(what=there, text=stage.text("x"), rows=table, a=sql.SQL("h")),
        table,
    )


def _parents(parent: Work, reference: Reference, alias: sql.Identifier) -> sql.Composable:
    """Return a join that gives the lowest number of the parents of ``t`` by a reference."""
    names = [
        sql.Identifier(parent.kept[column, reference.parent.part]) for column in reference.parent.columns
    ]
    tests = [
        equality.test(sql.SQL("{}.{}").format(alias, name), value_of(column, reference.child.part))
        for equality, name, column in zip(reference.equalities, names, reference.child.columns, strict=True)
    ]
    return sql.SQL("LEFT JOIN {} AS {} ON {}").format(
        _lowest(parent, names), alias, sql.SQL(" AND ").join(tests)
    )


def _lowest(parent: Work, names: list[sql.Identifier]) -> sql.Composable:
    listed = sql.SQL(", ").join(names)
    return sql.SQL("(SELECT {0}, min(batch) AS batch FROM {1} GROUP BY {0})").format(listed, parent.place)


def _settle(connection: Connection, tables: Mapping[int, Work], inner: list[Reference]) -> None:
    """Within a circle lower the numbers until none is above that of a parent."""
    changed = bool(inner)
    while changed:
        changed = False
        for reference in inner:
            child, parent = tables[reference.child.table], tables[reference.parent.table]
            theirs = [sql.Identifier(parent.kept[c, reference.parent.part]) for c in reference.parent.columns]
            lower = sql.SQL(
                "UPDATE {} AS k SET batch = p.batch FROM {} AS p WHERE {} AND p.batch < k.batch"
            ).format(child.place, _lowest(parent, theirs), refers(reference, parent, child))
            with database_errors(f"following {reference.label}"):
                changed |= connection.execute(lower).rowcount > 0


def refers(reference: Reference, parent: Work, child: Work) -> sql.Composable:
    """Return the condition that the kept columns of row ``k`` of the child refer to those of row ``p``."""
    tests = [
        equality.test(
            sql.SQL("p.{}").format(sql.Identifier(parent.kept[there, reference.parent.part])),
            sql.SQL("k.{}").format(sql.Identifier(child.kept[here, reference.child.part])),
        )
        for equality, there, here in zip(
            reference.equalities, reference.parent.columns, reference.child.columns, strict=True
        )
    ]
    return sql.SQL(" AND ").join(tests)


def value_of(column: str, part: Part) -> sql.Composable:
    """Return a column of ``t``, NULL in rows that the reference does not concern."""
    value, condition = sql.SQL("t.{}").format(sql.Identifier(column)), part.condition()
    return sql.SQL("CASE WHEN {} THEN {} END").format(condition, value) if condition else value
