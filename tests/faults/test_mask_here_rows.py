"""Rows masked where they lie, beside writers, triggers and partitions: no row wrongly, none twice."""

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from fixtures.contents import run_sql
from handover.errors import Busy, DataRefused
from handover.model.catalog import KeyColumn
from handover.model.masking import MaskedColumn, Pseudonym
from handover.model.plan import TablePlan
from handover.postgres.freezing import freeze, passing_freeze, thaw
from handover.postgres.masking_rows import Applied, RowsHere
from handover.postgres.session import Connection, connect, database_errors

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.a (id int PRIMARY KEY, mobile text, n numeric, side text NOT NULL DEFAULT '', touched int,
  greeting text GENERATED ALWAYS AS ('Dear ' || mobile) STORED);
INSERT INTO s.a (id, mobile, n, touched)
  SELECT i, E'138\\t' || i, i / 10.0, 0 FROM generate_series(1, 9) AS i;
UPDATE s.a SET mobile = NULL WHERE id = 4;
"""
KEY = (KeyColumn(name="id", type="integer", order="natural"),)
EVERY = sql.SQL("true")
TOKEN = Pseudonym(domain="d", writing="plain", treatment={"strategy": "token"})


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    """A database with the small table."""
    found = database("masking")
    run_sql(found, SOURCE)
    return found


@pytest.fixture
def source(url: str) -> Iterator[Connection]:
    """A session in it."""
    with closing(connect(url)) as connection:
        yield connection


def plan_of(
    columns: tuple[str, ...] = ("id", "mobile", "n", "side", "touched"),
    name: str = "a",
    key: tuple[KeyColumn, ...] = KEY,
    masked: tuple[str, ...] = ("mobile",),
    partitioned: bool = False,
) -> TablePlan:
    """The plan of a table some of whose columns are masked."""
    marked = [MaskedColumn(column=name, type="text", kind="mobile", pseudonym=TOKEN) for name in masked]
    return TablePlan(
        id="t00000", schema_name="s", name=name, columns=columns, key=key, format="text", text_because="",
        groups=1, rows_estimate=0, partitioned=partitioned, masked_here=tuple(marked),
    )  # fmt: skip


def copied(url: str, query: str) -> bytes:
    """What a query gives as COPY text, by means of the test's own."""
    data = io.BytesIO()
    statement = sql.SQL("COPY ({}) TO STDOUT").format(sql.SQL(query))
    with psycopg.connect(url) as connection, connection.cursor().copy(statement) as copy:
        for piece in copy:
            data.write(piece)
    return data.getvalue()


CHUNK = "SELECT id, mobile, n, side, touched FROM s.a ORDER BY id"


def masked_of(raw: bytes, place: int = 1) -> bytes:
    """Rows with a pseudonym of the test's own in one column."""
    lines = [line.split(b"\t") for line in raw.splitlines()]
    for line in lines:
        if line[place] != b"\\N":
            line[place] = pseudonym(line[place])
    return b"".join(b"\t".join(line) + b"\n" for line in lines)


def pseudonym(raw: bytes) -> bytes:
    return b"p" + hashlib.sha256(raw).hexdigest()[:10].encode()


def mask(
    connection: Connection,
    table: TablePlan,
    raw: bytes,
    made: bytes | None = None,
    where: sql.Composable = EVERY,
) -> Applied:
    """Mask a chunk in a transaction of its own."""
    with database_errors("masking"), connection.transaction():
        rows = RowsHere(connection, table, where)
        rows.lay_out([raw], masked_of if made is None else lambda _: made)
        return rows.apply()


def test_equal_rows_of_the_class_alone_are_masked(url: str, source: Connection) -> None:
    raw = copied(url, CHUNK)
    run_sql(url, "UPDATE s.a SET n = n * 1.00 WHERE id = 2; DELETE FROM s.a WHERE id = 3;"
                 "INSERT INTO s.a VALUES (10, 'late', 1, '', 0)")  # fmt: skip
    before = copied(url, CHUNK).splitlines()
    applied = mask(source, plan_of(), raw, where=sql.SQL("t.id < 7 AND t.greeting IS DISTINCT FROM 'x'"))
    assert (applied.masked, applied.differing, applied.gone, applied.changed) == (4, 1, 1, {})
    after = copied(url, CHUNK).splitlines()
    expected = [
        masked_of(row + b"\n").rstrip(b"\n") if row.split(b"\t")[0] in (b"1", b"5", b"6") else row
        for row in before
    ]
    assert after == expected
    assert copied(url, "SELECT count(*) FROM s.a WHERE greeting <> 'Dear ' || mobile") == b"0\n"
    mine = b"".join(row + b"\n" for row in after if row.split(b"\t")[0] in (b"1", b"4", b"5", b"6"))
    assert applied.digest == hashlib.sha256(mine).digest()


