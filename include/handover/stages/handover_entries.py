"""What the ledger says of a run's hand-over list: the list in force, who signed it, how it was tested.

Signatures and tests are bound to exactly one list: one that was made anew has neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from handover.evidence.handover_list import JSON_NAME
from handover.law.facts import Facts, VerifiedFile
from handover.model.handover_list import HandoverList, ReceiverTest, Role, Signature
from handover.model.matter import Document, Handover
from handover.stages.context import Context

LIST, SIGNATURE, RECEIVER_TEST = "handover-list", "handover-signature", "receiver-test"


@dataclass(frozen=True)
class Made:
    """The list in force, and the digest of the target's figures that it was made from."""

    made: HandoverList
    figures: str


def current_list(context: Context) -> Made | None:
    """Return the list that was made last."""
    found = context.entries(LIST)
    if not found:
        return None
    body = found[-1].body
    return Made(HandoverList.model_validate(body["list"]), str(body["figures"]))


def signatures(context: Context) -> dict[Role, Signature]:
    """Return the signatures on the list in force by role."""
    made = current_list(context)
    found = [Signature.model_validate(entry.body) for entry in context.entries(SIGNATURE)]
    return {one.role: one for one in found if made and one.list_sha256 == made.made.sha256}


def receiver_test(context: Context) -> ReceiverTest | None:
    """Return what the receiver last answered about the list in force."""
    made = current_list(context)
    found = [ReceiverTest.model_validate(entry.body) for entry in context.entries(RECEIVER_TEST)]
    mine = [one for one in found if made and one.list_sha256 == made.made.sha256]
    return mine[-1] if mine else None


def with_handover(context: Context, facts: Facts) -> Facts:
    """Return the facts with what the ledger says of the list in place of what the case states of it.

    The list counts as a document on file, with a clause for each who signed.
    """
    if context.case.ledger is None or not context.target:
        return facts
    made, test = current_list(context), receiver_test(context)
    answers = Handover.model_validate(dict(test.answers)) if test else None
    matter = facts.matter.model_copy(update={"handover": answers})
    if made is None:
        return facts.model_copy(update={"matter": matter})
    present = signatures(context)
    document = Document(
        kind="handover_list",
        file=JSON_NAME,
        sha256=made.made.sha256,
        date=made.made.compiled_on,
        expires="never",
        signatory="; ".join(one.name for one in present.values()) or None,
        number=made.made.number,
        clauses=tuple(role.replace("-", "_") for role in present),
    )
    verified = VerifiedFile(file=JSON_NAME, sha256=made.made.sha256)
    matter = matter.model_copy(update={"documents": (*matter.documents, document)})
    return facts.model_copy(update={"matter": matter, "verified": (*facts.verified, verified)})
