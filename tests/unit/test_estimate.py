"""What a case will take: sizes from the real server, space that is missing is said before anything starts."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fixtures.contents import run_sql
from fixtures.runs import Runner, backed_up
from handover.commands.outlook import outlook_lines
from handover.errors import PreflightFailed
from handover.model import estimate as model
from handover.model.estimate import (
    BYTES_A_SECOND,
    Footprint,
    check_vault_space,
    duration_text,
    estimate,
    size_text,
)
from handover.postgres.session import connect, fetch
from handover.postgres.sizes import read_footprint
from handover.stages.estimating import free_space, outlook
from handover.stages.inventory import check, inventory

PAGE = 8192
SOURCE = """
CREATE SCHEMA s; CREATE SCHEMA other;
CREATE TABLE s.plain (id int PRIMARY KEY, name text);
INSERT INTO s.plain SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 5000) n;
CREATE TABLE s.toasted (t text);
ALTER TABLE s.toasted ALTER t SET STORAGE EXTERNAL;
INSERT INTO s.toasted SELECT repeat('x', 400000);
CREATE TABLE s.parted (id int) PARTITION BY RANGE (id);
CREATE TABLE s.part PARTITION OF s.parted DEFAULT;
INSERT INTO s.parted VALUES (1);
CREATE MATERIALIZED VIEW s.seen AS SELECT * FROM s.plain;
CREATE TABLE other.elsewhere AS SELECT repeat('x', 1000) FROM generate_series(1, 1000);
CREATE TEMPORARY TABLE passing (a int);
"""


@pytest.fixture
def filled(runner: Runner) -> Runner:
    run_sql(runner.urls["src"], SOURCE)
    return runner


def footprint(url: str, large_objects: bool = True) -> Footprint:
    with closing(connect(url, read_only=True)) as connection:
        return read_footprint(connection, ["s"], large_objects)


def size_of(url: str, relation: str) -> int:
    with closing(connect(url)) as connection:
        return int(str(fetch(connection, "SELECT pg_total_relation_size(%s::regclass)", relation)[0][0]))


def test_the_footprint_is_what_the_relations_of_the_schemas_take(filled: Runner) -> None:
    url = filled.urls["src"]
    found = footprint(url)
    assert found.tables == 3
    tables = sum(size_of(url, f"s.{name}") for name in ("plain", "toasted", "part"))
    assert found.rows + found.indexes == tables
    assert found.rows > 400_000 + 5000 * 128
    assert found.indexes == size_of(url, "s.plain_pkey")
    assert found.views == size_of(url, "s.seen") > 5000 * 128
    assert found.loaded == tables + found.views + found.large_objects


def test_large_objects_count_only_when_they_move(filled: Runner) -> None:
    url = filled.urls["src"]
    before = footprint(url)
    run_sql(
        url, "SELECT lo_from_bytea(0, decode(repeat(md5(n::text), 4000), 'hex')) FROM generate_series(1, 9) n"
    )
    assert footprint(url).large_objects >= before.large_objects + 9 * 4000
    assert footprint(url, large_objects=False).large_objects == 0


def test_an_absent_schema_takes_nothing(database: Callable[..., str]) -> None:
    assert footprint(database("empty"), large_objects=False).loaded == 0


def test_the_estimate_follows_its_assumptions() -> None:
    found = Footprint(tables=10, rows=4_000_000_000, indexes=500, views=70, large_objects=1_000_000_000)
    expected = estimate(found)
    assert expected.vault == 2_500_000_000 + 10 * 8192
    assert expected.copy_bytes == 5_000_000_570
    assert expected.seconds == pytest.approx(5e9 / BYTES_A_SECOND + 0.1)


@pytest.mark.parametrize(
    "size, text",
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (24_600, "25 kB"), (3 * 10**15, "3000 TB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    "seconds, text", [(3, "less than a minute"), (170, "about 3 min"), (7200, "about 2.0 hours")]
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_space_that_just_suffices_is_no_finding() -> None:
    assert check_vault_space(1000, 1000, "/vault") == []
    (finding,) = check_vault_space(1000, 999, "/vault")
    assert (finding.id, finding.acknowledgeable) == ("vault-space", True)
    assert "need about 1.0 kB, the vault's folder /vault has 999 bytes free" in finding.message


def test_space_is_looked_for_where_the_vault_will_be(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not" / "yet") == pytest.approx(free_space(tmp_path), rel=0.2)


def test_the_outlook_names_every_end_number_and_assumption(filled: Runner) -> None:
    lines = list(outlook_lines(outlook(filled.open())))
    assert [line.split(":")[0] for line in lines] == [
        *("source", "target", "restore_test"),
        *("to move", "disk needed", "disk free", "time"),
    ]
    for line in lines[:3]:
        assert re.search(r": PostgreSQL \d+\.\d+, role company, database \w+ of [\d.]+ MB$", line)
    assert re.search(r"[\d.]+ MB of rows in 3 tables", lines[3])
    assert "if it packs to 50%" in lines[4]
    assert "on the target's server" in lines[4]
    assert "cannot be seen through SQL" in lines[5]
    assert "less than a minute at 25 MB/s, a stated rate, not measured" in lines[6]


def test_a_vault_that_is_too_small_blocks_until_it_is_acknowledged(
    filled: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "VAULT_BYTES_A_TABLE", 10**18)
    context = filled.open()
    assert [finding.id for finding in check(context)] == ["vault-space"]
    with pytest.raises(PreflightFailed, match="vault-space: the backup will need about"):
        inventory(context)
    accepted = filled.open("run-2", acknowledge=["vault-space"])
    inventory(accepted)
    assert accepted.entries("inventory")[-1].body["acknowledged"] == ["vault-space"]


def test_a_run_with_a_backup_is_not_asked_for_its_space_again(
    filled: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = filled.open()
    backed_up(context)
    monkeypatch.setattr(model, "VAULT_BYTES_A_TABLE", 10**18)
    assert check(context) == []