def test_a_second_time_finds_nothing_to_mask(url: str, source: Connection) -> None:
    raw = copied(url, CHUNK)
    mask(source, plan_of(), raw)
    once = copied(url, CHUNK)
    again = mask(source, plan_of(), raw)
    assert (again.masked, again.differing) == (1, 8)  # the row without a number is as it was
    assert copied(url, CHUNK) == once


def test_rows_without_a_key_are_an_exact_multiset(url: str, source: Connection) -> None:
    run_sql(
        url,
        "CREATE TABLE s.k (mobile text, x int); INSERT INTO s.k VALUES (NULL, NULL), (NULL, NULL);"
        "INSERT INTO s.k SELECT '138' || i % 3, i % 2 FROM generate_series(1, 24) AS i",
    )
    every = "SELECT mobile, x FROM s.k ORDER BY 1, 2"
    raw = copied(url, every)
    # Two equal rows more than were backed up, one less of another sort.
    run_sql(
        url,
        "INSERT INTO s.k VALUES ('1380', 0), ('1380', 0);"
        "DELETE FROM s.k WHERE ctid = (SELECT min(ctid) FROM s.k WHERE mobile = '1381')",
    )
    made = masked_of(raw, 0)
    applied = mask(source, plan_of(("mobile", "x"), "k", ()), raw, made)
    assert (applied.masked, applied.differing, applied.gone) == (25, 0, 1)
    left = sorted(row for row in copied(url, every).splitlines() if row.startswith(b"138"))
    assert left == [b"1380\t0", b"1380\t0"]
    assert len(copied(url, every).splitlines()) == 27
    masked = Counter(row for row in copied(url, every).splitlines() if not row.startswith(b"138"))
    missing = Counter(made.splitlines()) - masked
    assert (masked.total(), missing.total()) == (25, 1)
    assert next(iter(missing)).startswith(pseudonym(b"1381"))


ONCE = "FOR EACH ROW WHEN (pg_trigger_depth() = 0)"
TRIGGERS = {
    "before": "BEFORE UPDATE ON s.a FOR EACH ROW",
    "after": f"AFTER UPDATE ON s.a {ONCE}",
    "deferred": f"AFTER UPDATE ON s.a DEFERRABLE INITIALLY DEFERRED {ONCE}",
}


def add_trigger(url: str, when: str, body: str) -> None:
    """Give the table a trigger."""
    constraint = "CONSTRAINT " if when == "deferred" else ""
    run_sql(url, f"CREATE FUNCTION s.act() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$;"
                 f"CREATE {constraint}TRIGGER act {TRIGGERS[when]} EXECUTE FUNCTION s.act()")  # fmt: skip


TOUCHING = {
    "before": "NEW.touched := 7; RETURN NEW;",
    "after": "UPDATE s.a SET touched = 7 WHERE id = NEW.id; RETURN NULL;",
    "deferred": "UPDATE s.a SET touched = 7 WHERE id = NEW.id; RETURN NULL;",
}


@pytest.mark.parametrize("when", TOUCHING)
def test_columns_that_triggers_change_are_counted(url: str, source: Connection, when: str) -> None:
    raw = copied(url, CHUNK)
    add_trigger(url, when, TOUCHING[when])
    applied = mask(source, plan_of(), raw)
    assert (applied.masked, applied.changed) == (9, {"touched": 9})
    same = copied(url, "SELECT id, mobile, n, side FROM s.a ORDER BY id")
    assert applied.digest == hashlib.sha256(same).digest()


