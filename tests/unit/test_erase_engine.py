"""The erase engine takes what was approved, as it was backed up; anything else stops it or stays."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from fixtures.contents import contents, run_sql
from fixtures.erasing import Asking, never, saved
from handover import crashpoints
from handover.crashpoints import CrashPoint
from handover.errors import Busy, ConnectionLost, DataRefused, PreflightFailed, ScopeChanged, Stopped
from handover.postgres.erasing import batch
from handover.postgres.erasing.circles import components
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.request import Approved, Erased, Holding, Pace
from handover.postgres.receipts import receipts
from handover.postgres.session import Connection, connect, fetch

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.customer (id int PRIMARY KEY, name text);
INSERT INTO s.customer SELECT n, 'name ' || n FROM generate_series(1, 400) n;
CREATE TABLE s.loan (id int PRIMARY KEY, customer int NOT NULL REFERENCES s.customer, amount numeric);
INSERT INTO s.loan SELECT n, 1 + n % 400, n FROM generate_series(1, 800) n;
CREATE TABLE s.payment (loan int REFERENCES s.loan, number int, PRIMARY KEY (loan, number));
INSERT INTO s.payment SELECT 1 + n % 800, n FROM generate_series(1, 1600) n;
CREATE TABLE s.note (customer int, text text);
INSERT INTO s.note SELECT 1 + n % 400, 'same' FROM generate_series(1, 1200) n;
CREATE INDEX ON s.loan (customer);
"""
NOTES = {"table": "s.note", "columns": ["customer"], "references": "s.customer", "to_columns": ["id"]}
GOING = {
    "s.customer": "t.id <= 100",
    "s.loan": "t.customer <= 100",
    "s.payment": "t.loan IN (SELECT id FROM s.loan WHERE customer <= 100)",
    "s.note": "t.customer <= 100",
}


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    made = database("erase")
    run_sql(made, SOURCE)
    return made


@pytest.fixture
def session(url: str) -> Iterator[Connection]:
    with closing(connect(url)) as opened:
        yield opened


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Pace:
    """One subject a number, and ever fewer numbers in a transaction."""
    monkeypatch.setattr("handover.postgres.erasing.batches.SUBJECTS_OF_A_NUMBER", 1)
    return Pace(seconds_per_batch=0)


def ask(session: Connection, going: dict[str, str] = GOING, binary: bool = True) -> Asking:
    there = "s.note" in going
    backup = saved(session, "s.customer", binary, [NOTES] if there else [])
    return Asking(backup, "s.customer", going).name_keys(session)


def left(session: Connection) -> dict[str, int]:
    return {t: int(str(fetch(session, f"SELECT count(*) FROM {t}")[0][0])) for t in GOING}


def deleted(erased: Erased) -> dict[str, int]:
    return {table.table: table.deleted for table in erased.tables}


ALL_GONE = {"s.customer": 100, "s.loan": 200, "s.note": 300, "s.payment": 400}
REST = {"s.customer": 300, "s.loan": 600, "s.note": 900, "s.payment": 1200}


@contextmanager
def at(point: CrashPoint, act: Callable[[], object]) -> Iterator[None]:
    """Do something at each passing of a point."""
    crashpoints.watch(watcher := lambda passed: act() if passed is point else None)
    try:
        yield
    finally:
        crashpoints._watchers.remove(watcher)


def once_only(act: Callable[[], object]) -> Callable[[], None]:
    waiting = [act]

    def do() -> None:
        if waiting:
            waiting.pop()()

    return do


def while_holding(act: Callable[[], object]) -> Holding:
    """A holding in which something happens once: after rows were found, before the first is deleted."""
    do = once_only(act)

    @contextmanager
    def holding() -> Iterator[Callable[[], None]]:
        do()
        yield never

    return holding


@pytest.mark.parametrize("binary", [True, False])
def test_what_was_approved_goes_and_the_rest_remains(url: str, session: Connection, binary: bool) -> None:
    erased = erase(session, ask(session, binary=binary).request())
    assert deleted(erased) == ALL_GONE
    assert all((t.asked, t.gone, t.stayed) == (t.deleted, 0, ()) for t in erased.tables)
    assert left(session) == REST
    assert fetch(session, "SELECT min(customer) FROM s.note") == [(101,)]
    assert erased.effects == ()


