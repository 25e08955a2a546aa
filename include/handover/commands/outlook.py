"""How `case check` tells what a transfer will take: every number with the assumption behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from handover.model.estimate import BYTES_A_SECOND, VAULT_SHARE, duration_text, size_text

if TYPE_CHECKING:
    from handover.stages.estimating import Outlook


def outlook_lines(found: Outlook) -> Iterator[str]:
    """Yield the lines, each with its subject in front."""
    for end in found.ends:
        server = f"PostgreSQL {end.server.version}, role {end.server.role}"
        yield f"{end.field}: {server}, database {end.server.database} of {size_text(end.size)}"
    footprint, copy = found.footprint, size_text(found.estimate.copy_bytes)
    yield (
        f"to move: {size_text(footprint.rows)} of rows in {footprint.tables} tables, "
        f"{size_text(footprint.large_objects)} of large objects, as they lie on the source's disk"
    )
    yield (
        f"disk needed: vault {size_text(found.estimate.vault)}, if it packs to {VAULT_SHARE:.0%} "
        "(text packs better, pictures not at all); "
        f"target {copy} and its write-ahead log; {_of_restore_test(found, copy)}"
    )
    yield (
        f"disk free: vault {size_text(found.free)} in {found.vault}; "
        "what servers have free cannot be seen through SQL: ask who runs them"
    )
    yield (
        f"time: {duration_text(found.estimate.seconds)} at {BYTES_A_SECOND / 1e6:.0f} MB/s, a stated rate, "
        "not measured here: a whole run with its restore test on two cores that carried both servers; "
        "what Airflow takes to start tasks comes on top"
    )


def _of_restore_test(found: Outlook, copy: str) -> str:
    target, scratch = (end.server.system for end in found.ends if end.field != "source")
    where = "on the target's server, beside the target" if target == scratch else "on its own server"
    return f"restore test another {copy} {where}, until it ends"
