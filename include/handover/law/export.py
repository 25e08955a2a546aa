"""Exports of personal data: counted over the year and the group, matched to the mechanism they need (2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from handover.law.facts import Facts
from handover.law.papers import is_accepted_by_counsel
from handover.model.base import Frozen
from handover.model.matter import Flow, Processor, Recipient
from handover.model.policy import ExportRow, Pack

HOME = "CN"


class ExportNeed(Frozen):
    """Persons of the year by kind, None when not known, and the row of the table that they fall under."""

    ordinary: int | None
    sensitive: int | None
    row: str | None
    mechanisms: tuple[str, ...]


def export_need(facts: Facts, packs: Sequence[Pack]) -> ExportNeed:
    """Return the first row of the packs' table that the year's flows match; what is unknown matches."""
    counted = [
        flow
        for flow in (facts.matter.exports and facts.matter.exports.flows) or ()
        if not _is_exempt(flow, facts, packs)
    ]
    ordinary = _sum([flow.ordinary_persons for flow in counted])
    sensitive = _sum([flow.sensitive_persons for flow in counted])
    rows = [(name, row) for pack in packs for name, row in pack.export_table.items()]
    for name, row in rows if counted else ():
        if _matches(row, facts, ordinary, sensitive):
            return ExportNeed(ordinary=ordinary, sensitive=sensitive, row=name, mechanisms=row.mechanisms)
    return ExportNeed(ordinary=ordinary, sensitive=sensitive, row=None, mechanisms=())


def export_problems(facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    """Yield what keeps the year's exports from being lawful; nothing when there are none or all is there."""
    exports = facts.matter.exports
    if exports is None or exports.flows is None:
        yield "matter.exports.flows is not said; an empty list says that there are none"
        return
    if exports.year == "every":
        if exports.flows:
            yield "matter.exports.year: every is for a company without any exports; name the year"
    elif exports.year != facts.on.year:
        yield f"matter.exports.year is {exports.year}, the run's is {facts.on.year}"
    if exports.counts_affiliates is not True:
        yield "matter.exports.counts_affiliates is not true: the group's exports are summed"
    if exports.counts_remote_reading is not True:
        yield "matter.exports.counts_remote_reading is not true: reading from abroad is an export"
    yield from _undeclared(facts, exports.flows)
    need = export_need(facts, packs)
    if need.row is None and any(not _is_exempt(flow, facts, packs) for flow in exports.flows):
        yield "no row of the export table matches; a pack with an export table is missing"
    for number, flow in enumerate(exports.flows):
        for problem in _flow_problems(flow, need, facts, packs):
            yield f"matter.exports.flows[{number}] {problem}"


def _undeclared(facts: Facts, flows: Sequence[Flow]) -> Iterator[str]:
    """Yield parties and stores outside the country that no flow names: leaving it out changes nothing."""
    named = {flow.recipient for flow in flows}
    parties: tuple[tuple[str, Sequence[Recipient | Processor] | None], ...] = (
        ("recipients", facts.matter.recipients),
        ("processors", facts.matter.processors),
    )
    for what, listed in parties:
        if listed is None:
            yield f"matter.{what} is not said"
        for number, party in enumerate(listed or ()):
            if party.region is None:
                yield f"matter.{what}[{number}].region is not said"
            elif party.region != HOME and party.name not in named:
                yield f"matter.{what}[{number}] is outside {HOME}, and no flow names it"
    if facts.matter.store_regions is None:
        yield "matter.store_regions is not said"
    for region in sorted({*(facts.matter.store_regions or ())} - {HOME}):
        if all(flow.region != region for flow in flows):
            yield f"a store is in {region}, and no flow goes there"


def _flow_problems(flow: Flow, need: ExportNeed, facts: Facts, packs: Sequence[Pack]) -> Iterator[str]:
    if flow.region is None:
        yield "names no region"
    if _is_exempt(flow, facts, packs) or (need.row is not None and not need.mechanisms):
        return
    if flow.mechanism not in need.mechanisms:
        yield (
            f"needs {' or '.join(need.mechanisms) or 'a mechanism'} (row {need.row}: "
            f"ordinary {need.ordinary}, sensitive {need.sensitive} persons this year), has {flow.mechanism}"
        )
        return
    if not flow.mechanism_number:
        yield "has a mechanism without number"
    if flow.valid_from is None or flow.valid_until is None:
        yield "has a mechanism without dates of validity"
    elif not flow.valid_from <= facts.on <= flow.valid_until:
        yield f"has a mechanism valid from {flow.valid_from} to {flow.valid_until}, not on {facts.on}"
    if flow.mechanism_recipient != flow.recipient:
        yield "has a mechanism for another recipient"
    if flow.data_sets is None or not set(flow.data_sets) <= set(flow.mechanism_data_sets or ()):
        yield "carries data sets that its mechanism does not name"


def _is_exempt(flow: Flow, facts: Facts, packs: Sequence[Pack]) -> bool:
    """Say whether an exemption of the packs holds for the flow, accepted by counsel where it must be."""
    for pack in packs:
        rule = pack.export_exemptions.get(flow.exemption or "")
        if rule is not None:
            return not rule.basis.needs_counsel or is_accepted_by_counsel(flow.exemption or "", facts)
    return False


def _matches(row: ExportRow, facts: Facts, ordinary: int | None, sensitive: int | None) -> bool:
    conditions = [
        row.ciio and facts.matter.ciio is not False,
        row.important_data and facts.data.highest_grade != "general",
        row.ordinary_from is not None and (ordinary is None or ordinary >= row.ordinary_from),
        row.sensitive_from is not None and (sensitive is None or sensitive >= row.sensitive_from),
    ]
    unconditional = not (row.ciio or row.important_data or row.ordinary_from or row.sensitive_from)
    return unconditional or any(conditions)


def _sum(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(one for one in counts if one is not None)
