"""Suites as they are written, made and merged, and the SQL of check digits against arithmetic of our own."""

import datetime
import json
import random
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from psycopg import sql

from handover.errors import CaseInvalid
from handover.model.datamap import DataMap
from handover.model.expectation import ColumnFact, ForeignKey, TableFacts
from handover.model.kinds import KINDS, levels_of
from handover.postgres.session import connect
from handover.quality.formats import FORMS
from handover.quality.kind import Kind
from handover.quality.mapped import FORMS as FORMS_OF_A_MAP
from handover.quality.mapped import MANDATORY
from handover.quality.schema_kinds import kind_of
from handover.quality.suites import documents, load_suites, make_rules, rules_of
from handover.settings import REPOSITORY

NOT_NULL = {
    "type": "expect_column_values_to_not_be_null",
    "kwargs": {"column": "name"},
    "meta": {"table": "s.person"},
}


def facts(schema: str, name: str, **changes: object) -> TableFacts:
    columns = (
        ColumnFact(name="id", type="integer", enum=False, not_null=True),
        ColumnFact(name="name", type="text", enum=False, not_null=True),
    )
    table = TableFacts(
        schema_name=schema,
        name=name,
        columns=columns,
        unique=(("id",), ("id", "name")),
        foreign_keys=(),
        checks={},
        ancestors=(),
    )
    return table.model_copy(update=changes)


def write(folder: Path, *expectations: object, name: str = "mine", **changes: object) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "expectations": expectations} | changes, ensure_ascii=False))
    return path


def test_what_a_schema_declares_becomes_rules() -> None:
    key = ForeignKey(
        name="mother",
        columns=("id",),
        parent=("s", "person"),
        parent_columns=("id",),
        operators=("pg_catalog.=",),
        alone=True,
        full=False,
    )
    person = facts("s", "person", foreign_keys=(key,), checks={"adult": "id > 17"})
    rules = make_rules({person.table: person}, {person.table: 3}, [])
    assert [rule.id for rule in rules] == [
        "s.person/row_count",
        "s.person/id/not_null",
        "s.person/name/not_null",
        "s.person/id/unique",
        "s.person/id,name/unique",
        "s.person/mother/foreign_key",
        "s.person/adult/check",
    ]
    assert {rule.suite for rule in rules} == {"inventory"}
    assert rules_of(json.loads(json.dumps(documents(rules)))) == rules
    # The text of a check is part of a schema, which can hold personal data: it stays in the database.
    assert "17" not in json.dumps(documents(rules))


def test_written_and_made_are_merged(tmp_path: Path) -> None:
    """The same said twice is one rule, the written one; another range on one column is a rule of its own."""
    between = {"type": "expect_column_values_to_be_between", "meta": {"table": ["s", "person"]}}
    write(
        tmp_path,
        NOT_NULL | {"severity": "warning"},
        between | {"kwargs": {"column": "id", "min_value": 0.1, "max_value": 12345678901234.5}},
        between | {"kwargs": {"column": "id", "max_value": "2020-01-31T12:00:00+08:00"}},
    )
    person = facts("s", "person")
    rules = make_rules({person.table: person}, {person.table: 3}, load_suites(tmp_path, ["mine"]))
    written = {rule.id: rule for rule in rules if rule.suite == "mine"}
    assert list(written) == ["s.person/name/not_null", "s.person/id/between", "s.person/id/between/2"]
    assert written["s.person/name/not_null"].severity == "warning"
    assert len(rules) == 7
    assert written["s.person/id/between"].kwargs == {
        "column": "id",
        "min_value": "0.1",
        "max_value": "12345678901234.5",
    }
    assert rules_of(json.loads(json.dumps(documents(rules)))) != []


def test_a_partitioned_table_stands_for_its_partitions(tmp_path: Path) -> None:
    parts = [facts("s", name, ancestors=(("s", "person"),)) for name in ("p1", "p2")]
    write(tmp_path, NOT_NULL)
    found = make_rules({p.table: p for p in parts}, {}, load_suites(tmp_path, ["mine"]))
    assert [rule.id for rule in found] == ["s.p1/name/not_null", "s.p2/name/not_null"]


def test_a_partitioned_table_that_moves_as_one_stands_for_itself(tmp_path: Path) -> None:
    """As a table does whose rows may lie in other partitions in the target."""
    parts = [facts("s", name, ancestors=(("s", "person"),)) for name in ("p1", "p2")]
    root = facts("s", "person").model_copy(update={"partitioned": True})
    write(tmp_path, NOT_NULL)
    tables = {table.table: table for table in (*parts, root)}
    found = make_rules(tables, {root.table: 7}, load_suites(tmp_path, ["mine"]))
    assert {rule.table for rule in found} == {"person"} and len(found) > 1


