"""A scheduled backup stores nothing again that the backup before it has; each of them is whole by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fixtures.child import start
from fixtures.contents import contents, run_sql
from fixtures.runs import Runner, backed_up
from handover.errors import KeyUnavailable, VaultCorrupt
from handover.evidence import verifier
from handover.evidence.progress import Meter
from handover.model.backup import ChunkReceipt
from handover.postgres.copying import cut_by_content
from handover.stages import backup_end
from handover.stages.abort import abort_run
from handover.stages.backup import backup_lane
from handover.stages.backup_index import read_index
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.gates import judge
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.restore import restore
from handover.stages.restore_test import restore_test
from handover.stages.scheduled_backups import need_no_approval
from handover.stages.sealing import seal_backup
from handover.stages.tally import tally_source
from handover.vault.store import FolderStore

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.a (id int PRIMARY KEY, t text);
INSERT INTO s.a SELECT n, repeat(md5(n::text), 3) FROM generate_series(1, 3000) n;
CREATE TABLE s.keyless (a int, b text);
INSERT INTO s.keyless SELECT n % 50, repeat('same', 20) FROM generate_series(1, 400) n;
"""
CHANGED = "UPDATE s.a SET t = 'another text' WHERE id = 1500; DELETE FROM s.a WHERE id = 40"
FIELDS: dict[str, Any] = {
    "kind": "backup",
    "transaction": "retention",
    "target": None,
    "lanes": 1,
    "source": {"connection": "src", "schemas": ["s"], "large_objects": False},
}


