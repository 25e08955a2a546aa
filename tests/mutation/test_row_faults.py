"""One fault in the rows of a copy is found and named by table, key and column, whatever the table's shape.

The lines of the comparison with other verifiers come first, then what none of them was asked about.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from fixtures.mutation import PRIVATE, Copied, check_named, that_changes
from fixtures.shapes import COLLISION, LARGE, SHAPES, SMALL, SPOILED, TABLES, insert

Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Fault:
    """Damage to a table: rows changed (with their columns), gone and come, each by its number ``n``."""

    sql: str
    changed: tuple[int, ...] = ()
    columns: str = ""
    gone: tuple[int, ...] = ()
    came: tuple[int, ...] = ()


def seven(change: str, columns: str, n: int = 7) -> Fault:
    """A change of one row."""
    return Fault(f"UPDATE s.{{t}} SET {change} WHERE n = {n}", (n,), columns)


def gone(n: int) -> Fault:
    return Fault(f"DELETE FROM s.{{t}} WHERE n = {n}", gone=(n,))


def came(n: int) -> Fault:
    return Fault("{insert}", came=(n,))


def swapped(column: str) -> Fault:
    return Fault(
        f"UPDATE s.{{t}} t SET {column} = o.{column} FROM s.{{t}} o WHERE t.n IN (12, 20) AND o.n = 32 - t.n",
        (12, 20),
        column,
    )


def faults(rows: int) -> dict[str, Fault]:
    """Every fault for a table of so many rows."""
    middle = rows // 2
    return {
        "one character": seven("name = 'privat X'", "name"),
        "case of one letter": seven("name = 'Privat 7'", "name"),
        "values of two rows swapped": swapped("name"),
        "trailing space": seven("name = name || ' '", "name"),
        "trailing newline": seven("name = name || E'\\n'", "name"),
        "one microsecond": seven("born = born + interval '1 microsecond'", "born"),
        "column boundary moved": seven("a = 'privata', b = 'bc'", "a, b"),
        "separator moved between columns": seven("a = 'privat', b = 'y|z'", "a, b", 9),
        "NULL to ''": seven("other = ''", "other"),
        "'' to NULL": seven("other = NULL", "other", 8),
        "NULL to <null>": seven("other = '<null>'", "other"),
        "NULL to NULL, the word": seven("other = 'NULL'", "other"),
        "NULL to \\N": seven("other = '\\N'", "other"),
        "collision of a 32-bit hash": seven(f"name = '{COLLISION[1]}'", "name", 11),
        "first row missing": gone(1),
        "middle row missing": gone(middle),
        "last row missing": gone(rows),
        "row too many before the first": came(0),
        "row too many after the last": came(rows + 1),
        "middle row changed": seven("name = 'privat'", "name", middle),
        "row gone and another come": Fault(
            "DELETE FROM s.{t} WHERE n = 5; {insert}", gone=(5,), came=(rows + 1,)
        ),
        "leading space": seven("name = ' ' || name", "name"),
        "space to no-break space": seven("name = U&'privat\\00A07'", "name"),
        "letter of another script": seven("name = U&'priv\\0430t 7'", "name"),
        "invisible character": seven("name = name || U&'\\200B'", "name"),
        "other normal form": seven("name = normalize(name || U&'\\0301', NFD)", "name"),
        "tab to \\t, the two characters": seven("name = 'privat\\t7'", "name"),
        "numeric scale": seven("amount = 3.3", "amount"),
        "twentieth decimal": seven("amount = amount + 0.00000000000000000001", "amount"),
        "two faults that cancel in a sum": Fault(
            "UPDATE s.{t} SET amount = amount + CASE n WHEN 12 THEN 1 ELSE -1 END WHERE n IN (12, 20)",
            (12, 20),
            "amount",
        ),
        "negative zero": seven("weight = '-0'", "weight"),
        "NaN": seven("weight = 'NaN'", "weight"),
        "infinity": seven("weight = 'Infinity'", "weight"),
        "last bit of a float": seven("weight = 5e-324", "weight"),
        "jsonb value": seven("""doc = '{"a": "1"}'""", "doc"),
        "jsonb number's scale": seven("""doc = '{"a": 1.0}'""", "doc"),
        "jsonb null for nothing": seven("doc = 'null'", "doc"),
        "json white space": seven("""raw = '{"a":1, "b": 2}'""", "raw"),
        "json order of keys": seven("""raw = '{"b": 2, "a": 1}'""", "raw"),
        "NULL gone from an array": seven("tags = '{privat}'", "tags"),
        "NULL in an array to the word": seven("""tags = '{privat,"NULL"}'""", "tags"),
        "bounds of an array": seven("tags = '[0:1]={privat,NULL}'", "tags"),
        "dimensions of an array": seven("tags = '{{privat,NULL}}'", "tags"),
        "array to empty": seven("tags = '{}'", "tags"),
        "one bit of bytes": seven("bytes = '\\x00fe'", "bytes"),
        "zero byte more": seven("bytes = '\\x00ff00'", "bytes"),
        "padded characters": seven("code = 'privat1'", "code"),
        "two columns": seven("name = '', doc = '{}'", "name, doc"),
        "all columns but the first": seven("name = NULL, weight = 1, raw = NULL", "name, weight, raw"),
    }


@pytest.fixture(scope="session")
def tables(small: Copied) -> Copied:
    """The small tables with what is needed to mend them."""
    keep(small, SMALL)
    return small


@pytest.fixture(scope="session")
def large_tables(large: Copied) -> Copied:
    """The same of the large ones."""
    keep(large, LARGE)
    return large


def keep(copied: Copied, rows: int) -> None:
    copied.change("CREATE SCHEMA kept")
    for table in TABLES:
        where = f"n <= {SPOILED} OR n IN ({rows // 2}, {rows})"
        copied.change(f"CREATE TABLE kept.{table} AS SELECT * FROM s.{table} WHERE {where}")
        copied.change(f"CREATE INDEX ON s.{table} (n)")


def mend(copied: Copied, table: str, numbers: set[int]) -> None:
    """Put the rows of these numbers back as they were."""
    listed = ", ".join(map(str, numbers))
    copied.change(
        f"DELETE FROM s.{table} WHERE n IN ({listed})",
        f"INSERT INTO s.{table} SELECT * FROM kept.{table} WHERE n IN ({listed})",
    )


def names(copied: Copied, table: str, n: int) -> str:
    """How row ``n`` is to be named, worked out from the row as it is in the target now."""
    shape, _ = TABLES[table]
    if shape.has_key:
        return shape.finding(copied, table, n)
    (row,) = copied.rows_in_form(table, f"n = {n}")
    return f"s.{table}: row {copied.token(row)}"


def check_fault(copied: Copied, table: str, rows: int, fault: Fault) -> list[str]:
    """Do the damage, demand that exactly it is named, mend it; returns the findings."""
    shape, _ = TABLES[table]
    name = partial(names, copied, table)
    old = {n: name(n) for n in (*fault.changed, *fault.gone)}
    row = insert(table, f"generate_series({fault.came[0]}, {fault.came[0]})") if fault.came else ""
    statement = fault.sql.replace("{t}", table).replace("{insert}", row)
    try:
        with that_changes(lambda: copied.fingerprint(table)):
            copied.change(statement)
        expected = [f"{old[n]} is missing" for n in fault.gone]
        expected += [f"{name(n)} is not in the backup" for n in fault.came]
        for n in fault.changed:
            if shape.has_key:
                expected.append(f"{old[n]} differs in {fault.columns}")
            else:  # nothing says which row it was: one is gone, another one came
                expected += [f"{old[n]} is missing", f"{name(n)} is not in the backup"]
        told = copied.differing_rows(table)
        check_named(told, expected)
    finally:
        mend(copied, table, {*fault.changed, *fault.gone, *fault.came})
    return told


def told_of(record_property: Record, fault: str, table: str, rows: int, told: list[str]) -> None:
    record_property("fault", (fault, table, f"{rows:,}", "; ".join(told)))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("fault", faults(SMALL))
def test_fault_in_1000_rows(tables: Copied, fault: str, table: str, record_property: Record) -> None:
    told = check_fault(tables, table, SMALL, faults(SMALL)[fault])
    told_of(record_property, fault, table, SMALL, told)


def at_60000_rows() -> list[object]:
    """Every fault with every table; all but one table for each fault are left to the campaign."""
    return [
        pytest.param(
            fault,
            table,
            marks=() if place == number % len(TABLES) else (pytest.mark.campaign,),
            id=f"{fault}-{table}",
        )
        for number, fault in enumerate(faults(LARGE))
        for place, table in enumerate(TABLES)
    ]


@pytest.mark.parametrize("fault, table", at_60000_rows())
def test_fault_in_60000_rows(large_tables: Copied, fault: str, table: str, record_property: Record) -> None:
    told = check_fault(large_tables, table, LARGE, faults(LARGE)[fault])
    told_of(record_property, fault, table, LARGE, told)


def test_tables_are_what_they_are_called(tables: Copied, large_tables: Copied) -> None:
    for copied in (tables, large_tables):
        for name, (shape, path) in TABLES.items():
            plan = copied.table(name)
            assert plan.format == path
            assert bool(plan.key) == shape.has_key
            assert (plan.groups > 1) == shape.has_key
            assert copied.value(f"SELECT count(*) > 999 FROM s.{name}")
    assert large_tables.value("SELECT count(*) FROM s.simple_text") == LARGE


def test_the_collision_is_one(tables: Copied) -> None:
    """Verifiers that add up the server's own hash do not see this fault."""
    one, other = (tables.value(f"SELECT hashtext('{text}')") for text in COLLISION)
    assert one == other
    assert tables.value("SELECT name FROM s.simple_binary WHERE n = 11") == COLLISION[0]


