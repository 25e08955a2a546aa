"""Clusters of this machine: closed by default, idempotent, and clear about what went wrong."""

import stat
from pathlib import Path

import psycopg
import pytest

from handover.local import ServiceFailed
from handover.local.clusters import Cluster
from handover.local.ports import free_block


def test_wrong_password_is_refused(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{cluster.port}/postgres")


def test_passwords_are_kept_as_scram_verifiers_and_pages_have_checksums(cluster: Cluster) -> None:
    with psycopg.connect(cluster.admin_url()) as connection:
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
        assert all(password.startswith("SCRAM-SHA-256$") for (password,) in stored)
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
        # Only the tests' own clusters forgo it; what we write into a cluster's configuration does not.
        turned_off_in = "SELECT sourcefile FROM pg_settings WHERE name = 'fsync'"
        assert str(connection.execute(turned_off_in).fetchone()[0]).endswith("postgresql.auto.conf")
    lines = (cluster.data / "postgresql.conf").read_text().splitlines()
    assert not [line for line in lines if line.startswith("fsync")]


def test_databases_differ_between_clusters_and_belong_to_an_ordinary_role(database, target_database) -> None:
    for url in (database("shop"), target_database("shop")):
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT current_user, rolsuper, rolcreatedb, datcollate FROM pg_roles, pg_database"
                " WHERE rolname = current_user AND datname = current_database()"
            ).fetchone()
            assert row == ("company", False, True, "C")


def test_files_are_closed_to_others(cluster: Cluster) -> None:
    assert stat.S_IMODE(cluster.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((cluster.folder / "superuser.password").stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.log.stat().st_mode) == 0o600


def test_start_and_stop_can_be_repeated(cluster_home: Path) -> None:
    cluster = Cluster.at(cluster_home, "repeated", free_block(1))
    cluster.create()
    cluster.create()
    assert not cluster.is_running()
    cluster.start()
    cluster.start()
    assert cluster.is_running()
    cluster.stop()
    cluster.stop()
    assert not cluster.is_running()


def test_a_failing_start_names_the_log(cluster: Cluster, cluster_home: Path) -> None:
    rival = Cluster.at(cluster_home, "rival", cluster.port)
    rival.create()
    with pytest.raises(ServiceFailed) as failure:
        rival.start()
    assert str(rival.log) in failure.value.hint
    assert "could not create any TCP/IP sockets" in rival.log.read_text()


def test_what_cannot_be_looked_at_is_not_taken_for_stopped(cluster: Cluster, cluster_home: Path) -> None:
    programs = cluster_home / "broken-programs"
    programs.mkdir(mode=0o755)
    (programs / "pg_ctl").write_text("#!/bin/sh\necho 'no processes left' >&2; exit 1\n")
    (programs / "pg_ctl").chmod(0o755)
    with pytest.raises(ServiceFailed, match="could not be looked at: no processes left"):
        Cluster(cluster.folder, cluster.port, programs).stop()
