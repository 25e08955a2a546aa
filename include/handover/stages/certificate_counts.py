"""What became of the rows of each class that was to go, as a certificate counts it.

From plan and ledger alone: the backup may be gone by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from handover.law.packs import load_packs, select
from handover.law.retention import Applied, Decision
from handover.model.datamap import DataMap
from handover.model.destruction_facts import Method, Retained, TableCount, Treated, Validated, Verified
from handover.model.disposition import GOING
from handover.model.plan import ClassRows
from handover.model.policy import Pack, RetentionRule, Text
from handover.stages.class_decisions import class_decisions, planned_classes
from handover.stages.context import Context
from handover.stages.destruction_signing import destruction_standing
from handover.stages.destruction_volumes import LIST_BEFORE, is_destroyed
from handover.stages.erased import erased_tables
from handover.stages.mask_here import SUMMARY
from handover.stages.quarantine import is_restricted

Planned = tuple[str, ClassRows]
_STAYED = Text(
    zh="与备份不一致，或仍被留存的行引用",
    en="differ from the backup, or rows that stay refer to them",
)
_ERASED = Text(
    zh="每批提交前与备份逐行比对，全部完成后按键（无键的按整行）复查",
    en="compared with the backup before each commit, then looked for by key, without one by the whole row",
)
_MASKED = Text(
    zh="逐批替换后立即读回，全部完成后再次逐行比对",
    en="read back in the transaction that replaced them, and all of them compared once more afterwards",
)
_ARCHIVED = Text(
    zh="加密归档，限制处理，到期销毁密钥",
    en="encrypted archive, restricted; its keys are destroyed when their date has come",
)
_RESTRICTED = Text(
    zh="留在原库，限制处理（行级安全策略：仅保管人角色、超级用户、可绕过策略的角色、表所有者"
    "及以其权限读取的视图可见）",
    en="at the source, restricted (by row security: only the custodian's role sees them, and superusers, "
    "roles that bypass policies, the tables' owners, and views with their rights)",
)
_IN_REACH = Text(
    zh="留在原库，本次未采取限制措施",
    en="at the source; this run put no restriction on them",
)
_KEPT = Text(zh="留在原库，继续使用", en="at the source, in use")


@dataclass(frozen=True)
class Counts:
    """Counts of a run as of a day; ``shredded``: whether the backup's key is destroyed and opens nothing."""

    context: Context
    datamap: DataMap
    proof: Mapping[str, Any]
    on: date
    shredded: bool

    def treated(self, validation: Validated | None) -> tuple[Treated, ...]:
        """Return a line for each class of which rows were to go."""
        return tuple(self._treated(name, one, validation) for name, one in self._classes().items())

    def _classes(self) -> dict[str, list[Planned]]:
        found: dict[str, list[Planned]] = {}
        for table, one in self._planned:
            if one.source in GOING and one.rows:
                found.setdefault(one.name, []).append((table, one))
        return found

    @cached_property
    def _planned(self) -> list[Planned]:
        return planned_classes(self.context.plan())

    def _treated(self, name: str, planned: list[Planned], validation: Validated | None) -> Treated:
        decision = self._decisions[name]
        rule = deciding_rule(decision)
        text = self._rule(rule)
        source = planned[0][1].source
        needs_list = LIST_BEFORE in decision.before_destruction and is_destroyed(planned[0][1])
        made = destruction_standing(self.context).made
        tables = tuple(self._count(table, one) for table, one in planned)
        said = f"{text.basis.source}"
        return Treated(
            row_class=name,
            rule=rule.rule,
            pack=rule.pack,
            basis=Text(zh=f"{text.category.zh}：{said}", en=f"{text.category.en}: {said}"),
            method=self._method(source),
            persons=int(self.proof["persons"].get(name, 0)),
            tables=tables,
            verification=self._erased(name) if source == "erase" else self._masked(tables),
            validation=validation,
            needs_list=needs_list,
            list_sha256=made.sha256 if made and needs_list else None,
        )

    def _method(self, source: str) -> Method:
        if source == "pseudonymise":
            return "pseudonymised"
        return "logical_deletion_crypto_shredding" if self.shredded else "logical_deletion"

    def _erased(self, name: str) -> Verified:
        lines = [one for one in self.proof["classes"] if one["class"] == name]
        passed = bool(lines) and all(one["there"] <= one["stayed"] for one in lines)
        return Verified(how=_ERASED, checked=sum(one["rows"] for one in lines), passed=passed)

    def _masked(self, tables: Sequence[TableCount]) -> Verified:
        passed = all(entry.body["faults"] == 0 for entry in self.context.entries(SUMMARY)[-1:])
        return Verified(how=_MASKED, checked=sum(one.done for one in tables), passed=passed)

    def _count(self, table: str, one: ClassRows) -> TableCount:
        said = self._told[one.source].get(table, (0, 0, 0))
        mine = self._shared(table, one, said)
        done, gone, stayed = mine
        return TableCount(
            table=table,
            planned=one.rows,
            done=done,
            gone_already=gone,
            stayed=stayed,
            because=_STAYED if stayed else None,
        )

    def _shared(self, table: str, mine: ClassRows, said: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return what of a table's rows is this class's; where several go the table has only sums of them."""
        others = [
            one for label, one in self._planned if label == table and one.source == mine.source and one.rows
        ]
        done, gone, stayed = said
        there = {one["class"]: one["stayed"] for one in self.proof["classes"] if one["table"] == table}
        for place, one in enumerate(others):
            last = place == len(others) - 1
            kept = stayed if last else min(stayed, int(there.get(one.name, 0)), one.rows)
            went = gone if last else min(gone, one.rows - kept)
            did = done if last else one.rows - kept - went
            if one.name == mine.name:
                return did, went, kept
            done, gone, stayed = done - did, gone - went, stayed - kept
        return said

    @cached_property
    def _told(self) -> dict[str, dict[str, tuple[int, int, int]]]:
        """Return by table what the ledger says was done, was gone already, and stayed."""
        erased = {
            label: (one.deleted, one.gone, sum(why.rows for why in one.stayed))
            for label, one in erased_tables(self.context).items()
        }
        whole = {label: one.table.label for one in self.datamap.datasets for label in one.labels}
        masked: dict[str, tuple[int, int, int]] = {}
        for entry in self.context.entries(SUMMARY)[-1:]:
            for one in entry.body["tables"]:
                label = whole.get(one["table"], one["table"])
                before = masked.get(label, (0, 0, 0))
                now = (one["masked"], one["gone"], one["differing"])
                masked[label] = (before[0] + now[0], before[1] + now[1], before[2] + now[2])
        return {"erase": erased, "pseudonymise": masked}

    def skipped(self) -> tuple[str, ...]:
        """Return the tables of which rows were to go and of which nobody says that any did."""
        found = (
            table for table, one in self._planned
            if one.source in GOING and one.rows and table not in self._told[one.source]
        )  # fmt: skip
        return tuple(dict.fromkeys(found))

    def retained(self) -> Iterator[Retained]:
        """Yield what stays by law, or because nobody has said that it may go."""
        staying: dict[str, list[Planned]] = {}
        for table, one in self._planned:
            if (one.target == "archive" or one.source not in GOING) and one.rows:
                staying.setdefault(one.name, []).append((table, one))
        for name, planned in staying.items():
            decision = self._decisions[name]
            rules = ", ".join(dict.fromkeys(applied.rule for applied in decision.rules))
            yield Retained(
                row_class=name,
                rule=rules or "–",
                rows=sum(one.rows for _, one in planned),
                until=None if decision.open_holds else decision.kept_through,
                where=self._where(planned),
            )

    def _where(self, planned: Sequence[Planned]) -> Text:
        """Return every place where rows of a class are now: an archived row may be at the source as well."""
        treatment = planned[0][1]
        places = [_ARCHIVED] if treatment.target == "archive" else []
        if treatment.source == "keep":
            places.append(_KEPT)
        elif treatment.source == "restrict":
            locked = all(is_restricted(self.context, table) for table, _ in planned)
            places.append(_RESTRICTED if locked else _IN_REACH)
        return Text(zh="；".join(one.zh for one in places), en="; ".join(one.en for one in places))

    @cached_property
    def _decisions(self) -> dict[str, Decision]:
        return class_decisions(self.context, self.on)

    def _rule(self, applied: Applied) -> RetentionRule:
        return next(pack for pack in self._packs if pack.label == applied.pack).retention[applied.rule]

    @cached_property
    def _packs(self) -> tuple[Pack, ...]:
        return tuple(select(load_packs(self.context.settings.policies), self.context.case.policy, self.on))


def deciding_rule(decision: Decision) -> Applied:
    """Return the rule that lets a class go: of the minimums the one that ended last, else a maximum."""
    minimums = [one for one in decision.rules if one.direction == "minimum"]
    return max(minimums or decision.rules, key=lambda one: one.ends or date.min)
