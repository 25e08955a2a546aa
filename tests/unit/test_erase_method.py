"""How rows go is chosen by share and references, and emptying tables leaves what deleting would have left."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fixtures.contents import contents, run_sql
from fixtures.erasing import Asking, saved
from handover.errors import Busy, DataRefused, ScopeChanged
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.method import WORTH_EMPTYING, Share, choose
from handover.postgres.erasing.request import Pace
from handover.postgres.erasing.shares import read_shares
from handover.postgres.session import connect

MANY = 10 * WORTH_EMPTYING


def methods(*shares: Share) -> list[str]:
    return [choice.method for choice in choose(shares)]


def test_by_share() -> None:
    assert methods(Share(table="s.a", going=MANY // 2, total=MANY)) == ["delete"]
    assert methods(Share(table="s.a", going=MANY * 95 // 100, total=MANY)) == ["rewrite"]
    assert methods(Share(table="s.a", going=MANY, total=MANY)) == ["truncate"]
    assert methods(Share(table="s.a", going=0, total=0)) == ["delete"]


def test_few_rows_shut_nobody_out() -> None:
    choice = choose([Share(table="s.a", going=WORTH_EMPTYING - 1, total=WORTH_EMPTYING - 1)])[0]
    assert (choice.method, "too few" in choice.because) == ("delete", True)


def test_triggers_must_see_what_goes() -> None:
    choice = choose([Share(table="s.a", going=MANY, total=MANY, triggers=True)])[0]
    assert (choice.method, "triggers" in choice.because) == ("delete", True)


def test_only_an_owner_empties() -> None:
    choice = choose([Share(table="s.a", going=MANY, total=MANY, owned=False)])[0]
    assert (choice.method, "only its owner" in choice.because) == ("delete", True)


def test_what_might_not_be_put_back_is_not_taken_out() -> None:
    """Nor what it refers to: that would be emptied only together with it."""
    parent = Share(table="s.a", going=MANY * 95 // 100, total=MANY, referrers=("s.b",))
    found = choose([parent, Share(table="s.b", going=MANY, total=MANY, unproven=True)])
    assert [one.method for one in found] == ["delete", "delete"]
    assert "never checked" in found[1].because


def test_a_table_is_emptied_only_with_all_that_refer_to_it() -> None:
    parent = Share(table="s.a", going=MANY, total=MANY, referrers=("s.b",))
    assert methods(parent, Share(table="s.b", going=MANY, total=MANY)) == ["truncate", "truncate"]
    kept = choose([parent, Share(table="s.b", going=1, total=MANY)])[0]
    assert kept.method == "delete"
    assert "s.b refers to it" in kept.because
    assert methods(parent) == ["delete"]  # nothing goes from s.b


def test_it_goes_on_up() -> None:
    chain = [Share(table=f"s.{n}", going=MANY, total=MANY, referrers=(f"s.{n + 1}",)) for n in range(3)]
    assert methods(*chain, Share(table="s.3", going=1, total=MANY)) == ["delete"] * 4


SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b int,
  twice int GENERATED ALWAYS AS (b * 2) STORED);
INSERT INTO s.a (b) SELECT n FROM generate_series(1, 100) n;
CREATE TABLE s.b (id int PRIMARY KEY, a int REFERENCES s.a) PARTITION BY LIST (id);
CREATE TABLE s.b1 PARTITION OF s.b FOR VALUES IN (1, 2, 3); CREATE TABLE s.b2 PARTITION OF s.b DEFAULT;
INSERT INTO s.b SELECT n, 1 + n % 100 FROM generate_series(1, 300) n;
CREATE TABLE s.c (a int REFERENCES s.a, t text);
INSERT INTO s.c SELECT 1 + n % 100, 'x' FROM generate_series(1, 300) n;
CREATE TABLE s.circle (id int PRIMARY KEY, a int REFERENCES s.a, up int REFERENCES s.circle);
INSERT INTO s.circle SELECT n, n, 101 - n FROM generate_series(1, 100) n;
"""
GOING = {"s.a": "t.id > 10", "s.b": "t.a > 10", "s.c": "t.a > 10", "s.circle": "t.a BETWEEN 11 AND 90"}
EMPTIED = [{"s.c"}, {"s.b", "s.circle"}, {"s.a", "s.b", "s.c", "s.circle"}]


