"""A backup is one snapshot: whatever happens to the source meanwhile, what arrives is one moment of it."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

from fixtures.contents import contents, contents_seen_by, objects, run_sql
from fixtures.runs import Runner, backed_up, filled, transferred
from handover.errors import Busy, SchemaChanged
from handover.model.plan import TablePlan
from handover.postgres.copying import cut_by_size
from handover.postgres.ordering import ends, ordered_rows
from handover.stages.backup import backup_lane
from handover.stages.inventory import inventory
from handover.stages.plan import plan, read_bounds
from handover.stages.reading import snapshot_session
from handover.stages.sealing import seal_backup
from handover.stages.snapshot import hold_snapshot, wait_for_state

ACCOUNTS = 300
BANK = f"""
CREATE SCHEMA s;
CREATE TABLE s.savings (id int PRIMARY KEY, cents bigint NOT NULL);
CREATE TABLE s.current (id int PRIMARY KEY, cents bigint NOT NULL, note text NOT NULL DEFAULT '');
CREATE TABLE s.journal (id bigserial PRIMARY KEY, account int NOT NULL, cents bigint NOT NULL);
CREATE TABLE s.open_order (id bigint PRIMARY KEY);
CREATE TABLE s.audit (what text NOT NULL);
INSERT INTO s.savings SELECT n, 1000 FROM generate_series(1, {ACCOUNTS}) n;
INSERT INTO s.current SELECT n, 1000, repeat('x', 100) FROM generate_series(1, {ACCOUNTS}) n;
CREATE MATERIALIZED VIEW s.total AS SELECT sum(cents) AS cents, count(*) FROM s.current;
"""
# One move: money goes from one table to the other, a journal row per move, an order replaces another.
MOVE = """
WITH moved AS (UPDATE s.savings SET cents = cents - %(cents)s WHERE id = %(account)s RETURNING id),
     arrived AS (UPDATE s.current SET cents = cents + %(cents)s WHERE id = %(account)s RETURNING id),
     gone AS (DELETE FROM s.open_order WHERE id = %(number)s - 3),
     come AS (INSERT INTO s.open_order VALUES (%(number)s)),
     noted AS (INSERT INTO s.audit VALUES ('move'))
INSERT INTO s.journal (account, cents) VALUES (%(account)s, %(cents)s)
"""
INVARIANT = """
SELECT (SELECT sum(cents) FROM s.savings) + (SELECT sum(cents) FROM s.current),
       (SELECT sum(cents) FROM s.savings) + (SELECT coalesce(sum(cents), 0) FROM s.journal),
       (SELECT count(*) FROM s.audit) - (SELECT count(*) FROM s.journal),
       (SELECT max(id) FROM s.open_order) - (SELECT count(*) FROM s.journal),
       (SELECT last_value FROM s.journal_id_seq) >= (SELECT max(id) FROM s.journal)
"""
HELD = (2000 * ACCOUNTS, 1000 * ACCOUNTS, 0, 0, True)


class Writer:
    """Moves money back and forth in a session of its own until it is told to end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.moves = 0
        self._end = threading.Event()

    def run(self) -> None:
        """Move money, one transaction for each move."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not self._end.is_set():
                self.moves += 1
                account, cents = self.moves * 37 % ACCOUNTS + 1, self.moves % 50
                values = {"account": account, "cents": cents, "number": self.moves}
                connection.execute(MOVE, values)

    def wait_for(self, moves: int) -> None:
        """Wait until so many more moves were made."""
        until = self.moves + moves
        while self.moves < until and not self._end.wait(0.005):
            pass

    def end(self) -> None:
        """Let the writer end."""
        self._end.set()


@contextmanager
def writing(url: str) -> Iterator[Writer]:
    """A writer at work during the block; its own failure fails the block."""
    writer = Writer(url)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(writer.run)
        try:
            yield writer
        finally:
            writer.end()
        running.result()


@pytest.fixture
def quick(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner that polls often and cuts small, so that small tables have many chunks and groups."""
    monkeypatch.setattr("handover.stages.snapshot.POLL_SECONDS", 0.05)
    monkeypatch.setattr("handover.stages.backup.cut_by_size", partial(cut_by_size, limit=4096))
    monkeypatch.setattr("handover.model.plan.SMALLEST_SPLIT", 8192)
    return runner