def test_without_key_sets_every_backed_up_row_goes(session: Connection) -> None:
    asking = ask(session)
    asking.key_sets.clear()
    asking.rows.clear()
    erase(session, asking.request())
    assert set(left(session).values()) == {0}


def test_a_changed_row_stays_with_what_it_needs_and_is_named(session: Connection) -> None:
    request = ask(session).request()
    session.execute("UPDATE s.loan SET amount = amount + 1 WHERE id = 7")
    erased = {table.table: table for table in erase(session, request).tables}
    stayed = {name: [(s.why, s.rows) for s in table.stayed] for name, table in erased.items()}
    assert stayed == {
        "s.customer": [("needed", 1)], "s.loan": [("differs", 1)], "s.note": [], "s.payment": [],
    }  # fmt: skip
    assert erased["s.loan"].stayed[0].tokens == ("s.loan:" + "00010000000400000007",)
    assert fetch(session, "SELECT id FROM s.customer WHERE id <= 100") == [(8,)]
    assert fetch(session, "SELECT id FROM s.loan WHERE customer <= 100") == [(7,)]


def test_a_row_that_is_gone_already_is_counted(session: Connection) -> None:
    request = ask(session).request()
    session.execute("DELETE FROM s.payment WHERE loan = 7; DELETE FROM s.note WHERE customer = 5")
    erased = {table.table: table for table in erase(session, request).tables}
    assert {name: table.gone for name, table in erased.items()} == {
        "s.customer": 0, "s.loan": 0, "s.note": 3, "s.payment": 2,
    }  # fmt: skip
    assert left(session) == REST