@pytest.mark.parametrize("emptied", EMPTIED, ids=lambda labels: f"{len(labels)} tables")
@pytest.mark.parametrize("binary", [True, False])
def test_emptying_leaves_what_deleting_leaves(
    database: Callable[..., str], emptied: set[str], binary: bool
) -> None:
    left, said = [], []
    for way in (set(), emptied):
        url = database("erase")
        run_sql(url, SOURCE)
        with closing(connect(url)) as session:
            asking = Asking(saved(session, "s.a", binary), "s.a", GOING | {"s.a": "t.id BETWEEN 11 AND 90"})
            asking.name_keys(session)
            run_sql(url, "UPDATE s.b SET a = a WHERE id = 7; UPDATE s.circle SET up = 12 WHERE id = 11")
            erased = erase(session, replace(asking.request(), emptied=frozenset(way)))
        left.append({t: rows for t, rows in contents(url).items() if not t.startswith("handover")})
        said.append(erased.tables)
    assert left[0] == left[1]
    assert said[0] == said[1]


def with_database_of(url: str, other: str) -> str:
    """The role of one URL in the database of another."""
    return make_conninfo(url, dbname=str(conninfo_to_dict(other)["dbname"]))


def test_shares_are_read_from_the_database(database: Callable[..., str]) -> None:
    url = database("erase")
    run_sql(url, SOURCE + "CREATE SCHEMA o; CREATE TABLE o.late (b int REFERENCES s.b)")
    run_sql(
        url,
        """CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
        CREATE TRIGGER t BEFORE DELETE ON s.b1 FOR EACH ROW EXECUTE FUNCTION s.f();
        CREATE TRIGGER t BEFORE INSERT ON s.c FOR EACH ROW EXECUTE FUNCTION s.f();
        CREATE RULE r AS ON DELETE TO s.circle DO ALSO NOTHING""",
    )
    with closing(connect(url)) as session:
        graph = saved(session, "s.a").graph
        found = read_shares(session, graph, {"s.a": 5, "s.b": 6, "s.c": 7, "s.circle": 8})
        assert all(share.owned for share in found)
    other = database("other", owner="stranger")
    run_sql(other, "CREATE SCHEMA s; CREATE TABLE s.a (id int)")
    with closing(connect(url)) as session, closing(connect(other)) as stranger:
        role = stranger.info.user
        session.execute(f"GRANT USAGE ON SCHEMA s TO {role}; GRANT SELECT ON s.a TO {role}".encode())
    with closing(connect(with_database_of(other, url))) as stranger:
        assert not read_shares(stranger, graph, {"s.a": 5})[0].owned
    assert [(s.table, s.going, s.total, s.referrers, s.triggers) for s in found] == [
        ("s.a", 5, 100, ("s.b", "s.c", "s.circle"), False),
        ("s.b", 6, 300, ("o.late",), True),
        ("s.c", 7, 300, (), False),
        ("s.circle", 8, 100, (), True),
    ]


UNPROVEN = {
    "a check": "ALTER TABLE s.c ADD CHECK (t <> 'x') NOT VALID",
    "a foreign key": "ALTER TABLE s.c ADD older int DEFAULT 0;"
    "ALTER TABLE s.c ADD FOREIGN KEY (older) REFERENCES s.a NOT VALID",
    "of a partition": "ALTER TABLE s.b1 ADD CHECK (a > 5) NOT VALID",
}


@pytest.mark.parametrize("made", UNPROVEN.values(), ids=UNPROVEN)
def test_a_constraint_that_kept_rows_break_lets_them_lie(database: Callable[..., str], made: str) -> None:
    """They are rows of the past, which no run can put back; what goes is deleted around them."""
    url = database("erase")
    run_sql(url, f"{SOURCE} {made}")
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.b", {"s.b": "t.a > 10", "s.c": "t.a > 10"})
        request = asking.name_keys(session).request()
        shares = read_shares(session, request.graph, asking.rows)
        assert {share.table for share in shares if share.unproven} == {"s.b" if "b1" in made else "s.c"}
        worth = [share.model_copy(update={"going": 95 * MANY, "total": 100 * MANY}) for share in shares]
        emptied = frozenset(one.table for one in choose(worth) if one.method != "delete")
        erased = erase(session, replace(request, emptied=emptied))
    assert {table.table: table.deleted for table in erased.tables} == {"s.b": 270, "s.c": 270}
    assert (len(contents(url)["s.c"]), len(emptied)) == (30, 1)


