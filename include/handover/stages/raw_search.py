"""Searches a whole database for raw values, in as many passes as keep what is looked for small in memory."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field

from handover.evidence.digest import token
from handover.evidence.progress import Meter
from handover.postgres.membership import (
    MOST_ROWS,
    Excepted,
    Find,
    Finding,
    Hit,
    Membership,
    nothing_excepted,
    search_database,
)
from handover.postgres.session import connect, database_errors
from handover.risk.searching import Search
from handover.stages.context import Context
from handover.stages.raw_rows import Sought, Taken

# Held at once: a value takes 100 bytes of memory, a person 250 with the search for them.
MOST_VALUES, MOST_PERSONS = 2_000_000, 300_000


@dataclass
class Outcome:
    """What came of a search; ``unsearchable`` counts by kind what could not be looked for."""

    passes: int
    values: Counter[str] = field(default_factory=Counter)
    unsearchable: Counter[str] = field(default_factory=Counter)
    persons: int = 0
    parts: list[Membership] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Return what was found, column by column."""
        found: dict[tuple[str, str, str], Finding] = {}
        for one in (one for part in self.parts for one in part.findings):
            place = (one.schema_name, one.table, one.column)
            found[place] = _together(found[place], one) if place in found else one
        return [found[place] for place in sorted(found)]

    def note(self, taken: Taken) -> None:
        """Count what a pass looks for."""
        self.values.update(taken.values.counts)
        self.persons += len(taken.persons)
        # Each pass that takes values meets all of them that have no form, and keeps none.
        self.unsearchable |= taken.values.unsearchable

    def document(self) -> dict[str, object]:
        """Return everything for the ledger: counts, names of columns, tokens of rows."""
        first = self.parts[0]
        return {
            "findings": [one.document() for one in self.findings],
            "not_searched": [one.document() for one in first.not_searched],
            "cannot_hold": list(first.cannot_hold),
            "values": dict(sorted(self.values.items())),
            "unsearchable": dict(sorted(self.unsearchable.items())),
            "persons": self.persons,
            "passes": self.passes,
            "rows": sum(one.rows for one in first.searched),
            "bytes": sum(one.bytes for one in first.searched),
            "closed": {f"{one.schema_name}.{one.table}": one.closed for one in first.searched if one.closed},
        }


def _together(one: Finding, other: Finding) -> Finding:
    kinds = Counter(one.kinds) + Counter(other.kinds)
    tokens = sorted({*one.row_tokens, *other.row_tokens})[:MOST_ROWS]
    changed = {"cells": one.cells + other.cells, "kinds": dict(sorted(kinds.items()))}
    return one.model_copy(update={**changed, "row_tokens": tuple(tokens)})


def search_for(
    context: Context,
    url: str,
    sought: Sought,
    excepted: Excepted = nothing_excepted,
    progress: Meter | None = None,
    most: tuple[int, int] = (MOST_VALUES, MOST_PERSONS),
) -> Outcome:
    """Look for raw values in every column of a database as it is in one moment.

    ``excepted``: cells that may hold one. ``most``: values and persons that are held at once.
    """

    def between(read: int) -> None:
        context.honour_stop()
        if progress:
            progress.add(0, read)

    return search_place(url, sought, context.evidence_key, excepted, between, most)


def search_place(
    url: str,
    sought: Sought,
    evidence_key: bytes,
    excepted: Excepted = nothing_excepted,
    between: Callable[[int], None] = lambda read: None,
    most: tuple[int, int] = (MOST_VALUES, MOST_PERSONS),
) -> Outcome:
    """Do the same without a run; ``between`` hears how many bytes were read, and may raise."""
    parts = max(1, -(-sought.values // most[0])), max(1, -(-sought.persons // most[1]))
    outcome, key = Outcome(max(parts)), secrets.token_bytes(32)
    with closing(connect(url, read_only=True)) as connection:
        with database_errors("beginning the search for raw values"):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

        def one_pass(number: int) -> Membership:
            # What it looks for must be gone from memory before the next pass takes its own.
            taken = sought.taken(key, (number, parts[0]), (number, parts[1]))
            outcome.note(taken)
            return search_database(
                connection,
                _find(taken),
                lambda row: token(evidence_key, *row),
                excepted,
                with_dates=bool(taken.persons),
                between=between,
            )

        outcome.parts += map(one_pass, range(outcome.passes))
    return outcome


def _find(taken: Taken) -> Find:
    values = Search(taken.values)

    def find(rows: bytes) -> Iterable[Hit]:
        yield from values(rows)
        yield from taken.persons(rows)

    return find
