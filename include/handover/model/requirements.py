"""The catalogue of requirements: what each asks, which tests hold it, what evidence of it a case leaves.

What is kept by software, wholly or in part, needs a test and evidence; what people do needs words about what
they supply. A row that waits for something says for what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from handover.errors import EvidenceInvalid
from handover.model.base import Frozen
from handover.model.strict_yaml import line_of, read_mapping

Kind = Literal["SW", "MIX", "ORG"]
# How many requirements each part of the catalogue has; a row that is dropped must be missed.
PARTS = {"A": 20, "B": 7, "C": 8, "D": 8, "E": 9, "F": 5, "G-R": 8, "H": 9, "I": 3, "J": 6}
IDS = tuple(f"{part}{number:02}" for part, count in PARTS.items() for number in range(1, count + 1))
KINDS: dict[Kind, str] = {
    "SW": "software",
    "MIX": "software and people",
    "ORG": "organisational",
}
Words = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
TestId = Annotated[str, StringConstraints(pattern=r"^tests/[\w/]+/test_\w+\.py::test_\w+$")]


class Requirement(Frozen):
    """One row. ``evidence``: kinds of ledger entries and files of the evidence folder, by their names.

    ``people``: what a person supplies; ``waits_for``: what is not built yet, of a row that is ``pending``.
    """

    id: str
    kind: Kind
    zh: Words
    en: Words
    does: Words | None = None
    tests: tuple[TestId, ...] = ()
    evidence: tuple[Words, ...] = ()
    people: Words | None = None
    pending: bool = False
    waits_for: Words | None = None

    def lacking(self) -> Iterator[str]:
        """Yield what the row itself leaves out."""
        if self.kind != "ORG":
            if not self.does:
                yield "does not say what software does"
            if not self.pending and not self.tests:
                yield "is kept by software, but names no test"
            if not self.pending and not self.evidence:
                yield "is kept by software, but names no evidence"
        if self.kind != "SW" and not self.people:
            yield "is kept by people, but does not say what they supply"
        if self.pending and not self.waits_for:
            yield "is pending, but does not say what it waits for"
        if self.waits_for and not self.pending:
            yield "waits for something, but is not pending"


class Catalogue(Frozen):
    """All requirements, in order."""

    requirements: Annotated[tuple[Requirement, ...], Field(min_length=1)]

    def faults(self, tests: Collection[str], evidence: Collection[str]) -> list[str]:
        """Return what is wrong, given the node ids of all tests and the names of all evidence there is."""
        found = [f"{one.id} {said}" for one in self.requirements for said in one.lacking()]
        counts = Counter(one.id for one in self.requirements)
        found += [f"{name} stands {count} times" for name, count in counts.items() if count > 1]
        found += [f"{name} is missing" for name in IDS if name not in counts]
        found += [f"{name} is no requirement of the catalogue" for name in counts if name not in IDS]
        for one in self.requirements:
            found += [f"{one.id}: there is no test {name}" for name in one.tests if name not in tests]
            found += [
                f"{one.id}: docs/evidence-format.md describes no {name}"
                for name in one.evidence
                if name not in evidence
            ]
        return found


def parse_catalogue(text: str, name: str) -> Catalogue:
    """Return the catalogue that ``text`` says; raises EvidenceInvalid with line, field and remedy."""
    start = "take include/requirements.yaml of this version"
    root, document = read_mapping(text, name, start, EvidenceInvalid)
    try:
        return Catalogue.model_validate(document)
    except ValidationError as problem:
        lines = [
            f"line {line_of(root, error['loc'])}, {'.'.join(map(str, error['loc']))}: {error['msg']}"
            for error in problem.errors(include_url=False, include_input=False)
        ]
        raise EvidenceInvalid(
            f"{name} is not valid:\n  " + "\n  ".join(lines), hint="correct the fields named above"
        ) from None
