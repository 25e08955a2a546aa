"""The evaluator: one verdict for each gate of a case's packs, with what it looked at and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from handover.law.checks import is_known, lacking
from handover.law.facts import Digests, Facts
from handover.law.papers import is_accepted_by_counsel
from handover.law.references import paths_of
from handover.law.special import SPECIALS, dropping_out
from handover.model.base import Frozen
from handover.model.check import AllOf, AnyOf, ByHand, Check, HasDocument, HasOpinion, Known, Special
from handover.model.legal_terms import DAILY_TRANSACTIONS, Severity
from handover.model.matter import Acceptance
from handover.model.policy import Basis, Gate, Pack, Rule, Text

State = Literal["pass", "block", "warn", "not_applicable"]
Step = Literal["execution", "closing"]
PASSED = Text(zh="所需事实与文件齐备且有效。", en="All facts and documents asked for are there and valid.")
OTHER_TRANSACTION = Text(zh="不适用于本交易类型。", en="Not asked of this type of transaction.")
LATER = Text(
    zh="所缺者由本次运行自行编制；处置前再次审查。",
    en="What is missing is made by this run itself; asked again before anything goes.",
)
BY_HAND = Text(
    zh="数据无法判定；由具名人员审查并写明理由。",
    en="No data decides this; a named person answers with a reason.",
)


class Verdict(Frozen):
    """What a gate says of a matter on a day.

    ``lacking`` names facts, counts and documents, never texts of the case. ``inputs_sha256`` is over the
    facts at ``inputs``. ``accepted``: who took a warning upon them, or answered by hand. ``later``: nothing
    is missing but what the run itself is about to make.
    """

    gate: str
    pack: str
    state: State
    severity: Severity
    basis: Basis
    reason: Text
    remedy: Text | None
    lacking: tuple[str, ...]
    notes: tuple[Text, ...]
    by_hand: bool
    inputs: tuple[str, ...]
    inputs_sha256: str
    accepted: Acceptance | None
    later: bool = False

    def hinders(self, step: Step) -> bool:
        """Say whether the step must not happen: B hinders both, C closing, W both until it is accepted.

        What the run is about to make hinders closing only.
        """
        if self.state == "warn":
            return self.accepted is None
        return self.state == "block" and (step == "closing" or (self.severity == "B" and not self.later))


def evaluate(packs: Sequence[Pack], facts: Facts, coming: Facts | None = None) -> tuple[Verdict, ...]:
    """Return a verdict for every gate of every pack, in the packs' order.

    ``coming``: the same facts with what the run itself is about to make; a gate that is closed now and open
    then is said to be asked later.
    """
    rules = {name: rule for pack in packs for name, rule in pack.rules().items()}
    hearing = _Hearing(facts, packs, rules, Digests(facts), coming)
    return tuple(
        _verdict(name, gate, pack.label, hearing) for pack in packs for name, gate in pack.gates.items()
    )


def hindrances(verdicts: Iterable[Verdict], step: Step) -> tuple[Verdict, ...]:
    """Return the verdicts for which the step must not happen."""
    return tuple(one for one in verdicts if one.hinders(step))


@dataclass(frozen=True)
class _Hearing:
    """What all gates of one evaluation share."""

    facts: Facts
    packs: Sequence[Pack]
    rules: Mapping[str, Rule]
    digests: Digests
    coming: Facts | None


def _verdict(name: str, gate: Gate, pack: str, hearing: _Hearing) -> Verdict:
    facts = hearing.facts
    inputs = _inputs(gate)
    by_hand = isinstance(gate.check, ByHand)
    accepted = next(
        (one for one in facts.matter.acceptances if one.gate == name and one.on <= facts.on), None
    )
    reason, remedy = PASSED, None
    missing: list[str] = []
    state: State = "pass"
    exempt = _exempt(gate, facts)
    if exempt is not None:
        state, reason = "not_applicable", exempt
    else:
        missing = [] if by_hand and accepted else lacking(gate.check, facts, hearing.packs)
        missing += _unread_rules(name, hearing.rules, facts)
    later = bool(missing) and _opens_later(name, gate, hearing)
    if missing:
        state, remedy = ("warn" if gate.severity == "W" else "block"), gate.remedy
        reason = gate.reason
    elif by_hand and state == "pass":
        reason = BY_HAND
    return Verdict(
        gate=name,
        pack=pack,
        state=state,
        severity=gate.severity,
        basis=gate.basis,
        reason=reason,
        remedy=remedy,
        lacking=tuple(missing),
        notes=(LATER,) if later else _notes(gate, facts) if state != "not_applicable" else (),
        by_hand=by_hand,
        inputs=inputs,
        inputs_sha256=hearing.digests.over(("transaction", "on", *inputs)),
        accepted=accepted if state != "not_applicable" and (by_hand or state == "warn") else None,
        later=later,
    )


def _opens_later(name: str, gate: Gate, hearing: _Hearing) -> bool:
    """Say whether the gate is open as soon as the run has made what it is about to make."""
    then = hearing.coming
    if then is None or isinstance(gate.check, ByHand):
        return False
    return not lacking(gate.check, then, hearing.packs) and not _unread_rules(name, hearing.rules, then)


def _exempt(gate: Gate, facts: Facts) -> Text | None:
    """Return why the gate is not asked, None when it is; what is not known never exempts."""
    everyones = gate.transactions is None and facts.transaction not in DAILY_TRANSACTIONS
    if not everyones and facts.transaction not in (gate.transactions or ()):
        return OTHER_TRANSACTION
    for known in gate.unless:
        if is_known(known, facts):
            zh, en = _shown(known)
            return Text(zh=f"不适用：{known.fact} {zh}。", en=f"Not asked: {known.fact} {en}.")
    return None


def _shown(known: Known) -> tuple[str, str]:
    if known.below is not None:
        return f"少于 {known.below}", f"is below {known.below}"
    if known.equals == ():
        return "无", "is none"
    value = json.dumps(known.equals)
    return f"为 {value}", f"is {value}"


def _unread_rules(name: str, rules: Mapping[str, Rule], facts: Facts) -> list[str]:
    """Return a line for each rule the gate rests on that nobody has read and no counsel stands for."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found[here] = None
            waiting += rules[here].rests_on
    return [
        f"rule {one} ({rules[one].basis.status}) needs a counsel in matter.counsel_acceptances"
        for one in sorted(found)
        if rules[one].basis.needs_counsel and not is_accepted_by_counsel(one, facts)
    ]


