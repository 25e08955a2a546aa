"""Rules know masked columns: who is asked what, and which values a strategy can make at all."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from psycopg import sql

from handover.errors import NotReady
from handover.evidence.canonical import canonical
from handover.evidence.expected import expectations, faults
from handover.evidence.history import History
from handover.model.datamap import DataMap
from handover.model.expectation import ColumnFact, TableFacts
from handover.model.image import ColumnImage, Image, MaskedTable
from handover.model.kinds import levels_of
from handover.model.masking import MaskedColumn, Pseudonym
from handover.postgres.session import Connection, connect
from handover.pseudonymise.chunks import TableMask
from handover.pseudonymise.images import column_image
from handover.pseudonymise.regions import UNASSIGNED
from handover.quality.counting import failing_rows
from handover.quality.pseudonyms import NoRawMention, Pseudonyms, arriving
from handover.quality.schema_kinds import kind_of
from handover.quality.suites import MASKED, Suite, documents, make_rules, rules_of

KEY = bytes(range(32))
MANY = 400


def checked(body: str) -> str:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(w * int(d) for w, d in zip(weights, body, strict=True)) % 11]


def luhn(body: str) -> str:
    total = sum(sum(divmod(int(d) * (2 - place % 2), 10)) for place, d in enumerate(reversed(body)))
    return body + str(-total % 10)


def credit(number: int) -> str:
    signs = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    body = f"{number:08}"
    total = sum((ord(s) - 48) * w for s, w in zip(body, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    front = f"91110101{body}{'0X987654321'[total % 11]}"
    return front + signs[-sum(signs.index(s) * pow(3, n, 31) for n, s in enumerate(front)) % 31]


PEOPLE = [checked(f"1101011990010{n:04}") for n in range(1000, 1000 + MANY)]
MOBILES = [f"138{n:08}" for n in range(MANY)]
CARDS = [luhn(f"6222021001{n:08}") for n in range(MANY)]
COMPANIES = [credit(n) for n in range(MANY)]
DAYS = [f"19{n % 70 + 30}-{n % 11 + 2:02}-{n % 28 + 1:02}" for n in range(1, MANY)]
BAD = ["broken", "", " ", "未知", "12", "x" * 40]


def fpe(form: str, **more: object) -> dict[str, Any]:
    return {"strategy": "fpe", "form": form, **more}


# Strategy, type, raw values, and how many of these the image takes for pseudonyms.
STRATEGIES: dict[str, tuple[dict[str, Any], str, list[str], int]] = {
    "token": ({"strategy": "token"}, "text", PEOPLE + BAD, 0),
    "short token": ({"strategy": "token", "length": 12}, "character varying(40)", MOBILES + BAD, 0),
    "token of blanks after it": ({"strategy": "token", "length": 12}, "character(30)", MOBILES, 0),
    "token as uuid": (
        {"strategy": "token", "output": "uuid"},
        "uuid",
        [f"00000000-0000-4000-8000-{n:012}" for n in range(MANY)],
        0,
    ),
    "token as number": (
        {"strategy": "token", "output": "integer", "low": 10**15, "high": 6 * 10**16},
        "bigint",
        MOBILES,
        0,
    ),
    "token as number in a text": (
        {"strategy": "token", "output": "integer", "low": -5, "high": 10**9},
        "text",
        MOBILES + BAD,
        1,  # 12 could be one
    ),
    "identity": (fpe("identity"), "text", PEOPLE + BAD, 0),
    "identity, fallback in the column's width": (
        fpe("identity", fallback_length=18),
        "character(18)",
        PEOPLE + BAD[:5],
        0,
    ),
    "realistic identity": (fpe("identity", realistic=True), "text", PEOPLE + BAD, MANY),
    "card": (fpe("card"), "text", CARDS + BAD, 0),
    "realistic card": (fpe("card", realistic=True), "text", CARDS + BAD, MANY),
    "company": (fpe("uscc"), "text", COMPANIES + BAD, 0),
    "realistic company": (fpe("uscc", realistic=True), "text", COMPANIES + BAD, MANY),
    "realistic mobile": (fpe("mobile", realistic=True), "text", MOBILES + BAD, MANY),
    "realistic plate": (fpe("plate", realistic=True), "text", ["京A12345", "沪AD12345", *BAD], 2),
    "mail": (fpe("email"), "text", [f"c{n}@mail.example" for n in range(MANY)] + BAD, 0),
    "digits": (fpe("digits"), "text", ["7654321", "no digits", *BAD], 2),
    "signs": (fpe("alphanumeric"), "text", ["AB12345", "an-other", *BAD], 2),
    "permutation": ({"strategy": "permute", "low": 100, "high": 999}, "integer", ["100", "7", "1000"], 1),
    "permutation with zeros": (
        {"strategy": "permute", "low": 0, "high": 9999, "width": 6},
        "text",
        ["000012", "x", "999999"],
        1,
    ),
    "names": ({"strategy": "choice"}, "text", ["王伟", "李小明明", "Smith", *BAD], 0),
    "words": ({"strategy": "choice", "texts": ["a", "it's"]}, "text", ["b", *BAD], 0),
    "mask": ({"strategy": "mask", "first": 3, "last": 4}, "text", [*MOBILES, "a", "b\nc"], 0),
    "mask with a sign of expressions": (
        {"strategy": "mask", "last": 2, "sign": "."},
        "text",
        ["line\nbreak", "plain", "x"],
        0,
    ),
    "month": ({"strategy": "generalise", "to": "month"}, "date", ["1990-03-07", "infinity"], 0),
    "month with a time": (
        {"strategy": "generalise", "to": "month"},
        "timestamp with time zone",
        ["1990-03-07 10:00+00", "1990-03-01 00:00:01+00"],
        0,
    ),
    "year": ({"strategy": "generalise", "to": "year"}, "text", [*DAYS, *BAD], 0),
    "year or a word": (
        {"strategy": "generalise", "to": "year", "fallback": "unknown"},
        "text",
        [*DAYS, *BAD],
        0,
    ),
    "band": (
        {"strategy": "generalise", "to": "age_band", "on": "2026-01-01"},
        "text",
        [*DAYS, *BAD],
        0,
    ),
    "district": (
        {"strategy": "generalise", "to": "district"},
        "text",
        ["上海市黄浦区中山东路12号", "广西壮族自治区南宁市青秀区民族大道1号", "12 High Street"],
        0,
    ),
    "bucket": (
        {"strategy": "generalise", "to": "bucket", "width": 1000},
        "numeric(12,2)",
        ["1234.50", "-17.00", "999.99"],
        0,
    ),
    "bucket of floats": (
        {"strategy": "generalise", "to": "bucket", "width": 1000},
        "double precision",
        ["1234.5", "123456789012", "7"],
        0,
    ),
    "nothing": ({"strategy": "null"}, "bytea", ["\\x00ff"], 0),
    "one day for all": ({"strategy": "constant", "value": "1900-1-1"}, "date", DAYS, 0),
    "one document": ({"strategy": "constant", "value": '{"a":1}'}, "jsonb", ['{"a": 2}', "[]"], 0),
}


def masked_column(type_name: str, treatment: dict[str, Any], kind: str = "none", **more: Any) -> MaskedColumn:
    writing = more.pop("writing", "exact")
    return MaskedColumn(
        column="a %s 列",
        type=type_name,
        kind=kind,
        pseudonym=Pseudonym(domain="d", writing=writing, treatment=treatment),
        **more,
    )


def arrived(one: MaskedColumn, values: list[str]) -> list[str | None]:
    """What the values become, with a NULL among them."""
    made = TableMask((one.column,), [one], lambda domain: KEY)._work[one.column]
    found: list[str | None] = made(pa.array([*values, None], pa.string()), None).column.to_pylist()
    assert found[-1] is None
    return found


@pytest.fixture(scope="module")
def session(cluster: Any) -> Iterator[Connection]:
    with closing(connect(cluster.admin_url())) as made:
        yield made


def failing(session: Connection, type_name: str, values: list[str | None], kind: Any) -> int:
    column = ColumnFact(name="a %s 列", type=type_name, enum=False, not_null=False)
    empty: dict[str, Any] = {"unique": (), "foreign_keys": (), "checks": {}, "ancestors": ()}
    facts = TableFacts(schema_name="pg_temp", name="masked", columns=(column,), **empty)
    with session.transaction(force_rollback=True):
        create = sql.SQL("CREATE TEMPORARY TABLE masked ({} {})")
        session.execute(create.format(sql.Identifier(column.name), sql.SQL(type_name)))
        with session.cursor() as cursor:
            insert = sql.SQL("INSERT INTO pg_temp.masked VALUES (%s::text::{})").format(sql.SQL(type_name))
            cursor.executemany(insert, [(value,) for value in values])
        row = session.execute(failing_rows(facts, kind)).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("name", STRATEGIES)
def test_pseudonyms_are_of_the_image_and_raw_values_are_not(session: Connection, name: str) -> None:
    treatment, type_name, raw, alike = STRATEGIES[name]
    one = masked_column(type_name, treatment)
    image = column_image(one).image
    assert image is not None
    kind = Pseudonyms(column=one.column, image=image)
    # The ledger takes no number that JSON does not carry everywhere.
    written = canonical(kind.model_dump(mode="json"), NotReady, "a kind")
    assert Pseudonyms.model_validate_json(written) == kind
    assert failing(session, type_name, arrived(one, raw), kind) == 0
    assert failing(session, type_name, [*raw, None], kind) == len(raw) - alike


def test_identity_numbers_are_told_by_region_and_year() -> None:
    """Just those that were never assigned, and in which the people of pseudonyms are born."""
    image = column_image(masked_column("text", fpe("identity"))).image
    assert image is not None
    form = re.compile(image.shapes[0].regex)
    regions = {number for number in range(10_000) if form.fullmatch(f"{number:04}00199001010000")}
    assert regions == set(UNASSIGNED.tolist())
    years = {year for year in range(1900, 2050) if form.fullmatch(f"115400{year}01010000")}
    assert years == set(range(1940, 2008))


@pytest.mark.parametrize(
    "treatment", [{"strategy": "noise"}, {"strategy": "shift"}, {"strategy": "mask", "first": 256}]
)
def test_what_looks_like_anything_is_left_to_the_digests(treatment: dict[str, Any]) -> None:
    assert column_image(masked_column("text", treatment)).image is None


def test_a_bucket_of_short_floats_is_left_to_the_digests() -> None:
    bucket = {"strategy": "generalise", "to": "bucket"}
    assert column_image(masked_column("real", bucket)).image is None


MENTIONS: dict[str, dict[str, Any]] = {"token": {"strategy": "token", "length": 12}, "fpe": fpe("identity")}


@pytest.mark.parametrize("how", MENTIONS)
def test_a_number_left_in_a_text_is_told(session: Connection, how: str) -> None:
    texts = [f"号码{PEOPLE[0]}。", f"({PEOPLE[1].lower()})", f"{PEOPLE[2]} and {PEOPLE[3]}", PEOPLE[4]]
    harmless = ["nothing", "", f"9{PEOPLE[0]}", PEOPLE[0][:17] + "A", f"x{PEOPLE[0]}", PEOPLE[0][:-1] + "?"]
    mention = Pseudonym(domain="resident_id", writing="identity", treatment=MENTIONS[how])
    one = masked_column("text", {"strategy": "redact"}, mentions={"resident_id": mention})
    (kind,) = arriving(MaskedTable({one.column: column_image(one)}))
    assert isinstance(kind, NoRawMention)
    assert failing(session, "text", [*texts, *harmless, None], kind) == len(texts)
    assert failing(session, "text", arrived(one, texts), kind) == 0
    document = json.dumps({"a": [PEOPLE[5]]})
    assert failing(session, "jsonb", [document, "{}"], kind) == 1


@pytest.mark.parametrize("treatment", [{"strategy": "shift"}, {"strategy": "redact"}, fpe("no such form")])
def test_a_text_whose_mentions_look_like_anything_has_no_rule(treatment: dict[str, Any]) -> None:
    mention = Pseudonym(domain="resident_id", writing="identity", treatment=treatment)
    one = masked_column("text", {"strategy": "redact"}, mentions={"resident_id": mention})
    assert list(arriving(MaskedTable({one.column: column_image(one)}))) == []


TABLE = ("s", "person")


def facts(*unique: tuple[str, ...]) -> TableFacts:
    names = ("id", "number", "gone", "alike", "made", "clear")
    return TableFacts(
        schema_name="s",
        name="person",
        columns=tuple(ColumnFact(name=n, type="text", enum=False, not_null=n == "id") for n in names),
        unique=unique,
        foreign_keys=(),
        checks={"filled": "gone <> ''"},
        ancestors=(),
    )


def known(*, apart: bool, filled: bool) -> ColumnImage:
    return ColumnImage(Image(values=("x",)), (), keeps_apart=apart, keeps_null=filled)


ONLY = MaskedTable(
    {
        "id": known(apart=True, filled=True),
        "number": known(apart=False, filled=True),
        "gone": known(apart=False, filled=False),
        "alike": ColumnImage(None, (), keeps_apart=False, keeps_null=True),
    },
    frozenset({"made"}),
)


def rules(suite: list[dict[str, Any]], datamap: DataMap | None = None) -> dict[str, str]:
    written = Suite.model_validate(
        {"name": "mine", "expectations": [{"meta": {"table": "s.person"}, **one} for one in suite]}
    )
    made = make_rules({TABLE: facts(("id",))}, {TABLE: 3}, [written], datamap, {TABLE: ONLY})
    assert rules_of(json.loads(json.dumps(documents(made)))) == sorted(made, key=lambda r: r.suite)
    return {rule.id: rule.of for rule in made}


def expect(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs}


NULLS, UNIQUE = "column_values_to_not_be_null", "column_values_to_be_unique"
ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "filled, and stays so": (expect(NULLS, column="number"), "both"),
    "filled, and empty then": (expect(NULLS, column="gone"), "source"),
    "filled, of what is computed": (expect(NULLS, column="made"), "source"),
    "unique, and stays so": (expect(UNIQUE, column="id"), "both"),
    "unique, and merged then": (expect(UNIQUE, column="number"), "source"),
    "unique together": (
        expect("compound_columns_to_be_unique", column_list=["id", "clear"]),
        "both",
    ),
    "unique together, and merged then": (
        expect("compound_columns_to_be_unique", column_list=["id", "number"]),
        "source",
    ),
    "bounds": (expect("column_values_to_be_between", column="number", min_value=1), "source"),
    "set": (expect("column_values_to_be_in_set", column="alike", value_set=["a"]), "source"),
    "expression": (expect("column_values_to_match_regex", column="gone", regex="x"), "source"),
    "length": (expect("column_value_lengths_to_be_between", column="id", min_value=1), "source"),
    "two columns": (
        expect("column_pair_values_a_to_be_greater_than_b", column_A="clear", column_B="id"),
        "source",
    ),
    "form": (expect("mobile_number", column="number"), "source"),
    "form of what is computed": (expect("mobile_number", column="made"), "source"),
    "form of what is clear": (expect("mobile_number", column="clear"), "both"),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_hangs_on_masked_values_is_asked_of_the_source_alone(what: str) -> None:
    expectation, of = ASKED[what]
    (name,) = rules([expectation]).keys() - rules([]).keys() or ["s.person/id/unique"]
    assert rules([expectation])[name] == of


def test_what_the_schema_declares_holds_on_both_sides_also_when_it_is_written() -> None:
    """A written rule takes the place of the inventory's, and asks no less than it did."""
    declared = {
        "s.person/row_count",
        "s.person/id/not_null",
        "s.person/number/unique",
        "s.person/filled/check",
    }
    unique = Suite.model_validate(
        {"name": "mine", "expectations": [{"meta": {"table": "s.person"}, **expect(UNIQUE, column="number")}]}
    )
    made = make_rules({TABLE: facts(("number",))}, {TABLE: 3}, [unique], None, {TABLE: ONLY})
    assert {rule.id for rule in made if rule.of == "both"} == declared
    assert next(rule.suite for rule in made if rule.id == "s.person/number/unique") == "mine"


