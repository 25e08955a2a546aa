"""What a case may declare, exact arithmetic, and what of the figures may be shown."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fixtures.runs import CASE
from handover.errors import CaseInvalid
from handover.model.case import parse_case
from handover.model.figures import Amount, ColumnFigures, Figures, Group, ItemFigures, TableFigures
from handover.model.reconciliation import Reconciliation, TableName
from handover.quality.exact import differences, frame
from handover.quality.reconciliation import Reconciled, reconcile
from handover.quality.showing import hidden

BALANCE = {"name": "trial", "table": "s.line", "debit": "debit", "credit": "credit", "period": "made"}
COUNT = {"name": "states", "table": "s.loan", "by": ["state"], "year": "made"}
RELATION = {
    "name": "owed",
    "table": "s.loan",
    "key": ["id"],
    "total": "principal",
    "minus": {"table": "s.repayment", "column": "paid", "by": ["loan"]},
}


@pytest.mark.parametrize(
    "written, schema, name",
    [
        ("s.t", "s", "t"),
        ("账务.vouchers", "账务", "vouchers"),
        ("Odd Values.numbers", "Odd Values", "numbers"),
        ('s."quoted"', "s", '"quoted"'),
        (["a.b", 'c."d'], "a.b", 'c."d'),
    ],
)
def test_a_table_may_have_any_name(written: object, schema: str, name: str) -> None:
    table = TableName.model_validate(written)
    assert (table.schema_name, table.name) == (schema, name)
    assert TableName.model_validate(table.document()) == table


def explained(**block: object) -> str:
    """What is said of a case with this block."""
    text = yaml.safe_dump({**CASE, "reconciliation": block}, allow_unicode=True)
    with pytest.raises(CaseInvalid) as caught:
        parse_case(text, Path("test-transfer.yaml"))
    return str(caught.value)


WRONG = {
    "one part": ({"counts": [{**COUNT, "table": "loan"}]}, "counts.0.table: 'loan' does not name one table"),
    "three parts": ({"counts": [{**COUNT, "table": "a.b.c"}]}, "write schema.table or [schema, table]"),
    "empty part": ({"counts": [{**COUNT, "table": "s."}]}, "'s.' does not name one table"),
    "a number": ({"counts": [{**COUNT, "table": 7}]}, "7 does not name one table"),
    "counts by nothing": ({"counts": [{"name": "x", "table": "s.t"}]}, "counts.0: names neither by nor year"),
    "taken name": ({"counts": [{**COUNT, "name": "sums"}]}, "name 'sums' is taken"),
    "name twice": ({"counts": [COUNT, COUNT]}, "name 'states' is given twice"),
    "name twice over kinds": ({"counts": [{**COUNT, "name": "trial"}], "balances": [BALANCE]}, "given twice"),
    "bad name": ({"counts": [{**COUNT, "name": "Über"}]}, "counts.0.name"),
    "unknown key": ({"balances": [{**BALANCE, "sql": "1"}]}, "balances.0.sql: unknown key"),
    "missing credit": (
        {"balances": [{"name": "x", "table": "s.t", "debit": "d"}]},
        "balances.0.credit: missing",
    ),
    "grain": ({"balances": [{**BALANCE, "grain": "week"}]}, "balances.0.grain: 'week'"),
    "parent's key": (
        {
            "balances": [
                {**BALANCE, "period": {"table": "s.v", "column": "d", "key": ["a", "b"], "by": ["a"]}}
            ]
        },
        "by and key must have as many columns",
    ),
    "children's key": (
        {"relations": [{**RELATION, "minus": {"table": "s.r", "column": "p", "by": ["a", "b"]}}]},
        "relations.0: by of total or minus must have as many columns as key",
    ),
    "no key": ({"relations": [{**RELATION, "key": []}]}, "relations.0.key"),
    "equals one": ({"relations": [{**RELATION, "equals": 1}]}, "relations.0.equals"),
}


@pytest.mark.parametrize("block, said", WRONG.values(), ids=WRONG)
def test_what_is_written_wrong_is_explained(block: dict[str, object], said: str) -> None:
    assert said in explained(**block)


def test_the_block_changes_the_digest_of_the_case() -> None:
    one, other = (
        parse_case(yaml.safe_dump({**CASE, "reconciliation": block}), Path("test-transfer.yaml"))
        for block in ({}, {"counts": [COUNT]})
    )
    assert one.sha256_of_json() != other.sha256_of_json()
    assert one.reconciliation == Reconciliation()


BIG = str(2**53 + 1)
THIRTY = "123456789012345678901234567890"
SUBTRACTIONS = [
    (BIG, str(2**53), "1"),
    (THIRTY, THIRTY[:-1] + "1", "-1"),
    (f"{THIRTY}.0000000001", THIRTY, "0.0000000001"),
    ("9" * 39, "-" + "9" * 39, "1" + "9" * 38 + "8"),
    ("9" * 40, "1", "9" * 39 + "8"),
    ("1" + "0" * 500, "1", "9" * 500),
    ("1e-400", "0", "1e-400"),
    ("0." + "0" * 36 + "1", "0", "1e-37"),
    (None, "5", "-5"),
    (None, None, "0"),
    ("NaN", "1", None),
    ("Infinity", "Infinity", None),
]


@pytest.mark.parametrize("left, right, rest", SUBTRACTIONS)
def test_the_last_digit_survives(left: str | None, right: str | None, rest: str | None) -> None:
    table = frame({"left": [left, "1.5"], "right": [right, "0.25"]}, {"rows": [2**53 + 1, 1]})
    found = differences(table.left, table.right)
    assert found[0] == (None if rest is None else Decimal(rest))
    assert found[1] == Decimal("1.25")
    assert table.rows.tolist() == [2**53 + 1, 1]
    assert not any(pd.api.types.is_float_dtype(kind) for kind in [*table.dtypes, found.dtype])


def test_an_outer_join_keeps_whole_numbers_whole() -> None:
    ours, theirs = frame({"k": ["a"]}, {"rows": [2**53 + 1]}), frame({"k": ["b"]}, {"more": [1]})
    merged = ours.merge(theirs, on="k", how="outer")
    assert merged.rows.tolist()[0] == 2**53 + 1
    assert not any(pd.api.types.is_float_dtype(kind) for kind in merged.dtypes)


def group(label: str, rows: int, total: str = "1", others: int | None = None) -> Group:
    """A group with one sum."""
    return Group(
        labels=(label,), rows=rows, amounts=(Amount(total=total, others=rows if others is None else others),)
    )


@pytest.mark.parametrize(
    "sizes, expected",
    [
        ([100, 100], [False, False]),
        ([100, 9], [True, True]),
        ([100, 9, 50], [False, True, True]),
        ([100, 9, 50, 1], [False, True, False, True]),
        ([100, 5, 4, 50], [False, True, True, True]),
        ([10, 10], [False, False]),
        ([3], [True]),
        ([], []),
    ],
)
def test_no_hidden_group_follows_from_the_others(sizes: list[int], expected: list[bool]) -> None:
    assert hidden([group(str(n), size) for n, size in enumerate(sizes)]) == expected


def test_a_sum_of_one_amount_among_zeros_is_hidden() -> None:
    alone = group("a", 1000, others=1)
    assert hidden([alone, group("b", 1000), group("c", 900)]) == [True, False, True]
    assert hidden([alone, None, group("c", 900)]) == [True, False, True]
    assert hidden([group("a", 1000, "0", others=0), group("b", 1000)]) == [False, False]


def test_each_sum_of_a_group_is_guarded() -> None:
    """Enough hidden values of one sum do not hide few of another."""
    sizes = [(9, 0), (50, 9), (60, 60), (70, 70)]
    amounts = [tuple(Amount(total="1", others=others) for others in pair) for pair in sizes]
    groups = [Group(labels=(str(n),), rows=100 + n, amounts=found) for n, found in enumerate(amounts)]
    assert hidden(groups) == [True, True, True, False]


def figures(*groups: Group, name: str = "trial", coarse: bool = True, rows: int = 20) -> Figures:
    """One table with one column, and one item."""
    column = ColumnFigures(column="n", values=rows, amount=Amount(total="55.10", others=rows))
    table = TableFigures(
        schema_name="s", name="line", rows=rows, columns=(column,), generated=(), generated_digest=""
    )
    item = ItemFigures(name=name, coarse=(coarse,), groups=groups)
    return Figures(tables=(table,), items=(item,))


def period(label: str, debit: str | None, credit: str | None, rows: int = 20) -> Group:
    """A period of the trial balance."""
    amounts = (Amount(total=debit, others=rows), Amount(total=credit, others=rows))
    return Group(labels=(label,), rows=rows, amounts=amounts)


def compared(source: Figures, target: Figures, *acknowledged: str, **block: object) -> Reconciled:
    """Reconcile with one item."""
    declared = Reconciliation.model_validate(block or {"balances": [BALANCE]})
    planned = {("s", "line"): source.tables[0].rows}
    return reconcile(
        declared, source, target, planned, frozenset(acknowledged), lambda parts: "~" + parts[-1][::-1]
    )


def test_a_backup_with_other_rows_than_the_source_is_found() -> None:
    source = figures()
    found = reconcile(Reconciliation(), source, source, {("s", "line"): 19}, frozenset(), "".join)
    assert found.differences == ("s.line: 20 rows in the source, 19 in the backup, 20 rows in the target",)
    found = reconcile(Reconciliation(), source, source, {}, frozenset(), "".join)
    assert found.differences == ("s.line: 20 rows in the source, – in the backup, 20 rows in the target",)


def test_balances_are_equal_by_value_and_not_by_spelling() -> None:
    even = figures(period("2024-01", "10.00", "10.0"), period("2024-02", None, "0"))
    assert compared(even, even).differences == ()
    nan = figures(period("2024-01", "NaN", "NaN"))
    assert compared(nan, nan).differences == (
        "trial: the source's own fault, not the move's: periods where debit and credit of s.line differ: 1"
        " (2024-01)",
    )
    assert compared(nan, nan, "reconciliation:trial").differences == ()


def test_a_period_that_only_one_side_has_is_a_difference() -> None:
    found = compared(figures(period("2024-01", "1", "1")), figures())
    assert found.differences == ("trial: the target's figures are not the source's (2024-01)",)
    assert found.tables[-1]["rows"] == [  # type: ignore[comparison-overlap]
        ["2024-01", "20", "–", "1", "–", "1", "–", "0", "–", "≠"]
    ]


def test_a_label_of_few_rows_is_shown_only_when_it_is_no_value_of_theirs() -> None:
    few = figures(
        Group(labels=("Zhang",), rows=9), Group(labels=(None,), rows=1), name="states", coarse=False
    )
    block = {"counts": [{"name": "states", "table": "s.line", "by": ["state"]}]}
    rows = compared(few, few, **block).tables[-1]["rows"]
    assert rows == [["<10 · ~gnahZ", "9", "9", "="], ["NULL", "1", "1", "="]]
    many = few.model_copy(
        update={"items": (few.items[0].model_copy(update={"groups": (Group(labels=("Zhang",), rows=10),)}),)}
    )
    assert compared(many, many, **block).tables[-1]["rows"] == [["Zhang", "10", "10", "="]]


def test_a_label_that_many_rows_have_in_all_is_shown_in_every_group() -> None:
    groups = (Group(labels=("old", "XJD"), rows=2), Group(labels=("new", "XJD"), rows=9))
    found = figures(*groups, name="states")
    found = found.model_copy(update={"items": (found.items[0].model_copy(update={"coarse": (True, False)}),)})
    block = {"counts": [{"name": "states", "table": "s.line", "by": ["state", "product"]}]}
    rows = compared(found, found, **block).tables[-1]["rows"]
    assert rows == [["new", "XJD", "9", "9", "="], ["old", "XJD", "2", "2", "="]]


def test_at_most_five_groups_are_named_in_a_message() -> None:
    source = figures(*(period(f"2024-{n:02}", "1", "1") for n in range(1, 13)))
    line = compared(source, figures()).differences[0]
    assert line.endswith("(2024-01; 2024-02; 2024-03; 2024-04; 2024-05 and 7 more)")
