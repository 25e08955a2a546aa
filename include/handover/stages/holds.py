"""Legal holds: read from the ledger, and turned into the rows that they keep.

A hold on a registered source keeps its rows from every case over the same database, by whatever connection;
a hold on a case keeps them from that case alone. Whose rows they are is sealed under a key for holds; the
ledger shows a keyed name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date

from handover.errors import CaseInvalid, GateBlocked, LedgerRefused
from handover.evidence import verifier
from handover.evidence.ledger import Entry
from handover.model.datamap import load_datamap, map_path
from handover.model.hold import DataHold
from handover.model.reconciliation import TableName
from handover.model.registered import RegisteredSource, known_sources, load_source
from handover.model.scope import Polymorphic, Root, Scope, VirtualKey
from handover.postgres.closure import Closure
from handover.postgres.references import Graph
from handover.postgres.referring import read_graph
from handover.postgres.row_classes import checked_predicate
from handover.postgres.session import Connection
from handover.stages.context import Context
from handover.stages.facts import judged_on
from handover.stages.person_graph import every_path, missing_keys
from handover.vault.roots import Purpose
from handover.vault.segment import Label, open_segment, read_header, seal

RUN = "holds"
ADDED, RELEASED = "hold-added", "hold-released"
EVERY_ROW = "true"
Matters = Callable[[RegisteredSource], bool]


def open_holds(context: Context, on: date) -> tuple[DataHold, ...]:
    """Return the holds that bind a case on a day: its own, and those on the sources over its database.

    Raises LedgerRefused when one does not verify, KeyUnavailable when nobody can say whose rows one keeps,
    ConfigurationMissing or ConnectionLost when nobody can say whether it is over this database.
    """
    name = context.case.case
    others = [one.source for one in sources_of(context, lambda one: _holds_some(context, one, on))]
    names = dict.fromkeys([name, *others])
    return tuple(hold for name in names for hold in all_holds(context, name) if hold.is_open(on))


def _holds_some(context: Context, source: RegisteredSource, on: date) -> bool:
    """Say whether a hold on a source is open, unless its database is surely another one."""
    if not context.ledger.entries(source.source, kinds=(ADDED,)) or not _may_be_over(context, source):
        return False  # a ledger that concerns another database may be as it likes
    return any(hold.is_open(on) for hold in all_holds(context, source.source))


def binding_holds(context: Context) -> tuple[DataHold, ...]:
    """Return the holds that keep a case's rows: where a person asked to erase, those that yield do not."""
    found = open_holds(context, judged_on(context.case))
    return tuple(hold for hold in found if not (hold.yields and context.case.kind == "request"))


def all_holds(context: Context, name: str) -> list[DataHold]:
    """Return every hold that ever was laid on a case or source, oldest first."""
    entries = context.ledger.entries(name, kinds=(ADDED, RELEASED))
    if not entries:
        return []
    require_signed(context, entries)
    released = {entry.body["hold"]: entry for entry in entries if entry.kind == RELEASED}
    return [
        _hold(context, entry, released.get(entry.body["hold"])) for entry in entries if entry.kind == ADDED
    ]


def sources_of(context: Context, matters: Matters = lambda one: True) -> list[RegisteredSource]:
    """Return the registered sources over the database of a case that matter, by whatever connection.

    Raises SourceInvalid for a file that is not valid, as it may be one, ConfigurationMissing or
    ConnectionLost when nobody can say of one that matters.
    """
    return [
        one
        for one in _registered(context)
        if matters(one) and context.databases.are_one(one.database.connection, *_mine(context))
    ]


def possible_sources(context: Context, matters: Matters = lambda one: True) -> list[RegisteredSource]:
    """Return the sources that matter and are over the database of a case, or of which nobody can say."""
    return [one for one in _registered(context) if matters(one) and _may_be_over(context, one)]


def _registered(context: Context) -> list[RegisteredSource]:
    folder = context.settings.sources
    return [load_source(folder, name) for name in known_sources(folder)]


def _may_be_over(context: Context, source: RegisteredSource) -> bool:
    return context.databases.may_be_one(source.database.connection, *_mine(context))


def _mine(context: Context) -> tuple[str, set[str]]:
    """Return the connection of a case, and what the database said that it is when its run read it."""
    read = context.entries("snapshot-exported")
    return context.case.source.connection, {str(one.body.get("database", "")) for one in read} - {""}


def held_graph(context: Context, connection: Connection) -> Graph:
    """Return all references that lead from held rows to others: whatever a case follows, holds follow all.

    Those that a registered source declares count for every case over it.
    """
    case = context.case
    inside = set(case.source.schemas)
    others = sources_of(context, lambda one: any(_ways_inside(one, inside)))
    keys: dict[str, VirtualKey] = {}
    links: dict[str, Polymorphic] = {}
    said: list[Scope | RegisteredSource] = [*([case.scope] if case.scope else []), *others]
    for one in said:
        its_keys, its_links = _ways_inside(one, inside)
        keys |= {k.model_copy(update={"follow": True}).model_dump_json(): k for k in its_keys}
        links |= {p.model_copy(update={"follow": True}).model_dump_json(): p for p in its_links}
    declared = Scope.model_construct(
        roots=(), virtual_keys=tuple(keys.values()), polymorphic=tuple(links.values())
    )
    graph = read_graph(connection, case.source.schemas, declared)
    if map_path(context.settings.datamaps, case.mapped_as).is_file() and not graph.problems:
        # What the map says leads to a person is that person's, whether or not the database knows.
        datamap = load_datamap(context.settings.datamaps, case.mapped_as)
        ways = missing_keys(graph, datamap, every_path)
        here = {TableName(schema_name=s, name=n) for s, n in graph.places}
        more = (*declared.virtual_keys, *(way for way in ways if {way.table, way.references} <= here))
        both = Scope.model_construct(roots=(), virtual_keys=more, polymorphic=declared.polymorphic)
        graph = read_graph(connection, case.source.schemas, both)
    if found := [one for one in graph.problems if one.field]:
        raise CaseInvalid(
            f"nobody can say which rows are held: {found[0].said}",
            hint=f"{found[0].remedy}; nothing goes before",
        )
    return following_all(graph)


