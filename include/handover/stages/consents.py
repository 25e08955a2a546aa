"""Consents of a case: the records that it names, made ready in a session at the source."""

from __future__ import annotations

from handover.errors import CaseInvalid
from handover.model.scope import ScopeProblem
from handover.postgres.consents import ConsentTests, prepare_consents
from handover.postgres.session import Connection
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
