"""Who a request is about, in one source: read from its ledger, where it is sealed."""

from __future__ import annotations

import json

from handover.errors import LedgerRefused
from handover.evidence.ledger import Entry
from handover.model.datamap import load_datamap
from handover.model.reconciliation import TableName
from handover.model.scope import Scope
from handover.postgres.closure import Closure
from handover.postgres.session import Connection
from handover.stages.context import Context
from handover.stages.holds import require_signed, unsealed
from handover.stages.person_graph import own_scope, person_graph
from handover.stages.subjects import Subject

OPENED, DECIDED, SETTLED, ANSWERED, DELIVERED, OVERDUE = (
    f"request-{what}" for what in ("opened", "decided", "settled", "answered", "delivered", "overdue")
)


def run_of(request: str) -> str:
    """Return the name of a request's run in the ledger."""
    return f"request-{request}"


def entries_of(context: Context) -> list[Entry]:
    """Return the entries of all requests in a source; raises LedgerRefused when one does not verify."""
    found = context.ledger.entries(context.case.case, kinds=(OPENED, DECIDED, SETTLED, ANSWERED, DELIVERED))
    require_signed(context, found)
    return found


def subject_of(context: Context, request: str) -> Subject | None:
    """Return whom a request is about in the source of a context; None when nobody there."""
    entry = _opened(context, request)
    if not entry.body["subject"]:
        return None
    key = json.loads(unsealed(context, entry.case, f"{request}-who", entry.body["sealed"]))
    table = TableName.model_validate(entry.body["table"])
    return Subject(table, key, entry.body["subject"].rpartition("#")[2])


def said_of(context: Context, request: str) -> str:
    """Return what was said of the person when the request came."""
    entry = _opened(context, request)
    return unsealed(context, entry.case, f"{request}-said", entry.body["sealed_said"])


def certificate_of(context: Context, request: str) -> bytes:
    """Return the certificate of the one who gets the answer."""
    entry = _opened(context, request)
    return unsealed(context, entry.case, f"{request}-to", entry.body["sealed_to"]).encode()


def own_closure(context: Context, connection: Connection, prefix: str) -> Closure | None:
    """Return what finds the rows of the person whose request a case carries out; outside a transaction.

    None for another case. Raises LedgerRefused where the source knows nobody who asked.
    """
    request = context.case.request
    if request is None:
        return None
    subject = subject_of(context, request)
    if subject is None:
        raise LedgerRefused(
            f"request {request} is about nobody in {context.case.case}",
            hint="nothing is to be erased there; `handover request answer` says so to the person",
        )
    datamap = load_datamap(context.settings.datamaps, context.case.mapped_as)
    said = context.case.scope or Scope.model_construct(roots=())
    schemas = context.case.source.schemas
    graph = person_graph(connection, schemas, datamap, said.virtual_keys, said.polymorphic)
    return Closure(connection, graph, own_scope(graph, datamap, subject), prefix=prefix)


def _opened(context: Context, request: str) -> Entry:
    for entry in entries_of(context):
        if entry.kind == OPENED and entry.body["request"] == request:
            return entry
    raise LedgerRefused(
        f"{context.case.case} has no request with this id", hint="`handover request list` shows all"
    )
