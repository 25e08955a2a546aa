"""Verify: the target is read back and must equal the backup, row by row and object by object.

Every verification is written down, good or bad; only the latest of each group counts at closing.
"""

from __future__ import annotations

from contextlib import closing

from handover.crashpoints import CrashPoint, passing
from handover.errors import DataRefused, VerificationFailed
from handover.evidence.progress import Meter
from handover.model.backup import BackupIndex
from handover.model.plan import Group
from handover.stages.backup_index import read_index
from handover.stages.comparing import Reader, compare_group, compare_objects
from handover.stages.context import Context
from handover.stages.expectations import profile, target_faults
from handover.stages.masking import Masking
from handover.stages.migrate import target_of
from handover.stages.units import OBJECTS, unit_of


def verify_lane(context: Context, number: int) -> int:
    """Read the groups of one lane back; returns their rows. Raises VerificationFailed naming each fault."""
    with context.step("verify", str(number)) as progress:
        index = read_index(context)
        groups = index.plan.lanes[number].groups
        progress.expect(*index.rows(groups))
        differences: list[str] = []
        with closing(Reader(target_of(context), Masking(context, index))) as reader:
            for group in groups:
                found = _compare(context, index, reader, group, progress)
                _write_down(context, index, unit_of(group), found)
                differences += found
        _refuse(differences)
        return index.rows(groups)[0]


def _compare(
    context: Context, index: BackupIndex, reader: Reader, group: Group, progress: Meter
) -> list[str]:
    """Compare one group; a table that is gone or closed to us is a finding like any other."""
    try:
        return compare_group(context, index, reader, group, progress)
    except DataRefused as refused:
        return [refused.message]


def verify_objects(context: Context) -> None:
    """Compare definitions, sequences, views and extensions of the target."""
    with context.step("verify_objects"):
        index = read_index(context)
        differences = compare_objects(context, index, target_of(context))
        _write_down(context, index, OBJECTS, differences)
        _refuse(differences)


def verify_expectations(context: Context) -> None:
    """Hold the target against the suites of the source; a row that fails in one alone came with the move."""
    with context.step("expectations") as progress:
        profile(context, read_index(context), target_of(context), "target", progress)
        _refuse(target_faults(context))


def _write_down(context: Context, index: BackupIndex, unit: str, differences: list[str]) -> None:
    body = {"unit": unit, "generation": index.state.generation, "differences": differences}
    passing(CrashPoint.COMPARISON_UNRECORDED)
    context.record("verified", body)


def _refuse(differences: list[str]) -> None:
    if differences:
        raise VerificationFailed(
            "the target differs from the backup:\n  " + "\n  ".join(differences),
            hint="clear finish with downstream: rows that differ are mended from the backup; an object that "
            "differs is for you to put right (or empty the target and start a new run)",
            differences=differences,
        )
