"""Validates rules in a database: Great Expectations says which hold, our own SQL counts and names the rest.

A question that cannot be asked (a column that is gone, a type that does not fit) fails with SQLSTATE and
names; it never stops the others. Losing the server does: then nothing was learnt.
"""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, cast

from psycopg import sql

from handover.codec.rows import fields, surrogate
from handover.errors import DataRefused
from handover.model.expectation import Outcome, Rule, TableFacts, TableName
from handover.model.plan import TablePlan
from handover.postgres.copying import read_rows
from handover.postgres.ordering import order_by
from handover.postgres.session import Connection, database_errors, fetch
from handover.quality.counting import failing_rows, fails_any
from handover.quality.schema_kinds import kind_of
from handover.quality.suites import DATA_MAP, INVENTORY, MASKED

if TYPE_CHECKING:
    from handover.quality.gx import Ask

# So many rows show a person where to look; the count says how many there are.
MOST_TOKENS = 10
# Of these suites nobody wrote a word: it is ours to say how they are asked.
MADE = frozenset((INVENTORY, DATA_MAP, MASKED))
_TOGETHER = "together"
# Names a row by the parts of its key, so that nobody without the case's key can tell which.
Tokens = Callable[..., str]


@dataclass(frozen=True)
class Database:
    """What rules are asked of: its address, a session, what it declares, and how its tables are ordered."""

    url: str
    connection: Connection
    facts: Mapping[TableName, TableFacts]
    plans: Mapping[TableName, TablePlan]
    token: Tokens


def validate(database: Database, rules: Iterable[Rule], between: Callable[[], None]) -> list[Outcome]:
    """Return what came of each rule; ``between`` is called before each table and may raise to stop."""
    gx = _great_expectations()
    by_table: dict[TableName, list[Rule]] = defaultdict(list)
    for rule in rules:
        by_table[rule.schema_name, rule.table].append(rule)
    outcomes = []
    with gx.asking(database.url) as ask:
        for name, mine in by_table.items():
            between()
            outcomes += _of_table(database, ask, database.facts.get(name), mine)
    return outcomes