@pytest.mark.parametrize("rule", ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"])
@pytest.mark.parametrize("where", ["s", "outside"])
def test_a_row_that_nobody_approved_stops_everything(
    url: str, session: Connection, rule: str, where: str
) -> None:
    request = ask(session).request()
    run_sql(
        url,
        f"CREATE SCHEMA IF NOT EXISTS {where};"
        f"CREATE TABLE {where}.late (customer int REFERENCES s.customer ON DELETE {rule});"
        f"INSERT INTO {where}.late VALUES (3), (300)",
    )
    before = contents(url)
    with pytest.raises(ScopeChanged, match=rf"1 rows of {where}\.late that nobody approved") as stopped:
        erase(session, request)
    assert "foreign key late_customer_fkey" in stopped.value.message
    assert contents(url) == before


def test_effects_of_triggers_are_counted(url: str, session: Connection) -> None:
    run_sql(
        url,
        """CREATE SCHEMA outside; CREATE TABLE outside.log (what int);
        CREATE TABLE outside.total (n int); INSERT INTO outside.total VALUES (0);
        CREATE FUNCTION outside.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO outside.log VALUES (OLD.id); UPDATE outside.total SET n = n + 1; RETURN OLD; END $$;
        CREATE TRIGGER t BEFORE DELETE ON s.loan FOR EACH ROW EXECUTE FUNCTION outside.f()""",
    )
    erased = erase(session, ask(session).request())
    assert deleted(erased) == ALL_GONE
    assert [(e.table, e.change, e.rows) for e in erased.effects] == [
        ("outside.log", "inserted", 200), ("outside.total", "updated", 200),
    ]  # fmt: skip
    assert fetch(session, "SELECT n FROM outside.total") == [(200,)]


def test_a_trigger_that_deletes_more_stops_everything(url: str, session: Connection) -> None:
    run_sql(
        url,
        """CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM s.note WHERE customer = OLD.id + 200; RETURN OLD; END $$;
        CREATE TRIGGER t AFTER DELETE ON s.customer FOR EACH ROW EXECUTE FUNCTION s.f()""",
    )
    request, before = ask(session).request(), contents(url)
    with pytest.raises(ScopeChanged, match=r"triggers delete rows that nobody approved: \d+ of s\.note"):
        erase(session, request)
    assert contents(url) == before


@pytest.mark.parametrize("does", ["NO ACTION", "CASCADE"])
def test_what_was_in_the_way_and_is_gone_when_looked_for_stops_nothing(
    url: str, session: Connection, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    run_sql(
        url,
        f"CREATE TABLE s.late (customer int REFERENCES s.customer ON DELETE {does});"
        "INSERT INTO s.late VALUES (1)",
    )
    look, taken = batch.mark_needed, [True]

    def gone_by_then(*arguments: Any) -> int:
        if taken:
            run_sql(url, "DELETE FROM s.late")
            taken.pop()
        return look(*arguments)

    monkeypatch.setattr(batch, "mark_needed", gone_by_then)
    assert deleted(erase(session, ask(session).request())) == ALL_GONE
    assert not taken


def test_what_the_server_always_refuses_stops_everything(url: str, session: Connection) -> None:
    run_sql(
        url,
        """CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE foreign_key_violation; END $$;
        CREATE TRIGGER t BEFORE DELETE ON s.customer FOR EACH ROW EXECUTE FUNCTION s.f()""",
    )
    request, before = ask(session).request(), contents(url)
    with pytest.raises(DataRefused) as refused:
        erase(session, request)
    assert refused.value.data["sqlstate"] == "23503"
    assert contents(url) == before


def test_a_trigger_that_keeps_rows_stops_everything(url: str, session: Connection) -> None:
    run_sql(
        url,
        """CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER t BEFORE DELETE ON s.loan FOR EACH ROW EXECUTE FUNCTION s.f()""",
    )
    request, before = ask(session).request(), contents(url)
    with pytest.raises(DataRefused, match=r"does not delete rows of s\.loan"):
        erase(session, request)
    assert contents(url) == before


def test_of_equal_rows_as_many_go_as_were_backed_up(session: Connection) -> None:
    request = ask(session).request()
    session.execute("INSERT INTO s.note VALUES (5, 'same'), (5, 'same')")
    assert deleted(erase(session, request)) == ALL_GONE
    assert fetch(session, "SELECT customer, text FROM s.note WHERE customer <= 100") == [(5, "same")] * 2


def test_rows_that_move_meanwhile_go_all_the_same(url: str, session: Connection) -> None:
    asking = ask(session)
    asking.holding = while_holding(lambda: run_sql(url, "UPDATE s.loan SET amount = amount WHERE id % 2 = 0"))
    assert deleted(erase(session, asking.request())) == ALL_GONE


def test_rows_without_a_key_that_move_are_looked_for_anew(url: str, session: Connection) -> None:
    asking = ask(session)
    asking.holding = while_holding(lambda: run_sql(url, "UPDATE s.note SET text = text"))
    with pytest.raises(Busy, match=r"s\.note, which has no key, were changed or moved"):
        erase(session, asking.request())
    session.execute("DISCARD TEMP")
    assert deleted(erase(session, asking.name_keys(session).request()))["s.note"] == 300


def test_rows_that_change_or_vanish_meanwhile_stay_or_are_counted(url: str, session: Connection) -> None:
    asking = ask(session)
    change = "UPDATE s.customer SET name = 'other' WHERE id = 9; DELETE FROM s.payment WHERE loan = 50"
    asking.holding = while_holding(lambda: run_sql(url, change))
    erased = {table.table: table for table in erase(session, asking.request()).tables}
    assert [(s.why, s.rows) for s in erased["s.customer"].stayed] == [("differs", 1)]
    assert erased["s.payment"].gone == 2
    assert left(session) == REST | {"s.customer": 301}


def test_the_epoch_of_holds_is_locked_until_the_commit(
    session: Connection, database: Callable[..., str], small_batches: Pace
) -> None:
    """A hold that comes wants the row for itself: it must wait for a batch, and the next batch sees it."""
    epochs = database("epochs")
    run_sql(epochs, "CREATE TABLE epoch (held boolean); INSERT INTO epoch VALUES (false)")
    seen: list[str] = []

    @contextmanager
    def holding() -> Iterator[Callable[[], None]]:
        with psycopg.connect(epochs) as locked:
            if locked.execute("SELECT held FROM epoch FOR SHARE").fetchone() == (True,):
                raise ScopeChanged("a hold was added")
            yield never

    def add() -> None:
        with psycopg.connect(epochs) as adding:
            try:
                adding.execute("SELECT FROM epoch FOR UPDATE NOWAIT")
                adding.execute("UPDATE epoch SET held = true")
                seen.append("in time")
            except psycopg.errors.LockNotAvailable:
                seen.append("must wait")

    asking = ask(session)
    between = [lambda: None, add]
    asking.holding, asking.pace = holding, small_batches
    asking.honour_stop = lambda: between.pop(0)() if between else None
    with (
        at(CrashPoint.ERASED_UNCOMMITTED, add),
        at(CrashPoint.ERASED_COMMITTED, add),
        pytest.raises(ScopeChanged, match="a hold was added"),
    ):
        erase(session, asking.request())
    assert seen == ["must wait", "must wait", "in time"]
    assert 0 < 400 - left(session)["s.customer"] < 100


def test_a_lock_that_was_lost_meanwhile_is_found_before_the_commit(url: str, session: Connection) -> None:
    @contextmanager
    def holding() -> Iterator[Callable[[], None]]:
        with psycopg.connect(url) as locked:
            locked.execute("SELECT pg_advisory_xact_lock_shared(1)")
            yield lambda: fetch(locked, "SELECT 1") and None

    def end_it() -> None:
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")

    asking, before = ask(session), contents(url)
    asking.holding = holding
    with at(CrashPoint.ERASED_UNCOMMITTED, end_it), pytest.raises((psycopg.Error, ConnectionLost)):
        erase(session, asking.request())
    assert contents(url) == before


def test_more_rows_than_approved_stop_before_anything(url: str, session: Connection) -> None:
    request, before = ask(session).request(), contents(url)
    fewer = {**request.approved, "s.loan": Approved(199, 800)}
    with pytest.raises(ScopeChanged, match=r"200 rows of s\.loan would be erased, approved are 199"):
        erase(session, replace(request, approved=fewer))
    assert contents(url) == before


def test_a_table_that_nobody_approved_stops_before_anything(session: Connection) -> None:
    request = ask(session).request()
    with pytest.raises(ScopeChanged, match=r"of s\.note would be erased, approved are 0"):
        erase(
            session, replace(request, approved={k: v for k, v in request.approved.items() if k != "s.note"})
        )
    assert left(session)["s.note"] == 1200


def test_another_share_than_approved_stops_before_anything(session: Connection) -> None:
    request = ask(session).request()
    session.execute("DELETE FROM s.note WHERE customer > 300")
    with pytest.raises(
        ScopeChanged, match=r"300 rows of s\.note were approved as 25\.0% of it, now they are 33"
    ):
        erase(session, request)
    assert left(session) == {**dict.fromkeys(GOING, 0), "s.customer": 400, "s.loan": 800, "s.payment": 1600,
                             "s.note": 900}  # fmt: skip


def test_what_earlier_attempts_deleted_counts_as_well(url: str, session: Connection) -> None:
    """A key set that was swapped between attempts cannot make more go than was approved."""
    first = ask(session)
    erase(session, first.request())
    session.execute("DISCARD TEMP")
    other = {label: where.replace("<= 100", "BETWEEN 101 AND 200") for label, where in GOING.items()}
    request = Asking(first.saved, "s.customer", other).name_keys(session).request()
    before = contents(url)
    with pytest.raises(ScopeChanged, match="would be erased, approved are"):
        erase(session, request)
    assert contents(url) == before


def test_repeated_it_deletes_nothing_and_says_the_same(url: str, session: Connection) -> None:
    asking = ask(session)
    session.execute("UPDATE s.loan SET amount = amount + 1 WHERE id = 7")
    first = erase(session, asking.request())
    left_then = contents(url)
    with closing(connect(url)) as other:
        assert erase(other, asking.again(other).request()).tables == first.tables
    assert contents(url) == left_then
    assert sum(rows for rows, _ in receipts(session, "run-1", "erase").values()) == 1000 - 2


def test_a_session_that_was_overtaken_gives_up(url: str, session: Connection) -> None:
    asking = ask(session)
    taken = "INSERT INTO handover.receipt VALUES ('run-1', 'erase/batch', '0', 0, '')"
    # The receipts are counted before the next one is claimed; this happens in between.
    asking.holding = while_holding(lambda: run_sql(url, taken))
    with pytest.raises(Busy, match="by another session"):
        erase(session, asking.request())
    assert left(session)["s.customer"] == 400


def test_a_lock_that_never_comes_is_waited_for_no_longer_than_said(url: str, session: Connection) -> None:
    asking = ask(session)
    asking.pace = Pace(lock_seconds=0.2)
    with psycopg.connect(url) as other:
        other.execute("SELECT FROM s.customer WHERE id = 1 FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(Busy, match="erasing batch 0"):
            erase(session, asking.request())
        assert time.monotonic() - began < 5
    assert left(session)["s.customer"] == 400


def test_the_stop_flag_is_honoured_between_transactions(session: Connection, small_batches: Pace) -> None:
    asking = ask(session)
    asking.pace = small_batches
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Stopped("stopped")

    asking.honour_stop = stop
    with pytest.raises(Stopped):
        erase(session, asking.request())
    assert 0 < 400 - left(session)["s.customer"] < 100


def test_no_subject_is_cut_in_half(url: str, session: Connection, small_batches: Pace) -> None:
    asking = ask(session)
    asking.pace = small_batches
    halves = """SELECT count(*) FROM generate_series(1, 100) AS x(id) WHERE
    (SELECT count(*) FROM s.customer c WHERE c.id = x.id)
    + (SELECT count(*) FROM s.loan l WHERE customer = x.id)
    + (SELECT count(*) FROM s.payment p JOIN s.loan l ON p.loan = l.id WHERE customer = x.id)
    + (SELECT count(*) FROM s.note n WHERE customer = x.id) NOT IN (0, 1 + 2 + 4 + 3)"""
    looks: list[object] = []

    def look() -> None:
        with psycopg.connect(url) as other:
            looks.append(other.execute(halves).fetchone())

    with at(CrashPoint.ERASED_COMMITTED, look):
        erased = erase(session, asking.request())
    assert erased.batches > 10
    assert looks == [(0,)] * erased.batches


def test_a_server_that_does_not_count_is_refused(url: str, cluster) -> None:
    admin = cluster.admin_url(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    with closing(connect(admin)) as session:
        session.execute("SET track_counts = off")
        with pytest.raises(PreflightFailed, match="does not count"):
            erase(session, ask(session).request())


CIRCLES = {
    "two that refer to each other": """
      CREATE TABLE s.a (id int PRIMARY KEY, b int); CREATE TABLE s.b (id int PRIMARY KEY, a int);
      INSERT INTO s.a SELECT n, n FROM generate_series(1, 300) n;
      INSERT INTO s.b SELECT n, 1 + n % 300 FROM generate_series(1, 300) n;
      ALTER TABLE s.a ADD FOREIGN KEY (b) REFERENCES s.b;
      ALTER TABLE s.b ADD FOREIGN KEY (a) REFERENCES s.a""",
    "one that refers to itself": """
      CREATE TABLE s.a (id int PRIMARY KEY, b int REFERENCES s.a);
      INSERT INTO s.a SELECT n, nullif(n / 2, 0) FROM generate_series(1, 300) n""",
    "partitions that refer to each other": """
      CREATE TABLE s.a (id int PRIMARY KEY, b int) PARTITION BY LIST (id);
      CREATE TABLE s.a1 PARTITION OF s.a FOR VALUES IN (1); CREATE TABLE s.a2 PARTITION OF s.a DEFAULT;
      INSERT INTO s.a SELECT n, n % 300 + 1 FROM generate_series(1, 300) n;
      ALTER TABLE s.a ADD FOREIGN KEY (b) REFERENCES s.a""",
}


@pytest.mark.parametrize("schema", CIRCLES.values(), ids=CIRCLES)
def test_circles_go_at_once(database: Callable[..., str], schema: str) -> None:
    url = database("circle")
    run_sql(url, f"CREATE SCHEMA s; {schema}")
    with closing(connect(url)) as session:
        backup = saved(session, "s.a")
        erased = erase(session, Asking(backup, "s.a", dict.fromkeys(backup.totals, "true")).request())
        assert deleted(erased) == backup.totals
        assert fetch(session, "SELECT count(*) FROM s.a") == [(0,)]


def test_components_come_after_all_that_lead_to_them() -> None:
    assert components([1, 2, 3, 4, 5], [(1, 2), (2, 3), (3, 2), (3, 4), (5, 4)]) == [(1,), (2, 3), (5,), (4,)]
    assert components([1], [(1, 1), (1, 9)]) == [(1,)]
    assert components([], []) == []