def test_the_target_alone_is_asked_for_pseudonyms() -> None:
    made = make_rules({TABLE: facts()}, {TABLE: 3}, [], None, {TABLE: ONLY})
    asked = [rule for rule in made if rule.of == "target"]
    assert {rule.id for rule in asked} == {f"s.person/{name}/pseudonym" for name in ("id", "number", "gone")}
    assert {(rule.suite, rule.severity) for rule in asked} == {(MASKED, "critical")}
    assert all(isinstance(kind_of(rule), Pseudonyms) for rule in asked)


def test_forms_of_a_data_map_are_asked_of_raw_values() -> None:
    entry = {"kind": "resident_id", **levels_of("resident_id").document()}
    columns = dict.fromkeys(("number", "gone", "made", "clear"), entry)
    dataset = {"table": "s.person", "purpose": "p", "origin": "o", "columns": columns}
    found = rules([], DataMap.model_validate({"map": "a-case", "datasets": [dataset]}))
    forms = {name: found[f"s.person/{name}/identity_number"] for name in columns}
    assert forms == {"number": "source", "gone": "source", "made": "source", "clear": "both"}
    filled = {name: found[f"s.person/{name}/not_null"] for name in columns}
    assert filled == {"number": "both", "gone": "source", "made": "source", "clear": "both"}