DUPLICATES = {
    "one duplicate missing": (
        "DELETE FROM s.{t} WHERE ctid = (SELECT min(ctid) FROM s.{t} WHERE n = 30)",
        "",
    ),
    "three duplicates missing": (
        "DELETE FROM s.{t} WHERE ctid <> (SELECT min(ctid) FROM s.{t} WHERE n = 30) AND n = 30",
        " 3 times",
    ),
    "all duplicates missing": ("DELETE FROM s.{t} WHERE n = 30", " 4 times"),
}


@pytest.mark.parametrize("table", ["keyless_binary", "keyless_text"])
@pytest.mark.parametrize("fault", DUPLICATES)
def test_missing_duplicates_are_counted(
    tables: Copied, fault: str, table: str, record_property: Record
) -> None:
    statement, times = DUPLICATES[fault]
    row, *others = tables.rows_in_form(table, "n = 30")
    assert others == [row] * 3
    with that_changes(lambda: tables.fingerprint(table)):
        tables.change(statement.format(t=table))
    told = tables.differing_rows(table)
    mend(tables, table, {30})
    check_named(told, [f"s.{table}: row {tables.token(row)} is missing{times}"])
    told_of(record_property, fault, table, SMALL, told)


@pytest.mark.parametrize("table", ["keyless_binary", "keyless_text"])
def test_an_extra_duplicate_is_named(tables: Copied, table: str, record_property: Record) -> None:
    for times, said in ((1, ""), (2, " 2 times")):
        name = names(tables, table, 12)
        with that_changes(lambda: tables.fingerprint(table)):
            tables.change(*[f"INSERT INTO s.{table} SELECT * FROM kept.{table} WHERE n = 12"] * times)
        told = tables.differing_rows(table)
        mend(tables, table, {12})
        check_named(told, [f"{name} is not in the backup{said}"])
        told_of(record_property, f"{times} duplicates more", table, SMALL, told)