@pytest.fixture
def world(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner over a small source, cut into many chunks."""
    monkeypatch.setattr("handover.stages.snapshot.POLL_SECONDS", 0.05)
    monkeypatch.setattr("handover.stages.backup.cut_by_content", partial(cut_by_content, limit=12_000))
    run_sql(runner.urls["src"], SOURCE)
    return runner


def proven(world: Runner, run: str) -> Context:
    """A backup as its DAG makes it, complete."""
    context = world.open(run, **FIELDS)
    backed_up(context)
    need_no_approval(context)
    restore_test(context)
    close_run(context)
    assert context.entries("run-closed")[-1].body["status"] == "complete"
    return context


def chunks(context: Context) -> tuple[ChunkReceipt, ...]:
    return read_index(context).chunks


def anew(context: Context) -> list[ChunkReceipt]:
    """The chunks that a backup stored itself."""
    return [chunk for chunk in chunks(context) if chunk.shared is None]


def path(context: Context, chunk: ChunkReceipt) -> Path:
    return context.settings.vault / chunk.object.name


def end(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(backup_end, "legal_day", lambda: backup_end.backup_due(context))
        assert backup_end.backup_end(context)["decryption_fails"]


def restored(context: Context, url: str) -> dict[str, Any]:
    restore(context, url, Meter(context.ledger_url, (context.case.case, context.run, "restore", "")))
    return contents(url)


def test_only_what_changed_is_stored(
    world: Runner, target_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = proven(world, "run-1")
    assert len(anew(first)) == len(chunks(first)) > 20
    before = contents(world.urls["src"])
    second = proven(world, "run-2")
    assert anew(second) == []
    assert second.last("backup-sealed", "seal").body["chunks_shared"] == len(chunks(second))
    run_sql(world.urls["src"], CHANGED)
    after = contents(world.urls["src"])
    third = proven(world, "run-3")
    assert 0 < len(anew(third)) <= 4, "the chunks of two rows, and what their cuts moved"
    assert {chunk.shared.run for chunk in chunks(third) if chunk.shared} == {"run-1"}
    inodes = {path(third, chunk).stat().st_ino for chunk in chunks(third)}
    kept = {path(first, chunk).stat().st_ino for chunk in chunks(first)}
    assert len(inodes - kept) == len(anew(third)), "one file under several names"
    for context in (first, second, third):
        report = verifier.verify(evidence(context), context.settings.vault)
        assert [finding.code for finding in report.findings] == []
    each_ends_alone(first, second, third, monkeypatch)
    assert restored(third, target_database("third")) == after != before


def evidence(context: Context) -> Path:
    return Path(context.entries("evidence-written")[-1].body["folder"])


def each_ends_alone(first: Context, second: Context, third: Context, monkeypatch: Any) -> None:
    """The file outlives the backup that sealed it, its key, and the one in between."""
    shared = next(chunk for chunk in chunks(third) if chunk.shared)
    for context in (second, first):
        end(context, monkeypatch)
        assert list(context.store.list(f"{context.case.case}/{context.run}/")) == []
        with pytest.raises(KeyUnavailable):
            context.keyring.key(context.backup_key_id)
        assert third.get_chunk(read_index(third).state.generation, shared)
    assert path(third, shared).stat().st_nlink == 1


def test_its_own_key_opens_what_it_shares_and_no_other(
    world: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = proven(world, "run-1"), proven(world, "run-2")
    shared = next(chunk for chunk in chunks(second) if chunk.shared)
    mine = next(chunk for chunk in chunks(first) if chunk.digest == shared.digest)
    generation, same_file = read_index(first).state.generation, {"object": mine.object}
    assert first.get_chunk(generation, shared.model_copy(update=same_file))
    foreign = shared.shared.model_copy(update={"key_id": first.backup_key_id})  # type: ignore[union-attr]
    with pytest.raises(KeyUnavailable, match="does not open"):
        first.get_chunk(generation, mine.model_copy(update={"shared": foreign}))
    end(second, monkeypatch)
    with pytest.raises(KeyUnavailable, match="was destroyed"):
        first.get_chunk(generation, shared.model_copy(update=same_file))
    assert first.get_chunk(generation, mine)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def lose(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [flip, cut, lose])
def test_what_is_damaged_is_stored_anew(world: Runner, damage: Callable[[Path], None]) -> None:
    first = proven(world, "run-1")
    victim = next(chunk for chunk in chunks(first) if chunk.rows > 10)
    damage(path(first, victim))
    second = proven(world, "run-2")
    assert [chunk.digest for chunk in anew(second)] == [victim.digest]
    assert proven(world, "run-3").last("backup-sealed", "seal").body["chunks_shared"] == len(chunks(second))


def test_a_damaged_file_is_named_in_both_by_what_happened_to_it(world: Runner) -> None:
    first, second = proven(world, "run-1"), proven(world, "run-2")
    mine, theirs = chunks(first)[3], chunks(second)[3]
    flip(path(first, mine))
    report = verifier.verify(evidence(second), second.settings.vault)
    found = {(finding.code, finding.where) for finding in report.findings}
    assert found == {("changed", f"vault/{theirs.object.name}")}
    with pytest.raises(VaultCorrupt):
        read_all(second)


def read_all(context: Context) -> None:
    for chunk in chunks(context):
        context.get_chunk(read_index(context).state.generation, chunk)


def test_an_index_that_is_damaged_makes_a_whole_backup(world: Runner) -> None:
    first = proven(world, "run-1")
    flip(first.settings.vault / first.last("backup-sealed", "seal").body["index"]["name"])
    second = proven(world, "run-2")
    assert len(anew(second)) == len(chunks(second))


def test_what_was_taken_back_is_not_shared(world: Runner) -> None:
    unclosed = world.open("run-1", **FIELDS)
    backed_up(unclosed)
    second = world.open("run-2", **FIELDS)
    backed_up(second)
    assert anew(second) == [], "a backup is shared as soon as it is sealed"
    abort_run(unclosed)
    third = world.open("run-3", **FIELDS)
    backed_up(third)
    assert {chunk.shared.run for chunk in chunks(third) if chunk.shared} == {"run-1"}
    restore_test(third)
    abort_run(second)
    read_all(third)


def test_no_hard_links_no_sharing(world: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    proven(world, "run-1")
    monkeypatch.setattr("handover.vault.store.FolderStore.share", lambda *names: False)
    second = proven(world, "run-2")
    assert len(anew(second)) == len(chunks(second))


def test_a_transfer_shares_nothing(world: Runner) -> None:
    proven(world, "run-1")
    other = world.open("run-2", lanes=1)
    backed_up(other)
    assert all(chunk.shared is None for chunk in chunks(other))


def test_a_backup_that_ends_meanwhile_is_not_shared(world: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files have second names already, its key is gone: what was read is stored."""
    first = proven(world, "run-1")
    share = FolderStore.share

    def shared_too_late(store: FolderStore, name: str, other: str) -> bool:
        done = share(store, name, other)
        if not first.entries("backup-ended"):
            end(first, monkeypatch)
        return done

    with monkeypatch.context() as slow:
        slow.setattr(FolderStore, "share", shared_too_late)
        second = proven(world, "run-2")
    assert len(anew(second)) == len(chunks(second))
    names = set(second.store.list(f"{second.case.case}/run-2/"))
    assert len([name for name in names if "/t0" in name]) == len(chunks(second)), "nothing unread is left"


@pytest.mark.parametrize("count", [1, 5])
def test_killed_between_file_and_receipt(world: Runner, count: int) -> None:
    """A shared file without a receipt is debris, and goes; nothing of the backup before it does."""
    first = proven(world, "run-0")
    context = world.open("run-1", **FIELDS)
    inventory(context)
    plan(context)
    judge(context, "execution")
    with start(world, "hold_snapshot") as holder:
        with start(world, "backup_lane", 0, pause_at=f"point:FILE_UNRECORDED:{count}") as lane:
            lane.reached()
            lane.kill()
        tally_source(context)
        backup_lane(context, 0)
        assert seal_backup(context).chunks
        holder.done()
    assert context.last("backup-sealed", "seal").body["debris_removed"] == 1
    restore_test(context)
    assert anew(context) == []
    rows = [name for name in context.store.list(f"{context.case.case}/run-1/") if "/t0" in name]
    assert sorted(rows) == sorted(chunk.object.name for chunk in chunks(context))
    read_all(first)
