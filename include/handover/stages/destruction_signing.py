"""The destruction list (会计档案销毁清册) of a run in the ledger: made, signed, executed, archived.

Every act is checked against what the ledger holds before it is written, and again whenever it is read: what
got past the check at the same moment as another act counts for nothing and is named as a fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from handover.classify.find import find
from handover.errors import LedgerRefused
from handover.evidence.destruction_list import JSON_NAME, list_files
from handover.evidence.ledger import Entry
from handover.law.facts import Facts, VerifiedFile
from handover.model.destruction import ToDestroy, require_allowed, require_cleared, standing
from handover.model.destruction_acts import ACTS, Act, Listed, Opinion, Supervised, kind_of
from handover.model.destruction_list import OPINIONS, SUPERVISORS
from handover.model.destruction_standing import Recorded, Standing
from handover.model.matter import Document
from handover.stages.approvals import PRIVATE
from handover.stages.context import Context, run_name
from handover.stages.facts import LEGAL_TIME, legal_day

SIGNATURES_NAME = "destruction-signatures.json"


def destruction_standing(context: Context) -> Standing:
    """Return how far this run's destruction list has come."""
    return standing(_recorded(entry) for entry in context.entries(*ACTS))


def of_terms(context: Context) -> Context:
    """Return the run of the list of this run's archived terms: its own list is of what goes at the source.

    A list that was executed stays; what becomes due later stands on the next.
    """
    number = 1
    while True:
        listing = replace(context, run=run_name(f"{context.run}-terms-{number}"))
        if not destruction_standing(listing).reached("executed"):
            return listing
        number += 1


def _recorded(entry: Entry) -> Recorded:
    at = datetime.fromisoformat(entry.at).astimezone(LEGAL_TIME)
    return Recorded(at, ACTS[entry.kind].model_validate(entry.body))


def register(context: Context, act: Act) -> Standing:
    """Write an act into the ledger; raises NotReady naming what is missing before it, or LedgerRefused."""
    context.require_open()
    _refuse_private(act)
    before = destruction_standing(context)
    require_allowed(before, Recorded(datetime.now(UTC).astimezone(LEGAL_TIME), act))
    context.record(kind_of(act), act.document(), key=_key(before, act))
    after = destruction_standing(context)
    if len(after.faults) > len(before.faults):
        raise LedgerRefused(
            f"what was written does not count: {after.faults[-1]}",
            hint="somebody else registered something in the same moment; look at the list again",
        )
    return after


def _key(now: Standing, act: Act) -> str:
    """Return what makes two acts one and the same step, of which the ledger takes only one."""
    if isinstance(act, Listed):
        return str(act.list.edition)
    return f"{now.made.sha256 if now.made else ''}/{getattr(act, 'role', '')}"


def _refuse_private(act: Act) -> None:
    """Names of officers belong into the ledger; their numbers and addresses, or a customer's, do not."""
    for field, text in _texts("", act.document()):
        # Digests and codes have no words that could be private, but digits that look like a number.
        if not field.endswith(("sha256", "digest", "uscc")) and any(m.kind in PRIVATE for m in find(text)):
            raise LedgerRefused(
                f"nothing was registered: {field} names personal data",
                hint="leave out numbers of identity, telephone and account, and e-mail addresses",
            )


def _texts(field: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield field.lstrip("."), value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(f"{field}.{name}", item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(field, item)


def require_destruction_cleared(
    context: Context, wanted: Iterable[ToDestroy], open_now: Mapping[tuple[str, int], Sequence[str]]
) -> None:
    """Raise NotReady unless the accounting rows wanted stand on a list that may be executed today."""
    require_cleared(destruction_standing(context), wanted, legal_day(), open_now)


def with_destruction_list(context: Context, facts: Facts) -> Facts:
    """Return the facts with the list of this run as a document on file, a clause for each who signed."""
    now = destruction_standing(context)
    if now.made is None:
        return facts
    signed: list[tuple[str, str]] = [(one.role, one.name) for one in now.acts(Opinion) if one.agrees]
    signed += [(one.role, one.name) for one in now.acts(Supervised)]
    return _on_file(facts, now.made.sha256, now.made.compiled_on, now.made.number, signed)


def with_coming_list(facts: Facts, number: str) -> Facts:
    """Return the facts as they will be once this run's list is made and everybody has signed it.

    Nothing is let go by them: they tell which gates wait for that list alone.
    """
    everybody = [(role, role) for role in (*OPINIONS, *SUPERVISORS)]
    return _on_file(facts, "0" * 64, facts.on, number, everybody)


def _on_file(facts: Facts, sha256: str, on: date, number: str, signed: Sequence[tuple[str, str]]) -> Facts:
    document = Document(
        kind="destruction_list",
        file=JSON_NAME,
        sha256=sha256,
        date=on,
        expires="never",
        signatory="; ".join(name for _, name in signed) or None,
        number=number,
        clauses=tuple(role for role, _ in signed),
    )
    matter = facts.matter.model_copy(update={"documents": (*facts.matter.documents, document)})
    verified = VerifiedFile(file=JSON_NAME, sha256=sha256)
    return facts.model_copy(update={"matter": matter, "verified": (*facts.verified, verified)})


def destruction_documents(context: Context) -> dict[str, bytes]:
    """Return the files of the list for the evidence folder, with all acts on it; none without a list."""
    now = destruction_standing(context)
    if now.made is None:
        return {}
    said = {
        "list": now.made.sha256,
        "state": now.state,
        "acts": [
            {"kind": kind_of(one.act), "at": one.at.isoformat(), "act": one.act.document()}
            for one in now.recorded
        ],
        "missing": now.missing,
        "faults": now.faults,
    }
    written = json.dumps(said, ensure_ascii=False, indent=2).encode() + b"\n"
    return list_files(now.made) | {SIGNATURES_NAME: written}
