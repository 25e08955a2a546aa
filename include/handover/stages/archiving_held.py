"""Writing held rows of a term into an archive of their own: the same formats, new keys, read back in full.

The archive has a run of its own in the ledger. Nothing here decides whose rows are held, nor destroys any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handover.archive.bag import PAYLOAD, check_fixity
from handover.archive.rows import rows_of, write_table
from handover.archive.sealing import seal
from handover.archive.selecting import Match, described_in, selected_rows
from handover.crashpoints import CrashPoint, passing
from handover.errors import VaultCorrupt, VerificationFailed
from handover.model.archive import Archive, ArchivedPart, ArchivedTable, ArchiveTerms, Term, TermKeys
from handover.stages.archive_proof import VERIFIED
from handover.stages.archive_terms import BEGUN, Begun, bag_of, contact_of, making_of, secrets_of, term_keys
from handover.stages.archived_rows import Sum, summed
from handover.stages.archiving import SEALED, TABLE
from handover.stages.context import Context
from handover.stages.custody import SealedArchive
from handover.stages.facts import legal_day

GENERATION = 1


@dataclass(frozen=True)
class HeldPart:
    """A file of a term with rows that are held: what names them, how many they are, their digest."""

    part: ArchivedPart
    table: ArchivedTable
    matches: tuple[Match, ...]
    sum: Sum

    def rows(self, archive: SealedArchive) -> Iterator[bytes]:
        """Yield the held rows as they lie in the file."""
        yield from _rows(archive, self.part, self.matches)


def _rows(archive: SealedArchive, part: ArchivedPart, matches: Sequence[Match]) -> Iterator[bytes]:
    secrets = secrets_of(archive.context, archive.index.terms)
    for data in selected_rows(archive.bag / PAYLOAD / part.file, secrets, matches):
        archive.context.honour_stop()
        yield data


def held_parts(
    archive: SealedArchive, term: TermKeys, matches: Mapping[str, tuple[Match, ...]]
) -> list[HeldPart]:
    """Return what is held of each file of a term, of those that have such rows; matches by table."""
    tables = {one.number: one for one in archive.index.tables}
    found = []
    for part in archive.index.of_term(term.number):
        table, there = tables[part.table], Sum()
        named = matches.get(tables[part.table].label, ())
        for data in _rows(archive, part, named) if named else ():
            there.add(data)
        if there.rows:
            found.append(HeldPart(part, table, named, there))
    return found


def write_held(
    archive: SealedArchive, term: TermKeys, held: Sequence[HeldPart], holds: Sequence[str], into: Context
) -> None:
    """Write held rows of a term into the archive of a new run, and read them back.

    Raises VerificationFailed when they are not those that the term's files hold.
    """
    of = {"run": archive.context.run, "term": term.number}
    made = _begun(term, into, of)
    written = [_written(archive, one, made, into) for one in held]
    tables, parts = (tuple(found) for found in zip(*written, strict=True))
    index = Archive(made_on=made.made_on, terms=made.terms, tables=tables, parts=parts)
    digest = seal(making_of(into), bag_of(into), index, contact_of(into), _reason(archive, term, holds))
    passing(CrashPoint.ARCHIVE_UNRECORDED)
    rows = _read_back(into, index, digest, held)
    for one, part in zip(held, parts, strict=True):
        into.record(TABLE, _table_body(archive, one, part, term, into), key=f"g{GENERATION}/{part.table}")
    body = {
        "generation": GENERATION,
        "bag": bag_of(into).relative_to(into.settings.vault).as_posix(),
        "tag_manifest_sha256": digest,
        "made_on": made.made_on.isoformat(),
        "rows": rows,
        "terms": [made.terms.terms[0].document() | {"rows": rows}],
        "of": of,
        "holds": list(holds),
    }
    into.record(SEALED, body, key=f"g{GENERATION}")
    proof = {"generation": GENERATION, "tag_manifest_sha256": digest, "rows": rows, "differences": []}
    into.record(VERIFIED, proof)


def _reason(archive: SealedArchive, term: TermKeys, holds: Sequence[str]) -> str:
    name = " ".join(term.term.row_class.split())
    of = f"term {term.number}, class {name}, of run {archive.context.run}"
    return f"held rows of {of}; legal hold {', '.join(holds)}"


def _begun(term: TermKeys, into: Context, of: Mapping[str, object]) -> Begun:
    # Without a date: a hold keeps it, and once that is released the law of the day says whether it goes.
    keys = term_keys(into, term.number, Term(row_class=term.term.row_class, destroy_from=None))
    terms = ArchiveTerms(case=into.case.case, terms=(keys,))
    made = Begun(made_on=legal_day(), terms=terms)
    into.record(BEGUN, made.document() | {"decisions": {}, "of": of}, key=BEGUN)
    return made


def _written(
    archive: SealedArchive, held: HeldPart, made: Begun, into: Context
) -> tuple[ArchivedTable, ArchivedPart]:
    secrets = secrets_of(archive.context, archive.index.terms)
    document = described_in(archive.bag / PAYLOAD / held.part.file, secrets)
    if document.uncommented() != held.table.uncommented():
        raise VaultCorrupt(
            f"{held.part.file} holds rows of another table than the archive's index says",
            hint="bring the file back from a copy of the bag",
        )
    rows = ((made.terms.terms[0].term, data) for data in held.rows(archive))
    found = dict[str, Sum]()
    (part,) = write_table(
        making_of(into), made.terms, document, summed(rows, found), secrets_of(into, made.terms)
    )
    return document, part


def _read_back(into: Context, index: Archive, digest: str, held: Sequence[HeldPart]) -> int:
    """Return how many rows there are, after each was compared with that of the term's file, in its order."""
    differences = [f"{one.file} is {one.what}" for one in check_fixity(bag_of(into), digest)]
    secrets = secrets_of(into, index.terms)
    rows = 0
    for one, part in zip(held, index.parts, strict=True):
        there = Sum()
        for data in rows_of(bag_of(into) / PAYLOAD / part.file, secrets) if not differences else ():
            there.add(data)
        rows += there.rows
        if (there.rows, there.sha256.digest()) != (one.sum.rows, one.sum.sha256.digest()):
            differences.append(f"{one.table.label}: other rows than those that are held")
    if differences:
        raise VerificationFailed(
            f"the archive of held rows does not hold them: {differences[0]}",
            hint="look at the vault; the same request tries again, and no key went",
            differences=differences,
        )
    return rows


def _table_body(
    archive: SealedArchive, held: HeldPart, part: ArchivedPart, term: TermKeys, into: Context
) -> dict[str, Any]:
    said = next(
        entry.body
        for entry in archive.context.entries(TABLE)
        if entry.body["document"]["number"] == held.table.number
    )
    digest = into.digest(held.sum.sha256.digest())
    told = {**part.document(), "class": term.term.row_class, "digest": digest}
    return {
        "table": said["table"],
        "document": held.table.uncommented().document(),
        "parts": [told],
        "generation": GENERATION,
        "whole": said["whole"],
    }