BACK = "UPDATE s.a SET mobile = OLD.mobile WHERE id = NEW.id; RETURN NULL;"
UNDOING = {
    "before keeps the value": ("before", "NEW.mobile := OLD.mobile; RETURN NEW;", "other values in mobile"),
    "before drops the update": ("before", "RETURN NULL;", "other values in mobile"),
    "after puts it back": ("after", BACK, "other values in mobile"),
    "deferred puts it back": ("deferred", BACK, "other values in mobile"),
    "after deletes the row": ("after", "DELETE FROM s.a WHERE id = NEW.id; RETURN NULL;", "of 9 rows 0"),
}


@pytest.mark.parametrize("when, body, said", UNDOING.values(), ids=UNDOING)
def test_a_trigger_that_undoes_it_is_told_and_nothing_happens(
    url: str, source: Connection, when: str, body: str, said: str
) -> None:
    raw = copied(url, CHUNK)
    add_trigger(url, when, body)
    with pytest.raises(DataRefused, match=said) as raised:
        mask(source, plan_of(), raw)
    assert "138" not in str(raised.value)
    assert copied(url, CHUNK) == raw


def test_a_rule_that_swallows_updates_is_told(url: str, source: Connection) -> None:
    raw = copied(url, CHUNK)
    run_sql(url, "CREATE RULE no AS ON UPDATE TO s.a DO INSTEAD NOTHING")
    with pytest.raises(DataRefused):
        mask(source, plan_of(), raw)
    assert copied(url, CHUNK) == raw


def test_a_masked_key_is_found_by_its_pseudonym(url: str, source: Connection) -> None:
    run_sql(url, "CREATE TABLE s.k (mobile text PRIMARY KEY, x int); INSERT INTO s.k SELECT '138' || i, i "
                 "FROM generate_series(1, 5) AS i")  # fmt: skip
    raw = copied(url, "SELECT mobile, x FROM s.k ORDER BY 1")
    key = (KeyColumn(name="mobile", type="text", order="bytes"),)
    applied = mask(source, plan_of(("mobile", "x"), "k", key), raw, masked_of(raw, 0))
    assert (applied.masked, applied.changed) == (5, {})
    assert b"138" not in copied(url, "SELECT mobile FROM s.k")


@pytest.mark.parametrize("key", [(), KEY], ids=["without a key", "with a key"])
def test_rows_that_change_their_partition_are_found_again(
    url: str, source: Connection, key: tuple[KeyColumn, ...]
) -> None:
    run_sql(
        url,
        """
        CREATE TABLE s.p (id int, mobile text) PARTITION BY LIST ((left(mobile, 1)));
        CREATE TABLE s.p_raw PARTITION OF s.p FOR VALUES IN ('1');
        CREATE TABLE s.p_masked PARTITION OF s.p FOR VALUES IN ('p');
        INSERT INTO s.p SELECT i, '138' || i FROM generate_series(1, 5) AS i;""",
    )
    raw = copied(url, "SELECT id, mobile FROM s.p ORDER BY 1")
    applied = mask(source, plan_of(("id", "mobile"), "p", key, partitioned=True), raw)
    assert applied.masked == 5
    assert copied(url, "SELECT id, mobile FROM s.p_masked ORDER BY 1") == masked_of(raw)
    assert copied(url, "SELECT count(*) FROM s.p_raw") == b"0\n"


def test_who_does_not_get_the_rows_in_time_is_busy(url: str, source: Connection) -> None:
    raw = copied(url, CHUNK)
    source.execute("SET lock_timeout = '100ms'")
    with closing(connect(url)) as other, other.transaction():
        other.execute("UPDATE s.a SET side = 'x' WHERE id = 5")
        with pytest.raises(Busy):
            mask(source, plan_of(), raw)
    assert copied(url, "SELECT count(*) FROM s.a WHERE mobile LIKE 'p%'") == b"0\n"


