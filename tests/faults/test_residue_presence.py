"""Things that leave a doubt by being there: each is seen, named, and seen no more when it is gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from fixtures.residue import (
    CANARY,
    ERASE,
    Site,
    cleaned,
    found,
    lab,
    name,
    now,
    open_window,
    report,
    session,
    site,
)
from handover.errors import Busy, NotReady
from handover.model.residue import Window, check_rewrite_space
from handover.postgres.residue import rewriting, wal
from handover.postgres.residue.cleaning import clean
from handover.postgres.residue.inspecting import inspect, inspect_files
from handover.postgres.residue.rewriting import estimate_rewriting
from handover.postgres.residue.searching import search_files
from handover.postgres.residue.storage import begin

__all__ = ["lab", "site"]

MADE = {
    "publications": ("CREATE PUBLICATION to_others FOR TABLE t", "DROP PUBLICATION to_others"),
    "replicas": (
        "SELECT pg_create_physical_replication_slot('standby')",
        "SELECT pg_drop_replication_slot('standby')",
    ),
    "foreign-tables": (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        " CREATE FOREIGN TABLE f () SERVER s",
        "DROP FOREIGN DATA WRAPPER w CASCADE",
    ),
    "scratch": ("CREATE SCHEMA handover; CREATE TABLE handover.work ()", "DROP SCHEMA handover CASCADE"),
}


def test_what_is_there_is_seen(site: Site) -> None:
    with session(site.admin) as connection:
        done = cleaned(connection)
        for make, _ in MADE.values():
            site.run_as_admin(make)
        try:
            there = report(connection, done)
        finally:
            for _, drop in MADE.values():
                site.run_as_admin(drop)
        gone = report(connection, done)
    for place in MADE:
        assert not there[place].clean and max(there[place].counts.values()) == 1
        assert gone[place].outcome == "not present"


def test_a_subscription_brings_rows_again(site: Site) -> None:
    site.run_as_admin("CREATE SUBSCRIPTION again CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)")
    try:
        with session(site.owner) as connection:
            one = report(connection, cleaned(connection))["publications"]
    finally:
        site.run_as_admin("ALTER SUBSCRIPTION again SET (slot_name = NONE); DROP SUBSCRIPTION again")
    assert one.counts == {"publications": 0, "subscriptions": 1} and "again" in one.reasons[0].en


def test_temporary_tables_of_others_are_counted(site: Site) -> None:
    with psycopg.connect(site.owner) as other, session(site.owner) as connection:
        connection.execute("CREATE TEMP TABLE ours ()")
        done = cleaned(connection)
        assert report(connection, done)["temporary-tables"].outcome == "not present"
        other.execute("CREATE TEMP TABLE theirs AS TABLE t")
        other.commit()
        assert report(connection, done)["temporary-tables"].outcome == "cannot be verified"


def test_temporary_files_are_counted(site: Site) -> None:
    folder = site.cluster.data / "base" / "pgsql_tmp"
    there = folder.exists()
    folder.mkdir(exist_ok=True)
    site.cluster.account.own(folder)
    left = folder / "pgsql_tmp1.0"
    left.write_bytes(CANARY)
    left.chmod(0o644)
    try:
        with session(site.admin) as connection:
            one = report(connection, cleaned(connection))["temporary-files"]
    finally:
        left.unlink()
        if not there:
            folder.rmdir()
    assert one.outcome == "cannot be verified" and one.counts == {"files": 1}


def test_scratch_databases_are_looked_for(site: Site) -> None:
    with session(site.owner) as connection:
        done = cleaned(connection)
        here = str(connection.info.dbname)
        said = {
            one.place: one for one in inspect(connection, done, found, scratch=["handover_scratch_0", here])
        }
    assert said["scratch"].outcome == "not cleared" and f"database {here}" in said["scratch"].reasons[0].en


@contextmanager
def restarted(site: Site, **settings: str) -> Iterator[None]:
    """The lab with other settings, for a while."""
    for setting, value in settings.items():
        site.run_as_admin(f"ALTER SYSTEM SET {setting} = '{value}'")
    site.cluster.stop()
    site.cluster.start()
    try:
        yield
    finally:
        for setting in settings:
            site.run_as_admin(f"ALTER SYSTEM RESET {setting}")
        site.cluster.stop()
        site.cluster.start()


def test_an_archive_keeps_the_log(site: Site) -> None:
    """An archiver that fails keeps segments; one that works has carried them away."""
    site.run(ERASE)
    with restarted(site, archive_mode="on", archive_command="false"):
        with session(site.admin) as connection:
            said = report(connection, cleaned(connection))
        assert said["archives"].outcome == "cannot be verified"
        assert said["wal"].outcome == "not cleared" and "archiver" in said["wal"].reasons[0].en
    with session(site.admin) as connection:
        said = report(connection, cleaned(connection))
        assert said["archives"].outcome == "not present" and said["wal"].outcome == "cleared"


def test_statement_texts_without_the_extension(site: Site) -> None:
    site.run_as_admin("DROP EXTENSION pg_stat_statements")
    with session(site.admin) as connection:
        one = report(connection, cleaned(connection))["statement-texts"]
        assert one.outcome == "cannot be verified" and "does not have the extension" in one.reasons[0].en
    with session(site.owner) as connection:
        one = report(connection, cleaned(connection))["statement-texts"]
        assert "pg_read_all_settings" in one.reasons[0].en


def test_segments_that_nobody_wrote_over_are_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the switches, checkpoints alone leave the bytes in segments kept for later use."""
    site.run(ERASE)
    monkeypatch.setattr(wal, "_switch", lambda _: None)
    monkeypatch.setattr(wal, "present", lambda _: "F" * 16)
    with session(site.admin) as connection:
        done = cleaned(connection)
        monkeypatch.undo()
        assert report(
            connection, done.model_copy(update={"wal": {"first": "0", "last": "0", "switches": 0}})
        )["wal"].counts["with an erased value"]
        assert (
            report(
                connection, done.model_copy(update={"wal": {"first": "0", "last": "F" * 16, "switches": 0}})
            )["wal"]
            .reasons[0]
            .en.startswith("not all")
        )


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("begins", [HOUR, -2 * HOUR])
def test_outside_the_window_nothing_is_locked(site: Site, begins: timedelta) -> None:
    start = now()
    window = Window(begins=start + begins, ends=start + begins + HOUR)
    site.run("DROP MATERIALIZED VIEW m")
    with session(site.owner) as connection:
        begun = begin(connection, [name("t")])
        with pytest.raises(NotReady, match="does not fit the window"):
            clean(connection, begun, window, lambda: start)
        assert begin(connection, [name("t")]).files == begun.files


