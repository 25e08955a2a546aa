"""A vault file that was flipped, cut, lost or swapped is found by the restore test and named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.contents import contents, objects
from fixtures.runs import Runner, backed_up
from handover.errors import VaultCorrupt
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.migrate import finish_target, migrate_lane, prepare_target
from handover.stages.restore_test import restore_test


@pytest.fixture
def backup(world: Runner) -> Context:
    """A run with a sealed backup."""
    context = world.open()
    backed_up(context)
    return context


def flip(path: Path, other: Path) -> None:
    """One bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_header(path: Path, other: Path) -> None:
    """One bit at the start."""
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)


def cut(path: Path, other: Path) -> None:
    """The last byte."""
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path, other: Path) -> None:
    """All of it."""
    path.write_bytes(b"")


def lengthen(path: Path, other: Path) -> None:
    """A byte too many."""
    path.write_bytes(path.read_bytes() + b"\0")


def lose(path: Path, other: Path) -> None:
    """The file."""
    path.unlink()


def swap(path: Path, other: Path) -> None:
    """The names of two files."""
    aside = path.with_suffix(".aside")
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def replace_by_link(path: Path, other: Path) -> None:
    """A link to another file."""
    path.unlink()
    path.symlink_to(other)


DAMAGE = [flip, flip_header, cut, empty, lengthen, lose, swap, replace_by_link]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damaged_chunk(backup: Context, damage: Callable[[Path, Path], None]) -> None:
    chunks = read_index(backup).chunks
    name, other = chunks[3].object.name, chunks[4].object.name
    check_refused(backup, damage, name, other)


@pytest.mark.parametrize("damage", [flip, lose], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", ["index", "schema", "large-objects"])
def test_damaged_file_beside_the_chunks(
    backup: Context, damage: Callable[[Path, Path], None], kind: str
) -> None:
    index = read_index(backup)
    names = {
        "index": str(backup.last("backup-sealed", "seal").body["index"]["name"]),
        "schema": index.state.schema_object.name,
        "large-objects": index.state.large_objects_object.name,
    }
    check_refused(backup, damage, names[kind], index.chunks[0].object.name)


def check_refused(context: Context, damage: Callable[[Path, Path], None], name: str, other: str) -> None:
    """The restore test names the file and leaves nothing."""
    vault = context.settings.vault
    before = objects(context.target)
    damage(vault / name, vault / other)
    with pytest.raises(VaultCorrupt) as caught:
        restore_test(context)
    assert name in str(caught.value) or (damage is swap and other in str(caught.value))
    assert not context.entries("restore-tested")
    assert objects(context.target) == before


def test_chunk_damaged_after_the_restore_test(backup: Context) -> None:
    """The migration reads the vault again and trusts nothing that was proven before."""
    restore_test(backup)
    prepare_target(backup)
    chunk = read_index(backup).chunks[-1]
    path = backup.settings.vault / chunk.object.name
    whole = path.read_bytes()
    flip(path, path)
    lane = next(x.number for x in backup.plan().lanes for g in x.groups if g.table == chunk.table)
    with pytest.raises(VaultCorrupt, match=Path(chunk.object.name).name):
        migrate_lane(backup, lane)
    path.write_bytes(whole)
    for number in range(len(backup.plan().lanes)):
        migrate_lane(backup, number)
    finish_target(backup)
    assert contents(backup.target) == contents(backup.source)


def test_valid_file_of_another_run(world: Runner, backup: Context) -> None:
    """Sealed by the same key, for the same case and table, but not what the receipt names."""
    other = world.open("run-2")
    backed_up(other)
    mine, theirs = read_index(backup).chunks[0].object.name, read_index(other).chunks[0].object.name
    vault = backup.settings.vault
    (vault / mine).write_bytes((vault / theirs).read_bytes())
    with pytest.raises(VaultCorrupt, match="belongs elsewhere") as caught:
        restore_test(backup)
    assert mine in str(caught.value)
