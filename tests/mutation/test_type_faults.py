"""Values that many comparisons take for equal, in a column of every type: each is told by row and column."""

from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from fixtures.mutation import Copied, check_named, copied, that_changes
from fixtures.types import COLUMNS, TYPES_SQL, TypedColumn
from handover.local.clusters import Cluster

# By the engine's own list, and held here too: what travels as text because its binary form is not portable.
AS_TEXT = {
    *("c_money", "c_internal_char", "c_name", "c_tsquery", "c_xid8", "c_tid", "c_lsn", "c_jsonpath"),
    *("c_regclass", "c_regtype", "c_composite", "c_enum_array", "c_composite_array", "c_domain_of_arrays"),
    *("c_floats", "c_vector", "c_hstore", "c_citext", "c_ltree", "c_cube", "c_seg", "c_isbn"),
}
NULL = "NULL itself"


def table_of(column: TypedColumn) -> str:
    return "by_text" if column.name in AS_TEXT else "by_binary"


def source() -> str:
    script = ["CREATE SCHEMA s;", TYPES_SQL]
    for table in ("by_binary", "by_text"):
        columns = [c for c in COLUMNS if table_of(c) == table]
        listed = ", ".join(f"{c.name} {c.type}" for c in columns)
        values = ", ".join(sql.Literal(c.value).as_string() for c in columns)
        script.append(f"CREATE TABLE s.{table} (id int PRIMARY KEY, {listed});")
        script.append(f"INSERT INTO s.{table} VALUES (1, {values}), (2, {values}), (3, {values});")
    return "\n".join(script)


@pytest.fixture(scope="module")
def types(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copied]:
    with copied(tmp_path_factory.mktemp("types"), cluster, second_cluster, source()) as made:
        yield made


FAULTS = [(column, other) for column in COLUMNS for other in (*column.others, NULL)]


@pytest.mark.parametrize("column, other", FAULTS, ids=[f"{c.type}: {c.value!r} to {o!r}" for c, o in FAULTS])
def test_value_that_looks_the_same_is_told(
    types: Copied, column: TypedColumn, other: str, record_property: Callable[[str, object], None]
) -> None:
    table = table_of(column)
    literal = "NULL" if other == NULL else sql.Literal(other).as_string()
    update = f"UPDATE s.{table} SET {column.name} = {{}} WHERE id = 2"
    with that_changes(lambda: types.rows_in_form(table, "true")):
        types.change(update.format(literal))
    told = types.differing_rows(table)
    types.change(update.format(sql.Literal(column.value).as_string()))
    check_named(told, [f"s.{table}: row with id = 2 differs in {column.name}"])
    described = f"{column.type}: {column.value!r} to {other!r}"
    record_property("fault", (described, table, "3", "; ".join(told)))


def test_each_table_takes_its_path(types: Copied) -> None:
    assert [types.table(name).format for name in ("by_binary", "by_text")] == ["binary", "text"]


def test_putting_the_same_value_again_changes_nothing(types: Copied) -> None:
    """And the check of the injector sees it."""
    for column in COLUMNS:
        table, value = table_of(column), sql.Literal(column.value).as_string()
        with (
            pytest.raises(AssertionError, match="changes nothing"),
            that_changes(lambda table=table: types.rows_in_form(table, "true")),
        ):
            types.change(f"UPDATE s.{table} SET {column.name} = {value} WHERE id = 2")
    assert types.differing_rows("by_binary", "by_text") == []