def result(of: str, failing_rows: int | None = 0, error: str = "") -> dict[str, Any]:
    body = {"id": "r", "table": "s.t", "columns": ["c"], "kind": "k", "suite": "x", "severity": "critical"}
    success = failing_rows == 0 and not error
    return {**body, "success": success, "failing": failing_rows, "tokens": [], "error": error, "of": of}


STANDINGS: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None, str]] = {
    "source alone, met": (result("source"), None, "met"),
    "source alone, not met": (result("source", 3), None, "source"),
    "source alone, could not be asked": (result("source", None, "42883"), None, "error"),
    "target alone, met": (None, result("target"), "met"),
    "target alone, not met": (None, result("target", 1), "moved"),
    "target alone, could not be asked": (None, result("target", None, "42883"), "error"),
    "both, and the target was not asked": (result("both"), None, "missing"),
}


@pytest.mark.parametrize("what", STANDINGS)
def test_the_report_does_not_miss_what_was_not_to_be_asked(
    what: str, history_of: Callable[..., History]
) -> None:
    source, target, standing = STANDINGS[what]
    found = expectations(history_of(source, target))
    assert [one["standing"] for one in found["results"]] == [standing]
    assert len(faults(found)) == (standing in ("error", "moved", "missing"))


@pytest.fixture
def history_of() -> Callable[..., Any]:
    """A history in which each side was checked, with one result or none."""

    def history(source: object, target: object) -> SimpleNamespace:
        sides = [("source", source), ("target", target)]
        checked = [{"side": side, "results": [found] if found else []} for side, found in sides]
        return SimpleNamespace(case={}, counting=lambda kind: checked)

    return history
