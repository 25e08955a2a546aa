"""Archiving, sealing and the end of keys, killed at every point and repeated: each happens exactly once."""

import os
import signal
from collections.abc import Callable

import pytest

from fixtures.archived import OLD, ROWS, open_ending
from fixtures.child import start
from fixtures.disposed import Disposing, fill
from fixtures.runs import Runner, backed_up
from handover.archive.bag import PAYLOAD, check_fixity
from handover.archive.rows import rows_of
from handover.archive.sealing import read_archive
from handover.crashpoints import CrashPoint, watch
from handover.errors import KeyUnavailable
from handover.model.approval import Account
from handover.model.archive import Archive
from handover.stages.archive_proof import abandon_archive, archive_faults, verify_archive
from handover.stages.archive_terms import bag_of, held_apart, keys_of, making_of, secrets_of
from handover.stages.archiving import archive_lane, prepare_archive, seal_archive
from handover.stages.context import Context
from handover.stages.custody import SealedArchive, approve
from handover.stages.holding import Matter, hold_subject, open_holder
from handover.stages.key_destruction import ask_destroying, destroy
from handover.stages.restore_test import restore_test
from handover.vault.keyring import KeyState

ANN, BOB = (Account(name=name, id=name) for name in ("ann", "bob"))


@pytest.fixture
def context(runner: Runner) -> Context:
    """A run in one lane, of a source that is filled."""
    return open_ending(fill(runner), lanes=1)


def killed(runner: Runner, stage: str, *arguments: int, point: str) -> None:
    """Let a stage begin, and die at a point."""
    with start(Disposing(**vars(runner)), stage, *arguments, pause_at=f"point:{point}") as child:
        child.reached()
        child.kill()


def killed_here(work: Callable[[], object], point: CrashPoint, count: int = 1) -> None:
    """Do some work in a process that dies at the N-th passing of a point."""
    process = os.fork()
    if process == 0:
        left = [count]

        def die(passed: CrashPoint) -> None:
            left[0] -= passed is point
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            watch(die)
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


def test_archiving_killed_anywhere_and_repeated(context: Context, runner: Runner) -> None:
    backed_up(context)
    restore_test(context)
    killed(runner, "prepare_archive", point="KEYRING_UNREPLACED:3")
    prepare_archive(context)
    assert len(keys_of(context)) == 2 * len(ROWS), "no key is made twice"
    for point in ("ARCHIVED_TABLE_UNRECORDED:3", "LEDGER_ENTRY_UNCOMMITTED:1"):
        killed(runner, "archive_lane", 0, point=point)
    assert archive_lane(context, 0) == sum(ROWS.values())
    tables = [entry.body["table"] for entry in context.entries("archived-table")]
    assert len(tables) == len(set(tables))
    for point in ("ARCHIVE_UNRECORDED:1", "LEDGER_ENTRY_UNCOMMITTED:1"):
        killed(runner, "seal_archive", point=point)
        assert bag_of(context).exists() and not context.entries("archive-sealed")
    digest = seal_archive(context)
    assert check_fixity(bag_of(context), digest) == () and not making_of(context).exists()
    killed(runner, "verify_archive", point="COMPARISON_UNRECORDED:1")
    assert archive_faults(context) == ["archive: not read back"]
    verify_archive(context)
    assert archive_faults(context) == []
    keys_killed_while_they_are_destroyed(context, runner)
    killed_here(lambda: abandon_archive(context), CrashPoint.ARCHIVE_KEY_DESTROYED, 4)
    abandon_archive(context)
    assert {one.state for one in keys_of(context).values()} == {KeyState.DESTROYED}
    assert len(context.entries("key-destroyed")) == 2 * len(ROWS)


def keys_killed_while_they_are_destroyed(context: Context, runner: Runner) -> None:
    """The same request finishes what was begun; what was not to go stays, held rows in one more archive."""
    bag = bag_of(context)
    archive = read_archive(bag)
    there = open_holder(context.settings, context.case.case, runner.urls.__getitem__)
    hold_subject(there, ANN, "3", "s.person", Matter("litigation", "a claim is before the court", "a court"))
    name = ask_destroying(context, ANN, OLD, "T-1", "the period is over", identifying_only=False)
    approve(context, BOB, name)
    for point, count in (
        (CrashPoint.KEYRING_UNREPLACED, 2),
        (CrashPoint.ARCHIVE_UNRECORDED, 1),
        (CrashPoint.HELD_ROWS_UNRECORDED, 1),
        (CrashPoint.HELD_ROWS_RECORDED, 1),
        (CrashPoint.LEDGER_ENTRY_UNCOMMITTED, 1),
    ):
        killed_here(lambda: destroy(context, ANN, name), point, count)
        assert states(context, archive, OLD) == {KeyState.ACTIVE}, "nothing goes before"
    for point, count in ((CrashPoint.KEYRING_UNREPLACED, 2), (CrashPoint.ARCHIVE_KEY_DESTROYED, 1)):
        killed_here(lambda: destroy(context, ANN, name), point, count)
        assert context.entries("archive-keys-destroyed") == []
    assert len(destroy(context, ANN, name).keys) == 2
    (entry,) = context.entries("archive-keys-destroyed")
    assert (entry.body["request"], entry.body["still_open"]) == (name, [])
    secrets = secrets_of(context, archive.terms)
    for part in archive.parts:
        path = bag / PAYLOAD / part.file
        if part.term == OLD:
            with pytest.raises(KeyUnavailable):
                list(rows_of(path, secrets))
        else:
            assert b"".join(rows_of(path, secrets)).count(b"\n") == part.rows
    one_archive_of_held_rows(context)


def states(context: Context, archive: Archive, number: int) -> set[KeyState]:
    """Whether the keys of a term live."""
    keys = keys_of(context)
    (term,) = [one for one in archive.terms.terms if one.number == number]
    return {keys[term.identifying].state, keys[term.other].state}


def one_archive_of_held_rows(context: Context) -> None:
    """What attempts left is gone for good; the last one holds the held row."""
    into = held_apart(context)[OLD]
    made = SealedArchive.of(into)
    assert made.damage() == () and [part.rows for part in made.index.parts] == [1]
    (path,) = [made.bag / PAYLOAD / part.file for part in made.index.parts]
    (row,) = rows_of(path, secrets_of(into, made.index.terms))
    assert row.startswith(b"3\t")
    there = {folder.name for folder in bag_of(context).parent.iterdir()}
    assert {name for name in there if "-held-" in name} == {into.run}
    start = f"{context.case.case}/{context.run}-held-"
    alive = {one.case for one in context.keyring.list() if one.state is KeyState.ACTIVE}
    assert {name.split("/")[1] for name in alive if name.startswith(start)} == {into.run}
