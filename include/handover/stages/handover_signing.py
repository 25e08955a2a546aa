"""The signatures on a hand-over list and the receiver's four tests, each bound to exactly that list.

A list that was made anew has neither, whatever was signed before. What is registered is a person's word: a
name, a day and the SHA-256 of the scan or signed file.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from handover.classify.find import find
from handover.errors import CaseInvalid, EvidenceInvalid, LedgerRefused, NotReady
from handover.evidence.handover_list import list_files
from handover.model.handover_list import ROLES, TESTS, HandoverList, ReceiverTest, Role, Signature, Test
from handover.stages.approvals import PRIVATE
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.handover_entries import (
    LIST,
    RECEIVER_TEST,
    SIGNATURE,
    current_list,
    receiver_test,
    signatures,
)
from handover.stages.handover_list import STEP, target_tally

SIGNATURES_NAME = "handover-signatures.json"
_PIECE = 1 << 20
_Said = TypeVar("_Said", Signature, ReceiverTest)


def sign(
    context: Context, role: Role, name: str, on: date, scan: Path, expected: str | None = None
) -> Signature:
    """Register one signature on the list in force; ``expected`` is the SHA-256 that the file must have."""
    made = _require_list(context)
    digest = _sha256_of(scan)
    if expected is not None and expected.lower() != digest:
        raise LedgerRefused(
            f"{scan.name} has SHA-256 {digest}, not the one given", hint="give the file that was signed"
        )
    if not made.compiled_on <= on <= legal_day():
        raise LedgerRefused(
            f"a signature of {on} is older than the list of {made.compiled_on}, or of a day to come",
            hint="give the day on which this list was signed",
        )
    signature = _validated(
        Signature, list_sha256=made.sha256, role=role, name=name, on=on, file=scan.name, sha256=digest
    )
    _refuse_private(name=signature.name, file=signature.file)
    present = signatures(context)
    other = present.get(_other_of_side(role))
    if role in present and present[role] != signature:
        raise LedgerRefused(
            f"{role} has signed this list already", hint="each signs once; a list made anew is signed anew"
        )
    if other is not None and _same_person(other.name, signature.name):
        raise LedgerRefused(
            f"{role} is the same person as {other.role}: nobody supervises himself",
            hint="let another person of that unit sign",
        )
    # Bound to the list by its key too: two who sign for one role at once cannot both be written.
    context.record(SIGNATURE, signature.document(), key=f"{made.sha256}/{role}")
    return signature


def record_test(context: Context, answers: Mapping[Test, bool], name: str, reason: str) -> ReceiverTest:
    """Register the receiver's answers to the four tests; the last ones about a list count."""
    made = _require_list(context)
    test = _validated(ReceiverTest, list_sha256=made.sha256, answers=dict(answers), name=name, reason=reason)
    _refuse_private(name=test.name, reason=test.reason)
    context.record(RECEIVER_TEST, test.document())
    return test


def list_faults(context: Context) -> list[str]:
    """Return why the hand-over of the archives is not finished; nothing for a case without any."""
    if context.case.ledger is None or not context.target:
        return []
    made = current_list(context)
    if made is None:
        return [f"hand-over list: not made; step {STEP} is not done"]
    if target_tally(context, made.made.generation).body["digest"] != made.figures:
        return [f"hand-over list: made before the target was last read back; clear {STEP}"]
    present, test = signatures(context), receiver_test(context)
    faults = [
        f"hand-over list: not signed by {role} ({words.zh})"
        for role, words in ROLES.items()
        if role not in present
    ]
    if test is None:
        return [*faults, "hand-over list: the receiver's four tests are not recorded (接收方检验)"]
    failed = [words for name, words in TESTS.items() if not test.answers[name]]
    return faults + [f"hand-over list: the receiver's test of {w.en} failed ({w.zh})" for w in failed]


def documents(context: Context) -> dict[str, bytes]:
    """Return the files of the list for the evidence folder, with what was signed and tested so far."""
    made = current_list(context) if context.case.ledger else None
    if made is None:
        return {}
    files = list_files(made.made)
    recorded = context.entries(LIST)[-1].body["files"]
    changed = sorted(
        name for name, data in files.items() if hashlib.sha256(data).hexdigest() != recorded[name]
    )
    if changed:
        raise EvidenceInvalid(
            f"{', '.join(changed)} would not be what was signed: another version of the software made it",
            hint="close the run with that version, or start a new run",
        )
    test = receiver_test(context)
    signed = {
        "list": made.made.sha256,
        "signatures": [one.document() for one in signatures(context).values()],
        "receiver_test": test.document() if test else None,
        "open": list_faults(context),
    }
    return files | {SIGNATURES_NAME: json.dumps(signed, ensure_ascii=False, indent=2).encode() + b"\n"}


def _require_list(context: Context) -> HandoverList:
    if context.case.ledger is None:
        raise CaseInvalid(
            f"case {context.case.case} hands over no archives", hint="declare them under ledger in its file"
        )
    context.require_open()
    made = current_list(context)
    if made is None:
        raise NotReady(f"run {context.run} has no hand-over list yet", hint=f"run or clear the task {STEP}")
    return made.made


def _other_of_side(role: Role) -> Role:
    side, _, post = role.partition("-")
    other = "supervisor" if post == "handler" else "handler"
    return next(one for one in ROLES if one == f"{side}-{other}")


def _same_person(left: str, right: str) -> bool:
    """Compare names as people read them: width, case and spaces make no other person."""
    ours, theirs = ("".join(unicodedata.normalize("NFKC", name).casefold().split()) for name in (left, right))
    return ours == theirs


def _sha256_of(scan: Path) -> str:
    digest = hashlib.sha256()
    try:
        with scan.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as problem:
        raise LedgerRefused(f"{scan.name} cannot be read: {problem.strerror}", hint="see --file") from None
    return digest.hexdigest()


def _refuse_private(**said: str) -> None:
    """Names of officers belong into the ledger; their numbers and addresses, or a customer's, do not."""
    for field, text in said.items():
        if any(mention.kind in PRIVATE for mention in find(text)):
            raise LedgerRefused(
                f"nothing was registered: {field} names personal data",
                hint="leave out numbers of identity, telephone and account, and e-mail addresses",
            )


def _validated(model: type[_Said], **values: object) -> _Said:
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in problem.errors())
        raise LedgerRefused(f"nothing was registered: {said}", hint="correct what is named") from None
