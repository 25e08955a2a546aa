"""The restore drill has a backup and an archive again from the vault alone, and finds what is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fixtures.archived import OLD, ROWS, apart, archived, ending_company, open_ending
from fixtures.clusters import databases
from fixtures.disposed import Disposing
from handover.archive.bag import PAYLOAD
from handover.errors import VerificationFailed
from handover.evidence.verifier import verify
from handover.local.clusters import Cluster
from handover.postgres.drilled import create_part, fill_part, read_part
from handover.postgres.session import connect, with_database
from handover.settings import Settings
from handover.stages.archive_terms import bag_of, begun
from handover.stages.backup_index import find_index
from handover.stages.context import Context
from handover.stages.drill import DATABASES, Pick, candidates, drill, pick
from handover.stages.drill import _database as drill_database
from handover.stages.restore_test import drop_database

DAY = date(2026, 3, 1)
BACKUP, ARCHIVE = Pick("backup", "test-transfer", "run-1"), Pick("archive", "test-transfer", "run-1")


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disposing]:
    """A runner whose source is filled."""
    with databases(cluster) as source, databases(second_cluster) as target:
        home = tmp_path_factory.mktemp("drill")
        yield ending_company(home, cluster, second_cluster.programs, source, target)


@pytest.fixture(scope="module")
def kept(company: Disposing) -> Context:
    """A run with a backup and an archive."""
    context = open_ending(company)
    archived(context)
    return context


def scratch_alone(company: Disposing) -> Callable[[str], str]:
    """Know the connection of restore tests; whoever asks for the source is told that there is none."""
    known = {"dst": company.urls["dst"]}
    return known.__getitem__


def failed(settings: Settings, picked: Pick, company: Disposing) -> list[str]:
    """The lines with which a drill fails; they are in the ledger and in the report as well."""
    with pytest.raises(VerificationFailed) as caught:
        drill(settings, picked, DAY, scratch_alone(company))
    lines: Any = caught.value.data["differences"]
    assert lines
    return list(lines)


def test_both_are_had_again(company: Disposing, kept: Context) -> None:
    settings = company.settings()
    assert candidates(settings) == [BACKUP, ARCHIVE]
    assert pick(settings) == [BACKUP, ARCHIVE]
    for picked, rows in ((BACKUP, None), (ARCHIVE, sum(ROWS.values()))):
        folder = drill(settings, picked, DAY, scratch_alone(company))
        said = (folder / "restore-drill.md").read_text(encoding="utf-8")
        assert "通过 / passed" in said
        assert verify(folder).ok
        entry = drilled(kept, picked).entries("drill-done")[-1]
        assert entry.body["what"] == picked.what
        assert entry.body["milliseconds"] > 0
        assert rows in (None, entry.body["rows"])
        assert "13800138" not in said + entry.line
        assert not drilled(kept, picked).entries("drill-failed")
    assert drilled(kept, BACKUP).entries("drill-done")[0].body["erased_again"]["runs"] == []
    assert no_scratch_left(company)


def drilled(context: Context, picked: Pick) -> Context:
    """The drill's own run."""
    return replace(context, run=f"drill-2026-03-01-{picked.what}-run-1")


def test_what_killed_drills_left_goes_and_that_of_today_stays(company: Disposing, kept: Context) -> None:
    old, used, today = (f"{DATABASES}{name}" for name in ("20260228_0", "20260227_0", "20260301_0"))
    with closing(connect(company.urls["dst"])) as connection:
        for name in (old, used, today):
            connection.execute(f"CREATE DATABASE {name}".encode())
    with closing(connect(with_database(company.urls["dst"], used))):
        drill(kept.settings, ARCHIVE, DAY, scratch_alone(company))
        with closing(connect(company.urls["dst"])) as connection:
            query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1"
            assert connection.execute(query, (DATABASES,)).fetchall() == [(used,), (today,)]
    for name in (used, today):
        drop_database(kept, name)


def test_two_of_one_day_have_nothing_in_common(kept: Context) -> None:
    names = {drill_database(drilled(kept, picked), DAY) for picked in (BACKUP, ARCHIVE)}
    assert len(names) == 2


def no_scratch_left(company: Disposing) -> bool:
    with closing(connect(company.urls["dst"])) as connection:
        query = "SELECT count(*) FROM pg_database WHERE datname LIKE 'handover_scratch_%'"
        return connection.execute(query).fetchone() == (0,)


def test_one_changed_byte_is_found(company: Disposing, kept: Context, tmp_path: Path) -> None:
    context = apart(kept, tmp_path)
    index = find_index(kept)
    chunk = next(one for one in index.chunks if one.rows)
    flip(context.settings.vault / chunk.object.name)
    (line,) = failed(context.settings, BACKUP, company)
    assert chunk.object.name in line
    assert no_scratch_left(company)
    assert drilled(kept, BACKUP).entries("drill-failed")[-1].body["differences"] == [line]


def test_a_changed_or_missing_bag_is_found(company: Disposing, kept: Context, tmp_path: Path) -> None:
    context = apart(kept, tmp_path)
    bag = bag_of(context)
    part = next((bag / PAYLOAD).rglob("*.parquet"))
    flip(part)
    assert any(part.name in line for line in failed(context.settings, ARCHIVE, company))
    shutil.rmtree(bag)
    assert any("archive.json" in line for line in failed(context.settings, ARCHIVE, company))


def test_a_destroyed_term_is_closed_and_no_fault(company: Disposing, kept: Context, tmp_path: Path) -> None:
    context = apart(kept, tmp_path)
    term = next(one for one in begun(context).terms.terms if one.number == OLD)
    context.keyring.destroy(term.identifying)
    drill(context.settings, ARCHIVE, DAY, scratch_alone(company))
    body = drilled(kept, ARCHIVE).entries("drill-done")[-1].body
    assert body["rows"] == sum(ROWS.values()) - ROWS["old loans"]
    assert len(body["closed"]) == 1


def test_a_destroyed_backup_is_no_candidate(company: Disposing, kept: Context, tmp_path: Path) -> None:
    context = apart(kept, tmp_path)
    assert BACKUP in candidates(context.settings)
    context.keyring.destroy(context.backup_key_id)
    assert candidates(context.settings) == [ARCHIVE]


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data))


TYPES = [
    "character(5)",
    "bit varying(3)",
    "numeric(9,2)",
    "s.unknown",
    "regclass",
    "timestamp(3) with time zone",
]
ROW = b"ab   \t101\t1.50\tany thing\tnowhere\t2026-01-01 00:00:00.123+00\n"


def test_rows_of_any_type_come_back_as_they_were(target_database: Callable[..., str]) -> None:
    with closing(connect(target_database("types"))) as connection:
        create_part(connection, "part", TYPES)
        fill_part(connection, "part", len(TYPES), [ROW, ROW])
        assert b"".join(chunk.data for chunk in read_part(connection, "part", len(TYPES))) == 2 * ROW
