"""The rules of a destruction list: who may do what when, and why not (ACC-18, ACC-19, D04, D05).

Beyond the measures' own words the product asks that five persons give the five opinions, that who asked for
the destruction does not decide it, and that nobody supervises what he executes or asked for. A doubt keeps
the archives: destroying too early cannot be undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handover.model.destruction_acts import (
    Act,
    Appraisal,
    Archived,
    Execution,
    Listed,
    Opinion,
    PreCheck,
    Supervised,
    person,
)
from handover.model.destruction_list import DestructionList
from handover.model.destruction_standing import Recorded, Standing, State


@dataclass(frozen=True)
class Objection:
    """Why an act is refused: ``missing`` may still come, ``wrong`` never becomes right."""

    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.wrong)


def objection_to(now: Standing, one: Recorded) -> Objection:
    """Return why an act cannot be done now, or an empty objection.

    About another list than that in force an act counts for nothing, and is wrong to do.
    """
    act = one.act
    if isinstance(act, Listed):
        return _of_list(now, act, one)
    if now.made is None:
        return Objection(missing=now.missing)
    if act.list_sha256 != now.made.sha256:
        return Objection(wrong=(f"bound to list {act.list_sha256[:12]}…, not to the one in force",))
    before: State = _BEFORE[type(act)]
    wrong = (*_dates(now.made, one), *_CHECKS[type(act)](now, now.made, act, one))
    return Objection(missing=() if now.reached(before) else now.missing, wrong=tuple(wrong))


def _of_list(now: Standing, act: Listed, one: Recorded) -> Objection:
    wrong = []
    if now.reached("executed"):
        wrong.append("the list in force was executed; what is destroyed later needs another run")
    if now.made is not None and act.list.edition <= now.made.edition:
        wrong.append(f"edition {act.list.edition} does not follow edition {now.made.edition}")
    if act.list.compiled_on > one.day:
        wrong.append(f"compiled on {act.list.compiled_on}, a day to come")
    return Objection(wrong=tuple(wrong))


def _dates(made: DestructionList, one: Recorded) -> list[str]:
    on = getattr(one.act, "on", None)
    if on is None or made.compiled_on <= on <= one.day:
        return []
    return [f"{on} is before the list of {made.compiled_on}, or a day to come"]


def _appraisal(now: Standing, made: DestructionList, act: Appraisal, _: Recorded) -> list[str]:
    wrong = ["the list was appraised already"] if now.acts(Appraisal) else []
    if act.number != made.appraisal:
        wrong.append(f"the list rests on appraisal {made.appraisal}, this is {act.number}")
    return wrong


def _opinion(now: Standing, made: DestructionList, act: Opinion, _: Recorded) -> list[str]:
    given = now.acts(Opinion)
    wrong = [f"{one.role} is the same person" for one in given if _same(one.name, act.name)]
    if any(one.role == act.role for one in given):
        wrong = [f"{act.role} has given an opinion on this list; a list made anew gets new opinions"]
    if act.role == "unit_head" and _same(act.name, made.requested_by):
        wrong.append("who asked for the destruction does not decide it")
    return wrong + _older(act, now.acts(Appraisal), "the appraisal")


def _precheck(now: Standing, made: DestructionList, act: PreCheck, _: Recorded) -> list[str]:
    given = now.acts(PreCheck)
    wrong = [f"{one.role} is the same person" for one in given if _same(one.name, act.name)]
    if any(one.role == act.role for one in given):
        wrong = [f"{act.role} has checked this list; a list made anew is checked anew"]
    if act.role not in made.supervisors:
        wrong.append(f"{act.role} supervises electronic files, and this list has none")
    if _same(act.name, made.requested_by):
        wrong.append("who asked for the destruction does not supervise it")
    return wrong + _older(act, now.acts(Opinion), "an opinion")


def _execution(now: Standing, made: DestructionList, act: Execution, one: Recorded) -> list[str]:
    wrong = ["the list was executed already"] if now.acts(Execution) else []
    supervisors = {person(check.name) for check in now.acts(PreCheck)}
    wrong += [
        f"executor {name} is a supervisor: nobody supervises himself"
        for name in act.executors
        if person(name) in supervisors
    ]
    checks = [earlier.at for earlier in now.recorded if isinstance(earlier.act, PreCheck)]
    if checks and act.started <= max(checks):
        wrong.append("it began before the supervisors' check was registered")
    if act.finished > one.at:
        wrong.append("it ends after it was registered")
    began = act.started.astimezone(one.at.tzinfo).date()
    if began < made.destroy_from:
        wrong.append(f"what is listed may go from {made.destroy_from}, it began on {began}")
    if act.holds.on < began:
        wrong.append(f"open matters were last looked up on {act.holds.on}, before it began")
    if act.holds.open and not any(found.stayed for found in act.destroyed):
        wrong.append(f"open matters were found ({', '.join(act.holds.open)}) and nothing stayed")
    return wrong + _wrong_counts(made, act)


def _wrong_counts(made: DestructionList, act: Execution) -> list[str]:
    said = {(one.row_class, one.table): (one.rows, one.stayed) for one in act.destroyed}
    listed = {(one.row_class, one.table) for volume in made.volumes for one in volume.contents}
    wrong = ["a table of a class is counted twice"] if len(said) != len(act.destroyed) else []
    wrong += [
        f"{table} of class {name} was destroyed and is not listed" for name, table in said.keys() - listed
    ]
    for name, table in sorted(listed):
        rows, stayed = said.get((name, table), (0, 0))
        if rows + stayed != made.rows_of(name, table):
            wrong.append(
                f"{table} of class {name}: {rows} rows destroyed and {stayed} stayed, "
                f"{made.rows_of(name, table)} are listed"
            )
    return wrong


def _supervised(now: Standing, _: DestructionList, act: Supervised, one: Recorded) -> list[str]:
    wrong = []
    if any(earlier.role == act.role for earlier in now.acts(Supervised)):
        wrong.append(f"{act.role} has signed already")
    checked = [check.name for check in now.acts(PreCheck) if check.role == act.role]
    if checked and not _same(checked[0], act.name):
        wrong.append(f"{act.role} was {checked[0]} before the destruction: who checked before signs after")
    for execution in now.acts(Execution):
        if one.at <= execution.finished or act.on < execution.finished.astimezone(one.at.tzinfo).date():
            wrong.append("signed before the destruction was finished")
    return wrong


def _archived(now: Standing, _: DestructionList, act: Archived, __: Recorded) -> list[str]:
    wrong = ["the list was archived already"] if now.acts(Archived) else []
    return wrong + _older(act, now.acts(Supervised), "a supervisor's signature")


def _older(act: Any, earlier: tuple[Any, ...], what: str) -> list[str]:
    return [f"{act.on} is before {what} of {one.on}" for one in earlier if act.on < one.on][:1]


def _same(left: str, right: str) -> bool:
    return person(left) == person(right)


_BEFORE: dict[type[Act], State] = {
    Appraisal: "draft",
    Opinion: "appraised",
    PreCheck: "approved",
    Execution: "checked",
    Supervised: "executed",
    Archived: "supervised",
}
_CHECKS: dict[type[Act], Callable[[Standing, DestructionList, Any, Recorded], list[str]]] = {
    Appraisal: _appraisal,
    Opinion: _opinion,
    PreCheck: _precheck,
    Execution: _execution,
    Supervised: _supervised,
    Archived: _archived,
}
