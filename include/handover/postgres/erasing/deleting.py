"""Deletes the rows of some numbers, each in the very version whose content was compared with the backup.

A row that was changed since has another version or is elsewhere, and is not deleted: it is missing in the
count. Tables that refer to each other in a circle go in one statement, for only at its end the server looks
at foreign keys; their rows are locked and counted first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from handover.postgres.erasing.batches import GOING, Work
from handover.postgres.erasing.staging import Stage
from handover.postgres.ordering import rows_of
from handover.postgres.session import Connection, fetch


@dataclass(frozen=True)
class Span:
    """The numbers that one transaction takes, both ends included."""

    first: int
    last: int

    def rows(self, alias: str = "k") -> sql.Composable:
        """Return the condition on a table of rows that may go that a row is of the span and going."""
        return sql.SQL("{0}.batch BETWEEN {1} AND {2} AND {0}.state = {3}").format(
            sql.Identifier(alias), sql.Literal(self.first), sql.Literal(self.last), sql.Literal(GOING)
        )


@dataclass
class Seen:
    """What came of a unit's rows: how many were to go, and how many did."""

    wanted: int
    rows: int = 0

    @property
    def missing(self) -> int:
        """Return how many rows were not as they had been found."""
        return self.wanted - self.rows


@contextmanager
def by_place(connection: Connection) -> Iterator[None]:
    """Let the server go to each row where it lies; it would read whole tables for every batch."""
    _prefer(connection, "off")
    yield
    _prefer(connection, "on")


def _prefer(connection: Connection, joins: str) -> None:
    settings = [
        sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(joins))
        for name in ("enable_hashjoin", "enable_mergejoin")
    ]
    connection.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(settings)))


def _here(stage: Stage, span: Span) -> sql.Composable:
    """Return the condition that ``k`` is a row of the unit and span, and ``t`` the version that was found."""
    return sql.SQL(
        "{} AND k.unit = {} AND t.ctid = k.place AND t.tableoid = k.part AND t.xmin = k.version"
    ).format(span.rows(), sql.Literal(stage.number))


def wanted(connection: Connection, work: Work, span: Span) -> dict[int, Seen]:
    """Return for each unit of a table that has rows in the span how many they are."""
    query = sql.SQL("SELECT k.unit, count(*) FROM {} AS k WHERE {} GROUP BY 1").format(
        work.place, span.rows()
    )
    return {int(str(unit)): Seen(int(str(rows))) for unit, rows in fetch(connection, query)}


def delete(connection: Connection, circle: Sequence[Work], span: Span, alone: bool) -> dict[int, Seen]:
    """Delete the rows of tables that refer to each other; ``alone``: none to another unit's."""
    seen: dict[int, Seen] = {}
    for work in circle:
        seen |= wanted(connection, work, span)
    units = [(work, stage) for work in circle for stage in work.stages if stage.number in seen]
    if alone or len(units) == 1:
        for work, stage in units:
            deletion = sql.SQL("DELETE FROM {} AS t USING {} AS k WHERE {}").format(
                rows_of(stage.plan), work.place, _here(stage, span)
            )
            seen[stage.number].rows = connection.execute(deletion).rowcount
    elif units:
        for work, stage in units:
            seen[stage.number].rows = _count_locked(connection, work, stage, span)
        if not any(one.missing for one in seen.values()):
            _delete_at_once(connection, units, span, seen)
    return seen


def read(connection: Connection, work: Work, span: Span) -> dict[int, Seen]:
    """Count the rows of a table that are as they were found; nobody else can get at it."""
    seen = wanted(connection, work, span)
    for stage in work.stages:
        if stage.number in seen:
            query = sql.SQL("SELECT count(*) FROM {} AS t, {} AS k WHERE {}").format(
                rows_of(stage.plan), work.place, _here(stage, span)
            )
            seen[stage.number].rows = int(str(fetch(connection, query)[0][0]))
    return seen


def lock(connection: Connection, work: Work, span: Span) -> None:
    """Lock the rows of a table, so that nothing new can refer to them and nobody changes them."""
    for stage in work.stages:
        _count_locked(connection, work, stage, span)


def _count_locked(connection: Connection, work: Work, stage: Stage, span: Span) -> int:
    rows = sql.SQL("SELECT FROM {} AS t, {} AS k WHERE {} FOR UPDATE OF t").format(
        rows_of(stage.plan), work.place, _here(stage, span)
    )
    query = sql.SQL("SELECT count(*) FROM ({}) AS locked").format(rows)
    return int(str(fetch(connection, query)[0][0]))


def _delete_at_once(
    connection: Connection, units: list[tuple[Work, Stage]], span: Span, seen: dict[int, Seen]
) -> None:
    gone = [sql.Identifier(f"gone_{stage.number}") for _, stage in units]
    parts = [
        sql.SQL("{} AS (DELETE FROM {} AS t USING {} AS k WHERE {} RETURNING 1)").format(
            name, rows_of(stage.plan), work.place, _here(stage, span)
        )
        for name, (work, stage) in zip(gone, units, strict=True)
    ]
    counts = [sql.SQL("(SELECT count(*) FROM {})").format(name) for name in gone]
    query = sql.SQL("WITH {} SELECT {}").format(sql.SQL(", ").join(parts), sql.SQL(", ").join(counts))
    for (_, stage), rows in zip(units, fetch(connection, query)[0], strict=True):
        seen[stage.number].rows = int(str(rows))
