"""Whatever tables refer to whatever: where held rows of archived tables are told, they are told exactly."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from handover.archive.selecting import Match
from handover.errors import NotReady
from handover.model.archive import ArchivedColumn, ArchivedTable
from handover.model.catalog import Column, KeyColumn, Table
from handover.model.hold import DataHold
from handover.model.reconciliation import TableName
from handover.postgres.references import Graph, Part, Reference, Side
from handover.stages.archived_holds import held_in, key_of

TABLES, ROWS, HELD = 4, 4, 1
Row = dict[str, int | None]


@dataclass(frozen=True)
class World:
    """Tables with rows, and the references between them by number: child, column, parent."""

    ways: list[tuple[int, str, int]]
    rows: list[list[Row]]

    def held(self, what: str) -> set[tuple[int, int]]:
        """The rows of a hold on the first table: children of held rows with them, and what these need."""
        found = {(0, row["id"] or 0) for row in self.rows[0] if what == "table" or row["id"] == HELD}
        owned = self._closed(found, down=True)
        return self._closed(owned, down=False)

    def _closed(self, found: set[tuple[int, int]], *, down: bool) -> set[tuple[int, int]]:
        while True:
            more = set(found)
            for child, column, parent in self.ways:
                for row in self.rows[child]:
                    ends = (child, row["id"] or 0), (parent, row[column])
                    here, there = ends if down else ends[::-1]
                    if row[column] is not None and there in found:
                        more.add(here)  # type: ignore[arg-type]
            if more == found:
                return found
            found = more


@st.composite
def worlds(draw: st.DrawFn) -> World:
    numbers = st.integers(0, TABLES - 1)
    pairs = draw(st.lists(st.tuples(numbers, numbers), max_size=5))
    ways = [(child, f"r{place}", parent) for place, (child, parent) in enumerate(pairs)]
    ids = st.one_of(st.none(), st.integers(0, ROWS - 1))
    rows: list[list[Row]] = [
        [{"id": key} | {c: draw(ids) for child, c, _ in ways if child == number} for key in range(ROWS)]
        for number in range(TABLES)
    ]
    return World(ways, rows)


def graph_of(world: World) -> Graph:
    names = [["id", *(c for child, c, _ in world.ways if child == number)] for number in range(TABLES)]
    tables = tuple(
        Table(
            schema_name="s",
            name=f"t{number}",
            columns=tuple(Column(name=name, type="bigint", binary_safe=True) for name in names[number]),
            key=(KeyColumn(name="id", type="bigint", order="natural"),),
            rows_estimate=0,
            bytes=0,
        )
        for number in range(TABLES)
    )
    references = [
        Reference(c, Side(child, (c,)), Side(parent, ("id",)), (), follow=True, one_parent=True)
        for child, c, parent in world.ways
    ]
    return Graph(tables, {("s", f"t{n}"): (n, Part()) for n in range(TABLES)}, references)


def archived(world: World, number: int) -> ArchivedTable:
    names = ["id", *(c for child, c, _ in world.ways if child == number)]
    columns = tuple(ArchivedColumn(name=name, type="bigint", identifying=False) for name in names)
    return ArchivedTable(number=number + 1, schema_name="s", name=f"t{number}", columns=columns)


def hold(what: str, where: str = f"\"id\" = '{HELD}'") -> DataHold:
    table = TableName(schema_name="s", name="t0")
    said = {"kind": "k", "reason": "r", "authority": "a", "yields": False, "by": "ann", "at": "2026-01-01"}
    return DataHold.model_validate(
        {"id": "lh-1", "name": "c", "what": what, "table": table, "where": where, **said}
    )


def is_named(row: Row, matches: tuple[Match, ...]) -> bool:
    return any(
        all(
            row[name] is not None and (one.values is None or str(row[name]) == one.values[place])
            for place, name in enumerate(one.columns)
        )
        for one in matches
    )


@given(worlds(), st.sampled_from(["subject", "table"]), st.integers(0, TABLES - 1))
@settings(max_examples=400, deadline=None)
def test_told_is_exactly_what_is_held(world: World, what: str, number: int) -> None:
    told_exactly(world, what, number)


@pytest.mark.campaign
@given(worlds(), st.sampled_from(["subject", "table"]), st.integers(0, TABLES - 1))
@settings(max_examples=30_000, deadline=None)
def test_told_is_exactly_what_is_held_in_many_worlds(world: World, what: str, number: int) -> None:
    told_exactly(world, what, number)


def told_exactly(world: World, what: str, number: int) -> None:
    """Every held row is named and no other, or nobody can tell."""
    table = archived(world, number)
    try:
        matches = held_in(graph_of(world), [table], hold(what))[table.label]
    except NotReady:
        event("not told")
        return
    event("told")
    named = {row["id"] for row in world.rows[number] if is_named(row, matches)}
    assert named == {key for of, key in world.held(what) if of == number}


# Others of the same table may refer to who is held, as who stands surety: their rows are held as well.
LOOP = World([(0, "r0", 0), (1, "r1", 0)], [[], [], [], []])
CHAIN = World([(1, "r0", 0), (2, "r1", 1), (0, "r2", 3)], [[], [], [], []])


@pytest.mark.parametrize(
    ("number", "said"),
    [(2, "may be held by way of other tables"), (3, "held rows elsewhere may need rows of s.t3")],
)
def test_what_cannot_be_told_is_said(number: int, said: str) -> None:
    with pytest.raises(NotReady, match=said):
        held_in(graph_of(CHAIN), [archived(CHAIN, number)], hold("subject"))
    assert held_in(graph_of(CHAIN), [archived(CHAIN, 1)], hold("subject")) == {
        "s.t1": (Match(("r0",), (str(HELD),)),)
    }


@pytest.mark.parametrize("number", [0, 1])
def test_with_others_of_the_same_table_a_person_is_not_told(number: int) -> None:
    with pytest.raises(NotReady, match=r"other rows of s\.t0 may be held with that one"):
        held_in(graph_of(LOOP), [archived(LOOP, number)], hold("subject"))


@pytest.mark.parametrize(
    "where",
    [
        "true",
        "\"id\" > '1'",
        "\"id\" = '1' OR true",
        "\"id\" = '01'",
        "\"id\" = '1' AND \"id\" = '2'",
        "id = 1",
    ],
)
def test_only_a_plain_key_names_a_person(where: str) -> None:
    with pytest.raises(NotReady):
        held_in(graph_of(CHAIN), [archived(CHAIN, 0)], hold("subject", where))


def test_a_key_is_read_as_it_was_written() -> None:
    where = "\"a\"\"b\" = 'it''s AND \"c\" = ''1''' AND \"d\"::text = 'today'::text"
    assert key_of(hold("subject", where)) == {'a"b': "it's AND \"c\" = '1'", "d": "today"}
