"""Records of accounts, where the case requires them: training and non-disclosure (F01, G-R02).

It does by the control of that name under ``matter.controls``; an account's record is a registered document of
that kind whose ``party`` is the account's name.
"""

from __future__ import annotations

from datetime import date
from functools import partial

from handover.law.papers import verify_files
from handover.model.matter import Document
from handover.model.policy import Text
from handover.stages.context import Context
from handover.stages.documents import read_document
from handover.stages.facts import legal_day

RECORDS = {
    "account_training": Text(zh="有效的培训记录", en="valid record of training"),
    "account_nda": Text(zh="有效的保密承诺", en="valid non-disclosure undertaking"),
}


def missing_records(context: Context, name: str, on: date) -> list[str]:
    """Return the kinds of records that the case requires and the account does not have on a day."""
    required = [kind for kind in RECORDS if kind in (context.case.matter.controls or ())]
    return [
        kind for kind in required if not any(_counts(context, one, on) for one in _of(context, kind, name))
    ]


def unfit(context: Context, name: str) -> str:
    """Return why what an account does counts for nothing today, empty when it has all that is required."""
    missing = missing_records(context, name, legal_day())
    return f"this account has no {' and no '.join(RECORDS[kind].en for kind in missing)}" if missing else ""


def _of(context: Context, kind: str, name: str) -> list[Document]:
    documents = context.case.matter.documents
    return [one for one in documents if one.kind == kind and (one.party or "").casefold() == name.casefold()]


def _counts(context: Context, document: Document, on: date) -> bool:
    in_time = document.date <= on and (document.expires == "never" or on <= document.expires)
    if not in_time or not document.signatory:
        return False
    _, wrong = verify_files([document], partial(read_document, context))
    return not wrong
