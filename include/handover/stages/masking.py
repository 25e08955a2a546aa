"""Masking: chunks of the backup as they arrive at the target, with pseudonyms where the plan says so.

What a chunk becomes is recorded before it is loaded. It depends on nothing but the chunk and the keys of its
domains, so that an attempt that is repeated arrives at the same, and another result is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from psycopg import sql

from handover.crashpoints import CrashPoint, passing
from handover.model.backup import BackupIndex, ChunkReceipt
from handover.model.masking import MaskedColumn
from handover.model.plan import TablePlan
from handover.postgres.copying import copy_into, cut_by_size, read_rows
from handover.postgres.session import Connection, qualified
from handover.pseudonymise.chunks import MaskedChunk, TableMask
from handover.stages.context import Context
from handover.stages.pseudonyms import mask_of

MASKED = "chunk-masked"
_WRITTEN = sql.SQL("pg_temp.handover_written")


@dataclass
class Masking:
    """Masks the chunks of a run; ``index`` names tables and generation."""

    context: Context
    index: BackupIndex
    _masks: dict[str, TableMask] = field(default_factory=dict)
    _digests: dict[str, str] | None = None

    def arriving(self, connection: Connection, table: TablePlan, raw: bytes) -> MaskedChunk:
        """Return the rows of a chunk as they arrive; in a transaction of the target that is open."""
        return self._mask(table).of(raw, lambda columns, rows: _as_written(connection, table, columns, rows))

    def record(self, table: TablePlan, receipt: ChunkReceipt, made: MaskedChunk) -> None:
        """Write down what a chunk becomes, once; LedgerRefused when it was another thing before."""
        body = {
            "generation": self.index.state.generation,
            "unit": receipt.unit,
            "table": table.label,
            "rows": receipt.rows,
            "digest": self.context.digest(hashlib.sha256(made.data).digest()),
            "counts": made.counts,
        }
        self.context.record(MASKED, body, key=f"g{self.index.state.generation}/{receipt.unit}")
        passing(CrashPoint.MASKED_UNLOADED)

    def digest(self, receipt: ChunkReceipt) -> str:
        """Return the keyed digest of a chunk as it was sent to the target; empty when it never was."""
        if self._digests is None:
            entries = (entry.body for entry in self.context.entries(MASKED))
            self._digests = {
                str(body["unit"]): str(body["digest"])
                for body in entries
                if body["generation"] == self.index.state.generation
            }
        return self._digests.get(receipt.unit, "")

    def _mask(self, table: TablePlan) -> TableMask:
        if table.id not in self._masks:
            self._masks[table.id] = mask_of(self.context, table.columns, table.masked)
        return self._masks[table.id]


def _as_written(
    connection: Connection, table: TablePlan, columns: tuple[MaskedColumn, ...], rows: bytes
) -> bytes:
    """Return COPY text of some columns as the server writes it: 1985-01-01 in a timestamp has a time."""
    names = [column.column for column in columns]
    listed = sql.SQL(", ").join(map(sql.Identifier, names))
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE handover_written ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
        ).format(listed, qualified(table.schema_name, table.name))
    )
    connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN handover_place bigserial").format(_WRITTEN))
    copy_into(connection, _WRITTEN, names, "text", rows)
    query = sql.SQL("SELECT {} FROM {} ORDER BY handover_place").format(listed, _WRITTEN)
    written = b"".join(chunk.data for chunk in cut_by_size(read_rows(connection, query, "text")))
    connection.execute(sql.SQL("DROP TABLE {}").format(_WRITTEN))
    return written
