"""What the ledger says of archived accounting terms: their rows by table, and the end of those on a list."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from handover.errors import LedgerRefused, NotReady
from handover.evidence.canonical import canonical
from handover.evidence.ledger import Entry
from handover.model.destruction_acts import Destroyed
from handover.model.destruction_list import DestructionList, HoldCheck
from handover.stages.archive_terms import begun
from handover.stages.archiving import SEALED, recorded_tables
from handover.stages.context import Context
from handover.stages.facts import LEGAL_TIME
from handover.stages.key_destruction import DESTROYED

USED = "custody-used"


def archived_parts(context: Context) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Return what the ledger says of the files of a run's archive, by class and table, partitions as one."""
    sealed = context.last(SEALED, "seal_archive").body
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for body in recorded_tables(context, sealed["generation"]).values():
        for part in body["parts"]:
            found.setdefault((str(part["class"]), str(body["whole"])), []).append(part)
    return found


def ended_terms(context: Context, made: DestructionList) -> dict[str, object]:
    """Return what an execution says of a list of terms; NotReady while one of them is not destroyed."""
    archive = replace(context, run=made.run)
    ended = _ended(archive, made)
    used = {entry.body["request"]: entry for entry in archive.entries(USED)}
    uses = [used[entry.body["request"]] for entry in ended]
    began = [datetime.fromisoformat(entry.at) for entry in uses]
    receipts = canonical([entry.body for entry in ended], LedgerRefused, "the receipts of destroyed keys")
    return {
        "started": min(began),
        "finished": max(datetime.fromisoformat(entry.at) for entry in ended),
        "destroyed": _destroyed(archive, made, {file for entry in ended for file in entry.body["closed"]}),
        # As they were looked up in the moment of destroying: what came later could keep nothing.
        "holds": HoldCheck(
            on=max(began).astimezone(LEGAL_TIME).date(),
            open=tuple(kind for entry in uses for kind in entry.body["decision"]["open_holds"]),
        ),
        "receipts_sha256": hashlib.sha256(receipts).hexdigest(),
    }


def _ended(archive: Context, made: DestructionList) -> list[Entry]:
    """Return the entries of the end of all listed terms, of which no file can be read any more."""
    listed = {name for name, _ in made.tables}
    wanted = {
        one.number: one.term.row_class for one in begun(archive).terms.terms if one.term.row_class in listed
    }
    found = {
        int(entry.body["term"]): entry
        for entry in archive.entries(DESTROYED)
        if not entry.body["identifying_only"] and not entry.body["still_open"]
    }
    waiting = [f"term {number}, class {name}" for number, name in wanted.items() if number not in found]
    if waiting:
        raise NotReady(
            "not everything listed is destroyed and closed: " + "; ".join(waiting),
            hint=f"two persons end a term: `handover custodian {archive.case.case} destroy TERM`",
            waiting=waiting,
        )
    return [found[number] for number in sorted(wanted)]


def _destroyed(archive: Context, made: DestructionList, closed: set[str]) -> tuple[Destroyed, ...]:
    """Return the rows of each listed table in files that were shown to be closed."""
    parts = archived_parts(archive)
    return tuple(
        Destroyed(row_class=name, table=table, rows=sum(p["rows"] for p in found if p["file"] in closed))
        for name, table in made.tables
        for found in [parts[name, table]]
    )
