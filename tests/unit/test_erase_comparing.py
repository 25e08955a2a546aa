"""Rows are compared with the backup by the server: before they go, and whatever happens until they do."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from fixtures.contents import contents, run_sql
from fixtures.erasing import Asking, never, saved
from handover.errors import Busy, ScopeChanged
from handover.postgres.erasing import engine
from handover.postgres.erasing.emptying import NotSoSimpleError, Replacer, replaceable
from handover.postgres.erasing.engine import erase
from handover.postgres.erasing.request import Holding
from handover.postgres.session import connect, fetch

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.a (id int PRIMARY KEY, t text);
INSERT INTO s.a SELECT n, md5(n::text) FROM generate_series(1, 100) n;
CREATE TABLE s.b (id int PRIMARY KEY, a int REFERENCES s.a);
INSERT INTO s.b SELECT n, 1 + n % 100 FROM generate_series(1, 300) n;
"""
GOING = {"s.a": "t.id > 10", "s.b": "t.a > 10"}
BOTH = frozenset(GOING)


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    made = database("erase")
    run_sql(made, SOURCE)
    return made


def meanwhile(act: Callable[[], object]) -> Holding:
    """A holding in which something happens the first time: after rows were found, before any is deleted."""
    waiting = [act]

    @contextmanager
    def holding() -> Iterator[Callable[[], None]]:
        if waiting:
            waiting.pop()()
        yield never

    return holding


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which ways of emptying were tried, and whether they went through."""
    tried: list[str] = []
    replaced = Replacer.erase

    def noted(self, span):
        tried.append("as a whole")
        try:
            return replaced(self, span)
        except NotSoSimpleError:
            tried.append("not so simple")
            raise

    monkeypatch.setattr(Replacer, "erase", noted)
    return tried


def left(url: str) -> dict[str, list[bytes]]:
    return {table: rows for table, rows in contents(url).items() if not table.startswith("handover")}


@pytest.mark.parametrize("binary", [True, False])
def test_tables_are_emptied_as_a_whole_where_all_is_as_it_was(
    url: str, ways: list[str], binary: bool
) -> None:
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a", binary), "s.a", GOING).name_keys(session)
        rest = {
            "s.a": fetch(session, "SELECT * FROM s.a WHERE id <= 10"),
            "s.b": fetch(session, "SELECT * FROM s.b WHERE a <= 10 ORDER BY id"),
        }
        erased = erase(session, replace(asking.request(), emptied=BOTH))
        assert [(t.table, t.asked, t.deleted, t.gone, t.stayed) for t in erased.tables] == [
            ("s.a", 90, 90, 0, ()), ("s.b", 270, 270, 0, ()),
        ]  # fmt: skip
        assert {t: fetch(session, f"SELECT * FROM {t} ORDER BY id") for t in rest} == rest
        assert ways == ["as a whole"]
        assert fetch(session, "SELECT to_regclass('pg_temp.erase_rows_0')") == [(None,)], (
            "none was looked for"
        )


def changed(url: str) -> None:
    run_sql(url, "UPDATE s.b SET a = a - 1 WHERE id = 50")


def gone(url: str) -> None:
    run_sql(url, "DELETE FROM s.b WHERE id = 50")


def gone_and_another_one_there(url: str) -> None:
    run_sql(url, "DELETE FROM s.b WHERE id = 50; INSERT INTO s.b VALUES (1000, 5)")


def content_swapped(url: str) -> None:
    run_sql(url, "UPDATE s.a SET t = md5((171 - id)::text) WHERE id IN (85, 86)")


@pytest.mark.parametrize("befall", [changed, gone, gone_and_another_one_there, content_swapped])
@pytest.mark.parametrize("late", [False, True])
def test_where_anything_differs_rows_are_told_one_by_one(
    url: str, database: Callable[..., str], ways: list[str], befall: Callable[[str], None], late: bool
) -> None:
    """Emptied or deleted: the same is left, and the same is said. Late: when the lock is taken already."""
    results = []
    for emptied in (BOTH, frozenset[str]()):
        made = url if emptied else database("beside")
        if not emptied:
            run_sql(made, SOURCE)
        with closing(connect(made)) as session:
            asking = Asking(saved(session, "s.a"), "s.a", GOING).name_keys(session)
            if late:
                asking.holding = meanwhile(lambda made=made: befall(made))
            else:
                befall(made)
            erased = erase(session, replace(asking.request(), emptied=emptied))
            results.append((erased.tables, left(made)))
    assert results[0] == results[1]
    assert ways == ["as a whole", "not so simple"]


def test_what_is_kept_and_refers_to_what_goes_stops_it(url: str, ways: list[str]) -> None:
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.a", GOING).name_keys(session)
        run_sql(url, "INSERT INTO s.b VALUES (1000, 50)")
        before = contents(url)
        with pytest.raises(ScopeChanged, match=r"1 rows of s\.b that nobody approved"):
            erase(session, replace(asking.request(), emptied=BOTH))
        assert left(url) == before
        assert ways == ["as a whole", "not so simple"]


def test_a_table_outside_that_refers_to_emptied_ones_is_looked_at(url: str, ways: list[str]) -> None:
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.a", GOING).name_keys(session)
        run_sql(
            url, "CREATE SCHEMA o; CREATE TABLE o.late (a int REFERENCES s.a); INSERT INTO o.late VALUES (55)"
        )
        with pytest.raises(ScopeChanged, match=r"rows of o\.late that nobody approved"):
            erase(session, replace(asking.request(), emptied=BOTH))
        assert ways == ["as a whole", "not so simple"]


@pytest.mark.parametrize("emptied", [[], ["s.b"], list(GOING)], ids=["deleted", "rewritten", "as a whole"])
def test_a_column_that_came_before_the_lock_stops_everything(url: str, emptied: list[str]) -> None:
    """Its values are in no backup: not what would go with the rows, nor what would not be put back."""
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.a", GOING).name_keys(session)
        filled = "ALTER TABLE s.b ADD later text; UPDATE s.b SET later = 'x' WHERE a <= 10"
        asking.holding = meanwhile(lambda: run_sql(url, filled))
        with pytest.raises(ScopeChanged, match=r"were backed up:\n  s\.b: column later is new\n") as stopped:
            erase(session, replace(asking.request(), emptied=frozenset(emptied)))
        assert stopped.value.data["columns"] == ["s.b: column later is new"]
    rows = left(url)
    assert (len(rows["s.a"]), len(rows["s.b"])) == (100, 300)
    assert sum(row.endswith(b"\tx\n") for row in rows["s.b"]) == 30


@pytest.mark.parametrize(
    "changed, said",
    {
        "ADD twice int GENERATED ALWAYS AS (id * 2) STORED": "column twice is new",
        "ALTER a TYPE bigint": "column a is bigint, was integer",
        "DROP CONSTRAINT b_pkey, DROP id; ALTER TABLE s.b ADD id int GENERATED ALWAYS AS (a) STORED": (
            "column id is integer, generated, was integer"
        ),
    }.items(),
    ids=["generated", "type", "generated now"],
)
def test_columns_that_were_altered_before_it_began_stop_it(url: str, changed: str, said: str) -> None:
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.a", GOING).name_keys(session)
        run_sql(url, f"ALTER TABLE s.b {changed}")
        before = contents(url)
        with pytest.raises(ScopeChanged, match=f"{said}\n"):
            erase(session, asking.request())
    assert left(url) == before


def test_another_share_than_approved_stops_emptying(url: str, ways: list[str]) -> None:
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.a", GOING).name_keys(session)
        run_sql(url, "INSERT INTO s.a SELECT n FROM generate_series(1000, 1100) n")
        with pytest.raises(ScopeChanged, match=r"90 rows of s\.a were approved as 90\.0% of it"):
            erase(session, replace(asking.request(), emptied=BOTH))
        assert ways == ["as a whole", "not so simple"]


def test_references_that_the_server_does_not_check_need_a_look_at_each_row(url: str) -> None:
    with closing(connect(url)) as session:
        assert session.info.server_version >= 180000, "an older server checks every foreign key"
        works = engine.load_backup(session, Asking(saved(session, "s.a"), "s.a", GOING).request())
        assert replaceable(session, works, frozenset(works.tables))
        run_sql(url, "CREATE TABLE s.c (b int REFERENCES s.b NOT ENFORCED)")
        assert not replaceable(session, works, frozenset(works.tables))


@pytest.mark.parametrize("emptied", [BOTH, frozenset()], ids=["emptied", "deleted"])
def test_a_row_that_went_and_was_made_again_counts_once_as_what_it_is(
    url: str, emptied: frozenset[str]
) -> None:
    with closing(connect(url)) as session:
        asking = Asking(saved(session, "s.a"), "s.a", GOING).name_keys(session)
        erase(session, replace(asking.request(), emptied=emptied))
        run_sql(url, "INSERT INTO s.a VALUES (20, 'another one')")
        session.execute("DISCARD TEMP")
        erased = erase(session, replace(asking.again(session).request(), emptied=emptied))
        counts = [(t.deleted, t.gone, [(one.why, one.rows) for one in t.stayed]) for t in erased.tables]
        assert counts == [(89, 0, [("differs", 1)]), (270, 0, [])]
        run_sql(url, "DELETE FROM s.a WHERE id = 20; INSERT INTO s.a VALUES (20, md5('20'))")
        session.execute("DISCARD TEMP")
        with pytest.raises(ScopeChanged, match=r"91 rows of s\.a would be erased, approved are 90"):
            erase(session, replace(asking.again(session).request(), emptied=emptied))


@pytest.mark.parametrize("rewrite", ["VACUUM FULL s.b", "CLUSTER s.b USING b_pkey"])
def test_a_table_that_was_rewritten_meanwhile_is_looked_through_anew(url: str, rewrite: str) -> None:
    """Its rows lie elsewhere then, and where one lay is another of the same transaction."""
    with closing(connect(url)) as session:
        run_sql(url, "DELETE FROM s.b WHERE id <= 20")
        asking = Asking(saved(session, "s.a"), "s.a", GOING).name_keys(session)
        asking.holding = meanwhile(lambda: session.execute(rewrite.encode()))
        before = contents(url)
        with pytest.raises(Busy, match="a table was rewritten"):
            erase(session, asking.request())
        assert left(url) == before
        session.execute("DISCARD TEMP")
        assert {t.deleted for t in erase(session, asking.name_keys(session).request()).tables} == {90, 259}


PAIRS = """
CREATE SCHEMA s;
CREATE TYPE s.pair AS (a text, b int);
CREATE TABLE s.text (t text);
INSERT INTO s.text VALUES (repeat('x', 3000));
CREATE TABLE s.a (id int PRIMARY KEY, p s.pair);
INSERT INTO s.a SELECT n, ROW(t, n)::s.pair FROM s.text, generate_series(1, 10) n;
"""


def test_the_same_content_in_other_bytes_is_the_same(database: Callable[..., str]) -> None:
    """Within a composite a text can be compressed or not; a load writes it as it likes."""
    url = database("erase")
    run_sql(url, PAIRS)
    with closing(connect(url)) as session:
        images = """SELECT ROW(p)::record OPERATOR(pg_catalog.*=) ROW(p::text::s.pair)::record,
            p::text = p::text::s.pair::text FROM s.a LIMIT 1"""
        assert fetch(session, images) == [(False, True)]
        asking = Asking(saved(session, "s.a", binary=False), "s.a", {"s.a": "t.id > 3"}).name_keys(session)
        session.execute("UPDATE s.a SET p.b = 0 WHERE id = 5")
        (table,) = erase(session, asking.request()).tables
        assert [(one.why, one.rows) for one in table.stayed] == [("differs", 1)]
        assert table.deleted == 6
