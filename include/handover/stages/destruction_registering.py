"""What persons say of a destruction list, registered: each act bound to the list in force and to an account.

A scan or signed file counts by its SHA-256. Who checks before the destruction says so here, with an account
of his own; the account stands in the ledger before the act does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pydantic import ValidationError

from handover.errors import LedgerRefused, NotReady
from handover.evidence.canonical import canonical
from handover.model.approval import Account
from handover.model.destruction_acts import (
    Act,
    Appraisal,
    Archived,
    Destroyed,
    Execution,
    Opinion,
    PreCheck,
    Supervised,
    kind_of,
)
from handover.model.destruction_list import DestructionList, HoldCheck
from handover.model.destruction_standing import Standing
from handover.postgres.erasing.request import ErasedTable
from handover.stages.class_decisions import class_decisions
from handover.stages.context import Context
from handover.stages.destruction_listing import STEP
from handover.stages.destruction_signing import destruction_standing, register
from handover.stages.ended_terms import ended_terms
from handover.stages.erased import erased_tables
from handover.stages.facts import legal_day
from handover.stages.hold_epoch import ERASED, ERASING_PLANNED

BY_ACCOUNT = "destruction-account"
_BECAUSE: Mapping[str, str] = {
    "differs": "备份后已变更，未销毁 / changed since the backup",
    "needed": "留存的行仍指向它 / rows that stay refer to it",
}


@dataclass(frozen=True)
class Scan:
    """A scan or a file signed electronically; ``expected`` is the SHA-256 that it must have."""

    path: Path
    expected: str | None = None

    def document(self) -> dict[str, str]:
        """Return name and SHA-256; raises LedgerRefused when it cannot be read or is another one."""
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as problem:
            raise LedgerRefused(
                f"{self.path.name} cannot be read: {problem.strerror}", hint="see --file"
            ) from None
        if self.expected is not None and self.expected.lower() != digest:
            raise LedgerRefused(
                f"{self.path.name} has SHA-256 {digest}, not the one given",
                hint="give the file that was signed",
            )
        return {"file": self.path.name, "sha256": digest}


def appraise(
    context: Context, who: Account, number: str, members: Sequence[str], on: date, scan: Scan
) -> Standing:
    """Register the appraisal opinion (鉴定意见书)."""
    said = {"number": number, "members": tuple(members), "on": on, **scan.document()}
    return _register(context, who, Appraisal, said)


def give_opinion(context: Context, who: Account, scan: Scan, **said: object) -> Standing:
    """Register one of the five opinions: role, name, on, agrees, reason."""
    return _register(context, who, Opinion, {**said, **scan.document()})


def check_before(context: Context, who: Account, **said: object) -> Standing:
    """Register that a supervisor compared the list with what is about to go: role, name, on, agrees, reason.

    Raises LedgerRefused for an account that asked for the run, or that has spoken for another supervisor.
    """
    if who.folded == _list(context).requested_by.casefold():
        raise LedgerRefused(
            f"account {who.name} asked for this run: nobody supervises what he asked for",
            hint="let the supervisor register the check with an account of his own",
        )
    if role := _checked_as(context, who):
        raise LedgerRefused(
            f"account {who.name} has checked this list as {role}",
            hint="each supervisor registers the check with an account of his own",
        )
    return _register(context, who, PreCheck, said)


def _checked_as(context: Context, who: Account) -> str | None:
    """Return the role for which an account has registered a check of the list in force."""
    checks = {one.sha256_of_json(): one.role for one in destruction_standing(context).acts(PreCheck)}
    for entry in context.entries(BY_ACCOUNT):
        mine = entry.body["account_id"] == who.id or str(entry.body["by"]).casefold() == who.folded
        if mine and entry.body["act_sha256"] in checks:
            return checks[entry.body["act_sha256"]]
    return None


def sign_after(context: Context, who: Account, scan: Scan, **said: object) -> Standing:
    """Register a supervisor's signature after the destruction: role, name, on."""
    return _register(context, who, Supervised, {**said, **scan.document()})


def put_away(context: Context, who: Account, scan: Scan, **said: object) -> Standing:
    """Register that the signed list went into the archives: name, on, place."""
    return _register(context, who, Archived, {**said, **scan.document()})


def record_execution(context: Context, who: Account, executors: Sequence[str]) -> Standing:
    """Register the destruction as its receipts say it; raises NotReady before it is done."""
    made = _list(context)
    receipts = _receipts_of_erasing(context, made) if made.run == context.run else ended_terms(context, made)
    return _register(context, who, Execution, {"executors": tuple(executors), **receipts})


def _receipts_of_erasing(context: Context, made: DestructionList) -> dict[str, object]:
    erased = erased_tables(context)
    if not erased:
        raise NotReady("nothing was erased in this run yet", hint="run or clear the task erase")
    began, ended = context.entries(ERASING_PLANNED)[0], context.entries(ERASED)[-1]
    decisions = class_decisions(context, legal_day())
    listed = {name for name, _ in made.tables}
    receipts = canonical(ended.body, LedgerRefused, "the receipts of the erasing")
    return {
        "started": datetime.fromisoformat(began.at),
        "finished": datetime.fromisoformat(ended.at),
        "destroyed": _destroyed(context, made, erased),
        "holds": HoldCheck(
            on=legal_day(), open=tuple(kind for name in sorted(listed) for kind in decisions[name].open_holds)
        ),
        "receipts_sha256": hashlib.sha256(receipts).hexdigest(),
    }


def _destroyed(
    context: Context, made: DestructionList, erased: Mapping[str, ErasedTable]
) -> tuple[Destroyed, ...]:
    """Return what became of everything listed; raises NotReady where the receipts cannot say it."""
    found = []
    for name, table in made.tables:
        one, rows = erased.get(table), made.rows_of(name, table)
        if one is None or one.gone:
            raise NotReady(
                f"{table}: {one.gone if one else rows} listed rows were not erased by this run",
                hint="find out who deleted them; what is gone without the list cannot be signed for by it",
            )
        stayed = sum(part.rows for part in one.stayed)
        if stayed and one.asked != rows:
            raise NotReady(
                f"{table}: {stayed} rows of several classes stayed, and which class's is not known",
                hint="settle the rows that stayed, then clear the task erase",
            )
        because = "; ".join(_BECAUSE[part.why] for part in one.stayed if part.rows)
        found.append(
            Destroyed(row_class=name, table=table, rows=rows - stayed, stayed=stayed, because=because or None)
        )
    return tuple(found)


def _list(context: Context) -> DestructionList:
    made = destruction_standing(context).made
    if made is None:
        raise NotReady(
            f"run {context.run} has no destruction list",
            hint=f"run or clear the task {STEP}, or none is needed",
        )
    return made


def _register(context: Context, who: Account, model: type[Act], said: Mapping[str, object]) -> Standing:
    made = _list(context).sha256
    try:
        act = model.model_validate({**said, "list_sha256": made})
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in problem.errors())
        raise LedgerRefused(f"nothing was registered: {wrong}", hint="correct what is named") from None
    return register_as(context, who, act, made)


def register_as(context: Context, who: Account, act: Act, list_sha256: str) -> Standing:
    """Register an act on a list, after the account that registers it."""
    context.require_open()
    body = {
        "act": kind_of(act),
        "role": getattr(act, "role", ""),
        "list_sha256": list_sha256,
        "act_sha256": act.sha256_of_json(),
    }
    context.record(BY_ACCOUNT, {**body, "by": who.name, "account_id": who.id})
    return register(context, act)
