"""Rules made of a data map, whatever it says: they name columns and kinds, and hold nothing of a value."""

import json

from hypothesis import given
from hypothesis import strategies as st

from handover.classify.propose import Proposal
from handover.classify.writing import written
from handover.model.datamap import DataMap, parse_datamap
from handover.model.expectation import ColumnFact, TableFacts
from handover.model.kinds import levels_of
from handover.quality.mapped import FORMS, MANDATORY
from handover.quality.suites import DATA_MAP, documents, make_rules

# Stands wherever a map has words or values of its own.
PRIVATE = "privat-27182818"
NAMES = st.sampled_from(["a", "Odd: %s {x}", 'quo"ted 列'])
TYPES = st.sampled_from(["text", "bigint", "text[]", "jsonb", "bytea"])
SOME_KINDS = sorted({*FORMS, *MANDATORY, "free_text", "amount"})
ENTRIES = st.fixed_dictionaries(
    {"kind": st.sampled_from(SOME_KINDS), "mandatory": st.sampled_from([None, True, False])}
)
TABLES = st.dictionaries(
    st.sampled_from(["one", "two", "Tab.le", "gone"]),
    st.tuples(st.dictionaries(NAMES, ENTRIES), st.dictionaries(NAMES, TYPES)),
)


def datamap_of(tables: dict) -> DataMap:
    datasets = [
        {
            "table": ["s", name],
            "purpose": PRIVATE,
            "origin": PRIVATE,
            "subject": [{"by": [column], "when": {column: PRIVATE}} for column in list(columns)[:1]],
            "columns": {
                column: {
                    **entry,
                    **levels_of(entry["kind"]).model_dump(),
                    "contains": [{"kind": "email", "at": f"$.{PRIVATE}"}],
                    "treatment": {"strategy": "token", "domain": PRIVATE},
                }
                for column, entry in columns.items()
            },
        }
        for name, (columns, _) in tables.items()
    ]
    confirmed = {"by": PRIVATE, "date": "2026-01-02"}
    return DataMap.model_validate({"map": "a-case", "confirmed": confirmed, "datasets": datasets})


def facts_of(name: str, columns: dict[str, str], *, not_null: bool) -> TableFacts:
    facts = [ColumnFact(name=c, type=kind, enum=False, not_null=not_null) for c, kind in columns.items()]
    empty: dict = {"unique": (), "foreign_keys": (), "checks": {}, "ancestors": ()}
    return TableFacts(schema_name="s", name=name, columns=tuple(facts), **empty)


@given(TABLES, st.booleans())
def test_rules_of_a_map_are_about_columns_that_are_there_and_quote_nothing(tables, not_null) -> None:
    there = {
        ("s", name): facts_of(name, columns, not_null=not_null)
        for name, (_, columns) in tables.items()
        if name != "gone"
    }
    datamap = datamap_of(tables)
    rows = dict.fromkeys(there, 3)
    rules = make_rules(there, rows, [], datamap)
    assert PRIVATE not in json.dumps(documents(rules))
    made = {
        (rule.table, rule.columns[0], rule.kind == "expect_column_values_to_not_be_null")
        for rule in rules
        if rule.suite == DATA_MAP
    }
    wanted = set()
    for name, (mapped, columns) in tables.items():
        for column in (mapped.keys() & columns.keys()) if name != "gone" else ():
            kind, mandatory = mapped[column]["kind"], mapped[column]["mandatory"]
            if kind in FORMS and columns[column] not in ("text[]", "jsonb", "bytea"):
                wanted.add((name, column, False))
            if not not_null and (mandatory or (mandatory is None and kind in MANDATORY)):
                wanted.add((name, column, True))
    assert made == wanted
    assert all(rule.severity == "warning" for rule in rules if rule.suite == DATA_MAP)
    # Nothing that the schema says is lost by what the map says.
    alone = make_rules(there, rows, [])
    assert {rule.id for rule in alone} <= {rule.id for rule in rules}
    assert all(rule in rules for rule in alone)


@given(TABLES.filter(len))
def test_what_a_map_says_is_mandatory_is_written_and_read(tables) -> None:
    datamap = datamap_of(tables).model_copy(update={"confirmed": None})
    assert parse_datamap(written(Proposal(datamap, {})), "a-case.yaml", "a-case") == datamap
