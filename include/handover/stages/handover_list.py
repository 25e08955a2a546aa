"""Hand-over list of accounting archives (会计档案移交清册): made item by item from what both sides hold.

The source's figures are those read under the backup's snapshot, the target's those read back last. A list
with the same content stays the list, whenever this step is repeated; another content makes it anew, and what
was signed before no longer counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta

from handover.errors import NotReady, VerificationFailed
from handover.evidence.digest import token
from handover.evidence.handover_list import list_files
from handover.evidence.ledger import Entry
from handover.law.dates import after, plausible_start
from handover.model.backup import BackupIndex, ObjectRef
from handover.model.figures import Figures
from handover.model.handover_list import Duration, HandoverList, ListedTable, Volume
from handover.model.ledger_list import Archive, LedgerHandover
from handover.model.policy import RetentionRule
from handover.quality import volumes
from handover.quality.showing import Token
from handover.stages.archive_checks import technical_checks
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.expectations import target_faults
from handover.stages.facts import legal_day
from handover.stages.handover_entries import LIST, current_list
from handover.stages.ledger_rules import retention_rule
from handover.stages.tally import TOKEN_LENGTH, reconciliation_faults, source_figures
from handover.stages.units import OBJECTS, unit_of

STEP = "handover_list"


def make_list(context: Context) -> HandoverList | None:
    """Make the list, or leave the one that says the same; None for a case that hands over no archives.

    Raises VerificationFailed naming archive and volume where the sides differ.
    """
    if context.case.ledger is None:
        return None
    with context.step(STEP):
        before = current_list(context)
        on = before.made.compiled_on if before else legal_day()
        fresh, figures = _compile(context, context.case.ledger, on)
        if before is not None and (fresh, figures) == (_unnumbered(before.made), before.figures):
            return before.made
        if on != legal_day():
            fresh, figures = _compile(context, context.case.ledger, legal_day())
        fresh = fresh.model_copy(update={"edition": len(context.entries(LIST)) + 1})
        _record(context, fresh, figures)
        return fresh


def _unnumbered(made: HandoverList) -> HandoverList:
    return made.model_copy(update={"edition": 0})


def target_tally(context: Context, generation: int) -> Entry:
    """Return the entry of the figures that were read back from the target last."""
    found = [
        entry
        for entry in context.entries("tallied")
        if entry.body["side"] == "target" and entry.body["generation"] == generation
    ]
    if not found:
        raise NotReady("the target's figures have not been read back", hint="run or clear the task reconcile")
    return found[-1]


def _compile(context: Context, ledger: LedgerHandover, on: date) -> tuple[HandoverList, str]:
    index = read_index(context)
    generation = index.state.generation
    tallied = target_tally(context, generation)
    reference = ObjectRef.model_validate(tallied.body["object"])
    target = Figures.model_validate_json(context.get(context.label(generation, "tally-target"), reference))
    source = source_figures(context, generation)
    lines: list[str] = []
    listed: list[Volume] = []
    for archive in ledger.archives:
        found, faults = volumes.volumes(archive, context.case.reconciliation, source, target, _token(context))
        lines += faults or impossible_years(archive, found, on)
        if not lines:
            listed += listed_volumes(archive, found, retention_rule(context, archive, ledger), on)
    _refuse([*lines, *(_open_units(context, index) if not lines else [])])
    case = context.case
    tables = [table for archive in ledger.archives for table in _tables(archive, index)]
    made = HandoverList(
        number=ledger.number,
        edition=0,
        case=case.case,
        run=context.run,
        title=case.title,
        compiled_on=on,
        giver=case.parties.giver.name,
        recipient=case.parties.recipient.name,
        medium=ledger.medium,
        reader=ledger.reader,
        currency=ledger.currency,
        generation=generation,
        volumes=tuple(listed),
        tables=tuple(tables),
        checks=technical_checks(context, index, ledger, len(listed)),
        open_questions=ledger.open_questions,
    )
    return made, str(tallied.body["digest"])


def _token(context: Context) -> Token:
    def name(parts: Sequence[str]) -> str:
        framed = (part.encode() for part in parts)
        return token(context.evidence_key, b"figure", *framed)[:TOKEN_LENGTH]

    return name


def _refuse(lines: list[str]) -> None:
    if lines:
        raise VerificationFailed(
            "no hand-over list can be made:\n  " + "\n  ".join(lines),
            hint="put right what differs and clear finish with downstream, so that the target is read back "
            "again; what the case file declares wrongly needs a new run",
            differences=lines,
        )


def _open_units(context: Context, index: BackupIndex) -> list[str]:
    """Return what of the target was not read back, or not as it should be."""
    latest = {str(e.body["unit"]): list(e.body["differences"]) for e in context.entries("verified")}
    units = [*(unit_of(group) for group in index.plan.groups()), OBJECTS]
    lines = [f"not verified, or different: {unit}" for unit in units if latest.get(unit, [unit])]
    return [*lines, *reconciliation_faults(context), *target_faults(context)]


def impossible_years(archive: Archive, found: list[volumes.Volume], on: date) -> list[str]:
    """Return the volumes whose years cannot be those of archives."""
    return [
        f"archive {archive.code} {archive.name}, volume {volumes.span(one.years)}: no year of today's books"
        for one in found
        if any(plausible_start("fiscal_year", year, on) is None for year in one.years)
    ]


def listed_volumes(
    archive: Archive, found: list[volumes.Volume], rule: RetentionRule, on: date
) -> list[Volume]:
    """Return the lines of the list for an archive, with what was kept by a day of what must be kept."""
    listed = []
    for number, one in enumerate(found, 1):
        first, last = one.years
        start = date(last + 1, 1, 1)
        end = after(start, rule.period) if rule.period else None
        months = max(0, (on.year - start.year) * 12 + on.month - start.month)
        listed.append(
            Volume(
                archive=archive.name,
                code=archive.code,
                number=number,
                volumes=len(found),
                first_year=first,
                last_year=last,
                rule=archive.rule,
                required_years=rule.period.years if rule.period else None,
                kept=Duration(years=months // 12, months=months % 12),
                keep_until=end - timedelta(days=1) if end else None,
                controls=one.controls,
            )
        )
    return listed


def _tables(archive: Archive, index: BackupIndex) -> list[ListedTable]:
    listed = []
    wanted = {table.label for table in archive.tables}
    for table in index.plan.tables:
        if not table.name or table.label not in wanted:
            continue
        chunks = [c for group in index.plan.groups() if group.table == table.id for c in index.of(group)]
        digest = hashlib.sha256("\n".join(chunk.digest for chunk in chunks).encode()).hexdigest()
        listed.append(
            ListedTable(
                archive=archive.name,
                table=table.label,
                rows=sum(chunk.rows for chunk in chunks),
                chunks=len(chunks),
                format=table.format,
                digest=digest,
            )
        )
    return listed


def _record(context: Context, made: HandoverList, figures: str) -> None:
    files = {name: hashlib.sha256(data).hexdigest() for name, data in list_files(made).items()}
    body = {"number": made.number, "sha256": made.sha256, "files": files, "figures": figures}
    context.record(LIST, body | {"list": made.document()})
