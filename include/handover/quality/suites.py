"""Suites: made from inventory, data map and plan, or written as JSON by a person, and all as one list.

A suite is JSON in Great Expectations' own form, its kinds limited to ours; ``meta.table`` says of which
table an expectation is, ``schema.table`` or, where a name holds a dot, ``["schema", "table"]``.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from handover.errors import CaseInvalid
from handover.model.base import Frozen
from handover.model.datamap import DataMap
from handover.model.expectation import Asked, Rule, Severity, TableFacts, TableName
from handover.model.image import MaskedTable
from handover.quality.kind import Kind
from handover.quality.kinds import WRITTEN, CompoundUnique, NotNull, Unique
from handover.quality.mapped import mapped
from handover.quality.pseudonyms import arriving, asked_of
from handover.quality.schema_kinds import KINDS, Check, CoveredKey, RowCount, kwargs_of, name_of

# No file can be called by the others: a case names files by small letters, digits and hyphens.
INVENTORY, DATA_MAP, MASKED = "inventory", "data map", "masked columns"
NOTHING_MASKED: Mapping[TableName, MaskedTable] = MappingProxyType({})


class WrittenExpectation(Frozen):
    """An expectation as it stands in a file."""

    type: str
    kwargs: dict[str, JsonValue]
    meta: dict[str, JsonValue] = Field(default_factory=dict)
    severity: Severity = "critical"
    description: str | None = None
    notes: JsonValue = None
    id: str | None = None

    @property
    def table(self) -> str | TableName:
        """Return the table that ``meta`` names, empty when it names none."""
        match self.meta.get("table"):
            case str(label):
                return label
            case [str(schema), str(name)]:
                return schema, name
        return ""


class Suite(Frozen):
    """A file of expectations."""

    name: str
    expectations: tuple[WrittenExpectation, ...]
    meta: dict[str, JsonValue] = Field(default_factory=dict)
    notes: JsonValue = None
    id: str | None = None


def load_suites(folder: Path, names: Iterable[str]) -> list[Suite]:
    """Read ``folder/NAME.json`` for each name; raises CaseInvalid naming file, expectation and remedy."""
    return [_load(folder / f"{name}.json") for name in names]


def _load(path: Path) -> Suite:
    try:
        suite = Suite.model_validate(_parse(path))
    except ValidationError as problem:
        places = [".".join(map(str, e["loc"])) + ": " + _said(e["msg"]) for e in problem.errors()]
        raise _invalid(path, "; ".join(places), "write it as the README shows") from None
    if suite.name != path.stem:
        raise _invalid(path, f"it says name: {suite.name}", f"name the file {suite.name}.json or correct it")
    if suite.name == INVENTORY:
        raise _invalid(path, "the suite made from the inventory has this name", "give the file another")
    for number, expectation in enumerate(suite.expectations, 1):
        _check(path, number, expectation)
    return suite


def _parse(path: Path) -> object:
    try:
        return json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=_once, parse_constant=_no, parse_float=str
        )
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
        raise CaseInvalid(
            f"expectations: no file {path.name} in {path.parent}", hint=f"suites there: {known}"
        ) from None
    except (OSError, ValueError, RecursionError) as problem:
        said = str(problem) if isinstance(problem, ValueError) else "it cannot be read"
        raise _invalid(path, f"not JSON: {said}", "correct that place") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    twice = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
    if twice:
        raise ValueError(f"key {twice[0]!r} twice")
    return dict(pairs)


def _no(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _check(path: Path, number: int, expectation: WrittenExpectation) -> None:
    where = f"expectation {number} ({expectation.type})"
    if expectation.type not in WRITTEN:
        raise _invalid(path, f"{where} is no kind that is known here", f"use one of {', '.join(WRITTEN)}")
    if not expectation.table:
        raise _invalid(path, f"{where} names no table", 'write "meta": {"table": "schema.table"}')
    try:
        _kind(expectation)
    except ValidationError as problem:
        for error in problem.errors(include_url=False, include_input=False):
            field = ".".join(map(str, error["loc"][:1]))
            raise _invalid(
                path, f"{where}, kwargs {field}: {_said(error['msg'])}", "correct that argument"
            ) from None


def _invalid(path: Path, what: str, remedy: str) -> CaseInvalid:
    return CaseInvalid(f"expectation suite {path.name}: {what}", hint=remedy)


def _said(message: str) -> str:
    return message.removeprefix("Value error, ").lower()


def _kind(expectation: WrittenExpectation) -> Kind:
    return WRITTEN[expectation.type].model_validate(expectation.kwargs)


def make_rules(
    facts: Mapping[TableName, TableFacts],
    rows: Mapping[TableName, int],
    suites: Iterable[Suite],
    datamap: DataMap | None = None,
    masked: Mapping[TableName, MaskedTable] = NOTHING_MASKED,
) -> list[Rule]:
    """Return all rules: of data map and inventory, with ``rows`` as backed up by table, and of the suites.

    Of those that say the same the written one stands, then that of the inventory. A partitioned table
    stands for its partitions, unless it was backed up as one table. What a schema declares holds on both
    sides, also of ``masked`` columns; all else that hangs on their values is asked of the source alone.
    """
    made: dict[str, Rule] = {}
    parts = _parts(facts, rows)
    for name, kind in mapped(datamap, facts, parts) if datamap else ():
        _add(made, name, kind, DATA_MAP, "warning", asked_of(kind, masked.get(name)))
    for name in sorted(rows):
        for kind in _declared(facts[name], rows[name]):
            _add(made, name, kind, INVENTORY, "critical")
        for kind in arriving(masked[name]) if name in masked else ():
            _add(made, name, kind, MASKED, "critical", "target")
    for suite in suites:
        for expectation in suite.expectations:
            kind = _kind(expectation)
            for name in _tables(expectation.table, facts, parts):
                _add(made, name, kind, suite.name, expectation.severity, asked_of(kind, masked.get(name)))
    return sorted(made.values(), key=lambda rule: (rule.schema_name, rule.table))


def _parts(
    facts: Mapping[TableName, TableFacts], rows: Mapping[TableName, int]
) -> dict[TableName, list[TableName]]:
    """Return for each name what travels in its place: partitions, unless the whole travels as one table."""
    parts: dict[TableName, list[TableName]] = {name: [name] for name in rows}
    for name, table in facts.items():
        if table.partitioned and name not in rows:
            continue
        for ancestor in table.ancestors:
            if ancestor not in rows:
                parts.setdefault(ancestor, []).append(name)
    return parts


def _declared(table: TableFacts, rows: int) -> Iterator[Kind]:
    """Yield what a table's own declaration promises of its rows."""
    yield RowCount(value=rows)
    for column in table.columns:
        if column.not_null:
            yield NotNull(column=column.name)
    for names in table.unique:
        yield Unique(column=names[0]) if len(names) == 1 else CompoundUnique(column_list=names)
    for key in table.foreign_keys:
        yield CoveredKey(key=key)
    for name in table.checks:
        yield Check(constraint=name)


