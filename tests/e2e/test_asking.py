"""All that is made for a table is asked at once; what is wrong is still told of the one that it breaks."""

from collections.abc import Callable
from contextlib import closing

from fixtures.contents import run_sql
from handover.model.datamap import DataMap
from handover.model.expectation import ColumnFact, ForeignKey, Outcome, TableFacts
from handover.model.kinds import levels_of
from handover.postgres.session import connect
from handover.quality.suites import make_rules
from handover.quality.validation import Database, validate

ROWS = """
CREATE SCHEMA s;
CREATE TABLE s.parent (id int);
INSERT INTO s.parent VALUES (1), (2);
CREATE TABLE s.one (a int, b int, c text, d int);
INSERT INTO s.one VALUES (1, 1, '15400000000', 7), (1, 2, NULL, 7), (1, 3, '154****0000', NULL);
"""
ONE = ("s", "one")
NAMES = ("a", "b", "c", "d")
IN_ORDER: dict[str, object] = {
    "unique": (("b",), ("a", "b")),
    "checks": {"known": "(c = '15400000000') OR (b > 1)"},
    "foreign_keys": ("a",),
    "not_null": ("a", "b"),
    "rows": 3,
    "mobile": None,
}
# Each breaks one expectation and leaves all others in order: failing rows by the expectation's id.
FAULTS: dict[str, tuple[dict[str, object], dict[str, int | None]]] = {
    "nothing": ({}, {}),
    "a null": ({"not_null": ("a", "b", "c")}, {"s.one/c/not_null": 1}),
    "a value twice": ({"unique": (("a",), ("a", "b"))}, {"s.one/a/unique": 3}),
    "two values twice": ({"unique": (("b",), ("a", "d"))}, {"s.one/a,d/unique": 2}),
    "a check": ({"checks": {"known": "b < 2"}}, {"s.one/known/check": 2}),
    "an orphan": ({"foreign_keys": ("a", "b")}, {"s.one/of_b/foreign_key": 1}),
    "a row that is missing": ({"rows": 5}, {"s.one/row_count": 2}),
    "a form": ({"mobile": "c"}, {"s.one/c/mobile_number": 1}),
    "a question that cannot be asked": (
        {"checks": {"known": "1 / (b - 1) < 9"}},
        {"s.one/known/check": None},
    ),
}


def facts_of(said: dict) -> TableFacts:
    keys = [
        ForeignKey(
            name=f"of_{column}",
            columns=(column,),
            parent=("s", "parent"),
            parent_columns=("id",),
            operators=("pg_catalog.=",),
            alone=True,
            full=False,
        )
        for column in said["foreign_keys"]
    ]
    columns = [
        ColumnFact(name=n, type="text" if n == "c" else "int", enum=False, not_null=n in said["not_null"])
        for n in NAMES
    ]
    return TableFacts(
        schema_name="s",
        name="one",
        columns=tuple(columns),
        unique=said["unique"],
        foreign_keys=tuple(keys),
        checks=said["checks"],
        ancestors=(),
    )


def datamap_of(mobile: str | None) -> DataMap:
    entry = {"kind": "mobile", **levels_of("mobile").model_dump(), "mandatory": False}
    columns = {mobile: entry} if mobile else {}
    dataset = {"table": "s.one", "purpose": "p", "origin": "o", "columns": columns}
    return DataMap.model_validate({"map": "a-case", "datasets": [dataset]})


def asked(url: str, said: dict) -> list[Outcome]:
    facts = facts_of(said)
    with closing(connect(url, read_only=True)) as connection:
        database = Database(url, connection, {ONE: facts}, {}, lambda *parts: "token")
        rules = make_rules({ONE: facts}, {ONE: said["rows"]}, [], datamap_of(said["mobile"]))
        return validate(database, rules, lambda: None)


def test_each_fault_alone_is_found_among_all_that_is_asked(database: Callable[..., str]) -> None:
    url = database("asking")
    run_sql(url, ROWS)
    for name, (change, wrong) in FAULTS.items():
        found = asked(url, IN_ORDER | change)
        assert {o.id: o.failing for o in found if not o.success} == wrong, name
        assert len(found) > len(wrong) + 5, name
        assert all("22012" in o.error for o in found if not o.success and o.failing is None), name
        assert not any(o.error for o in found if o.success), name
