"""Documents and opinions: what counts on a day, and whether their files are still what was registered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from handover.law.facts import Facts, VerifiedFile
from handover.law.references import Place
from handover.model.matter import Document


def verify_files(
    documents: Iterable[Document], read: Callable[[str], Iterable[bytes] | None]
) -> tuple[tuple[VerifiedFile, ...], tuple[tuple[Place, str], ...]]:
    """Return the files that have the registered digest, and field and complaint for each that does not.

    ``read`` gives the pieces of a file by its registered name, or None when there is none; it alone knows
    where documents lie.
    """
    verified: list[VerifiedFile] = []
    wrong: list[tuple[Place, str]] = []
    for number, document in enumerate(documents):
        pieces = read(document.file)
        if pieces is None:
            field: Place = ("documents", number, "file")
            wrong.append((field, f"file {document.file} is missing; put it beside the others"))
            continue
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        if digest.hexdigest() == document.sha256:
            verified.append(VerifiedFile(file=document.file, sha256=document.sha256))
        else:
            said = f"file {document.file} has SHA-256 {digest.hexdigest()}, registered is {document.sha256}"
            remedy = "put the registered file back or register the new one"
            wrong.append((("documents", number, "sha256"), f"{said}; {remedy}"))
    return tuple(verified), tuple(wrong)


def in_force(document: Document, facts: Facts) -> str | None:
    """Return why a document does not count on the day; None when it does."""
    if not any((one.file, one.sha256) == (document.file, document.sha256) for one in facts.verified):
        return "its file is missing or has another digest"
    if document.date > facts.on:
        return "is dated after this day"
    if document.expires != "never" and document.expires < facts.on:
        return "has expired"
    return None if document.signatory else "names no signatory"


def has_opinion(about: str, facts: Facts) -> bool:
    """Say whether a counsel's opinion about a gate is given by this day and on file."""
    files = {one.file for one in facts.matter.documents if in_force(one, facts) is None}
    return any(
        about in opinion.about and opinion.on <= facts.on and opinion.file in files
        for opinion in facts.matter.opinions
    )


def is_accepted_by_counsel(rule: str, facts: Facts) -> bool:
    """Say whether a named counsel stands for a rule by this day."""
    return any(one.rule == rule and one.on <= facts.on for one in facts.matter.counsel_acceptances)
