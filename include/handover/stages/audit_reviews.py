"""Checks of an audit: what to look at again: archives, data maps, policy packs, calendar (C07, A08)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from handover.errors import DataMapInvalid, PolicyInvalid
from handover.law.packs import load_packs, newer_packs
from handover.model.audit import Finding
from handover.model.datamap import DataMap, load_datamap
from handover.model.policy import Pack
from handover.stages.archiving import SEALED
from handover.stages.audit_scope import AUDITS, COMPLIANCE, DONE, Audit, legal_date
from handover.vault.keyring import KeyState

# Product rules: how old a confirmation or the reading of a law may be, and how far apart two audits.
A_YEAR = timedelta(days=365)
TWO_WEEKS = timedelta(days=14)
# From this month on the next year's holidays are announced, or about to be.
ANNOUNCED_BY = 12


def archive_reviews(audit: Audit) -> Iterator[Finding]:
    """Look for archived classes whose period is over, and for those without a date for a year."""
    for told in audit.runs:
        if told.is_taken_back or not told.has(SEALED):
            continue
        sealed = legal_date(told.history.at(SEALED))
        for term in told.history.last(SEALED)["terms"]:
            alive = any(audit.keys.get(term[half]) is KeyState.ACTIVE for half in ("identifying", "other"))
            ends = term["term"]["destroy_from"]
            where = f"{told.place}, term {term['number']}"
            if alive and ends and date.fromisoformat(ends) <= audit.on:
                yield audit.finding(
                    "archive-due",
                    "warning",
                    where,
                    f"档案保管期已于 {ends} 届满，应鉴定并决定是否销毁。",
                    f"its period was over on {ends}: appraise it, and decide whether it goes.",
                    COMPLIANCE,
                )
            elif alive and not ends and audit.on - sealed > A_YEAR:
                yield audit.finding(
                    "archive-undated",
                    "notice",
                    where,
                    "归档一年以上仍无期满日：复核保全事由和缺失的事实。",
                    "has had no date for a year: look again at its holds and at what was not known.",
                    COMPLIANCE,
                )


def last_audit(audit: Audit) -> Iterator[Finding]:
    """Look whether the audit before this one is too long ago."""
    done = [legal_date(one.at) for one in audit.ledger.entries(AUDITS, kinds=[DONE]) if one.run != audit.run]
    before = [day for day in done if day < audit.on]
    if before and audit.on - before[-1] > TWO_WEEKS:
        yield audit.finding(
            "audit-late",
            "warning",
            AUDITS,
            f"上次审计为 {before[-1]}，间隔超过两周。",
            f"the audit before was on {before[-1]}, more than two weeks ago.",
        )


def data_maps(audit: Audit) -> Iterator[Finding]:
    """Look at the data maps of sources and of open cases under a policy: confirmed, and within a year."""
    owners = {source.datamap or source.source: source.owner for source in audit.sources()}
    cases = (audit.case_of(told) for told in audit.open_runs)
    owners |= {case.mapped_as: case.parties.giver.name for case in cases if case.policy}
    for name, owner in sorted(owners.items()):
        try:
            datamap = load_datamap(audit.settings.datamaps, name)
        except DataMapInvalid as refused:
            said = " ".join(refused.message.split())
            yield audit.finding("data-map", "error", name, f"数据地图无效：{said}", said, owner)
            continue
        if datamap.unconfirmed():
            yield audit.finding(
                "data-map", "warning", name, "数据地图未经确认。", "nobody has confirmed the data map.", owner
            )
        elif audit.on - (since := _confirmed(datamap)) > A_YEAR:
            yield audit.finding(
                "data-map-old",
                "warning",
                name,
                f"数据地图自 {since} 起未再确认。",
                f"the data map was last confirmed on {since}, more than a year ago.",
                owner,
            )


def _confirmed(datamap: DataMap) -> date:
    """Return the oldest day on which anything of it was confirmed last."""
    whole = [datamap.confirmed.date] if datamap.confirmed else []
    single = [entry.confirmed.date for _, _, entry in datamap.entries() if entry.confirmed]
    return max(whole) if whole else min(single, default=date.min)


def policy_packs(audit: Audit) -> Iterator[Finding]:
    """Look at the packs that sources and open cases name: there, in force, read within a year, the newest."""
    labels = {source.source: source.policy for source in audit.sources()}
    labels |= {told.case: audit.case_of(told).policy for told in audit.open_runs}
    try:
        packs = load_packs(audit.settings.policies)
    except PolicyInvalid as refused:
        said = " ".join(refused.message.split())
        yield audit.finding("pack", "error", "policies", f"规则包无效：{said}", said, COMPLIANCE)
        return
    known = {pack.label: pack for pack in packs}
    for label in sorted({label for named in labels.values() for label in named}):
        yield from _pack(audit, label, known.get(label))
    yield from _newer(audit, labels, packs)


def _pack(audit: Audit, label: str, pack: Pack | None) -> Iterator[Finding]:
    if pack is None:
        yield audit.finding("pack", "error", label, "规则包不存在。", "is not there.", COMPLIANCE)
        return
    if pack.effective_to and pack.effective_to < audit.on:
        yield audit.finding(
            "pack-ended",
            "error",
            label,
            f"规则包已于 {pack.effective_to} 失效。",
            f"was in force until {pack.effective_to}.",
            COMPLIANCE,
        )
    old = sorted(name for name, rule in pack.rules().items() if audit.on - rule.basis.verified > A_YEAR)
    if old:
        yield audit.finding(
            "pack-unread",
            "warning",
            label,
            f"{len(old)} 条规则一年以上未核对原文，首条 {old[0]}。",
            f"the wording of {len(old)} rules was last verified more than a year ago, first {old[0]}.",
            COMPLIANCE,
        )


def _newer(audit: Audit, labels: dict[str, tuple[str, ...]], packs: Sequence[Pack]) -> Iterator[Finding]:
    for one in newer_packs(labels, packs, audit.on):
        if one.frozen in {pack.label for pack in packs}:
            yield audit.finding(
                "pack-newer",
                "warning",
                f"{one.case}: {one.frozen}",
                f"已有新版 {one.newer}，{len(one.rules)} 条规则不同。",
                f"{one.newer} is in force, in which {len(one.rules)} rules differ.",
                COMPLIANCE,
            )


def calendar(audit: Audit) -> Iterator[Finding]:
    """Look whether the working days of this year, and late in it of the next one, are known."""
    wanted = {audit.on.year, audit.on.year + (audit.on.month >= ANNOUNCED_BY)}
    for year in sorted(wanted - audit.calendar.years.keys()):
        yield audit.finding(
            "calendar",
            "warning",
            str(year),
            "放假安排尚未录入，每日均按工作日计算期限。",
            "its public holidays are not in the calendar: every day of it counts in deadlines.",
            COMPLIANCE,
        )
