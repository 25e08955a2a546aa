"""How long archives are kept: the retention rules that a case's ledger names, looked up in its pack."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from handover.errors import CaseInvalid
from handover.law.packs import load_packs, select
from handover.model.catalog import Finding
from handover.model.ledger_list import Archive, LedgerHandover
from handover.model.policy import Pack, RetentionRule
from handover.model.strict_yaml import StrictLoader, line_of
from handover.stages.context import Context
from handover.stages.facts import legal_day

_REMEDY = "name one of its retention rules, R01 for vouchers, R02 for books"


def check_ledger(context: Context) -> list[Finding]:
    """Return a finding for each archive whose rule does not say how long it is kept; needs no database."""
    ledger = context.case.ledger
    return [] if ledger is None else list(_unfit(context, ledger))


def retention_rule(context: Context, archive: Archive, ledger: LedgerHandover) -> RetentionRule:
    """Return the rule that says how long an archive is kept; raises CaseInvalid when it does not say."""
    rule = _rule(_pack(context, ledger), archive)
    if rule is None:
        raise CaseInvalid(
            f"ledger: archive {archive.code}: {_said(archive, ledger)}",
            hint=f"{_REMEDY}, and start a new run",
        )
    return rule


def _unfit(context: Context, ledger: LedgerHandover) -> Iterator[Finding]:
    path = context.settings.cases / f"{context.case.case}.yaml"
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    pack = _pack(context, ledger)
    for number, archive in enumerate(ledger.archives):
        if _rule(pack, archive) is None:
            field = ("ledger", "archives", number, "rule")
            place = f"{path.name} line {line_of(root, field)}, {'.'.join(map(str, field))}"
            yield Finding(
                id=f"ledger-rule:{archive.code}",
                message=f"{place}: {_said(archive, ledger)}",
                remedy=_REMEDY,
            )


def _pack(context: Context, ledger: LedgerHandover) -> Pack:
    """Return the pack that the ledger names; raises PolicyInvalid when the case's packs do not fit."""
    labels = context.case.policy or (ledger.pack,)
    packs = select(load_packs(context.settings.policies), labels, legal_day())
    return next(pack for pack in packs if pack.label == ledger.pack)


def _rule(pack: Pack, archive: Archive) -> RetentionRule | None:
    rule = pack.retention.get(archive.rule)
    is_for_archives = rule and (rule.permanent or (rule.period and rule.trigger == "fiscal_year"))
    return rule if is_for_archives else None


def _said(archive: Archive, ledger: LedgerHandover) -> str:
    return (
        f"{archive.rule} is no rule of {ledger.pack} that keeps archives from the end of a fiscal year, "
        "or for good"
    )