def datamap(kind: str, *, table: object = "s.person", **changes: object) -> DataMap:
    """A map of one table whose column ``name`` is of a kind."""
    entry = {"kind": kind, **levels_of(kind).model_dump(), **changes}
    dataset = {"table": table, "purpose": "p", "origin": "o", "columns": {"name": entry, "vanished": entry}}
    return DataMap.model_validate({"map": "a-case", "datasets": [dataset]})


OPEN = (ColumnFact(name="name", type="text", enum=False, not_null=False),)
MAPPED = {
    "a form with a check digit, mandatory by kind": (
        datamap("resident_id"),
        ["identity_number", "not_null"],
    ),
    "a form alone": (datamap("email"), ["email_address"]),
    "mandatory by kind alone": (datamap("person_name"), ["not_null"]),
    "not mandatory here": (datamap("mobile", mandatory=False), ["mobile_number"]),
    "mandatory as the map says": (datamap("related", mandatory=True), ["not_null"]),
    "nothing to expect": (datamap("free_text"), []),
    "another table": (datamap("mobile", table="s.animal"), []),
}


@pytest.mark.parametrize("said, kinds", MAPPED.values(), ids=MAPPED)
def test_what_a_data_map_says_becomes_rules(said: DataMap, kinds: list[str]) -> None:
    person = facts("s", "person", columns=OPEN, unique=())
    rules = [r for r in make_rules({person.table: person}, {person.table: 3}, [], said) if r.columns]
    assert [rule.id for rule in rules] == [f"s.person/name/{kind}" for kind in kinds]
    assert {(rule.suite, rule.severity) for rule in rules} <= {("data map", "warning")}
    assert rules_of(json.loads(json.dumps(documents(rules)))) == rules


def test_what_schema_and_suite_say_outweighs_the_data_map(tmp_path: Path) -> None:
    write(tmp_path, bad("expect_identity_number", column="name"))
    person = facts("s", "person", unique=())
    made = make_rules(
        {person.table: person}, {person.table: 3}, load_suites(tmp_path, ["mine"]), datamap("resident_id")
    )
    found = {rule.id: (rule.suite, rule.severity) for rule in made}
    assert found["s.person/name/not_null"] == ("inventory", "critical")
    assert found["s.person/name/identity_number"] == ("mine", "critical")


def test_partitions_are_held_to_what_the_map_says_of_the_whole() -> None:
    """Also one that the map does not list; one that moves as a whole is held to it as a whole."""
    root, parts = ("s", "person"), [facts("s", p, columns=OPEN, ancestors=(("s", "person"),)) for p in "ab"]
    tables = {part.table: part for part in parts}
    found = make_rules(tables, dict.fromkeys(tables, 1), [], datamap("person_name"))
    assert [r.id for r in found if r.suite == "data map"] == ["s.a/name/not_null", "s.b/name/not_null"]
    whole = facts("s", "person", columns=OPEN, partitioned=True)
    found = make_rules({root: whole, **tables}, {root: 2}, [], datamap("person_name"))
    assert [r.id for r in found if r.suite == "data map"] == ["s.person/name/not_null"]


def test_all_kinds_of_the_map_are_kinds() -> None:
    assert FORMS_OF_A_MAP.keys() | MANDATORY <= KINDS.keys()


def test_a_table_with_dots_in_its_name(tmp_path: Path) -> None:
    write(tmp_path, NOT_NULL | {"meta": {"table": ["a.b", "c"]}}, NOT_NULL | {"meta": {"table": "a.b.d"}})
    tables = [facts("a.b", "c"), facts("a", "b.c"), facts("a", "b.d")]
    found = make_rules({t.table: t for t in tables}, {}, load_suites(tmp_path, ["mine"]))
    assert [(rule.schema_name, rule.table) for rule in found] == [("a", "b.d"), ("a.b", "c")]


def bad(kind: str, **kwargs: object) -> dict:
    return {"type": kind, "kwargs": kwargs, "meta": {"table": "s.person"}}