KEYS = {
    "simple": ("id = -7", ["row with id = 7 is missing", "row with id = -7 is not in the backup"]),
    "composite": (
        "branch = -1",
        [
            "row with branch = 2, number = 7 is missing",
            "row with branch = -1, number = 7 is not in the backup",
        ],
    ),
}


@pytest.mark.parametrize("path", ["binary", "text"])
@pytest.mark.parametrize("shape", KEYS)
def test_a_changed_key_is_one_row_gone_and_one_come(
    tables: Copied, shape: str, path: str, record_property: Record
) -> None:
    table, (change, said) = f"{shape}_{path}", KEYS[shape]
    with that_changes(lambda: tables.fingerprint(table)):
        tables.change(f"UPDATE s.{table} SET {change} WHERE n = 7")
    told = tables.differing_rows(table)
    mend(tables, table, {7})
    check_named(told, [f"s.{table}: {line}" for line in said])
    told_of(record_property, "key changed", table, SMALL, told)


@pytest.mark.parametrize("path", ["binary", "text"])
@pytest.mark.parametrize("shape", [s.name for s in SHAPES if s.has_key])
def test_a_row_that_is_there_twice_where_the_key_is_gone(
    tables: Copied, shape: str, path: str, record_property: Record
) -> None:
    table = f"{shape}_{path}"
    with tables.aside() as copy:
        name = names(copy, table, 7)
        copy.change(f"ALTER TABLE s.{table} DROP CONSTRAINT {table}_pkey")
        copy.change(f"INSERT INTO s.{table} SELECT * FROM s.{table} WHERE n = 7")
        told = copy.differing_rows(table)
    check_named(told, [f"{name} is not in the backup"])
    told_of(record_property, "row twice", table, SMALL, told)


