"""Counting persons: rows of tables of persons, in scope or not, with their consents and their age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import sql

from handover.model.reconciliation import TableName
from handover.postgres.consents import ConsentTests, rows_named
from handover.postgres.session import Connection, database_errors, fetch

GUARDIAN = "without_guardian_consent"
_DATES = """
SELECT a.attname::text FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
WHERE a.attrelid = (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = %s AND c.relname = %s)
AND 'date'::regtype IN (y.oid, y.typbasetype) AND a.attnum > 0 AND NOT a.attisdropped
"""


@dataclass(frozen=True)
class PersonTable:
    """A table each row of which is a person; columns that tell the age, by what they hold."""

    table: TableName
    births: tuple[str, ...]
    identities: tuple[str, ...]


@dataclass(frozen=True)
class Persons:
    """Rows of one table: all of them, those considered, those in scope, and what is known of the latter."""

    everyone: int
    considered: int
    inside: int
    facts: dict[str, int]


class PersonCount:
    """Counts the persons of one table in the session's snapshot.

    ``inside`` and ``considered`` are conditions on the alias ``t``. Each count is a query of its own, so that
    the server can join what is in scope and on record; in one query with filters it could not.
    """

    def __init__(self, connection: Connection, persons: PersonTable, born_before: date) -> None:
        """``born_before``: who was born earlier is no child any more."""
        self._connection, self._persons, self._born_before = connection, persons, born_before
        table = persons.table
        self._rows = rows_named(connection, table.schema_name, table.name, "person")

    def count(
        self, inside: sql.Composable, considered: sql.Composable | None, tests: ConsentTests | None
    ) -> Persons:
        """Return all counts; a fact that nothing tells is left out."""
        within = self._number(inside)
        beyond = self._number(considered, sql.SQL("NOT ({})").format(inside)) if considered else 0
        facts = self._consents(inside, within, tests) | self._children(inside, within, tests)
        return Persons(self._number(), within + beyond, within, facts)

    def _consents(self, inside: sql.Composable, within: int, tests: ConsentTests | None) -> dict[str, int]:
        if tests is None:
            return {}
        facts = {
            fact: within - self._number(inside, given)
            for fact, given in tests.consenting.items()
            if fact != GUARDIAN
        }
        if tests.withdrawn:
            facts["withdrawn"] = self._number(inside, tests.withdrawn)
        return facts

    def _children(self, inside: sql.Composable, within: int, tests: ConsentTests | None) -> dict[str, int]:
        """Count children; whose age is not on record counts as one."""
        grown = self._grown()
        if grown is None:
            return {}
        children = within - self._number(inside, grown)
        facts = {"minors": children}
        guardian = tests.consenting.get(GUARDIAN) if tests else None
        if guardian:
            child = sql.SQL("({}) IS NOT TRUE").format(grown)
            facts[GUARDIAN] = children - self._number(inside, child, guardian)
        elif not children:
            facts[GUARDIAN] = 0
        return facts

    def _grown(self) -> sql.Composable | None:
        """Return the condition that a column says a person is no child, and none says otherwise."""
        table = self._persons.table
        with database_errors(f"looking at {table.label}"):
            dates = {str(name) for (name,) in fetch(self._connection, _DATES, table.schema_name, table.name)}
        told = [self._by_birth(name) for name in self._persons.births if name in dates]
        told += [self._by_identity(name) for name in self._persons.identities]
        if not told:
            return None
        return sql.SQL("({}) IS TRUE AND ({}) IS NOT FALSE").format(
            sql.SQL(" OR ").join(told), sql.SQL(" AND ").join(told)
        )

    def _by_birth(self, column: str) -> sql.Composable:
        born = sql.SQL("t.{}").format(sql.Identifier(column))
        return sql.SQL("CASE WHEN isfinite({0}) THEN {0} < {1} END").format(
            born, sql.Literal(self._born_before)
        )

    def _by_identity(self, column: str) -> sql.Composable:
        """Read the birth in a resident identity number; those of 15 digits ended with the year 1999."""
        number = sql.SQL("t.{}::text").format(sql.Identifier(column))
        born = sql.SQL("substring({} FROM 7 FOR 8)").format(number)
        return sql.SQL(
            "CASE WHEN {number} ~ '^[0-9]{{15}}$' THEN true"
            " WHEN {number} ~ '^[0-9]{{6}}(19|20)[0-9]{{9}}[0-9Xx]$' THEN {born} COLLATE \"C\" < {before} END"
        ).format(number=number, born=born, before=sql.Literal(f"{self._born_before:%Y%m%d}"))

    def _number(self, *conditions: sql.Composable) -> int:
        tests: list[sql.Composable] = [sql.SQL("({})").format(one) for one in conditions]
        query = sql.SQL("SELECT count(*) FROM {} AS t WHERE {}").format(
            self._rows, sql.SQL(" AND ").join(tests or [sql.SQL("true")])
        )
        with database_errors(f"counting persons of {self._persons.table.label}"):
            return int(str(fetch(self._connection, query)[0][0]))