WRITERS = {
    "commits": ("UPDATE s.a SET side = 'x', mobile = 'new' WHERE id = 5", True, (8, 1, 0)),
    "rolls back": ("UPDATE s.a SET side = 'x', mobile = 'new' WHERE id = 5", False, (9, 0, 0)),
    "deletes": ("DELETE FROM s.a WHERE id = 5", True, (8, 0, 1)),
    "puts another in its place": (
        "DELETE FROM s.a WHERE id = 5; INSERT INTO s.a VALUES (5, 'other', 0, '', 0)", True, (8, 0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("statement, commits, counts", WRITERS.values(), ids=WRITERS)
def test_a_row_that_somebody_is_writing_is_compared_as_it_is_then(
    url: str, source: Connection, statement: str, commits: bool, counts: tuple[int, int, int]
) -> None:
    raw = copied(url, CHUNK)
    found: list[Applied] = []
    with closing(psycopg.connect(url)) as other:
        other.execute(statement.encode())
        masking = threading.Thread(target=lambda: found.append(mask(source, plan_of(), raw)))
        masking.start()
        wait_until_blocked(url)
        other.commit() if commits else other.rollback()
        masking.join()
    assert (found[0].masked, found[0].differing, found[0].gone) == counts
    kept = copied(url, "SELECT mobile FROM s.a WHERE id = 5")
    assert kept in {b"new\n", b"other\n", b""} if commits else kept.startswith(b"p")


def wait_until_blocked(url: str) -> None:
    """Wait until a session waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    with psycopg.connect(url, autocommit=True) as watcher:
        while watcher.execute(query, [watcher.info.dbname]).fetchone() == (0,):
            pass


def is_refused(url: str) -> bool:
    """Say whether the freeze keeps another session from writing."""
    try:
        run_sql(url, "UPDATE s.a SET side = side WHERE id = 1")
    except psycopg.errors.ReadOnlySqlTransaction:
        return True
    return False


def test_one_transaction_alone_passes_a_freeze(url: str, source: Connection) -> None:
    run_sql(url, "CREATE TABLE s.log (said text)")
    add_trigger(url, "before", "INSERT INTO s.log VALUES ('x'); RETURN NEW;")
    raw = copied(url, CHUNK)
    freeze(source, ["s"], "run")
    with pytest.raises(DataRefused, match="25006"):
        mask(source, plan_of(), raw)
    with source.transaction(), passing_freeze(source, "run"):
        rows = RowsHere(source, plan_of(), EVERY)
        rows.lay_out([raw], masked_of)
        assert rows.apply().masked == 9
        assert is_refused(url), "others are let through meanwhile"
    assert is_refused(url)
    assert copied(url, "SELECT count(*) FROM s.log") == b"9\n"
    assert thaw(source, "run")
    assert not is_refused(url)


@pytest.mark.parametrize("end", ["rollback", "death"])
def test_a_freeze_outlives_whom_it_let_through(url: str, end: str) -> None:
    with closing(connect(url)) as mine:
        freeze(mine, ["s"], "run")
        with (
            pytest.raises(KeyError if end == "rollback" else psycopg.OperationalError),
            mine.transaction(),
            passing_freeze(mine, "run"),
        ):
            mine.execute("UPDATE s.a SET side = 'mine'")
            if end == "rollback":
                raise KeyError
            mine.pgconn.finish()
    assert is_refused(url)
    assert copied(url, "SELECT count(*) FROM s.a WHERE side = 'mine'") == b"0\n"


def test_what_stands_there_later_is_compared(url: str, source: Connection) -> None:
    raw, table, some = copied(url, CHUNK), plan_of(), sql.SQL("t.id < 7")
    applied = mask(source, table, raw, where=some)

    def look(masked: bool) -> tuple[int, int, bytes, list[bytes], list[bytes]]:
        with source.transaction(force_rollback=True):
            rows = RowsHere(source, table, some)
            rows.lay_out([raw], masked_of)
            seen = rows.look(masked=masked)
            return seen.expected, seen.there, seen.digest, rows.unlike(masked=masked), rows.present()

    assert look(masked=True) == (6, 6, applied.digest, [], [])
    assert look(masked=False)[:2] == (3, 3)
    run_sql(url, "UPDATE s.a SET mobile = 'back' WHERE id = 2; DELETE FROM s.a WHERE id = 3;"
                 "UPDATE s.a SET side = 'x' WHERE id = 8")  # fmt: skip
    expected, there, _, unlike, present = look(masked=True)
    assert (expected, there, len(unlike), [row.split(b"\t")[:2] for row in present]) == (
        6, 4, 2, [[b"2", b"back"]])  # fmt: skip
    assert look(masked=False)[:2] == (3, 2)
