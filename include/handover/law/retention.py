"""How long a class of rows is kept, and why: the longest minimum wins, missing facts keep, holds keep.

Deleting too early cannot be undone and may be a crime; keeping too long can be repaired. So every doubt
ends in ``restrict``: storage and protection alone, no other use (PIPL 47(2)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

from handover.errors import PolicyInvalid
from handover.law.dates import EARLIEST, after, plausible_start
from handover.law.facts import Outcome
from handover.model.base import Frozen
from handover.model.matter import RowClassRules
from handover.model.policy import HoldKind, Pack, RetentionRule
from handover.model.stated import Hold

DeletionDuty = Literal[
    "purpose_ended", "service_ended", "consent_withdrawn", "unlawful", "request", "other_law"
]


class Question(Frozen):
    """All that a decision depends on. ``holds`` None: nobody has looked, so there may be some."""

    rows: RowClassRules
    on: date
    aml_obliged: Literal["yes", "no", "unknown"] = "unknown"
    holds: tuple[Hold, ...] | None = None
    deletion_duty: DeletionDuty | None = None


class Applied(Frozen):
    """What one rule says: its period starts on ``start`` and ``ends`` is the first day after it.

    ``unsure``: it is applied because nobody knows that it does not apply; alone it lets nothing go.
    """

    rule: str
    pack: str
    direction: str
    level: str
    blocks_deletion: bool
    status: str
    permanent: bool
    unsure: bool
    start: date | None
    ends: date | None


class Decision(Frozen):
    """What may be done on the day, with everything needed to decide it again.

    ``free_from``: the first day on which no minimum runs; None: permanent, or not known. ``split``: the part
    that a minimum needs is restricted, the rest goes.
    """

    question: Question
    outcome: Outcome
    free_from: date | None
    erase_by: date | None
    permanent: bool
    rules: tuple[Applied, ...]
    open_holds: tuple[str, ...]
    doubts: tuple[str, ...]
    before_destruction: tuple[str, ...]
    packs: dict[str, str]

    @property
    def kept_through(self) -> date | None:
        """Return the last day on which a minimum runs."""
        return self.free_from - timedelta(days=1) if self.free_from else None


def decide(packs: Sequence[Pack], question: Question) -> Decision:
    """Return what the packs say about a class of rows; raises PolicyInvalid for an unknown rule or hold."""
    known = {rule: (pack.label, text) for pack in packs for rule, text in pack.retention.items()}
    chosen = _resolve(known, question.rows.rules or ())
    applied = tuple(
        _apply(name, *known[name], question)
        for name in chosen
        if not (known[name][1].only_aml_obliged and question.aml_obliged == "no")
    )
    holds = _open_holds(packs, question)
    minimums = [one for one in applied if one.direction == "minimum"]
    maximums = [one.ends for one in applied if one.direction == "maximum" and one.ends]
    running = [one for one in minimums if one.blocks_deletion or question.deletion_duty is None]
    permanent = any(one.permanent for one in running)
    ends = [one.ends for one in running]
    doubts = _doubts(question, applied)
    known_end = not permanent and not doubts and None not in ends
    decision = Decision(
        question=question,
        outcome="restrict",
        free_from=max((end for end in ends if end), default=None) if known_end else None,
        erase_by=min(maximums, default=None),
        permanent=permanent,
        rules=applied,
        open_holds=holds,
        doubts=doubts,
        before_destruction=tuple(
            dict.fromkeys(step for name in chosen for step in known[name][1].before_destruction)
        ),
        packs={pack.label: pack.digest for pack in packs},
    )
    return decision.model_copy(update={"outcome": _outcome(decision, running)})


def replay(decision: Decision, packs: Sequence[Pack]) -> bool:
    """Say whether the same question to the same versions of the packs gives the same decision."""
    return decide(packs, decision.question) == decision


def _outcome(decision: Decision, running: Sequence[Applied]) -> Outcome:
    question = decision.question
    if decision.doubts or decision.open_holds:
        return "restrict"
    overdue = decision.erase_by is not None and decision.erase_by <= question.on
    minimum_runs = any(one.permanent or one.ends is None or one.ends > question.on for one in running)
    if minimum_runs:
        return "split" if overdue and question.rows.indivisible is False else "restrict"
    if overdue or question.deletion_duty is not None:
        return "must_erase"
    # Where only a maximum is known that has not passed, nothing asks for erasing yet.
    return "may_erase" if running else "restrict"


def _resolve(known: Mapping[str, tuple[str, RetentionRule]], names: Sequence[str]) -> tuple[str, ...]:
    """Return the rules that decide: references replaced by what they refer to, each once."""
    found: dict[str, None] = {}
    for name in names:
        if name not in known:
            raise PolicyInvalid(
                f"retention rule {name} is in none of the case's packs",
                hint=f"one of {', '.join(sorted(known)) or 'none'}; or add the pack to policy:",
                rule=name,
            )
        rule = known[name][1]
        found.update(
            dict.fromkeys(_resolve(known, rule.rests_on) if rule.direction == "reference" else (name,))
        )
    return tuple(found)


def _apply(name: str, pack: str, rule: RetentionRule, question: Question) -> Applied:
    start = ends = EARLIEST if rule.never_kept else None
    if rule.trigger and rule.period:
        start = plausible_start(rule.trigger, (question.rows.triggers or {}).get(rule.trigger), question.on)
        ends = after(start, rule.period) if start else None
    return Applied(
        rule=name,
        pack=pack,
        direction=rule.direction,
        level=rule.level,
        blocks_deletion=rule.blocks_deletion,
        status=rule.basis.status,
        permanent=rule.permanent,
        unsure=rule.only_aml_obliged and question.aml_obliged == "unknown",
        start=start,
        ends=ends,
    )


def _open_holds(packs: Sequence[Pack], question: Question) -> tuple[str, ...]:
    """Return the kinds of the holds that keep the class on the day."""
    kinds: dict[str, HoldKind] = {name: kind for pack in packs for name, kind in pack.holds.items()}
    open_holds = []
    for hold in question.holds or ():
        if hold.kind not in kinds:
            raise PolicyInvalid(
                f"hold {hold.kind!r} is in none of the case's packs",
                hint=f"one of {', '.join(sorted(kinds))}",
            )
        yields = question.deletion_duty is not None and not kinds[hold.kind].blocks_deletion
        if hold.is_open(question.on) and not yields:
            open_holds.append(hold.kind)
    return tuple(open_holds)


def _doubts(question: Question, applied: Sequence[Applied]) -> tuple[str, ...]:
    """Return what is not known and therefore keeps the data."""
    doubts = []
    if not question.rows.rules:
        doubts.append("no rule is named for the class")
    elif not any(one.direction in ("minimum", "maximum") and not one.unsure for one in applied):
        doubts.append("no rule with a period applies")
    if question.holds is None:
        doubts.append("holds were not looked up")
    for one in applied:
        if one.direction == "undecided":
            doubts.append(f"{one.rule}: its period is not known")
        elif one.direction in ("minimum", "maximum") and not one.permanent and one.start is None:
            doubts.append(f"{one.rule}: the date that starts it is missing or cannot be right")
    return tuple(doubts)
