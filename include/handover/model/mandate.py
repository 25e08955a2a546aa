"""A standing mandate: which rows of a registered source a sweep may let go without asking people.

Pure: what a plan lets go is compared with what two persons signed; whatever differs is said, and then people
are asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Self

import rfc8785
from pydantic import Field, StringConstraints

from handover.model.base import Frozen
from handover.model.case import CaseId
from handover.model.disposition import GOING, ClassName
from handover.model.plan import Plan
from handover.model.registered import RegisteredSource

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# What of a source says, beside classes and packs, which rows go and how.
_FRAME = (
    *("database", "datamap", "timezone", "aml_obliged", "counsel_acceptances"),
    *("virtual_keys", "polymorphic", "pseudonyms"),
)
_NAMES = {"frame": "the source file", "address": "the address of the source", "datamap": "the data map"}
# Rows that go and rows that there are, by table.
Tables = Mapping[str, tuple[int, int]]


class Rules(Frozen):
    """By what rows go: digests of classes, packs and the rest of the source file; where the source is.

    ``datamap``: the digest of the data map, which says what pseudonyms are like; empty where rows only go.
    """

    classes: dict[ClassName, Digest]
    policy: dict[str, Digest]
    frame: Digest
    address: str
    datamap: str

    @classmethod
    def of(
        cls,
        source: RegisteredSource,
        names: Sequence[str],
        policy: Mapping[str, str],
        address: str,
        datamap: str,
    ) -> Self:
        """Return the rules of some classes of a source as they are now."""
        wanted = [one for one in source.retention if one.name in names]
        said = source.model_dump(mode="json", include={**dict.fromkeys(_FRAME, True), "sweep": {"disposal"}})
        return cls(
            classes={one.name: one.sha256_of_json() for one in wanted},
            policy=dict(policy),
            frame=hashlib.sha256(rfc8785.dumps(said)).hexdigest(),
            address=address,
            datamap=datamap if any(one.then == "pseudonymise" for one in wanted) else "",
        )

    def changes(self, now: Rules) -> Iterator[str]:
        """Yield what is not as it was."""
        yield from (
            f"class {name} changed" for name, was in self.classes.items() if now.classes.get(name) != was
        )
        if self.policy != now.policy:
            yield "the policy packs changed"
        for field, name in _NAMES.items():
            if getattr(self, field) != getattr(now, field):
                yield f"{name} changed"


class Mandate(Frozen):
    """What two persons sign: classes of a source by their rules, and how much of each may go on one day.

    ``rows`` of a class in all its tables, and ``share`` of any of its tables. ``until``: the first day on
    which it is over.
    """

    id: str
    source: CaseId
    rules: Rules
    rows: Annotated[int, Field(ge=1)]
    share: Annotated[Decimal, Field(gt=0, le=1)]
    until: date

    def exceeded(self, going: Mapping[str, Tables]) -> Iterator[str]:
        """Yield why what goes is more than was signed."""
        for name, tables in going.items():
            if name not in self.rules.classes:
                yield f"class {name} is not in it"
            if (rows := sum(some for some, _ in tables.values())) > self.rows:
                yield f"{rows} rows of class {name} go, more than {self.rows}"
            for table, (some, of) in tables.items():
                if some > self.share * of:
                    yield f"{some} of {of} rows of {table} go, more than a share of {self.share}"


def together(going: Mapping[str, Tables], gone: Mapping[str, Tables]) -> dict[str, Tables]:
    """Return the rows that go, with those that are gone from the same tables, as if all went at once."""
    found = dict(gone)
    for name, tables in going.items():
        before = found.get(name, {})
        had = {table: before.get(table, (0, 0))[0] for table in tables}
        found[name] = {**before, **{t: (rows + had[t], of + had[t]) for t, (rows, of) in tables.items()}}
    return found


def going(plan: Plan, names: Mapping[str, str]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return the rows that a plan lets go, by the source's classes; ``names``: of which one a run's is."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for table in plan.scope.tables if plan.scope else ():
        for one in table.classes:
            if one.rows and one.source in GOING:
                tables = found.setdefault(names.get(one.name, one.name), {})
                tables[table.table] = (tables.get(table.table, (0, 0))[0] + one.rows, table.total)
    return found