def _ways_inside(
    one: Scope | RegisteredSource, inside: set[str]
) -> tuple[list[VirtualKey], list[Polymorphic]]:
    """Return the references that a scope or source declares between tables of some schemas."""
    keys = [k for k in one.virtual_keys if {k.table.schema_name, k.references.schema_name} <= inside]
    links = [
        p
        for p in one.polymorphic
        if {p.table.schema_name, *(to.table.schema_name for to in p.targets.values())} <= inside
    ]
    return keys, links


def held_closure(context: Context, connection: Connection) -> Closure | None:
    """Return what finds all rows that are held for a case made from a source; None where none are."""
    holds = binding_holds(context)
    if not holds:
        return None
    graph = held_graph(context, connection)
    scope = held_scope(context, judged_on(context.case), connection, graph, holds)
    return Closure(connection, graph, scope, prefix="held") if scope else None


def following_all(graph: Graph) -> Graph:
    """Return a graph whose references all bring children along, as those of held rows do."""
    return Graph(graph.tables, graph.places, [replace(one, follow=True) for one in graph.references])


def held_scope(
    context: Context, on: date, connection: Connection, graph: Graph, holds: Iterable[DataHold] | None = None
) -> Scope | None:
    """Return the roots of what is held on a day; None when nothing is, or nothing of these schemas.

    Close it over ``following_all(graph)``: rows that it owns, and those that these need, stay. The session
    must be outside a transaction. Raises GateBlocked for a hold whose table or columns are gone.
    """
    found = open_holds(context, on) if holds is None else holds
    roots = tuple(root for hold in found for root in _roots(context, hold, connection, graph))
    return Scope(roots=roots) if roots else None


def _roots(context: Context, hold: DataHold, connection: Connection, graph: Graph) -> Iterator[Root]:
    if hold.table is None:
        for table in graph.tables:
            name = TableName(schema_name=table.schema_name, name=table.name)
            yield Root(table=name, where=EVERY_ROW)
        return
    try:
        if hold.table.schema_name not in context.case.source.schemas:
            raise CaseInvalid(
                f"{hold.table.label} is in no schema of this case, so nobody can say which rows here are its"
            )
        if (hold.table.schema_name, hold.table.name) not in graph.places:
            raise CaseInvalid(f"{hold.table.label} is not there")
        checked_predicate(connection, hold.table.schema_name, hold.table.name, hold.where)
    except CaseInvalid as problem:
        raise GateBlocked(
            f"hold {hold.id} of {hold.name} keeps rows that nobody can tell any more: {problem.message}",
            hint="lay a hold on the rows as they are now and have this one released; nothing goes before",
            gates=[],
        ) from None
    yield Root(table=hold.table, where=hold.where)


def sealed(context: Context, hold: str, where: str) -> str:
    """Return a predicate for the ledger, readable with the key for holds of this case or source alone."""
    key = context.ensure_key(Purpose.HOLD, context.case.case)
    text = json.dumps({"where": where}).encode()
    return base64.b64encode(
        seal(_label(context.case.case, hold), [text], key, context.keyring.key(key))
    ).decode()


def unsealed(context: Context, name: str, hold: str, text: str) -> str:
    """Return a predicate that was sealed for a hold of a case or source."""
    blob = base64.b64decode(text)
    key = context.keyring.key(read_header(blob, hold).key_id)
    return str(json.loads(open_segment(blob, _label(name, hold), key, f"hold {hold}"))["where"])


def _label(name: str, hold: str) -> Label:
    return Label(name, RUN, 0, "hold", hold, 0)


def _hold(context: Context, entry: Entry, released: Entry | None) -> DataHold:
    body = entry.body
    taken = ("hold", "sealed", "account_id", "moments", "where")
    fields = {name: value for name, value in body.items() if name not in taken and value != ""}
    where = unsealed(context, entry.case, body["hold"], body["sealed"]) if body["sealed"] else EVERY_ROW
    fields |= {"id": body["hold"], "name": entry.case, "where": where, "at": entry.at}
    if released:
        fields |= {"released_by": released.body["by"], "released_at": released.at}
    return DataHold.model_validate(fields)


def require_signed(context: Context, entries: Iterable[Entry]) -> None:
    """Raise LedgerRefused unless each entry is as this installation signed it; its chain is for audits."""
    key = verifier.load_key(context.keyring.signer().public_pem)
    trusted = {verifier.fingerprint(key): key}
    for entry in entries:
        if list(verifier.check_entry(json.loads(entry.line), trusted)):
            raise LedgerRefused(
                f"entry {entry.seq} of {entry.case} ({entry.kind}) was changed, so nobody knows what it said",
                hint="find out who changed it; nothing goes before",
                seq=entry.seq,
            )
