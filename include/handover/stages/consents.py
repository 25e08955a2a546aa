"""Consents of a case: the records that it names, made ready in a session at the source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import sql

from handover.errors import CaseInvalid
from handover.model.reconciliation import TableName
from handover.model.scope import ScopeProblem
from handover.postgres.consents import ConsentTests, prepare_consents
from handover.postgres.ordering import rows_of
from handover.postgres.references import Graph, Part
from handover.postgres.session import Connection, database_errors, fetch
from handover.stages.context import Context
from handover.stages.documents import read_document
from handover.stages.refusal import refused


def consents_of(context: Context, connection: Connection) -> tuple[ConsentTests, ...]:
    """Return the tests of the case's consents; the session must be outside a transaction.

    Raises CaseInvalid with file, line and remedy of everything that is wrong with them.
    """
    found: list[ConsentTests] = []
    problems = []
    for number, records in enumerate(context.case.consents):
        if any(one.person == records.person for one in found):
            said = f"{records.person.label} has consents on record already"
            field = ("consents", number, "person")
            problems.append(ScopeProblem(field, said, "keep one entry for each table of persons"))
            continue
        try:
            found.append(prepare_consents(connection, records, lambda name: read_document(context, name)))
        except CaseInvalid as error:
            field = ("consents", number, str(error.data.get("field", "")))
            problems.append(ScopeProblem(field, error.message, error.hint))
    if problems:
        raise refused(context, problems)
    return tuple(found)


def given_by_table(
    context: Context, graph: Graph, consents: Sequence[ConsentTests]
) -> dict[int, sql.Composable]:
    """Return the condition that a person consents, by the number of each table of the case that has one.

    Raises CaseInvalid for consents of a partition alone: whoever is in another one would not be asked for.
    """
    found: dict[int, sql.Composable] = {}
    problems = []
    for number, one in enumerate(consents):
        table, part = graph.places.get((one.person.schema_name, one.person.name), (-1, Part()))
        if part != Part():
            said, remedy = f"{one.person.label} is a partition", "name the partitioned table"
            problems.append(ScopeProblem(("consents", number, "person"), said, remedy))
        elif table >= 0 and one.given is not None:
            found[table] = one.given
    if problems:
        raise refused(context, problems)
    return found


def without_consent(
    connection: Connection,
    graph: Graph,
    consents: Sequence[ConsentTests],
    inside: Callable[[TableName], sql.Composable],
) -> list[ScopeProblem]:
    """Return a problem for each table of persons with some in scope who have not consented.

    For a case that no gate judges: whom rows in scope refer to comes along, whatever the roots leave out.
    ``inside`` is the condition on the alias ``t`` that a row of a table is in scope.
    """
    problems = []
    for number, one in enumerate(consents):
        place = graph.places.get((one.person.schema_name, one.person.name))
        if place is None or one.given is None:
            continue
        query = sql.SQL("SELECT count(*) FROM {} AS t WHERE {} AND NOT {}").format(
            rows_of(graph.tables[place[0]]), inside(one.person), one.given
        )
        with database_errors(f"counting consents of {one.person.label}"):
            rows = int(str(fetch(connection, query)[0][0]))
        if rows:
            said = f"{rows} rows of {one.person.label} come along without a separate consent"
            remedy = "start the scope from the persons, or name a policy: its gates judge that"
            problems.append(ScopeProblem(("consents", number, "separate"), said, remedy))
    return problems