def _tables(
    wanted: str | TableName,
    facts: Mapping[TableName, TableFacts],
    parts: Mapping[TableName, list[TableName]],
) -> list[TableName]:
    """Return the tables that a suite means; a name that nothing has stays, to fail by that name."""
    found = [name for name in dict.fromkeys([*facts, *parts]) if wanted in (name, ".".join(name))]
    if found:
        return [part for name in found for part in sorted(parts.get(name, [name]))]
    if not isinstance(wanted, str):
        return [wanted]
    schema, _, table = wanted.partition(".")
    return [(schema, table)]


def _add(
    made: dict[str, Rule],
    name: TableName,
    kind: Kind,
    suite: str,
    severity: Severity,
    of: Asked = "both",
) -> None:
    """Add a rule under an id of its own; the same said before is replaced, keeps its id and who is asked."""
    plain = "/".join(part for part in (".".join(name), kind.subject, kind.short) if part)
    number, identity = 1, plain
    while identity in made and made[identity].kwargs != kwargs_of(kind):
        number += 1
        identity = f"{plain}/{number}"
    made[identity] = Rule(
        id=identity,
        schema_name=name[0],
        table=name[1],
        columns=kind.columns,
        kind=name_of(kind),
        kwargs=kwargs_of(kind),
        suite=suite,
        severity=severity,
        of=made[identity].of if identity in made and made[identity].of == "both" else of,
    )


def documents(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Return rules as suites in Great Expectations' form, for the ledger."""
    by_suite: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for rule in rules:
        by_suite[rule.suite].append(
            {
                "type": rule.kind,
                "kwargs": rule.kwargs,
                "meta": {"table": [rule.schema_name, rule.table], "id": rule.id}
                | ({} if rule.of == "both" else {"of": rule.of}),
                "severity": rule.severity,
            }
        )
    return [{"name": name, "expectations": found} for name, found in sorted(by_suite.items())]


def rules_of(suites: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """Return the rules of suites as ``documents`` wrote them."""
    return [_rule(str(suite["name"]), found) for suite in suites for found in suite["expectations"]]


def _rule(suite: str, found: Mapping[str, Any]) -> Rule:
    kind = KINDS[found["type"]].model_validate(found["kwargs"])
    schema, table = found["meta"]["table"]
    return Rule(
        id=found["meta"]["id"],
        schema_name=schema,
        table=table,
        columns=kind.columns,
        kind=found["type"],
        kwargs=found["kwargs"],
        suite=suite,
        severity=found["severity"],
        of=found["meta"].get("of", "both"),
    )
