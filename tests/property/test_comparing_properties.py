"""One change anywhere in a copy is found and named: the row, for an update the column, never a value."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.clusters import databases
from fixtures.contents import run_sql
from fixtures.runs import Runner, backed_up, make_ledger
from handover.evidence.digest import token
from handover.evidence.progress import meter
from handover.local.clusters import Cluster
from handover.model import plan
from handover.model.backup import BackupIndex
from handover.postgres.session import Connection, connect, fetch
from handover.stages.backup_index import read_index
from handover.stages.comparing import Reader, compare_group
from handover.stages.context import Context
from handover.stages.loading import Destination, load_groups, prepare
from handover.stages.narrowing import MOST_DIFFERENCES

ROWS = 120
# Large enough rows that the tables have several blocks, and so several groups.
FILLER = "repeat('private filler ', 30)"
SOURCE = f"""
CREATE SCHEMA s;
CREATE TABLE s.numbered (id int PRIMARY KEY, name text, amount numeric, filler text);
INSERT INTO s.numbered SELECT n, 'private ' || n % 7, n * 1.5, {FILLER} FROM generate_series(1, {ROWS}) n;
CREATE TABLE s.named (a int, b text, amount numeric, filler text, PRIMARY KEY (b, a));
INSERT INTO s.named SELECT n % 5, 'private ' || n, n, {FILLER} FROM generate_series(1, {ROWS}) n;
CREATE TABLE s.written (id bigint PRIMARY KEY, price money, name text, filler text);
INSERT INTO s.written SELECT n, n, 'private', {FILLER} FROM generate_series(1, {ROWS}) n;
CREATE TABLE s.keyless (id int, name text);
INSERT INTO s.keyless SELECT n / 3, 'private' FROM generate_series(1, {ROWS}) n;
CREATE TABLE s.computed (name text, id int GENERATED ALWAYS AS (length(name)) STORED PRIMARY KEY);
INSERT INTO s.computed SELECT repeat('private', n) FROM generate_series(1, {ROWS}) n;
"""
MODEST = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Copy:
    """A backup and a database that was filled from it; constraints are not there yet, so all can happen."""

    context: Context
    index: BackupIndex
    destination: Destination
    session: Connection

    def differences(self, table: str) -> list[str]:
        """What comparing every group of a table says."""
        table_id = next(t.id for t in self.index.plan.tables if t.name == table)
        groups = [group for group in self.index.plan.groups() if group.table == table_id]
        with closing(Reader(self.destination)) as reader:
            return [x for g in groups for x in compare_group(self.context, self.index, reader, g)]

    def row(self, table: str, number: int) -> str:
        """The place of the ``number``-th row, counted on over the end."""
        count = int(str(fetch(self.session, sql.SQL(f"SELECT count(*) FROM s.{table}"))[0][0]))
        query = sql.SQL(f"SELECT ctid::text FROM s.{table} ORDER BY ctid OFFSET %s LIMIT 1")
        return str(fetch(self.session, query, number % count)[0][0])

    def value(self, table: str, place: str, column: str) -> object:
        return fetch(self.session, sql.SQL(f"SELECT {column} FROM s.{table} WHERE ctid = %s"), place)[0][0]

    def change(self, statement: str, *values: object) -> None:
        self.session.execute(sql.SQL(statement), values)

    def restore(self, table: str) -> None:
        """Put a table back as it was."""
        names = next(t.columns for t in self.index.plan.tables if t.name == table)
        listed = ", ".join(names)
        self.change(f"TRUNCATE s.{table}")
        self.change(f"INSERT INTO s.{table} ({listed}) SELECT {listed} FROM kept.{table}")


@pytest.fixture(scope="module")
def copied(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copy]:
    with databases(cluster) as here, databases(second_cluster) as there:
        urls = {
            "src": here("comparing", owner="comparing_owner"),
            "dst": there("comparing", owner="comparing_owner"),
        }
        home = tmp_path_factory.mktemp("comparing")
        run_sql(urls["src"], SOURCE)
        ledger = make_ledger(cluster, lambda name: here(name, owner="comparing_ledger"))
        context = Runner(home, ledger, os.environ["HANDOVER_PG_BIN"], urls).open(lanes=4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan, "SMALLEST_SPLIT", 8192)
            backed_up(context)
        index, destination = read_index(context), Destination(urls["dst"], "test")
        prepare(context, index, destination)
        with meter(ledger, context.case.case, context.run, "test") as progress:
            load_groups(context, index, destination, index.plan.groups(), progress)
        run_sql(urls["dst"], "CREATE SCHEMA kept")
        for table in index.plan.tables:
            if table.name:
                run_sql(urls["dst"], f"CREATE TABLE kept.{table.name} AS TABLE s.{table.name}")
        with closing(connect(urls["dst"])) as session:
            yield Copy(context, index, destination, session)


@pytest.fixture(params=["numbered", "named", "written", "keyless", "computed"])
def table(request: pytest.FixtureRequest, copied: Copy) -> str:
    copied.restore(request.param)
    return str(request.param)


def name_of(copied: Copy, table: str, place: str) -> str:
    """How the row is to be named, worked out from the row itself."""
    if table in ("numbered", "written"):
        return f"s.{table}: row with id = {copied.value(table, place, 'id')}"
    key = copied.context.evidence_key
    if table == "named":
        parts = [copied.value(table, place, expression) for expression in ("textsend(b)", "int4send(a)")]
        return f"s.named: row with (b, a) = token {token(key, *parts)}"
    return f"s.{table}: row"


def test_an_unchanged_copy_has_no_difference(copied: Copy, table: str) -> None:
    assert copied.differences(table) == []


def test_tables_were_split_so_that_groups_are_tried_too(copied: Copy) -> None:
    groups = {t.name: t.groups for t in copied.index.plan.tables}
    forms = {t.name: t.format for t in copied.index.plan.tables}
    assert min(groups[name] for name in ("numbered", "named", "written")) > 1
    assert (forms["numbered"], forms["written"]) == ("binary", "text")


def only(lines: list[str], name: str, what: str) -> None:
    assert len(lines) == 1
    token_of_a_whole_row = "" if "row with " in name else " [0-9a-f]{32}"
    assert re.fullmatch(re.escape(name) + token_of_a_whole_row + re.escape(what), lines[0])


@MODEST
@given(number=st.integers(0, ROWS))
def test_a_missing_row_is_named(copied: Copy, table: str, number: int) -> None:
    copied.restore(table)
    place = copied.row(table, number)
    name = name_of(copied, table, place)
    copied.change(f"DELETE FROM s.{table} WHERE ctid = %s", place)
    only(copied.differences(table), name, " is missing")


@MODEST
@given(number=st.integers(0, ROWS))
def test_a_row_that_is_there_twice_is_named(copied: Copy, table: str, number: int) -> None:
    copied.restore(table)
    place = copied.row(table, number)
    name = name_of(copied, table, place)
    columns = ", ".join(next(t.columns for t in copied.index.plan.tables if t.name == table))
    copied.change(f"INSERT INTO s.{table} ({columns}) SELECT {columns} FROM s.{table} WHERE ctid = %s", place)
    only(copied.differences(table), name, " is not in the backup")


INSERTS = {
    "numbered": "INSERT INTO s.numbered (id, name) VALUES (%s, 'private new')",
    "named": "INSERT INTO s.named (a, b) VALUES (%s, 'private new')",
    "written": "INSERT INTO s.written (id, name) VALUES (%s, 'private new')",
    "keyless": "INSERT INTO s.keyless (id, name) VALUES (%s, 'private new')",
    "computed": "INSERT INTO s.computed (name) VALUES (repeat('private new', 1 + (%s::bigint & 63)::int))",
}


@MODEST
@given(number=st.integers(-(2**31), 0) | st.integers(ROWS + 1, 2**31 - 1))
def test_a_row_too_many_is_named(copied: Copy, table: str, number: int) -> None:
    copied.restore(table)
    copied.change(INSERTS[table], number)
    place = str(fetch(copied.session, sql.SQL(f"SELECT max(ctid)::text FROM s.{table}"))[0][0])
    only(copied.differences(table), name_of(copied, table, place), " is not in the backup")


UPDATES = {
    "name": ["'private other'", "NULL", "name || ' '", "''"],
    "amount": ["amount + 0.00001", "NULL", "amount::numeric(9, 3)", "'NaN'"],
    "price": ["price + '0.01'::money", "NULL"],
}


@MODEST
@given(number=st.integers(0, ROWS), data=st.data())
def test_a_changed_value_is_named_by_row_and_column(
    copied: Copy, table: str, number: int, data: st.DataObject
) -> None:
    copied.restore(table)
    columns = next(t.columns for t in copied.index.plan.tables if t.name == table)
    column = data.draw(st.sampled_from([c for c in columns if c in UPDATES]))
    place = copied.row(table, number)
    name = name_of(copied, table, place)
    allowed = [v for v in UPDATES[column] if (table, v) != ("computed", "NULL")]
    other = data.draw(st.sampled_from(allowed))
    copied.change(f"UPDATE s.{table} SET {column} = {other} WHERE ctid = %s", place)
    if table in ("keyless", "computed"):  # nothing says which row it was: one is gone, another one came
        came, gone = sorted(copied.differences(table), key=lambda line: line.endswith("missing"))
        only([gone], name, " is missing")
        only([came], name, " is not in the backup")
    else:
        only(copied.differences(table), name, f" differs in {column}")


@MODEST
@given(number=st.integers(0, ROWS), key=st.integers(ROWS + 1, 2**31 - 1) | st.integers(-(2**31), 0))
def test_a_changed_key_is_one_row_gone_and_one_too_many(copied: Copy, number: int, key: int) -> None:
    """The row may also have moved into another group."""
    copied.restore("numbered")
    place = copied.row("numbered", number)
    old = copied.value("numbered", place, "id")
    copied.change("UPDATE s.numbered SET id = %s WHERE ctid = %s", key, place)
    assert sorted(copied.differences("numbered")) == sorted(
        [
            f"s.numbered: row with id = {old} is missing",
            f"s.numbered: row with id = {key} is not in the backup",
        ]
    )


@MODEST
@given(st.sets(st.integers(1, ROWS), min_size=1, max_size=8), st.sets(st.integers(1, ROWS), max_size=8))
def test_several_changes_are_each_named(copied: Copy, gone: set[int], changed: set[int]) -> None:
    copied.restore("numbered")
    copied.change("DELETE FROM s.numbered WHERE id = ANY(%s)", list(gone))
    copied.change("UPDATE s.numbered SET name = name || '!', amount = 0 WHERE id = ANY(%s)", list(changed))
    expected = {f"s.numbered: row with id = {n} is missing" for n in gone}
    expected |= {f"s.numbered: row with id = {n} differs in name, amount" for n in changed - gone}
    lines = copied.differences("numbered")
    assert set(lines) == expected
    assert len(lines) == len(expected)


def test_too_many_differences_are_cut_and_said_so(copied: Copy) -> None:
    copied.restore("keyless")
    copied.change("INSERT INTO s.keyless SELECT n, 'private' FROM generate_series(1000, 1100) n")
    lines = copied.differences("keyless")
    assert lines[-1] == "s.keyless: and more"
    assert len(lines) == MOST_DIFFERENCES + 1


def test_equal_rows_are_counted(copied: Copy) -> None:
    copied.restore("keyless")
    copied.change("DELETE FROM s.keyless WHERE id = 5")
    only(copied.differences("keyless"), "s.keyless: row", " is missing 3 times")
    copied.change("INSERT INTO s.keyless SELECT 5, 'private' FROM generate_series(1, 5)")
    only(copied.differences("keyless"), "s.keyless: row", " is not in the backup 2 times")
