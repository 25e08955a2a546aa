"""What stands for the requirements: tests and described evidence, found by reading files; the table of both.

Tests are parsed, not run nor imported: the table is made in a second and says which tests there are.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from handover.model.requirements import KINDS, Catalogue, Requirement

_CHAPTER, _FOLDER = "## Kinds of entries\n", "## The folder\n"
_HEAD = """\
# Requirements and what stands for them

Made by `handover coverage --markdown` of `include/requirements.yaml`; a test compares them. Every requirement
that software keeps, alone (SW) or with people (MIX), has tests that fail when it is not kept, and leaves the
evidence named: kinds of ledger entries and files of the evidence folder, both described in
[evidence-format.md](evidence-format.md). For what people do (ORG, MIX) the last column says what they supply.
None of this is legal advice.
"""


def existing_tests(tests: Path) -> set[str]:
    """Return the node id of every test function below a folder named ``tests``."""
    found = set()
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.add(f"{path.relative_to(tests.parent).as_posix()}::{node.name}")
    return found


def described_evidence(text: str) -> set[str]:
    """Return the names of ledger kinds and of evidence files that have a row in the evidence format."""
    found: set[str] = set()
    for chapter in (_CHAPTER, _FOLDER):
        rows = text.partition(chapter)[2].partition("\n## ")[0].splitlines()
        heads = [row.split("|")[1] for row in rows if row.startswith("| `")]
        found.update(name for head in heads for name in re.findall(r"`([^`]+)`", head))
    return found


def summary(catalogue: Catalogue) -> str:
    """Return how many there are of each kind, and how many wait."""
    kinds = Counter(one.kind for one in catalogue.requirements)
    parts = [f"{kinds[kind]} {KINDS[kind]} ({kind})" for kind in KINDS]
    waiting = sum(one.pending for one in catalogue.requirements)
    tests = len({test for one in catalogue.requirements for test in one.tests})
    return (
        f"{len(catalogue.requirements)} requirements: {', '.join(parts)}; "
        f"{tests} tests stand for them; {waiting} wait for something"
    )


def standing(one: Requirement) -> str:
    """Return in a word how a requirement is kept."""
    if one.pending:
        return "pending"
    return "organisational" if one.kind == "ORG" else f"{len(one.tests)} tests"


def markdown(catalogue: Catalogue) -> str:
    """Return the table for the documentation."""
    return "\n".join(_lines(catalogue)) + "\n"


def _lines(catalogue: Catalogue) -> Iterator[str]:
    yield _HEAD
    yield f"{summary(catalogue)}.\n"
    yield "| Id | Requirement | Kind | What software does | Tests | Evidence | What people supply |"
    yield "|---|---|---|---|---|---|---|"
    for one in catalogue.requirements:
        does = one.does or "–"
        if one.pending:
            does += f" **Pending:** {one.waits_for}"
        cells = (
            one.id,
            f"{one.zh}<br>{one.en}",
            one.kind,
            does,
            "<br>".join(map(_link, one.tests)) or "–",
            ", ".join(f"`{name}`" for name in one.evidence) or "–",
            one.people or "–",
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_')}](../{path})"