def test_target_is_one_moment_of_a_source_that_never_rests(quick: Runner) -> None:
    run_sql(quick.urls["src"], BANK)
    context = quick.open(lanes=3)
    with writing(quick.urls["src"]) as writer, ThreadPoolExecutor(1) as pool:
        writer.wait_for(20)
        inventory(context)
        lanes = len(plan(context).lanes)
        writer.wait_for(20)
        holder = pool.submit(hold_snapshot, context)
        state = wait_for_state(context)
        with snapshot_session(context.source, state.snapshot) as connection:
            moment = contents_seen_by(connection)
        for number in range(lanes):
            writer.wait_for(20)
            backup_lane(context, number)
        writer.wait_for(20)
        seal_backup(context)
        holder.result()
    filled(context)
    arrived = contents(context.target)
    assert {name: rows for name, rows in arrived.items() if name != "s.total"} == {
        name: rows for name, rows in moment.items() if name != "s.total"
    }
    assert arrived != contents(context.source)
    with psycopg.connect(context.target) as target:
        assert target.execute(INVARIANT).fetchone() == HELD
        of_the_moment = target.execute("SELECT sum(cents), count(*) FROM s.current").fetchone()
        assert target.execute("SELECT * FROM s.total").fetchone() == of_the_moment


def test_the_invariant_is_broken_when_tables_are_read_one_by_one(quick: Runner) -> None:
    """The test above could not fail if the writer were too slow."""
    run_sql(quick.urls["src"], BANK)
    with writing(quick.urls["src"]) as writer, psycopg.connect(quick.urls["src"], autocommit=True) as reader:
        writer.wait_for(20)
        one = reader.execute("SELECT sum(cents) FROM s.savings").fetchone()
        writer.wait_for(20)
        other = reader.execute("SELECT sum(cents) FROM s.journal").fetchone()
        assert one and other and one[0] + other[0] != HELD[1]


