"""Restore test: the backup proves itself in a scratch database that is made from the vault alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
from psycopg import sql

from handover.crashpoints import CrashPoint, passing
from handover.errors import VerificationFailed
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex
from handover.model.plan import Group
from handover.postgres.session import connect, database_errors, with_database
from handover.stages.backup_index import read_index
from handover.stages.comparing import Reader, compare_group, compare_objects
from handover.stages.context import Context
from handover.stages.definitions import keep_definitions
from handover.stages.expectations import profile
from handover.stages.joins import count_joins
from handover.stages.loading import Destination, finish, load_groups, prepare

STEP = "restore-test"


def restore_test(context: Context) -> None:
    """Restore into a scratch database, compare everything, drop it. Raises VerificationFailed."""
    with context.step(STEP) as progress:
        if context.entries("restore-tested"):
            return
        index = read_index(context)
        progress.expect(*index.rows(index.plan.groups()))
        name = scratch_name(context)
        drop_database(context, name)
        kept: dict[str, object] = {}
        try:
            create_database(context, name)
            passing(CrashPoint.SCRATCH_CREATED)
            destination = Destination(with_database(context.scratch, name), STEP)
            differences = restore_and_compare(context, index, destination, progress)
            if not differences:
                kept = keep_definitions(context, index, destination.url)
                # Equal to the source at its snapshot: what is wrong with these rows was wrong before.
                profile(context, index, destination, "source")
                count_joins(context, index, destination.url, "source")
        finally:
            drop_database(context, name)
        body = {"generation": index.state.generation, "differences": differences}
        if differences:
            context.record("restore-test-failed", body)
            raise VerificationFailed(
                "the backup does not restore to what was read:\n  " + "\n  ".join(differences),
                hint="do not trust this backup: start a new run",
                differences=differences,
            )
        rows, size = index.rows(index.plan.groups())
        passing(CrashPoint.RESTORE_TEST_UNRECORDED)
        context.record(
            "restore-tested", body | {"rows": rows, "bytes": size} | kept, key=f"g{index.state.generation}"
        )


def restore_and_compare(
    context: Context, index: BackupIndex, destination: Destination, progress: Meter
) -> list[str]:
    """Fill an empty database from the vault and return how it differs from the backup."""
    prepare(context, index, destination)
    _in_lanes(context, index, lambda groups: load_groups(context, index, destination, groups, progress))
    finish(context, index, destination)
    lines: list[str] = []

    def compare(groups: tuple[Group, ...]) -> None:
        with closing(Reader(destination)) as reader:
            for group in groups:
                lines.extend(compare_group(context, index, reader, group))

    _in_lanes(context, index, compare)
    return lines + compare_objects(context, index, destination)


def _in_lanes(context: Context, index: BackupIndex, work: Callable[[tuple[Group, ...]], None]) -> None:
    """Do the lanes' work side by side in threads; the first failure is raised after all have ended."""
    with ThreadPoolExecutor(context.case.lanes) as pool:
        for future in [pool.submit(work, lane.groups) for lane in index.plan.lanes]:
            future.result()


def scratch_name(context: Context) -> str:
    """Return a database name of this run, within PostgreSQL's 63 bytes."""
    return f"handover_scratch_{context.digest(context.run.encode())[:16]}"


def create_database(context: Context, name: str) -> None:
    """Create the scratch database from template0, so that nothing but the backup is in it."""
    with database_errors("creating the scratch database"), closing(connect(context.scratch)) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
        )


def drop_database(context: Context, name: str) -> None:
    """Drop the scratch database; does nothing when it is not there."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
    with database_errors("dropping the scratch database"), closing(connect(context.scratch)) as connection:
        try:
            # Without FORCE the server itself ends autovacuum's session, which only a superuser may with it.
            connection.execute(drop)
        except psycopg.errors.ObjectInUse:  # a killed attempt's sessions, which are our own
            connection.execute(drop + sql.SQL(" WITH (FORCE)"))
