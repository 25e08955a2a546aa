"""Restore drill: a backup and an archive, picked at random, are had again from the vault alone.

Nothing is read at the source. A backup becomes a database, is compared, and what was erased since is erased
again; an archive's rows are loaded and read back. What fails is written down, and fails the drill.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from handover.errors import DataRefused, KeyUnavailable, LedgerRefused, VaultCorrupt, VerificationFailed
from handover.evidence.drill_report import report
from handover.evidence.ledger import Ledger
from handover.evidence.manifest import statement, write_evidence
from handover.evidence.progress import Meter
from handover.postgres.session import connect, database_errors, with_database
from handover.settings import Settings
from handover.stages.backup_index import find_index
from handover.stages.context import Context, Resolver, run_name
from handover.stages.drilling_archives import read_archive_back
from handover.stages.erasures import ABORTED, ARCHIVED, active_backups, past_runs
from handover.stages.loading import Destination
from handover.stages.past_runs import open_past
from handover.stages.restore import restore_again
from handover.stages.restore_test import create_database, drop_database
from handover.vault.keyring import Keyring

STEP = "restore-drill"
DATABASES = "handover_scratch_drill_"
DONE, FAILED, WRITTEN = "drill-done", "drill-failed", "drill-written"
# What a drill is there to find; anything else says nothing about the vault.
FINDINGS = (DataRefused, KeyUnavailable, LedgerRefused, VaultCorrupt, VerificationFailed)


@dataclass(frozen=True)
class Pick:
    """What is tried: the backup or the archive of a run."""

    what: Literal["backup", "archive"]
    case: str
    run: str

    def document(self) -> dict[str, str]:
        """Return it as plain values."""
        return dict(asdict(self))


def candidates(settings: Settings) -> list[Pick]:
    """Return every backup whose key lives, and every archive."""
    keyring = Keyring.open(settings.keyring)
    every = past_runs(Ledger(settings.require("HANDOVER_LEDGER_URL"), keyring.signer()))
    active = active_backups(keyring)
    backups = [Pick("backup", r.case.case, r.run) for r in every if r.is_backed_up and r.name in active]
    kept = [one for one in every if ARCHIVED in one.entries and ABORTED not in one.entries]
    return backups + [Pick("archive", one.case.case, one.run) for one in kept]


def pick(settings: Settings) -> list[Pick]:
    """Return one backup and one archive, at random, where there are any."""
    every = candidates(settings)
    kinds = [[one for one in every if one.what == what] for what in ("backup", "archive")]
    return [secrets.choice(found) for found in kinds if found]


def drill(settings: Settings, picked: Pick, day: date, resolve: Resolver) -> Path:
    """Try one pick; returns the folder of its report. Raises VerificationFailed with what is wrong."""
    context = open_past(settings, picked.case, picked.run, _scratch_only(settings, picked, resolve))
    # Two are tried on one day, it may be at once: each has a run, and by it a database, of its own.
    drill_context = replace(context, run=run_name(f"drill-{day.isoformat()}-{picked.what}-{picked.run}"))
    _drop_left_over(drill_context, day)
    with drill_context.step(STEP, picked.what) as progress:
        begun = time.monotonic()
        found, differences = _tried(context, drill_context, picked, _database(drill_context, day), progress)
        body = {
            **picked.document(),
            **found,
            "milliseconds": round(1000 * (time.monotonic() - begun)),
            "differences": list(differences),
        }
        if differences:
            drill_context.record(FAILED, body)
        else:
            drill_context.record(DONE, body)
        folder = _write(drill_context, body)
        drill_context.record(WRITTEN, {"folder": str(folder), "what": picked.what})
        if differences:
            raise VerificationFailed(
                f"the {picked.what} of run {picked.run} of case {picked.case} cannot be had again:\n  "
                + "\n  ".join(differences),
                hint=f"see {folder}; bring the files back from a copy of the vault, or back up anew now",
                differences=list(differences),
            )
    return folder


def _scratch_only(settings: Settings, picked: Pick, resolve: Resolver) -> Resolver:
    """Return what finds the connection of restore tests and no other: the vault has to do alone."""
    nowhere = open_past(settings, picked.case, picked.run, lambda _: "")
    scratch = nowhere.case.restore_test.connection
    return lambda connection: resolve(connection) if connection == scratch else ""


def _tried(
    context: Context, drill_context: Context, picked: Pick, name: str, progress: Meter
) -> tuple[dict[str, Any], Sequence[str]]:
    """Return what was found in the database of this name, and what is wrong."""
    url = with_database(context.scratch, name)
    work: Callable[[], dict[str, Any]]
    if picked.what == "backup":
        work = lambda: _backup(context, url, progress)  # noqa: E731 (one of two)
    else:
        work = lambda: read_archive_back(context, url, progress)  # noqa: E731
    drop_database(drill_context, name)
    try:
        create_database(drill_context, name)
        return work(), ()
    except FINDINGS as finding:
        told = finding.data.get("differences")
        return {}, [str(line) for line in told] if isinstance(told, list) and told else [finding.message]
    finally:
        drop_database(drill_context, name)


def _database(drill_context: Context, day: date) -> str:
    """Return the name of a drill's database; databases of earlier days come before it."""
    return f"{DATABASES}{day:%Y%m%d}_{drill_context.digest(drill_context.run.encode())[:16]}"


def _drop_left_over(drill_context: Context, day: date) -> None:
    """Drop what killed drills of earlier days left; nothing that somebody is connected to."""
    query = """SELECT datname FROM pg_database d WHERE starts_with(datname, %s) AND datname < %s
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)"""
    names = (DATABASES, f"{DATABASES}{day:%Y%m%d}")
    with (
        database_errors("looking for databases of drills"),
        closing(connect(drill_context.scratch)) as scratch,
    ):
        found = scratch.execute(query, names).fetchall()
    for (name,) in found:
        drop_database(drill_context, str(name))


def _backup(context: Context, url: str, progress: Meter) -> dict[str, Any]:
    index = find_index(context)
    rows, size = index.rows(index.plan.groups())
    progress.expect(rows, size)
    restored = restore_again(context, index, Destination(url, STEP), progress)
    return {
        "rows": rows,
        "bytes": size,
        "definitions": restored.definitions,
        "erased_again": restored.again.document(),
    }


def _write(drill_context: Context, body: dict[str, Any]) -> Path:
    attempts = len(drill_context.entries(DONE, FAILED))
    predicate = {"case": drill_context.case.case, "run": drill_context.run, "status": "drilled", **body}
    return write_evidence(
        drill_context.settings.evidence / drill_context.case.case / f"{drill_context.run}-{attempts}",
        statement=statement([], predicate),
        ledger_lines=drill_context.ledger.lines(drill_context.case.case),
        documents={"restore-drill.md": report(drill_context.run, body).encode()},
        signer=drill_context.keyring.signer(),
    )