def _inputs(gate: Gate) -> tuple[str, ...]:
    """Return every fact that the gate looks at."""
    paths = [known.fact for known in gate.unless] + list(_read_by(gate.check))
    paths += ["matter.counsel_acceptances"] if gate.basis.needs_counsel or gate.rests_on else []
    paths += ["matter.acceptances"] if gate.severity == "W" or isinstance(gate.check, ByHand) else []
    return tuple(dict.fromkeys(paths))


def _read_by(check: Check) -> Iterable[str]:
    yield from (path for path, _ in paths_of(check))
    match check:
        case AllOf() | AnyOf():
            for below in check.checks:
                yield from _read_by(below)
        case HasDocument():
            yield from ("matter.documents", "verified")
        case HasOpinion():
            yield from ("matter.opinions", "matter.documents", "verified")
        case Special():
            yield from SPECIALS[check.name].inputs


def _notes(gate: Gate, facts: Facts) -> tuple[Text, ...]:
    """Return what a reader should know although it blocks nothing: who drops out of an asset deal."""
    is_type = isinstance(gate.check, Special) and gate.check.name == "case_type"
    share = dropping_out(facts)
    if not is_type or facts.transaction not in ("asset_transfer", "loan_portfolio_transfer") or not share:
        return ()
    out, scope = share
    per_mille = 1000 * out // scope if scope else 0
    percent = f"{per_mille // 10}.{per_mille % 10}"
    return (
        Text(
            zh=f"范围内 {scope} 人，其中 {out} 人（{percent}%）不在批次内，不予移转。",
            en=f"Of {scope} persons in scope, {out} ({percent}%) are not in the batch and stay.",
        ),
    )
