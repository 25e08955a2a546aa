"""Write-ahead log: every segment that held erased rows is written over; no setting is touched for it.

A checkpoint renames old segments for later use and leaves their bytes in them. A switch to the next segment
fills the rest of the present one with empty pages, so that switching past the last name there is reaches
them all. What keeps old segments (a slot, an archiver that fails, wal_keep_size) shows as an older name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from handover.model.residue import Wal
from handover.postgres.residue.searching import Find, holds
from handover.postgres.session import Connection, fetch

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_TIMELINE = 8  # signs of a name before the segment's number
_PRESENT = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"
_NAMES = "SELECT name FROM pg_ls_waldir()"
# At the start of a segment a switch does nothing, so something is written first.
_SWITCH = "SELECT pg_logical_emit_message(false, 'handover', ''), pg_switch_wal()"
_PIECE = 8 << 20
_READ = "SELECT pg_read_binary_file('pg_wal/' || %s, %s, %s, true)"


def _number(name: str) -> str:
    return name[_TIMELINE:]


def present(connection: Connection) -> str:
    """Return the number of the segment that is being written."""
    return _number(str(fetch(connection, _PRESENT)[0][0]))


def segments(connection: Connection) -> tuple[str, ...]:
    """Return the names of all segments, those kept for later use too."""
    names = (str(name) for (name,) in fetch(connection, _NAMES))
    return tuple(sorted(name for name in names if _SEGMENT.fullmatch(name)))


def overwrite_wal(connection: Connection, going_on: Callable[[], object]) -> Wal:
    """Write over all segments; ``going_on`` is called before each and may raise. The last step of a cleaning.

    The role needs EXECUTE on pg_switch_wal and pg_ls_waldir, and pg_checkpoint.
    """
    _switch(connection)
    first = present(connection)
    connection.execute("CHECKPOINT")
    # Now all that was written before lies in segments of older names, or renamed to later ones.
    last, switches = max(map(_number, segments(connection))), 1
    while present(connection) <= last:
        going_on()
        _switch(connection)
        switches += 1
    connection.execute("CHECKPOINT")
    return Wal(first=first, last=last, switches=switches)


def _switch(connection: Connection) -> None:
    connection.execute(_SWITCH)


def older_segments(connection: Connection, done: Wal) -> int:
    """Count segments from before the overwriting that are still there."""
    return sum(_number(name) < done.first for name in segments(connection))


def segments_with(connection: Connection, find: Find) -> tuple[int, int]:
    """Return how many segments were read over the connection, and how many hold an erased value.

    The role needs EXECUTE on pg_read_binary_file; a segment that vanishes meanwhile is gone.
    """
    names = segments(connection)
    return len(names), sum(holds(_pieces(connection, name), find) for name in names)


def _pieces(connection: Connection, name: str) -> Iterator[bytes]:
    with connection.cursor(binary=True) as cursor:
        at = 0
        while piece := _piece(cursor.execute(_READ, (name, at, _PIECE)).fetchone()):
            yield piece
            at += len(piece)


def _piece(row: tuple[object, ...] | None) -> bytes:
    return bytes(row[0]) if row and isinstance(row[0], bytes | memoryview) else b""