def small(url: str, session: psycopg.Connection) -> Asking:
    run_sql(url, SOURCE)
    going = {"s.b": "t.a > 10", "s.c": "t.a > 10"}
    return Asking(saved(session, "s.a"), "s.b", going).name_keys(session)


def test_emptying_stops_where_others_refer(database: Callable[..., str]) -> None:
    url = database("erase")
    with closing(connect(url)) as session:
        asking = small(url, session)
        run_sql(
            url, "CREATE SCHEMA o; CREATE TABLE o.late (b int REFERENCES s.b); INSERT INTO o.late VALUES (55)"
        )
        before = contents(url)
        with pytest.raises(ScopeChanged, match=r"rows of o\.late that nobody approved"):
            erase(session, replace(asking.request(), emptied=frozenset({"s.b"})))
        assert contents(url) == before


def test_emptying_lets_triggers_rest_and_wakes_them(database: Callable[..., str]) -> None:
    url = database("erase")
    with closing(connect(url)) as session:
        asking = small(url, session)
        run_sql(
            url,
            """CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
            CREATE TRIGGER t BEFORE INSERT ON s.c FOR EACH ROW EXECUTE FUNCTION s.f()""",
        )
        erased = erase(session, replace(asking.request(), emptied=frozenset({"s.c"})))
        assert {table.table: table.deleted for table in erased.tables} == {"s.b": 270, "s.c": 270}
        states = session.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = 't'").fetchall()
        assert states == [("O",)]
        assert len(contents(url)["s.c"]) == 30


KEEPS = "RETURN NULL"
TAKES = "DELETE FROM s.log; RETURN OLD"
COUNTS = "INSERT INTO s.log VALUES (1); RETURN OLD"


def watched(url: str, session: psycopg.Connection, body: str) -> Asking:
    """One table is emptied, from another with a trigger rows are deleted at the same time."""
    run_sql(url, SOURCE)
    going = {"s.c": "t.a > 10", "s.b": "t.a > 10"}
    run_sql(
        url,
        f"""CREATE TABLE s.log (n int); INSERT INTO s.log VALUES (0);
        CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$;
        CREATE TRIGGER t BEFORE DELETE ON s.b FOR EACH ROW EXECUTE FUNCTION s.f()""",
    )
    return Asking(saved(session, "s.a"), "s.b", going).name_keys(session)


@pytest.mark.parametrize(
    "body, error, said",
    [(KEEPS, DataRefused, r"does not delete rows of s\.b"), (TAKES, ScopeChanged, r"1 of s\.log")],
)
def test_triggers_of_tables_beside_emptied_ones_stop_it(
    database: Callable[..., str], body: str, error: type[Exception], said: str
) -> None:
    url = database("erase")
    with closing(connect(url)) as session:
        asking = watched(url, session, body)
        before = contents(url)
        with pytest.raises(error, match=said):
            erase(session, replace(asking.request(), emptied=frozenset({"s.c"})))
        assert contents(url) == before


def test_triggers_of_tables_beside_emptied_ones_are_counted(database: Callable[..., str]) -> None:
    url = database("erase")
    with closing(connect(url)) as session:
        asking = watched(url, session, COUNTS)
        erased = erase(session, replace(asking.request(), emptied=frozenset({"s.c"})))
        assert [(e.table, e.change, e.rows) for e in erased.effects] == [("s.log", "inserted", 270)]


def test_rows_that_do_not_come_back_stop_it(
    database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database("erase")
    with closing(connect(url)) as session:
        asking = small(url, session)
        before = contents(url)
        monkeypatch.setattr("handover.postgres.erasing.emptying.Emptier._put_back", lambda *_: None)
        with pytest.raises(DataRefused, match=r"s\.c: 0 rows were put back, expected 30"):
            erase(session, replace(asking.request(), emptied=frozenset({"s.c"})))
        assert contents(url) == before


def test_emptying_waits_for_its_lock_no_longer_than_said(database: Callable[..., str]) -> None:
    url = database("erase")
    with closing(connect(url)) as session:
        asking = small(url, session)
        asking.pace = Pace(lock_seconds=0.2)
        with psycopg.connect(url) as other:
            other.execute("SELECT FROM s.c")
            with pytest.raises(Busy):
                erase(session, replace(asking.request(), emptied=frozenset({"s.c"})))
