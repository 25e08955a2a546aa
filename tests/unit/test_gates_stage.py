"""Facts for the gates: who consents by table or file, who is a child, what columns and classes come to."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import pytest
from psycopg import sql

from fixtures.contents import run_sql
from fixtures.lawful import data_map, lawful_matter
from fixtures.matters import packs
from fixtures.runs import CASE
from handover.errors import CaseInvalid
from handover.law.facts import DataFacts
from handover.model.case import Case
from handover.model.catalog import Catalog
from handover.model.consent import ConsentRecords
from handover.model.datamap import DataMap
from handover.model.plan import PlannedScope, make_plan
from handover.model.reconciliation import TableName
from handover.postgres.consents import prepare_consents
from handover.postgres.persons import PersonCount, Persons, PersonTable
from handover.postgres.session import Connection, connect
from handover.stages.datamaps import new_columns
from handover.stages.facts import data_facts, legal_day

EVERYBODY = sql.SQL("true")
TWELVE = date(2012, 3, 1)  # who was born before this day is no child
# Person 1 consents, 2 withdrew, 3 has no record, 4 a record of somebody unnamed; 5 consents twice.
PEOPLE = """
CREATE SCHEMA s;
CREATE TABLE s.person (branch int, no text, born date, resident_id text, PRIMARY KEY (branch, no));
INSERT INTO s.person (branch, no) SELECT 1, n::text FROM generate_series(1, 5) n;
CREATE TABLE s.consent (branch int, person text, given date, taken_back date);
INSERT INTO s.consent VALUES (1, '1', '2026-01-01', NULL), (1, '2', '2026-01-01', '2026-02-01'),
  (NULL, '4', '2026-01-01', NULL), (1, NULL, '2026-01-01', NULL), (1, '5', '2026-01-01', NULL),
  (1, '5', '2026-01-01', NULL), (2, '3', '2026-01-01', NULL);