@pytest.mark.parametrize("path", ["binary", "text"])
@pytest.mark.parametrize("shape, key", [("simple", "id"), ("named", "k")])
def test_a_key_that_became_null(
    tables: Copied, shape: str, key: str, path: str, record_property: Record
) -> None:
    """A row without a key belongs to no group of keys, but its table is not as planned and it is missing."""
    table = f"{shape}_{path}"
    with tables.aside() as copy:
        name = names(copy, table, 7)
        copy.change(f"ALTER TABLE s.{table} DROP CONSTRAINT {table}_pkey, ALTER {key} DROP NOT NULL")
        copy.change(f"UPDATE s.{table} SET {key} = NULL WHERE n = 7")
        told = [*copy.differing_rows(table), *copy.differing_objects()]
    for line in (
        f"{name} is missing",
        f"CONSTRAINT s.{table} {table}_pkey is missing",
        f"TABLE s.{table} is defined otherwise: {key}",
    ):
        assert line in told
    told_of(record_property, "key became NULL", table, SMALL, told)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_its_rows(tables: Copied, table: str, record_property: Record) -> None:
    with tables.aside() as copy, that_changes(lambda: copy.fingerprint(table)):
        copy.change(f"TRUNCATE s.{table}")
        told = copy.differing_rows(table)
    assert all(line.endswith((" is missing", " is missing 4 times", ": and more")) for line in told)
    assert f"s.{table}: and more" in told
    assert PRIVATE not in "\n".join(told)
    told_of(record_property, "all rows missing", table, SMALL, told[:1])


@pytest.mark.parametrize("table", TABLES)
def test_many_rows_missing_in_one_place(tables: Copied, table: str, record_property: Record) -> None:
    """The rows after the gap are there, and are not told to be too many."""
    where = "n BETWEEN 100 AND 400"
    with tables.aside() as copy, that_changes(lambda: copy.fingerprint(table)):
        copy.change(f"DELETE FROM s.{table} WHERE {where}")
        told = copy.differing_rows(table)
    assert told
    assert all(line.endswith((" is missing", ": and more")) for line in told)
    told_of(record_property, "301 rows missing", table, SMALL, told[:1])


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "nothing", ["SELECT 1", "UPDATE s.{t} SET name = name", "ANALYZE s.{t}", "DELETE FROM s.{t} WHERE n = -1"]
)
def test_an_injector_that_changes_nothing_fails_its_test(tables: Copied, table: str, nothing: str) -> None:
    harmless = Fault(nothing, (7,), "name")
    with pytest.raises(AssertionError, match="changes nothing"):
        check_fault(tables, table, SMALL, harmless)
    assert tables.differing_rows(table) == []


def test_a_verification_that_sees_nothing_fails_the_test(
    tables: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Copied, "differing_rows", lambda *_: [])
    with pytest.raises(AssertionError):
        check_fault(tables, "simple_binary", SMALL, faults(SMALL)["one character"])


def test_a_finding_that_names_another_column_fails_the_test(tables: Copied) -> None:
    wrong = Fault("UPDATE s.{t} SET name = 'privat X' WHERE n = 7", (7,), "amount")
    with pytest.raises(AssertionError):
        check_fault(tables, "simple_binary", SMALL, wrong)


def test_what_was_mended_is_as_it_was(tables: Copied, large_tables: Copied) -> None:
    """The last one here: no fault above was left over to help another one to be found."""
    for copied in (tables, large_tables):
        assert copied.differing_rows(*TABLES) == []