BETWEEN = "expect_column_values_to_be_between"
WRONG = {
    "unknown kind": (bad("expect_magic"), r"expectation 1 \(expect_magic\) is no kind"),
    "free SQL": (
        bad("unexpected_rows_expectation", unexpected_rows_query="SELECT pg_sleep(1)"),
        "is no kind that is known here",
    ),
    "a kind that is made": (bad("expect_table_row_count_to_equal", value=3), "is no kind"),
    "no table": (NOT_NULL | {"meta": {}}, "names no table"),
    "a table of three parts": (NOT_NULL | {"meta": {"table": ["a", "b", "c"]}}, "names no table"),
    "no column": (bad("expect_identity_number"), "kwargs column: field required"),
    "unknown argument": (bad(BETWEEN, column="id", min_value=1, mostly=0.9), "kwargs mostly: extra inputs"),
    "no bound": (bad(BETWEEN, column="id"), "min_value or max_value is needed"),
    "bounds the wrong way": (bad(BETWEEN, column="id", min_value=2, max_value=1), "greater than max_value"),
    "bounds of two kinds": (
        bad(BETWEEN, column="id", min_value=2, max_value="2020-01-01"),
        "both be numbers, or both dates",
    ),
    "a bound that is no bound": (bad(BETWEEN, column="id", min_value="1; DROP"), "a bound is a number"),
    "a day that is none": (bad(BETWEEN, column="id", min_value="2021-02-29"), "kwargs min_value: day is out"),
    "a truth as bound": (bad(BETWEEN, column="id", min_value=True), "a bound is a number"),
    "too many digits": (bad(BETWEEN, column="id", min_value=1234567890123456), "15 digits at most"),
    "an empty set": (bad("expect_column_values_to_be_in_set", column="id", value_set=[]), "at least 1"),
    "a key of one column": (
        bad("expect_compound_columns_to_be_unique", column_list=["id"]),
        "kwargs column_list: tuple should have at least 2",
    ),
    "unknown severity": (NOT_NULL | {"severity": "fatal"}, "expectations.0.severity: input should be"),
    "unknown key": (NOT_NULL | {"mostly": 1}, "expectations.0.mostly: extra inputs"),
}


@pytest.mark.parametrize("expectation, said", WRONG.values(), ids=WRONG)
def test_what_is_written_wrong_is_named(tmp_path: Path, expectation: dict, said: str) -> None:
    write(tmp_path, expectation)
    with pytest.raises(CaseInvalid, match=said) as refused:
        load_suites(tmp_path, ["mine"])
    assert "mine.json" in str(refused.value)
    assert refused.value.hint


BROKEN = {
    "no JSON": ("{", "not JSON"),
    "not a suite": ("[]", "model_type|valid dictionary|input should be"),
    "another name": ('{"name": "yours", "expectations": []}', "it says name: yours"),
    "a key twice": ('{"name": "mine", "name": "mine", "expectations": []}', "key 'name' twice"),
    "not a number": ('{"name": "mine", "expectations": [], "notes": NaN}', "NaN is no number"),
    "too deep": ("[" * 100_000, "not JSON|cannot be read"),
}


