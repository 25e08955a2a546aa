"""What a scheduled backup need not store again: chunks that the backup before it has, to the last byte.

Such a chunk is the same file under a second name, in the folder of the later backup. Its data key is wrapped
anew, under the key of that backup: each of the two can end, and the other is whole.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from handover.errors import KeyUnavailable, VaultCorrupt
from handover.model.backup import BackupIndex, ChunkReceipt, ObjectRef, Shared
from handover.model.catalog import Table
from handover.postgres.ordering import Bound
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.erasures import SEALED, past_runs
from handover.vault.segment import read_header, rewrap

# A group with so many times the rows of a mean one has grown: then bounds are drawn anew.
UNEVEN = 3


@dataclass(frozen=True)
class Earlier:
    """The newest backup of the source that lives, made by ``context``; ``chunks`` by their digests."""

    context: Context
    index: BackupIndex
    chunks: Mapping[str, ChunkReceipt]

    def bounds_of(self, table: Table) -> list[Bound] | None:
        """Return the bounds by which it read a table, if they still part it evenly: cuts come again."""
        before = next((one for one in self.index.plan.tables if one.label == table.label), None)
        if before is None or before.key != table.key or table.label not in self.index.bounds:
            return None
        rows = [self.index.rows([one])[0] for one in self.index.plan.groups() if one.table == before.id]
        uneven = max(rows) * len(rows) > UNEVEN * sum(rows)
        return None if uneven else list(self.index.bounds[table.label])

    def share(
        self, later: Context, generation: int, digest: str, data: bytes, name: str
    ) -> tuple[ObjectRef, Shared] | None:
        """Give a later backup the chunk of these bytes, if there is one; returns how it is opened there.

        None also when this backup has just ended, or the chunk is damaged.
        """
        theirs = self.chunks.get(digest)
        shared_name = later.object_name(generation, name)
        if theirs is None or not later.store.share(theirs.object.name, shared_name):
            return None
        reference = theirs.object.model_copy(update={"name": shared_name})
        with suppress(KeyUnavailable, VaultCorrupt):  # what is damaged an audit names; here it is stored anew
            under_its_new_name = theirs.model_copy(update={"object": reference})
            if self.context.get_chunk(self.index.state.generation, under_its_new_name) == data:
                return reference, self._rewrapped(later, theirs, reference)
        later.store.delete(shared_name)
        return None

    def _rewrapped(self, later: Context, theirs: ChunkReceipt, reference: ObjectRef) -> Shared:
        before = theirs.shared or self._as_sealed(theirs, reference)
        keyring, key_id = later.keyring, later.backup_key_id
        wrapped = rewrap(
            base64.b64decode(before.wrapped_key),
            before.key_id,
            keyring.key(before.key_id),
            keyring.key(key_id),
            reference.name,
        )
        return before.model_copy(update={"key_id": key_id, "wrapped_key": base64.b64encode(wrapped).decode()})

    def _as_sealed(self, theirs: ChunkReceipt, reference: ObjectRef) -> Shared:
        header = read_header(self.context.store.get(reference.name), reference.name)
        return Shared(
            run=self.context.run,
            generation=self.index.state.generation,
            place=theirs.place,
            chunk=theirs.chunk,
            key_id=header.key_id,
            wrapped_key=base64.b64encode(header.wrapped_key).decode(),
        )


def earlier_backup(context: Context) -> Earlier | None:
    """Return the newest backup of the source that can be read; none for a run that is no scheduled backup."""
    if context.case.kind != "backup":
        return None
    found = {
        sealed.seq: one.context(context)
        for one in past_runs(context.ledger)
        if (one.case.case, one.case.kind) == (context.case.case, "backup")
        and one.is_backed_up
        and (sealed := one.last(SEALED))
    }
    for _, made_by in sorted(found.items(), reverse=True):
        with suppress(KeyUnavailable, VaultCorrupt):  # an audit says so of it
            index = read_index(made_by)
            return Earlier(made_by, index, {chunk.digest: chunk for chunk in index.chunks})
    return None
