"""Equivalence classes counted by a real server give the figures that counting in memory gives."""

from collections.abc import Callable, Sequence
from contextlib import closing

import pandas as pd
import pytest
from psycopg import sql

from fixtures.contents import run_sql
from handover.errors import DataMapInvalid, DataRefused
from handover.model.masking import Thresholds
from handover.postgres.class_sizes import RECORDS, Records, class_sizes, class_values
from handover.postgres.session import connect
from handover.risk.classes import classes_counted, classes_in
from handover.risk.generalising import propose
from handover.risk.measuring import measure

LIMITS = Thresholds(
    smallest_class=3, diversity=2, record_risk=0.5, unique_share=0.1, at_risk_share=0.2, mean_risk=0.3
)
ROWS = [
    ("m", "1980-01-01", "a"),
    ("m", "1980-01-01", None),
    (None, "1980-01-02", "b"),
    (None, "1980-01-02", "b"),
]
ROWS += [("f", "1980-02-01", "a\tb"), ("f\n", "1980-02-01", "\\N")]


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    """A table with NULL, odd signs and a json column."""
    made = database("classes")
    values = ", ".join(
        "(" + ", ".join("NULL" if v is None else f"'{v}'" for v in row) + ", '{\"a\": 1}')" for row in ROWS
    )
    run_sql(
        made,
        'CREATE TABLE "T t" (sex text, born date, "ill ness" text, j json);'
        f'INSERT INTO "T t" VALUES {values}',
    )
    return made


def records(
    quasi: Sequence[str], sensitive: Sequence[str] = (), person: Sequence[str] = (), where: str = "true"
) -> Records:
    return Records(
        "T t",
        sql.SQL('public."T t" AS t WHERE {}').format(sql.SQL(where)),
        {name: sql.Identifier("t", name) for name in quasi},
        {name: sql.Identifier("t", name) for name in sensitive},
        tuple(sql.Identifier("t", name) for name in person),
    )


def test_the_server_counts_as_memory_does(url: str) -> None:
    with closing(connect(url, read_only=True)) as connection:
        counted = class_sizes(connection, records(["sex", "born"], ["ill ness"]))
    frame = pd.DataFrame(ROWS, columns=["sex", "born", "ill ness"])
    quasi = ("sex", "born")
    here = measure("t", quasi, classes_in(frame, quasi, ["ill ness"]), LIMITS)
    assert measure("t", quasi, classes_counted(counted, ["ill ness"]), LIMITS) == here
    assert sorted(counted) == [(1, 1, 2), (2, 1, 1), (2, 2, 1)], "sizes alone leave"


def test_json_can_be_a_quasi_identifier_and_rows_can_be_chosen(url: str) -> None:
    with closing(connect(url, read_only=True)) as connection:
        assert class_sizes(connection, records(["j"])) == [(6, 1)]
        assert class_sizes(connection, records(["j"], where="t.sex = 'm'")) == [(2, 1)]


def test_rows_of_one_person_are_one_record_and_those_of_nobody_each_their_own(url: str) -> None:
    with closing(connect(url, read_only=True)) as connection:
        assert class_sizes(connection, records(["j"], person=["sex"])) == [(5, 1)]
        assert class_sizes(connection, records(["j"], person=["sex", "born"])) == [(4, 1)]
        assert class_sizes(connection, records(["born"], person=["born"])) == [(1, 3)]


def test_values_of_the_classes_serve_a_proposal(url: str) -> None:
    with closing(connect(url, read_only=True)) as connection:
        table = class_values(connection, records(["sex", "born"]))
        empty = class_values(connection, records(["sex"], where="false"))
    assert sorted(
        zip(*(table[name].to_pylist() for name in table.column_names), strict=True), key=str
    ) == sorted(
        [("m", "1980-01-01", 2), (None, "1980-01-02", 2), ("f", "1980-02-01", 1), ("f\\n", "1980-02-01", 1)],
        key=str,
    )
    found = propose(table, RECORDS, {"sex": "other", "born": "date"}, 2)
    assert found.steps == {"sex": "suppress"}
    assert empty.num_rows == 0 and propose(empty, RECORDS, {"sex": "other"}, 2).found


def test_a_wrong_column_or_none_is_refused(url: str) -> None:
    with closing(connect(url, read_only=True)) as connection:
        with pytest.raises(DataRefused, match="counting classes of T t"):
            class_sizes(connection, records(["none"]))
        with pytest.raises(DataMapInvalid, match="no quasi-identifier"):
            class_values(connection, records([]))
