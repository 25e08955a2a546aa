"""Searches streams and files for erased values, by bytes: what is compressed or encrypted is not seen.

How a value is recognised is the caller's: a function from bytes to yes or no that knows its forms. A value
that begins in one piece and ends in the next is seen too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from handover.model.residue import FileSearch

Find = Callable[[bytes], bool]
_PIECE = 4 << 20
# Longer than any value that is searched for, in any of its forms.
OVERLAP = 4096


def holds(pieces: Iterable[bytes], find: Find) -> bool:
    """Say whether a value stands anywhere in a stream."""
    before = b""
    for piece in pieces:
        joined = before + piece
        if find(joined):
            return True
        before = joined[-OVERLAP:]
    return False


def search_files(folder: Path, find: Find) -> FileSearch:
    """Search every file below a folder, symbolic links to folders (tablespaces) included.

    CHECKPOINT first: what was dropped is removed then, and what is in memory written.
    """
    if not folder.is_dir():
        raise NotADirectoryError(folder.name)
    total = files = vanished = 0
    hits: list[str] = []
    closed: list[str] = []
    for path in _files(folder, closed):
        name = path.relative_to(folder).as_posix()
        try:
            with path.open("rb") as stream:
                if holds(_read(stream.read), find):
                    hits.append(name)
                total += os.fstat(stream.fileno()).st_size
            files += 1
        except FileNotFoundError:
            vanished += 1
        except OSError:
            closed.append(name)
    return FileSearch(
        files=files, bytes=total, hits=tuple(hits), unreadable=tuple(sorted(closed)), vanished=vanished
    )


def _files(folder: Path, closed: list[str]) -> Iterator[Path]:
    """Yield regular files; a folder that cannot be entered is put with the closed ones."""
    seen: set[str] = set()

    def refuse(problem: OSError) -> None:
        if not isinstance(problem, FileNotFoundError):
            closed.append(os.path.relpath(problem.filename, folder))

    for here, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (path for path in (Path(here, name) for name in sorted(names)) if path.is_file())


def _read(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(_PIECE):
        yield piece