@pytest.mark.parametrize("text, said", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(CaseInvalid, match=said):
        load_suites(tmp_path, ["mine"])


def test_an_absent_file_is_named_beside_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(CaseInvalid, match=r"no file yours\.json") as refused:
        load_suites(tmp_path, ["yours"])
    assert "mine" in refused.value.hint


def test_a_file_cannot_take_the_name_of_a_suite_that_is_made(tmp_path: Path) -> None:
    write(tmp_path, NOT_NULL, name="inventory")
    with pytest.raises(CaseInvalid, match="has this name"):
        load_suites(tmp_path, ["inventory"])


def test_the_suites_that_come_with_it_can_be_read() -> None:
    folder = REPOSITORY / "include" / "expectations"
    names = [path.stem for path in folder.glob("*.json")]
    assert names
    assert all(suite.expectations for suite in load_suites(folder, names))


def test_written_suites_are_suites_of_great_expectations() -> None:
    """What it can do itself is in its own form: it takes each expectation with these arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing it warns
        from great_expectations.expectations.registry import get_expectation_impl

    folder = REPOSITORY / "include" / "expectations"
    own = 0
    for suite in load_suites(folder, ["sample-lending", "sample-ledger"]):
        tables = {e.table: facts(*str(e.table).split(".", 1)) for e in suite.expectations}
        for rule in make_rules({t.table: t for t in tables.values()}, {}, [suite]):
            kind = kind_of(rule)
            if not kind.counted:
                own += 1
                get_expectation_impl(rule.kind)(**kind.asked())
    assert own > 15


# The other way round than in SQL: a number is made by its rule, so that each other last digit is wrong.
def identity_number(dice: random.Random) -> str:
    body = f"{dice.randint(110000, 659999)}19{dice.randint(10, 99)}{dice.randint(1, 12):02}"
    body += f"{dice.randint(1, 28):02}{dice.randint(0, 999):03}"
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(body))
    return body + "0123456789X"[(12 - total) % 11]


def card_number(dice: random.Random) -> str:
    body = "".join(str(dice.randint(0, 9)) for _ in range(dice.randint(11, 18)))
    doubled = [str(int(d) * 2) if place % 2 == 0 else d for place, d in enumerate(reversed(body))]
    return body + str(-sum(int(d) for d in "".join(doubled)) % 10)


def credit_code(dice: random.Random) -> str:
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    body = "91" + f"{dice.randint(110000, 659999)}" + "".join(dice.choices(alphabet, k=9))
    weights = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28]
    total = sum(alphabet.index(sign) * weight for sign, weight in zip(body, weights, strict=True))
    return body + alphabet[(31 - total) % 31]


def answers(url: str, form: str, numbers: list[str | None]) -> list[bool | None]:
    query = sql.SQL("SELECT {} FROM unnest({}::text[]) WITH ORDINALITY AS t(n, place) ORDER BY place")
    with closing(connect(url, read_only=True)) as connection:
        composed = query.format(FORMS[form](sql.SQL("t.n")), sql.Literal(numbers))
        return [answer for (answer,) in connection.execute(composed).fetchall()]


MAKERS = {
    "identity_number": (identity_number, "0123456789X"),
    "card_number": (card_number, "0123456789"),
    "credit_code": (credit_code, "0123456789ABCDEFGHJKLMNPQRTUWXY"),
}


@pytest.mark.parametrize("form", MAKERS)
def test_only_the_right_check_digit_is_taken(database: Callable[..., str], form: str) -> None:
    make, signs = MAKERS[form]
    dice = random.Random(form)
    url = database("digits")
    right = [make(dice) for _ in range(200)]
    assert answers(url, form, right) == [True] * 200
    wrong = [number[:-1] + sign for number in right for sign in signs if sign != number[-1]]
    assert answers(url, form, wrong) == [False] * len(wrong)


def test_a_changed_digit_anywhere_is_found(database: Callable[..., str]) -> None:
    """Each of the three codes finds every single wrong digit of those that it weighs."""
    dice = random.Random(7)
    url = database("digits")
    for form, (make, _) in MAKERS.items():
        number = make(dice)
        changed = [
            number[:place] + sign + number[place + 1 :]
            for place, old in enumerate(number[:-1])
            for sign in "0123456789"
            if old.isdigit() and sign != old
        ]
        assert not any(answers(url, form, changed)), form


ODD_NUMBERS: dict[str, dict[str, bool]] = {
    "identity_number": {
        "11010119900307003X": False,
        "": False,
        "x": False,
        "119900199002300028": False,  # 30 February, with its check digit
        "１１９９００１９９００３０７００２５": False,
    },
    "mobile_number": {
        "13800000000": True,
        "19900000000": True,
        "12800000000": False,
        "1380000000": False,
        "138000000000": False,
        "+8613800000000": False,
        "13800000000\n": False,
        "": False,
    },
    "card_number": {
        "0000000000000000": True,
        "00000000000": False,
        "00000000000000000000": False,
        "6299 9900": False,
        "": False,
    },
    "credit_code": {"": False, "91110099MA0000000I": False, "91110099ma0000000y": False},
    "email_address": {
        "some.one+tag@mail.example.com": True,
        "O'Neil@example.co": True,
        "1@a-b.example": True,
        "s***@example.com": False,
        "someone@ex***le.com": False,
        "someone@example": False,
        "someone@example.c": False,
        "someone@-a.example.com": False,
        "some one@example.com": False,
        "someone@@example.com": False,
        "someone@example.com\n": False,
        "someone＠example.com": False,
        f"{'a' * 65}@example.com": False,
        "@example.com": False,
        "": False,
    },
}


@pytest.mark.parametrize("form", ODD_NUMBERS)
def test_odd_numbers_are_judged_without_an_error(database: Callable[..., str], form: str) -> None:
    numbers = ODD_NUMBERS[form]
    found = answers(database("digits"), form, list(numbers))
    assert dict(zip(numbers, found, strict=True)) == numbers


def test_birthdays_are_days_of_the_calendar(database: Callable[..., str]) -> None:
    """Every day from 00 to 32 of every month from 00 to 13, in years that leap and that do not."""
    numbers, real = [], []
    for year in (1900, 1999, 2000, 2024):
        for month in range(14):
            for day in range(33):
                body = f"110000{year}{month:02}{day:02}001"
                total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(body))
                numbers.append(body + "0123456789X"[(12 - total) % 11])
                try:
                    datetime.date(year, month, day)
                    real.append(True)
                except ValueError:
                    real.append(False)
    assert answers(database("digits"), "identity_number", numbers) == real


def test_a_kind_that_cannot_say_which_rows_fail_is_no_kind() -> None:
    class Mute(Kind):
        short = "mute"

    with pytest.raises(TypeError, match="failing"):
        Mute()
