"""Transfers from older versions of PostgreSQL to the newest arrive as `pg_dump | psql` would bring them."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from fixtures.clusters import databases
from fixtures.contents import contents, run_sql
from fixtures.dumps import dump, large_objects, schema_text, sorted_rows
from fixtures.runs import Runner, backed_up, make_ledger, migrated, transferred, verified
from fixtures.versions import DEBIAN, DOWNLOADED, old_cluster
from handover.errors import PreflightFailed, VerificationFailed
from handover.evidence.progress import Meter
from handover.local.clusters import Cluster, binaries
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.restore import restore

PORTABLE = Path(__file__).parents[1] / "fixtures" / "portable.sql"
SOURCE = {"connection": "src", "schemas": ["s"]}


@pytest.fixture(scope="session")
def version_15(cluster_home: Path) -> Iterator[Cluster]:
    """A cluster of PostgreSQL 15; `make system-deps` installs it."""
    assert DEBIAN.is_dir(), "PostgreSQL 15 is missing: run `make system-deps` as root"
    with old_cluster(cluster_home, 15) as started:
        yield started


@pytest.fixture
def source_15(version_15: Cluster) -> Iterator[str]:
    """A database of version 15 with everything that versions write differently."""
    with databases(version_15) as factory:
        url = factory("portable")
        run_sql(url, PORTABLE.read_text())
        yield url


def brought_otherwise(source: str, target: str) -> str:
    """Fill a database by means of PostgreSQL's own tools alone."""
    script = dump(source, "--no-owner", "--exclude-schema=public")
    command = [
        binaries() / "psql",
        "--quiet",
        "--no-psqlrc",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
        target,
    ]
    subprocess.run(command, input=script.encode(), check=True)
    return target


def check_arrived(source: str, target: str, reference: str) -> None:
    """The independent check: rows by dumps of both ends, definitions as the newer version writes them."""
    assert schema_text(target).splitlines() == schema_text(reference).splitlines()
    assert sorted_rows(target) == sorted_rows(source) != {}
    assert large_objects(target) == large_objects(source) != []
    assert contents(target) == contents(source)


def test_15_to_18(runner: Runner, source_15: str, target_database: Callable[..., str]) -> None:
    runner = runner.between(source_15, runner.urls["dst"])
    context = runner.open(source=SOURCE)
    transferred(context)
    reference = brought_otherwise(source_15, target_database("reference"))
    check_arrived(source_15, runner.urls["dst"], reference)
    assert schema_text(reference) != schema_text(source_15), "nothing that the versions write differently"
    elsewhere = target_database("restored")
    assert restored(context, elsewhere) == "compared"
    check_arrived(source_15, elsewhere, reference)


def restored(context: Context, url: str) -> str:
    """Restore the run's backup; returns how its definitions were compared."""
    meter = Meter(context.ledger_url, (context.case.case, context.run, "restore", ""))
    return restore(context, url, meter).definitions


def test_a_restore_says_when_it_could_not_compare_definitions(
    runner: Runner,
    source_15: str,
    target_database: Callable[..., str],
    database: Callable[..., str],
    cluster: Cluster,
) -> None:
    """From vault and keyring alone nobody knows how the newer version writes them."""
    runner = runner.between(source_15, runner.urls["dst"])
    backed_up(runner.open(source=SOURCE))
    elsewhere = target_database("restored")
    without = replace(runner, ledger_url=make_ledger(cluster, database)).open(source=SOURCE)
    assert restored(without, elsewhere).startswith("compared by name alone")
    assert without.entries("restored")[0].body["definitions"].startswith("compared by name alone")


CHANGES = {
    "VIEW s.debtor": "CREATE OR REPLACE VIEW s.tree AS SELECT 1 AS n, 2 AS parent, 3::bigint AS place",
    "POLICY s.note own": "ALTER POLICY own ON s.note USING (true)",
    "INDEX s.loan_open": "DROP INDEX s.loan_open; CREATE INDEX loan_open ON s.loan (status) WHERE no = 1",
    "CONSTRAINT": "ALTER TABLE s.person DROP CONSTRAINT person_born_check",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_definition_is_found_between_versions(runner: Runner, source_15: str, change: str) -> None:
    context = runner.between(source_15, runner.urls["dst"]).open(source=SOURCE)
    migrated(context)
    run_sql(context.target, change)
    with pytest.raises(VerificationFailed, match=r"is (defined otherwise|missing)"):
        verified(context)


def test_scratch_database_must_be_of_the_targets_version(
    runner: Runner, source_15: str, version_15: Cluster
) -> None:
    runner = runner.between(source_15, runner.urls["dst"])
    with psycopg.connect(source_15) as connection:
        assert connection.info.server_version // 10000 == 15
    with pytest.raises(PreflightFailed, match="restore-test-version"):
        inventory(runner.open(source=SOURCE, restore_test={"connection": "src"}))


@pytest.mark.campaign
@pytest.mark.parametrize("major", [13, 14, 16, 17])
def test_older_version_to_18(
    runner: Runner, cluster_home: Path, target_database: Callable[..., str], major: int
) -> None:
    assert DOWNLOADED.is_dir(), "run scripts/postgres-versions first"
    with old_cluster(cluster_home, major) as cluster, databases(cluster) as factory:
        source = factory("portable")
        run_sql(source, PORTABLE.read_text())
        runner = runner.between(source, runner.urls["dst"])
        transferred(runner.open(source=SOURCE))
        check_arrived(source, runner.urls["dst"], brought_otherwise(source, target_database("reference")))