CHANGES = {
    "column added": "ALTER TABLE s.current ADD colour text",
    "column's type changed": "ALTER TABLE s.current ALTER note TYPE varchar(300)",
    "table added": "CREATE TABLE s.new (id int)",
    "table dropped": "DROP TABLE s.audit",
    "table renamed": "ALTER TABLE s.audit RENAME TO renamed",
    "schema renamed": "ALTER SCHEMA s RENAME TO t",
    "index added": "CREATE INDEX ON s.journal (account)",
    "default changed": "ALTER TABLE s.current ALTER note SET DEFAULT 'other'",
    "comment added": "COMMENT ON TABLE s.audit IS 'now with a comment'",
    "partition added": "CREATE TABLE s.audit_2 () INHERITS (s.audit)",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_schema_changed_between_plan_and_snapshot(quick: Runner, change: str) -> None:
    run_sql(quick.urls["src"], BANK)
    context = quick.open()
    inventory(context)
    plan(context)
    run_sql(quick.urls["src"], change)
    with pytest.raises(SchemaChanged, match="after it was planned") as caught:
        hold_snapshot(context)
    assert "clear the task inventory" in caught.value.hint
    assert not context.entries("snapshot-exported")
    assert objects(quick.urls["dst"]) == {"schema public", "schema information_schema", "extension plpgsql"}


def test_planned_again_after_the_change_the_run_goes_on(quick: Runner) -> None:
    run_sql(quick.urls["src"], BANK)
    context = quick.open()
    inventory(context)
    plan(context)
    run_sql(quick.urls["src"], "ALTER TABLE s.current ADD colour text DEFAULT 'red'")
    with pytest.raises(SchemaChanged, match=r"column s\.current\.colour is new"):
        hold_snapshot(context)
    transferred(context)
    assert contents(context.target) == contents(context.source)


LOCKED = {
    "table": "s.savings",
    "partitioned table": "s.parted",
    "partition": "s.part_1",
}


@pytest.mark.parametrize("table", LOCKED.values(), ids=LOCKED)
def test_exclusive_lock_makes_the_holder_busy(
    quick: Runner, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    run_sql(
        quick.urls["src"],
        BANK + "CREATE TABLE s.parted (y int) PARTITION BY LIST (y);"
        "CREATE TABLE s.part_1 PARTITION OF s.parted FOR VALUES IN (1);",
    )
    for module in ("session", "schema"):
        monkeypatch.setattr(f"handover.postgres.{module}.LOCK_SECONDS", 1)
    context = quick.open()
    inventory(context)
    plan(context)
    with psycopg.connect(quick.urls["src"]) as other:
        other.execute(f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Busy) as caught:
            hold_snapshot(context)
        assert "try again" in caught.value.hint or "tried again" in caught.value.hint
        with pytest.raises(Busy):
            inventory(context)


KEYS = {
    "int": ["int"],
    "uuid": ["uuid"],
    "text": ["text"],
    "char": ["char(12)"],
    "numeric": ["numeric"],
    "date": ["date"],
    "moment": ["timestamptz"],
    "bytea": ["bytea"],
    "money": ["money"],
    "interval": ["interval"],
    "array": ["int[]"],
    "citext": ["public.citext"],
    "domain": ["s.number"],
    "composite type": ["s.pair"],
    "enum and int": ["s.colour", "int"],
    "enum and date": ["s.colour", "date"],
    "text and int": ["text", "int"],
    "int and char": ["int", "char(12)"],
}
# Expressions over n, each different for different n.
VALUES = {
    "int": "n - 500",
    "uuid": "md5(n::text)::uuid",
    "text": "(ARRAY['Zoë', 'zebra', 'ÄRA', 'ara', '张伟', '李', '🙂', 'Ωmega', 'a_b',"
    " E'\\t', 'q''', E'\\\\'])"
    "[n % 12 + 1] || n",
    "char(12)": "lpad(n::text, n % 4 + 5, 'x')",
    "numeric": "n / 7.0",
    "date": "date '1999-12-01' + n",
    "timestamptz": "timestamptz '2024-03-31 00:00:00.000001+00' + n * interval '13 minutes'",
    "bytea": "decode(md5(n::text), 'hex')",
    "money": "((n - 500)::numeric / 100)::money",
    "interval": "n * interval '1 hour 1 second'",
    "int[]": "ARRAY[n % 9, NULL, n]",
    "public.citext": "(CASE n % 2 WHEN 0 THEN 'A' ELSE 'b' END || n)::public.citext",
    "s.number": "n - 500",
    "s.pair": "ROW('k' || n % 3, n)::s.pair",
    "s.colour": "(ARRAY['red', 'blue', 'anthracite'])[n % 3 + 1]::s.colour",
}
KEYED = """
CREATE SCHEMA s;
CREATE EXTENSION citext SCHEMA public;
CREATE TYPE s.colour AS ENUM ('red', 'blue', 'anthracite');
CREATE TYPE s.pair AS (kind text, number int);
CREATE DOMAIN s.number AS int CHECK (VALUE < 1000000);
"""
ROWS = 600


def keyed_table(number: int, types: list[str]) -> str:
    """SQL for one table with a key of these types, filled, some rows deleted so that blocks are uneven."""
    columns = ", ".join(f"k{place} {name}" for place, name in enumerate(types))
    names = ", ".join(f"k{place}" for place in range(len(types)))
    values = ", ".join(VALUES[name] for name in types)
    return (
        f"CREATE TABLE s.t{number} ({columns}, pad text DEFAULT repeat('p', 60), PRIMARY KEY ({names}));"
        f"INSERT INTO s.t{number} ({names}) SELECT {values} FROM generate_series(1, {ROWS}) n;"
        f"DELETE FROM s.t{number} WHERE ctid::text ~ '7\\)$';"
    )


def keyed_tables() -> str:
    """SQL for a table of every kind of key; t0 has the first kind."""
    return KEYED + "".join(keyed_table(n, types) for n, types in enumerate(KEYS.values())) + "ANALYZE;"


def group_rows(
    connection: psycopg.Connection, table: TablePlan, bounds: list[tuple[str, ...]]
) -> list[Counter]:
    """The rows of every group of a table."""
    found = []
    for number in range(table.groups):
        query = ordered_rows(table, *ends(bounds, number))
        found.append(Counter(map(str, connection.execute(query.as_bytes(connection)))))
    return found


@pytest.fixture
def three_groups(quick: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner that gives each table three groups, with tables of every kind of key."""
    monkeypatch.setattr("handover.stages.plan.wanted_groups", lambda *_: 3)
    monkeypatch.setattr("handover.stages.backup.cut_by_size", cut_by_size)
    run_sql(quick.urls["src"], keyed_tables())
    return quick


def test_every_row_is_in_exactly_one_group(three_groups: Runner) -> None:
    context = three_groups.open(lanes=3)
    inventory(context)
    made = plan(context)
    bounds = read_bounds(context, made)
    with psycopg.connect(context.source) as connection:
        for table in (table for table in made.tables if table.name):
            kind = list(KEYS)[int(table.name[1:])]
            groups = group_rows(connection, table, bounds[table.label])
            everything = Counter(map(str, connection.execute(f"SELECT * FROM s.{table.name}")))
            assert len(groups) == 3, kind
            assert all(groups), f"{kind}: an empty group"
            assert sum(groups, Counter()) == everything, kind


def test_tables_in_groups_arrive_complete(three_groups: Runner) -> None:
    for number, kind in enumerate(KEYS):
        if kind not in ("text", "char", "citext", "interval", "composite type", "enum and date"):
            run_sql(three_groups.urls["src"], f"DROP TABLE s.t{number}")
    context = three_groups.open(lanes=3)
    transferred(context)
    assert contents(context.target) == contents(context.source)


def test_one_giant_table_is_shared_between_the_lanes(quick: Runner) -> None:
    run_sql(
        quick.urls["src"],
        BANK
        + "INSERT INTO s.current SELECT n, 1, repeat('x', 50) FROM generate_series(1001, 9000) n; ANALYZE;",
    )
    context = quick.open(lanes=3)
    inventory(context)
    made = plan(context)
    giant = next(table for table in made.tables if table.label == "s.current")
    shares = [sum(g.table == giant.id for g in lane.groups) for lane in made.lanes]
    assert len(shares) == 3
    assert min(shares) >= 1
    assert "s.current 1/" in made.lanes[0].label


def test_more_groups_wanted_than_rows_there(quick: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handover.model.plan.SMALLEST_SPLIT", 1)
    run_sql(
        quick.urls["src"],
        "CREATE SCHEMA s; CREATE TABLE s.few (id int PRIMARY KEY, t text);"
        "CREATE TABLE s.none (id int PRIMARY KEY);"
        "INSERT INTO s.few VALUES (1, 'a'), (2, 'b'); ALTER TABLE s.few ALTER t SET STORAGE EXTERNAL;"
        "INSERT INTO s.few VALUES (3, repeat('x', 1000000))",
    )
    context = quick.open(lanes=4)
    transferred(context)
    assert contents(context.target) == contents(context.source)
    groups = {table.label: table.groups for table in context.plan().tables}
    assert groups["s.few"] > 1


def test_rows_of_the_plan_may_move_beyond_its_bounds(quick: Runner) -> None:
    """Bounds are drawn before the snapshot: keys that come later fall into the open groups at the ends."""
    run_sql(
        quick.urls["src"],
        "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, pad text);"
        "INSERT INTO s.t SELECT n, repeat('p', 60) FROM generate_series(1000, 3000) n; ANALYZE",
    )
    context = quick.open(lanes=3)
    inventory(context)
    assert max(table.groups for table in plan(context).tables) > 2
    run_sql(
        quick.urls["src"],
        "DELETE FROM s.t WHERE id BETWEEN 1500 AND 2500;"
        "INSERT INTO s.t SELECT n, 'new' FROM generate_series(-50, 50) n;"
        "INSERT INTO s.t SELECT n, 'new' FROM generate_series(5000, 5100) n",
    )
    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold_snapshot, context)
        for number in range(len(context.plan().lanes)):
            backup_lane(context, number)
        seal_backup(context)
        holder.result()
    filled(context)
    assert contents(context.target) == contents(context.source)


def test_a_lane_may_be_done_again_after_the_seal(quick: Runner) -> None:
    run_sql(quick.urls["src"], BANK)
    context = quick.open()
    backed_up(context)
    entries = len(context.entries("chunk-backed-up"))
    assert [backup_lane(context, number) for number in range(len(context.plan().lanes))]
    assert hold_snapshot(context) == 1
    assert len(context.entries("chunk-backed-up")) == entries


def test_planning_again_after_the_seal_keeps_the_sealed_plan(quick: Runner) -> None:
    run_sql(quick.urls["src"], BANK)
    context = quick.open(lanes=3)
    backed_up(context)
    sealed = context.plan()
    run_sql(quick.urls["src"], "TRUNCATE s.savings, s.current; ANALYZE")
    inventory(context)
    assert plan(context) == sealed


def test_lanes_do_not_wait_for_a_holder_that_failed_for_good(quick: Runner) -> None:
    run_sql(quick.urls["src"], BANK)
    context = quick.open()
    inventory(context)
    plan(context)
    run_sql(quick.urls["src"], "ALTER TABLE s.current ADD late int")
    with pytest.raises(SchemaChanged):
        hold_snapshot(context)
    with pytest.raises(Busy, match="the snapshot could not be taken"):
        backup_lane(context, 0)
