"""What a backup holds: receipts of its chunks and the state that belongs to its snapshot."""

from __future__ import annotations

from functools import cached_property

from handover.model.base import Frozen
from handover.model.catalog import Extension, Sequence
from handover.model.plan import Group, Plan, ScopedTable


class ObjectRef(Frozen):
    """An object in the vault as it was written."""

    name: str
    size: int
    sha256: str


class Shared(Frozen):
    """How a chunk is opened whose object was sealed for an earlier backup.

    ``place`` as in its label; ``wrapped_key``: its data key under the key of the later backup, base64.
    """

    run: str
    generation: int
    place: str
    chunk: int
    key_id: str
    wrapped_key: str


class ChunkReceipt(Frozen):
    """One backed-up chunk. ``digest`` is keyed; ``bytes`` counts the plain COPY stream."""

    table: str
    group: int
    chunk: int
    rows: int
    bytes: int
    digest: str
    object: ObjectRef
    shared: Shared | None = None

    @property
    def place(self) -> str:
        """Return the table and group that its label names."""
        return f"{self.table}/{self.group}"

    @property
    def unit(self) -> str:
        """Return the chunk's name among the receipts of a run."""
        return f"{self.table}/{self.group}/{self.chunk}"


class ViewReceipt(Frozen):
    """What a materialised view must hold after a refresh over the snapshot's rows.

    ``digest`` is empty for a view over other ones: it is compared with its own definition where it lies.
    """

    schema_name: str
    name: str
    populated: bool
    rows: int
    digest: str


class KeptKeys(Frozen):
    """A table's rows in scope under the snapshot; ``objects`` hold its keys where a session needs them."""

    scoped: ScopedTable
    objects: tuple[ObjectRef, ...] = ()


class SnapshotState(Frozen):
    """What was read under the snapshot beside the rows; ``major`` is the source's version, as in 18.

    ``view_settings`` are those of the source's own sessions, under which its views are filled. ``keys``: the
    tables of a scope, none where every row of every table was read.
    """

    generation: int
    plan_digest: str
    major: int
    snapshot: str
    backend: int
    schema_object: ObjectRef
    large_objects_object: ObjectRef
    sequences: tuple[Sequence, ...]
    views: tuple[ViewReceipt, ...]
    view_settings: dict[str, str]
    extensions: tuple[Extension, ...]
    keys: tuple[KeptKeys, ...] = ()


class BackupIndex(Frozen):
    """Everything a restore needs beside the keyring. Bounds can be personal: it lies encrypted."""

    case: str
    run: str
    plan: Plan
    bounds: dict[str, tuple[tuple[str, ...], ...]]
    state: SnapshotState
    chunks: tuple[ChunkReceipt, ...]

    def of(self, group: Group) -> list[ChunkReceipt]:
        """Return the chunks of a group in the order of its stream."""
        return self._by_group.get((group.table, group.number), [])

    @cached_property
    def _by_group(self) -> dict[tuple[str, int], list[ChunkReceipt]]:
        found: dict[tuple[str, int], list[ChunkReceipt]] = {}
        for receipt in sorted(self.chunks, key=lambda c: c.chunk):
            found.setdefault((receipt.table, receipt.group), []).append(receipt)
        return found

    def rows(self, groups: list[Group] | tuple[Group, ...]) -> tuple[int, int]:
        """Return rows and plain bytes of some groups."""
        mine = [receipt for group in groups for receipt in self.of(group)]
        return sum(c.rows for c in mine), sum(c.bytes for c in mine)