def _great_expectations() -> ModuleType:
    """Import it now: it takes seconds and warns of its own imports; it is told to report to nobody."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from handover.quality import gx
    return gx


def _of_table(database: Database, ask: Ask, table: TableFacts | None, rules: Sequence[Rule]) -> list[Outcome]:
    missing = {rule.id: said for rule in rules if (said := missing_from(table, rule))}
    askable = [rule for rule in rules if rule.id not in missing]
    outcomes = [_failed(rule, missing[rule.id]) for rule in rules if rule.id in missing]
    if table is None or not askable:
        return outcomes
    answers = _answers(database, ask, table, askable)
    for rule in askable:
        answer = answers[rule.id]
        outcomes.append(_passed(rule) if answer else _looked_at(database, table, rule, answer))
    return outcomes


def _answers(
    database: Database, ask: Ask, table: TableFacts, rules: Sequence[Rule]
) -> Mapping[str, bool | None]:
    """Ask the rules that were made all at once; each by itself only when some row fails one of them.

    Most tables are in order, and a question costs Great Expectations milliseconds, whatever the table.
    """
    made = [rule for rule in rules if rule.suite in MADE]
    if not made:
        return _one_by_one(database, ask, table, rules)
    together = fails_any(table, [kind_of(rule) for rule in made]).as_string(database.connection)
    if not ask(table, [], {_TOGETHER: together})[_TOGETHER]:
        return _one_by_one(database, ask, table, rules)
    written = [rule for rule in rules if rule.suite not in MADE]
    return dict.fromkeys((rule.id for rule in made), True) | _one_by_one(database, ask, table, written)


def _one_by_one(
    database: Database, ask: Ask, table: TableFacts, rules: Sequence[Rule]
) -> dict[str, bool | None]:
    if not rules:
        return {}
    counts = {rule.id: failing_rows(table, kind_of(rule)).as_string(database.connection) for rule in rules}
    counted = {rule.id for rule in rules if kind_of(rule).counted}
    native = [rule for rule in rules if rule.id not in counted]
    answers = ask(table, native, {name: counts[name] for name in counted})
    unanswered = [rule.id for rule in native if answers[rule.id] is None]
    if unanswered:  # names that Great Expectations cannot quote: it then asks by our query
        answers |= ask(table, [], {name: counts[name] for name in unanswered})
    return answers


def missing_from(table: TableFacts | None, rule: Rule) -> str:
    """Say what a rule is about that is not there; empty when all of it is."""
    if table is None:
        return f"table {rule.label} is not there (SQLSTATE 42P01)"
    there = {fact.name for fact in table.columns}
    gone = [column for column in rule.columns if column not in there]
    if gone:
        return f"column {', '.join(gone)} is not in {table.schema_name}.{table.name} (SQLSTATE 42703)"
    constraint = rule.kwargs.get("constraint")
    if constraint is not None and constraint not in table.checks:
        return f"constraint {constraint} is not on {table.schema_name}.{table.name} (SQLSTATE 42704)"
    return ""


def _outcome(rule: Rule, *, success: bool, failing: int | None, tokens: Sequence[str], error: str) -> Outcome:
    return Outcome(
        id=rule.id,
        table=rule.label,
        columns=rule.columns,
        kind=rule.kind,
        suite=rule.suite,
        severity=rule.severity,
        success=success,
        failing=failing,
        tokens=tuple(tokens),
        error=error,
        of=rule.of,
    )


def _passed(rule: Rule) -> Outcome:
    return _outcome(rule, success=True, failing=0, tokens=(), error="")


def _failed(rule: Rule, error: str) -> Outcome:
    return _outcome(rule, success=False, failing=None, tokens=(), error=error)


def _looked_at(database: Database, table: TableFacts, rule: Rule, answer: bool | None) -> Outcome:
    """Count and name the rows for which a rule failed, or find out why it got no answer."""
    try:
        with database_errors(f"checking {rule.id}"):
            count = fetch(database.connection, failing_rows(table, kind_of(rule)))
            failing = cast(int, count[0][0])
            tokens = _tokens(database, table, rule) if failing and rule.columns else []
    except DataRefused as refused:
        return _failed(rule, refused.message)
    if answer is None:
        return _failed(rule, f"checking {rule.id}: Great Expectations gave no answer")
    if not failing:
        return _failed(rule, f"checking {rule.id}: it failed, and no row was found that fails it")
    return _outcome(rule, success=False, failing=failing, tokens=tokens, error="")


def _tokens(database: Database, table: TableFacts, rule: Rule) -> list[str]:
    """Name the first failing rows in the order of the table's key, as a comparison would name them."""
    plan = database.plans.get(table.table)
    if plan is None:
        return []
    names = [column.name for column in plan.key] or list(plan.columns)
    query = sql.SQL("SELECT {} FROM ({}) AS t ORDER BY {} LIMIT {}").format(
        sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in names),
        kind_of(rule).failing(table),
        order_by(plan.key) if plan.key else sql.SQL("1"),
        sql.Literal(MOST_TOKENS),
    )
    return [_name(database, plan, bytes(row)) for row in read_rows(database.connection, query, plan.format)]


def _name(database: Database, plan: TablePlan, row: bytes) -> str:
    """Name a row: by its key where that is a bare number or uuid, else by a keyed token.

    A masked key is never shown: beside its pseudonym, which fails the same rule, it would tell whose it is.
    """
    if not plan.key:
        return database.token(row)
    parts = fields(row, plan.format)
    shown = [surrogate(part, c.type, plan.format) for part, c in zip(parts, plan.key, strict=True)]
    if None in shown or plan.rekeyed:
        return database.token(*(part or b"" for part in parts))
    return ", ".join(f"{c.name} = {text}" for c, text in zip(plan.key, shown, strict=True))
