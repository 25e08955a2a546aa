"""Cleaning, proof, the backup's end and the certificate, killed at every point and repeated: told once."""

import pytest

from fixtures.child import start
from fixtures.disposed import Disposing, fill
from fixtures.erased import gone, nowhere, open_erasing
from fixtures.runs import Runner
from handover.evidence.tombstones import count_tombstones
from handover.evidence.verifier import verify
from handover.stages.backup_end import backup_end
from handover.stages.certifying import certificate_faults, issue_certificate
from handover.stages.clean_residue import clean_residue, residue_lines
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.proving import prove, prove_faults
from handover.stages.tombstones import known, write_tombstones

TOMBSTONES = 28
CALL = (b"1", b"2026-01-26")


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    return fill(runner)


def killed(company: Disposing, stage: str, point: str) -> None:
    """Let a stage begin, and die at a point."""
    with start(company, stage, pause_at=f"point:{point}") as child:
        child.reached()
        child.kill()


def test_killed_anywhere_and_repeated_it_ends_as_if_nothing_had_been(company: Disposing) -> None:
    context = open_erasing(company, lanes=1)
    gone(context)
    cleaning_goes_on_where_it_was(company, context)
    killed(company, "prove", "PROVED_UNRECORDED:1")
    assert prove_faults(context) != []
    prove(context, nowhere)
    killed(company, "write_tombstones", "TOMBSTONES_UNRECORDED:1")
    write_tombstones(context)
    assert count_tombstones(context.ledger_url, "test-transfer", "run-1") == TOMBSTONES
    assert certificate_faults(context) == []
    close_run(context)
    the_backup_ends_once(company, context)
    killed(company, "issue_certificate", "EVIDENCE_UNRECORDED:1")
    folder = issue_certificate(context)
    assert folder.name == "run-1-certificate-2"
    assert verify(folder).ok


def cleaning_goes_on_where_it_was(company: Disposing, context: Context) -> None:
    """A table that was rewritten is not rewritten again; measured is the state before the first try."""
    for point in ("REWRITTEN_RECORDED:2", "RESIDUE_UNRECORDED:1"):
        killed(company, "clean_residue", point)
        assert residue_lines(context) == ()
    clean_residue(context)
    (begun,) = context.entries("residue-begun")
    tables = [e.body["done"]["table"] for e in context.entries("residue-rewritten")]
    own = [(one["schema_name"], one["name"]) for one in tables if one["schema_name"] == "s"]
    assert (
        sorted(own) == sorted(set(own)) == sorted((t["schema_name"], t["name"]) for t in begun.body["tables"])
    )
    lines = {line.place: line.outcome for line in residue_lines(context)}
    assert (lines["heap"], lines["toast"], lines["indexes"]) == ("cleared",) * 3


def the_backup_ends_once(company: Disposing, context: Context) -> None:
    """Killed between key, files, ledger and tombstones, the same end is told."""
    for point in ("BACKUP_KEY_DESTROYED:1", "BACKUP_EMPTIED:1", "TOMBSTONE_KEY_DESTROYED:1"):
        killed(company, "backup_end", point)
    done = backup_end(context)
    assert done["decryption_fails"]
    for kind in ("backup-key-destroyed", "backup-ended", "tombstones-destroyed"):
        assert len(context.entries(kind)) == 1
    assert list(context.store.list("test-transfer/run-1/")) == []
    assert count_tombstones(context.ledger_url, "test-transfer", "run-1") == 0
    assert known(context, "s.call", [CALL]) == [False]