def test_a_table_that_is_too_large_for_the_rest_of_the_window_waits(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "BYTES_A_SECOND", 1)
    with session(site.owner) as connection, pytest.raises(NotReady, match=r"rewriting public\.t takes"):
        cleaned(connection)


def test_the_end_of_the_window_cancels(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.run("CREATE FUNCTION slow() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(20)'")
    site.run("CREATE MATERIALIZED VIEW z AS SELECT slow() WITH NO DATA")
    with session(site.owner) as connection:
        begun = begin(connection, [name("t")])
        begun = begun.model_copy(update={"views": [name("z")]})
        window = Window(begins=now() - HOUR, ends=now() + timedelta(seconds=0.3))
        with pytest.raises(Busy, match="cancelled when the window ended"):
            clean(connection, begun, window, now)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_a_window_of_months_is_one(site: Site) -> None:
    with session(site.owner) as connection:
        window = Window(begins=now() - HOUR, ends=now() + timedelta(days=90))
        assert clean(connection, begin(connection, [name("t")]), window, now).rewritten[0].dead == 0


def test_a_lock_that_never_comes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "LOCK_SECONDS", 0.2)
    with psycopg.connect(site.owner) as other, session(site.owner) as connection:
        begun = begin(connection, [name("t")])
        other.execute("SELECT FROM m LIMIT 0")
        with pytest.raises(Busy, match="55P03"):
            clean(connection, begun, open_window(), now)
        assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_an_estimate_is_an_upper_bound(site: Site) -> None:
    with session(site.owner) as connection:
        guess = estimate_rewriting(connection, [name("t"), name("not there")])
        assert guess.tables == 2 and guess.bytes == guess.disk > 2_000_000 and guess.wal == 2 * guess.bytes
        assert 0 < guess.longest_lock < guess.seconds < 5
    assert check_rewrite_space(guess, guess.disk + guess.wal) == []
    findings = check_rewrite_space(guess, guess.disk + guess.wal - 1)
    assert [one.id for one in findings] == ["rewrite-space"]


def test_no_setting_of_the_server_is_changed(site: Site) -> None:
    query = "SELECT name, setting, sourcefile FROM pg_settings ORDER BY 1"
    with psycopg.connect(site.admin) as other:
        before = other.execute(query).fetchall()
    with session(site.admin) as connection:
        cleaned(connection)
    with psycopg.connect(site.admin) as other:
        assert other.execute(query).fetchall() == before


def test_a_closed_file_leaves_the_data_directory_in_doubt(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(site.owner) as connection:
        monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError))
        one = inspect_files(connection, site.cluster.data, found)
        assert one.outcome == "cannot be verified" and one.counts["unreadable"] > 100


def test_an_empty_folder_proves_nothing(site: Site, tmp_path: Path) -> None:
    with session(site.owner) as connection:
        assert inspect_files(connection, tmp_path, found).outcome == "cannot be verified"
    with pytest.raises(NotADirectoryError):
        search_files(tmp_path / "absent", found)