"""
RECORDS = {
    "person": "s.person", "columns": ["branch", "no"], "matches": ["branch", "person"], "table": "s.consent",
    "separate": "given IS NOT NULL", "withdrawn": "taken_back IS NOT NULL",
}  # fmt: skip
CSV = """branch,person,given,taken_back
1,1,2026-01-01,
1,2,2026-01-01,2026-02-01
,4,2026-01-01,
1,,2026-01-01,
1,5,2026-01-01,
1,"5",2026-01-01,
2,3,2026-01-01,
"""


@pytest.fixture
def people(database: Callable[..., str]) -> str:
    """A database with persons and consents."""
    url = database("people")
    run_sql(url, PEOPLE)
    return url


@pytest.fixture
def source(people: str) -> Iterator[Connection]:
    """A read-only session, as stages have it."""
    with closing(connect(people, read_only=True)) as connection:
        yield connection


def count(
    source: Connection, records: dict[str, Any] | None, files: dict[str, bytes] | None = None
) -> Persons:
    person = PersonTable(TableName.model_validate("s.person"), ("born",), ("resident_id",))
    tests = None
    if records is not None:
        read = {name: [data[:7], data[7:]] for name, data in (files or {}).items()}
        tests = prepare_consents(source, ConsentRecords.model_validate(records), read.get)
    return PersonCount(source, person, TWELVE).count(EVERYBODY, None, tests)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_table_and_file_say_the_same(source: Connection, mark: bytes) -> None:
    expected = {"without_separate_consent": 3, "withdrawn": 1, "minors": 5}
    assert count(source, RECORDS).facts == expected
    on_file = {**RECORDS, "table": None, "file": "consents.csv", "separate": "given <> ''"}
    for text in (CSV, CSV.replace("\n", "\r\n")):
        assert count(source, on_file, {"consents.csv": mark + text.encode()}).facts == expected


def test_what_has_no_predicate_is_not_known(source: Connection) -> None:
    assert count(source, None).facts == {"minors": 5}
    assert count(source, {**RECORDS, "withdrawn": None}).facts == {"without_separate_consent": 2, "minors": 5}
    assert count(source, {**RECORDS, "separate": None}).facts == {"withdrawn": 1, "minors": 5}


def test_who_consents_can_be_asked_beside_another_condition(source: Connection) -> None:
    tests = prepare_consents(source, ConsentRecords.model_validate(RECORDS), {}.get)
    assert tests.given is not None
    query = sql.SQL("SELECT t.no FROM s.person AS t WHERE t.branch = 1 AND {} ORDER BY 1").format(tests.given)
    assert source.execute(query).fetchall() == [("1",), ("5",)]


BAD_FILES = {
    "missing": (None, "is missing"),
    "empty": (b"", "cannot be read as CSV"),
    "name twice": (b"branch,branch\n1,1\n", "does not name each column once"),
    "not UTF-8": (b"branch,person,given,taken_back\n1,\xff,,\n", "SQLSTATE 22021"),
    "too many fields": (b"branch,person,given,taken_back\n1,privat,3,4,5\n", "SQLSTATE 22P04"),
    "too few fields": (b"branch,person,given,taken_back\n1\n", "SQLSTATE 22P04"),
    "no line": (b"x" * 100_000, "has no column 'taken_back'"),
}


@pytest.mark.parametrize("data, said", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_list_is_refused(source: Connection, data: bytes | None, said: str) -> None:
    on_file = {**RECORDS, "table": None, "file": "consents.csv"}
    with pytest.raises(CaseInvalid, match=said) as raised:
        count(source, on_file, {} if data is None else {"consents.csv": data})
    assert "field" in raised.value.data
    assert "privat" not in str(raised.value)
    assert source.execute("SELECT count(*) FROM s.person").fetchall() == [(5,)]  # the session goes on


# Birth, identity number, and whether this is a child on a day when those born before 2012-03-01 are none.
AGES = {
    "old enough": ("2012-02-29", None, False),
    "a day too young": ("2012-03-01", None, True),
    "nothing on record": (None, None, True),
    "no real day": ("infinity", None, True),
    "grown by number": (None, "350102201202291234", False),
    "a child by number": (None, "35010220120301123X", True),
    "an old number": (None, "350102800101123", False),
    "no number": (None, "350102", True),
    "no such century": (None, "350102001202291234", True),
    "one says so, one nothing": ("1980-01-01", "?", False),
    "they differ": ("1980-01-01", "350102202001011234", True),
}


@pytest.mark.parametrize("born, number, child", AGES.values(), ids=AGES)
def test_who_is_a_child(
    people: str, source: Connection, born: str | None, number: str | None, child: bool
) -> None:
    with closing(connect(people)) as owner:
        owner.execute("DELETE FROM s.person WHERE no <> '1'")
        owner.execute("UPDATE s.person SET born = %s, resident_id = %s", (born, number))
    guarded = {**RECORDS, "guardian": "taken_back IS NOT NULL"}
    assert count(source, guarded).facts["minors"] == child
    assert count(source, guarded).facts["without_guardian_consent"] == child
    assert "without_guardian_consent" not in count(source, RECORDS).facts or not child


def test_persons_considered_are_those_in_scope_and_those_named(source: Connection) -> None:
    person = PersonTable(TableName.model_validate("s.person"), (), ())
    inside, named = sql.SQL("t.no IN ('1', '2')"), sql.SQL("t.no IN ('2', '3', '4') OR t.no IS NULL")
    found = PersonCount(source, person, TWELVE).count(inside, named, None)
    assert (found.everyone, found.considered, found.inside) == (5, 4, 2)
    assert found.facts == {}  # no column tells an age


def catalog(**columns: str) -> Catalog:
    """A source with one table of these columns and types, or none."""
    listed = [{"name": name, "type": kind, "binary_safe": True} for name, kind in columns.items()]
    table = {"schema_name": "s", "name": "loan", "columns": listed, "key": [], "rows_estimate": 0, "bytes": 0}
    server = dict.fromkeys(("version", "system", "database", "role", "encoding", "collation"), "x")
    return Catalog.model_validate({
        "server": {**server, "major": 18}, "tables": [table] if columns else [], "materialized_views": [],
        "extensions": [], "large_objects": 0,
    })  # fmt: skip


# What plan, map and case come to, without a database.
SCOPED = {"s.person": 7, "s.loan": 7, "s.consent": 7}


def told(
    datamap: dict[str, Any] | None = None,
    rows: dict[str, int] | None = None,
    facts: dict[str, int] | None = None,
    classes: list[dict[str, Any]] | None = None,
    transaction: str = "asset_transfer",
    scope: dict[str, Any] | None = None,
    **matter: Any,
) -> DataFacts:
    case = Case.model_validate(
        {
            **CASE,
            "transaction": transaction,
            "matter": {**lawful_matter(), **matter},
            "classes": classes or [],
            "source": {**CASE["source"], "large_objects": False},  # type: ignore[dict-item]
            "scope": scope,
        }
    )
    by_table = {label: one for one in case.classes for label in [t.label for t in one.tables]}
    tables = []
    for label, number in (rows if rows is not None else SCOPED).items():
        one = by_table.get(label)
        end = {"target": one.target, "source": one.source} if one else {"target": "copy", "source": "keep"}
        found = {"name": one.name if one else label, "rows": number, **end}
        tables.append({"table": label, "owned": number, "needed": 0, "total": 10, "keys_digest": "",
                       "classes": [found]})  # fmt: skip
    planned = PlannedScope.model_validate({
        "tables": tables, "persons": {"s.person": (8, 7)},
        "facts": {"handler_persons": 10, "withdrawn": 0} if facts is None else facts,
    })  # fmt: skip
    plan = make_plan(
        case, catalog(), schema_digest="", bounds_digest="", groups={}, same_major=True, scope=planned
    )
    return data_facts(case, plan, DataMap.model_validate(datamap or data_map()), packs(), legal_day())


def test_what_leaves_is_every_personal_column_of_what_is_copied() -> None:
    found = told()
    assert found.outgoing is not None
    columns = {f"{one.data_set}.{one.column}": one for one in found.outgoing}
    assert "s.loan.id" not in columns  # nothing personal
    assert (columns["s.loan.amount"].sensitive, columns["s.person.name"].sensitive) == (True, False)
    assert {(one.purpose, one.collected_for) for one in found.outgoing} == {("loan service", "loan service")}
    assert set(found.operations or ()) == {
        (table, operation) for table in SCOPED for operation in ("transfer", "backup")
    }
    assert (found.persons, found.scope_persons, found.copied_persons, found.sensitive_persons) == (7, 8, 7, 7)
    assert found.transforms == ()


def test_a_data_set_leaves_unless_the_scope_leaves_it_out_whatever_rows_it_has_today() -> None:
    rows = {"s.person": 7, "s.loan": 0}
    roots = [{"table": "s.person", "where": "branch = 1"}]
    left_out = {"roots": roots, "decided": [{"table": "s.loan", "rows": "none"}]}
    assert {one.data_set for one in told(rows=rows).outgoing or ()} == {"s.person", "s.loan"}
    found = told(rows=rows, scope=left_out)
    assert {one.data_set for one in found.outgoing or ()} == {"s.person"}
    assert found.sensitive_persons == 7  # by the identity number
    assert told(rows={"s.loan": 0}, scope=left_out).sensitive_persons == 0
    assert told(rows={"s.loan": 0}, scope=left_out).copied_persons == 0


def test_purposes_are_the_recipients_where_the_case_says_so() -> None:
    datamap = data_map()
    datamap["datasets"][1]["purpose"] = "unknown"
    found = told(datamap, purposes={"s.person": "loan service of the buyer"})
    purposes = {one.data_set: (one.purpose, one.collected_for) for one in found.outgoing or ()}
    assert purposes["s.person"] == ("loan service of the buyer", "loan service")
    assert purposes["s.loan"] == (None, None)


@pytest.mark.parametrize("kind, inside", [("credential", ()), ("json", ("credential",)), ("biometric", ())])
def test_authentication_is_known_by_its_kind_whatever_level_somebody_wrote(
    kind: str, inside: tuple[str, ...]
) -> None:
    datamap = data_map()
    column = datamap["datasets"][0]["columns"]["name"] = dict(datamap["datasets"][0]["columns"]["name"])
    column |= {"kind": kind, "contains": [{"kind": one} for one in inside]}
    found = [one.column for one in told(datamap).outgoing or () if one.authentication]
    assert found == ["name"]


CLASSES = [{"name": "paid", "tables": ["s.loan"], "source": "erase"}]


def test_a_class_has_the_outcome_that_its_rules_give() -> None:
    old = [{"row_class": "paid", "rules": ["R01"], "triggers": {"fiscal_year": 1980}}]

    def outcome(**matter: Any) -> tuple[str | None, str | None]:
        found = told(classes=CLASSES, **matter).row_classes or ()
        (one,) = [one for one in found if (one.name, one.planned) == ("paid", "erase")]
        return one.planned, one.outcome

    assert outcome(retention=old) == ("erase", "may_erase")
    assert outcome(retention=old, holds=None) == ("erase", "restrict")  # nobody looked
    hold = {"kind": "litigation", "opened": "2026-01-01"}
    assert outcome(retention=old, holds=[hold]) == ("erase", "restrict")
    assert outcome(retention=old, holds=[{**hold, "row_classes": ["paid"]}]) == ("erase", "restrict")
    assert outcome(retention=old, holds=[{**hold, "row_classes": ["other"]}]) == ("erase", "may_erase")
    assert outcome() == ("erase", "restrict")  # no rule is named


def test_a_class_is_asked_about_both_ends() -> None:
    both = [{"name": "paid", "tables": ["s.loan"], "source": "restrict"}]
    found = told(classes=both)
    assert [one.planned for one in found.row_classes or () if one.name == "paid"] == ["copy", "restrict"]
    assert ("s.loan", "restrict") in (found.operations or ())


def test_tables_without_persons_need_no_rule_unless_a_class_names_them() -> None:
    datamap = data_map()
    none = {"kind": "none", "jrt0171": "none", "pipl_sensitive": False, "gbt43697": 1, "gdpr": "none"}
    datamap["datasets"].append(
        {"table": "s.rate", "purpose": "x", "origin": "x", "subject": [], "columns": {"a": none}}
    )
    rows = {"s.rate": 3}
    assert told(datamap, rows).row_classes == ()
    assert told(datamap, rows).operations == ()
    named = told(datamap, rows, classes=[{"name": "rates", "tables": ["s.rate"]}])
    assert {one.name for one in named.row_classes or ()} == {"rates"}


ERASURE = ("accounting_rows_to_destroy", "young_trades_planned_for_erasure")


def test_only_where_nothing_is_erased_is_nothing_young_erased() -> None:
    assert [getattr(told(), name) for name in ERASURE] == [0, 0]
    assert [getattr(told(classes=CLASSES), name) for name in ERASURE] == [None, None]


def test_what_a_person_states_counts_from_its_day() -> None:
    today = legal_day()
    said = {"by": "审查人", "on": today, "highest_grade": "general", "accounting_rows_to_destroy": 4}
    assert told(stated=said).accounting_rows_to_destroy == 4
    assert told(stated=said).highest_grade == "general"
    tomorrow = told(stated={**said, "on": today + timedelta(days=1)})
    assert tomorrow.highest_grade is None
    assert told(stated=None).credit_report_rows is None


def test_exported_are_all_as_soon_as_any_way_leads_out() -> None:
    none = {**lawful_matter()["exports"], "flows": []}
    assert told().exported_persons == 7  # the matter's flow to the parent abroad
    assert told(exports=none).exported_persons == 0
    assert told(exports=none).accounting_regions == ("CN",)
    assert told(exports=none, store_regions=["CN", "HK"]).exported_persons == 7
    for unknown in ({"exports": None}, {"exports": none, "store_regions": None},
                    {"exports": none, "recipients": [{"name": "承接有限公司"}]}):  # fmt: skip
        assert told(**unknown).exported_persons is None


def test_persons_that_nobody_counted_are_not_nobody() -> None:
    found = told(facts={})
    assert (found.persons, found.copied_persons, found.handler_persons) == (None, None, None)


def test_new_columns_are_named() -> None:
    before = catalog(id="integer", amount="numeric")
    assert new_columns(before, before) == []
    assert new_columns(before, catalog(id="bigint", note="text")) == [
        "column s.loan.note is new",
        "column s.loan.amount is gone",
        "column s.loan.id was integer, is bigint now",
    ]
    assert new_columns(before, catalog())[0] == "table s.loan is gone"


def test_a_personal_table_that_leads_to_nobody_leaves_the_persons_unknown() -> None:
    datamap = data_map()
    datamap["datasets"][1]["subject"] = []
    assert (told().persons, told(datamap).persons) == (7, None)
