"""The classifier on a real PostgreSQL: the sample company, the sample of rows, and that no value leaves."""

import json
import logging
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fixtures.contents import run_sql
from fixtures.runs import write_case
from handover.classify.propose import propose
from handover.classify.sampling import read_layout, sample
from handover.cli import main
from handover.errors import DataRefused
from handover.local.clusters import Cluster
from handover.model.datamap import load_datamap, parse_datamap, unmapped
from handover.postgres.catalog import read_catalog
from handover.postgres.session import connect
from handover.sample.company import generate, planted_values
from handover.settings import REPOSITORY

DATAMAPS = REPOSITORY / "include" / "datamaps"
ROWS, SEED = 4_000, 5
# What the person who confirmed the sample company's map decided otherwise, and said so in it.
CORRECTED = {
    "Odd Values.networks": {"host", "mac", "mac8"},
    "lending.attachments": {"attachment_id", "owner_type", "owner_id", "file_name", "content", "meta"},
    "lending.branches": {"branch_id", "code", "name", "opened_on", "opening_hours", "network"},
    "lending.complaints": {"search"},
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder and a folder of data maps of the test's own."""
    for name in [n for n in os.environ if n.startswith(("AIRFLOW", "HANDOVER_")) and n != "HANDOVER_PG_BIN"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HANDOVER_HOME", str(tmp_path))
    monkeypatch.setenv("HANDOVER_DATAMAPS", str(tmp_path / "maps"))
    return tmp_path


@pytest.fixture
def source(database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the connections of both cases lead to."""
    url = database("source")
    monkeypatch.setenv("AIRFLOW_CONN_SAMPLE_SOURCE", url)
    monkeypatch.setenv("AIRFLOW_CONN_SRC", url)
    return url


@pytest.fixture
def small(source: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A source with one table of persons, and the test case."""
    monkeypatch.setenv("HANDOVER_CASES", str(home / "cases"))
    write_case(home / "cases")
    run_sql(
        source,
        "CREATE SCHEMA s; CREATE TABLE s.person (id int PRIMARY KEY, name text, mobile text);"
        "INSERT INTO s.person"
        " SELECT n, '张雨涵', '161' || lpad(n::text, 8, '0') FROM generate_series(1, 40) n",
    )
    return source


def test_the_sample_company_is_judged_as_its_confirmed_map_says(source: str, home: Path) -> None:
    generate(source, rows=ROWS, seed=SEED)
    assert main(["classify", "whole-database"]) == 1, "there is no map yet"
    text = (home / "maps" / "whole-database.proposed.yaml").read_text()
    proposed = parse_datamap(text, "proposal", "whole-database")
    confirmed = load_datamap(DATAMAPS, "whole-database")
    expected = {(dataset.table.label, name): entry for dataset, name, entry in confirmed.entries()}
    found = {(dataset.table.label, name): entry for dataset, name, entry in proposed.entries()}
    assert found.keys() == expected.keys()
    different: dict[str, set[str]] = {}
    for (table, column), entry in found.items():
        known = expected[table, column]
        if (entry.kind, entry.contains, entry.levels) != (known.kind, known.contains, known.levels):
            different.setdefault(table, set()).add(column)
    different.setdefault("lending.complaints", {"search"})  # a few complaints: what is seen in them varies
    assert different == CORRECTED
    paths = {dataset.table.label: dataset.subject for dataset in confirmed.datasets}
    assert {
        dataset.table.label for dataset in proposed.datasets if dataset.subject != paths[dataset.table.label]
    } == {"lending.attachments"}


def test_no_value_leaves(
    source: str, home: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    generate(source, rows=ROWS, seed=SEED)
    (home / "maps").mkdir()
    (home / "maps" / "whole-database.yaml").write_text((DATAMAPS / "whole-database.yaml").read_text())
    assert main(["classify", "whole-database"]) == 0
    assert main(["classify", "whole-database", "--json"]) == 0
    assert main(["ropa", "whole-database"]) == 0
    said = capfd.readouterr()
    written = "".join(path.read_text() for path in (home / "maps").iterdir())
    everything = said.out + said.err + caplog.text + written
    planted = planted_values(SEED, ROWS)
    assert len(planted) > 40
    assert [value for value in planted if value in everything] == []
    assert "confirmed none (none/ordinary/1/none), proposed ip_address" in said.out


def test_a_refusal_of_the_database_says_no_value(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Rows that a policy hides are an error, not a gap; it names the table and the state, nothing else."""
    run_sql(small, "CREATE TABLE s.hidden (mobile text); ALTER TABLE s.hidden ENABLE ROW LEVEL SECURITY")
    run_sql(small, "ALTER TABLE s.hidden FORCE ROW LEVEL SECURITY; INSERT INTO s.person VALUES (0, 'x', 'y')")
    assert main(["classify", "test-transfer"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert "sampling s.hidden: the database refused it (SQLSTATE 42501" in said.err
    assert "161000" not in said.err


def test_a_confirmed_map_is_never_overwritten_and_differences_are_told(
    small: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", "test-transfer"]) == 1
    assert "no data map yet" in capsys.readouterr().out
    proposal = home / "maps" / "test-transfer.proposed.yaml"
    confirmed = home / "maps" / "test-transfer.yaml"
    head = "confirmed: {by: somebody, date: 2026-01-02}\n"
    confirmed.write_text(head + proposal.read_text().replace("unknown", "loans"))
    before = confirmed.read_bytes()
    assert main(["classify", "test-transfer"]) == 0
    assert "no difference to the map in force\nthe map in force: confirmed" in capsys.readouterr().out
    run_sql(
        small,
        "ALTER TABLE s.person ADD email text, DROP name; CREATE TABLE s.extra (a int);"
        "UPDATE s.person SET mobile = 'n' || id",
    )
    assert main(["classify", "test-transfer"]) == 1
    said = capsys.readouterr().out
    assert "new: column s.person.email: not in the confirmed map" in said
    assert "new: table s.extra: not in the confirmed map" in said
    assert "gone: column s.person.name: in the confirmed map, not in the source" in said
    assert "changed: column s.person.mobile: confirmed mobile (C2/ordinary/3/personal), proposed " in said
    assert confirmed.read_bytes() == before
    with closing(connect(small, read_only=True)) as session:
        catalog = read_catalog(session, ["s"])
    assert unmapped(load_datamap(home / "maps", "test-transfer"), catalog)


def test_a_broken_map_is_told_and_nothing_is_lost(
    small: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "maps").mkdir()
    (home / "maps" / "test-transfer.yaml").write_text("map: test-transfer\ndatasets: nonsense\n")
    assert main(["classify", "test-transfer"]) == 1
    assert "line 2, datasets: input should be a valid tuple" in capsys.readouterr().err


def test_rows_are_drawn_from_all_over_a_table(source: str) -> None:
    """What stands in the last hundredth alone is seen; a head of the table would not show it."""
    run_sql(
        source,
        "CREATE SCHEMA s; CREATE TABLE s.long (id int, filler text, contact text);"
        "INSERT INTO s.long SELECT n, repeat('x', 600),"
        " CASE WHEN n > 59000 THEN '161' || lpad(n::text, 8, '0') ELSE '' END"
        " FROM generate_series(1, 60000) n",
    )
    with closing(connect(source, read_only=True)) as session:
        forms = read_layout(session, ["s"]).forms["s", "long"]

        def drawn(rows: int, seed: int) -> list[int]:
            found = dict(sample(session, ("s", "long"), False, forms, rows, seed))
            return sorted(map(int, found["id"]))

        first = drawn(2_000, 1)
        assert len(first) == 2_000
        assert drawn(2_000, 1) == first
        assert drawn(2_000, 2) != first
        tenths = [sum(start < n <= start + 6_000 for n in first) for start in range(0, 60_000, 6_000)]
        assert min(tenths) > 80
        proposal = propose(session, read_catalog(session, ["s"]), "a-case", ["s"], 2_000, 1)
    contact = proposal.datamap.datasets[0].columns["contact"]
    assert contact.kind == "mobile"


def test_every_shape_of_table_and_column(small: str) -> None:
    """Partitions, arrays, composites, domains, documents, long values, odd names, no columns at all."""
    run_sql(
        small,
        """
        CREATE DOMAIN s.number AS text; CREATE TYPE s.way AS (tel text, kind text);
        CREATE TABLE s.odd ("select ""x"" %s" s.number, ways s.way[], one s.way, phones text[], doc jsonb,
            big bigint, clear bytea, long text);
        INSERT INTO s.odd SELECT '16112345' || n, ARRAY[ROW('1641234' || n || '0', 'x')::s.way],
            ROW('1641234' || n || '0', 'x')::s.way, ARRAY['1941234' || n || '0'],
            jsonb_build_object('who', jsonb_build_object('m', '1541234' || n || '0')),
            ('1611234' || n || '1')::bigint, 'abc', repeat('长', 200000) FROM generate_series(100, 140) n;
        CREATE TABLE s.bare ();
        CREATE TABLE s.part (id int, m text) PARTITION BY RANGE (id);
        CREATE TABLE s.part_a PARTITION OF s.part FOR VALUES FROM (0) TO (100);
        CREATE TABLE s.part_b PARTITION OF s.part FOR VALUES FROM (100) TO (200);
        INSERT INTO s.part SELECT n, '161' || lpad(n::text, 8, '0') FROM generate_series(0, 199) n;
        CREATE TABLE s.child (b text) INHERITS (s.person);
        """,
    )
    with closing(connect(small, read_only=True)) as session:
        catalog = read_catalog(session, ["s"])
        proposal = propose(session, catalog, "a-case", ["s"], 500, 1)
    datasets = {dataset.table.label: dataset for dataset in proposal.datamap.datasets}
    assert unmapped(proposal.datamap, catalog) == []
    odd = datasets["s.odd"].columns
    kinds = {name: entry.kind for name, entry in odd.items()}
    assert kinds.pop("clear") == kinds.pop("long") == "none"
    assert kinds == {
        'select "x" %s': "mobile", "ways": "json", "one": "json", "phones": "mobile", "doc": "json",
        "big": "mobile",
    }  # fmt: skip
    inside = {name: [(p.kind, p.at) for p in odd[name].contains] for name in ("ways", "one", "doc")}
    assert inside == {
        "ways": [("mobile", "$[*].tel")],
        "one": [("mobile", "$.tel")],
        "doc": [("mobile", "$.who.m")],
    }
    assert datasets["s.part"].columns["m"].kind == "mobile"
    assert [one.label for one in datasets["s.part"].partitions] == ["s.part_a", "s.part_b"]
    assert datasets["s.bare"].columns == {}


def test_a_role_that_may_not_read_is_refused(small: str, cluster: Cluster) -> None:
    database = str(conninfo_to_dict(small)["dbname"])
    with psycopg.connect(cluster.admin_url(database), autocommit=True) as admin:
        admin.execute("CREATE ROLE blind LOGIN PASSWORD 'blind'")
        admin.execute("GRANT USAGE ON SCHEMA s TO blind")
    try:
        with (
            closing(connect(make_conninfo(small, user="blind", password="blind"), read_only=True)) as session,
            pytest.raises(DataRefused, match=r"sampling s\.person: .*SQLSTATE 42501"),
        ):
            propose(session, read_catalog(session, ["s"]), "a-case", ["s"], 10, 1)
    finally:
        with psycopg.connect(cluster.admin_url(database), autocommit=True) as admin:
            admin.execute("DROP OWNED BY blind; DROP ROLE blind")


def test_json_is_one_document(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "test-transfer", "--json", "--seed", "9", "--rows", "20"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["map"]["sampled"] == {"rows": 20, "seed": 9}
    assert found["differences"] == []
