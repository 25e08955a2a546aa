"""The plan: what travels how, in how many groups, in which lane; and that its digest binds all of it."""

import pytest
import yaml

from fixtures.runs import CASE
from handover.model.case import Case
from handover.model.catalog import Catalog, Column, KeyColumn, Server, Table
from handover.model.plan import LARGE_OBJECTS, SMALLEST_SPLIT, Plan, copy_format, make_plan, wanted_groups

ID = KeyColumn(name="id", type="integer", order="natural")
SERVER = Server(version="18.0", major=18, system="1", database="d", role="r", encoding="UTF8", collation="C")
MB = 1024 * 1024


def case(**changes: object) -> Case:
    return Case.model_validate(yaml.safe_load(yaml.safe_dump({**CASE, **changes})))


def column(name: str, *, safe: bool = True, generated: bool = False) -> Column:
    return Column(name=name, type="integer", binary_safe=safe, generated=generated)


def table(name: str, size: int = 0, key: tuple[KeyColumn, ...] = (ID,), *columns: Column) -> Table:
    return Table(
        schema_name="s",
        name=name,
        columns=columns or (column("id"),),
        key=key,
        rows_estimate=1,
        bytes=size,
    )


def catalog(*tables: Table, large_objects: int = 0) -> Catalog:
    return Catalog(
        server=SERVER, tables=tables, materialized_views=(), extensions=(), large_objects=large_objects
    )


def planned(found: Catalog, *, groups: dict[str, int] | None = None, **changes: object) -> Plan:
    counts = {t.label: 1 for t in found.tables} | (groups or {})
    return make_plan(
        case(**changes), found, schema_digest="s", bounds_digest="b", groups=counts, same_major=True
    )


def test_binary_only_between_equal_majors() -> None:
    assert copy_format(table("t"), same_major=True) == ("binary", "")
    assert copy_format(table("t"), same_major=False) == ("text", "major versions differ")


def test_text_names_the_columns_that_ask_for_it() -> None:
    mixed = table("t", 0, (ID,), column("id"), column("price", safe=False), column("kind", safe=False))
    assert copy_format(mixed, same_major=True) == (
        "text",
        "binary form of price, kind is not known to be portable",
    )


def test_a_generated_column_does_not_travel_and_does_not_matter() -> None:
    made = planned(
        catalog(table("t", 0, (ID,), column("id"), column("total", safe=False, generated=True)))
    ).tables[0]
    assert (made.columns, made.format) == (("id",), "binary")


@pytest.mark.parametrize(
    ("size", "total", "lanes", "wanted"),
    [
        (0, 0, 2, 1),
        (SMALLEST_SPLIT, 10 * SMALLEST_SPLIT, 2, 1),
        (1000 * MB, 1000 * MB, 2, 6),
        (1000 * MB, 1000 * MB, 8, 24),
        (1000 * MB, 1000 * MB, 1, 1),
        (40 * MB, 40 * MB, 64, 3),
        (10 * MB, 1000 * MB, 8, 1),
    ],
)
def test_a_giant_table_is_shared_and_a_small_one_is_not(
    size: int, total: int, lanes: int, wanted: int
) -> None:
    assert wanted_groups(table("t", size), total, lanes) == wanted


def test_a_table_without_a_key_cannot_be_split() -> None:
    assert wanted_groups(table("t", 1000 * MB, ()), 1000 * MB, 8) == 1


def test_one_giant_table_keeps_every_lane_busy() -> None:
    made = planned(catalog(table("giant", 1000 * MB), table("small")), groups={"s.giant": 4})
    loads = [sum(g.weight for g in lane.groups) for lane in made.lanes]
    assert len(loads) == 2
    assert max(loads) < 1.1 * min(loads)
    assert made.lanes[0].label.startswith("s.giant 1/4 + ")


def test_each_group_is_there_once_in_order() -> None:
    made = planned(catalog(table("a", 100 * MB), table("b")), groups={"s.a": 3})
    units = [(made.table(g.table).label, g.number) for g in made.groups()]
    assert units == [(LARGE_OBJECTS, 0), ("s.a", 0), ("s.a", 1), ("s.a", 2), ("s.b", 0)]


def test_large_objects_are_planned_even_while_there_are_none() -> None:
    source = {"connection": "src", "schemas": ["s"], "large_objects": False}
    assert [t.id for t in planned(catalog()).tables] == [LARGE_OBJECTS]
    assert planned(catalog(), source=source).tables == ()
    assert planned(catalog(), source=source).lanes == ()


def test_equal_input_gives_an_equal_plan() -> None:
    found = catalog(table("a", 5 * MB), table("b"))
    assert planned(found).sha256_of_json() == planned(found).sha256_of_json()


@pytest.mark.parametrize(
    "other",
    [
        planned(catalog(table("t")), lanes=3),
        planned(catalog(table("t"), table("u"))),
        planned(catalog(table("t")), groups={"s.t": 2}),
        planned(catalog(table("t", 0, ()))),
        planned(catalog(table("t", 0, (ID,), column("id"), column("more")))),
        planned(catalog(table("t"))).model_copy(update={"bounds_digest": "other"}),
        planned(catalog(table("t"))).model_copy(update={"schema_digest": "other"}),
    ],
    ids=["lanes", "a table more", "groups", "no key", "a column more", "bounds", "schema"],
)
def test_the_digest_binds_everything(other: Plan) -> None:
    assert other.sha256_of_json() != planned(catalog(table("t"))).sha256_of_json()


def test_a_plan_survives_the_ledger() -> None:
    made = planned(catalog(table("a", 5 * MB), table("b")))
    assert Plan.model_validate(made.document()) == made
