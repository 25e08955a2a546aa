"""Documents of a case: files that lie beside those of its other cases, each below a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handover.errors import CaseInvalid
from handover.stages.context import Context

PIECE = 1 << 20


def read_document(context: Context, name: str) -> Iterator[bytes] | None:
    """Return the pieces of a file by its registered name, None when there is none.

    Raises CaseInvalid for a name that leads out of the case's folder, by a symbolic link for instance.
    """
    folder = (context.settings.documents / context.case.case).resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise CaseInvalid(
            f"document {name} lies outside {folder.name}", hint="put the file itself beside the others"
        )
    return _pieces(path) if path.is_file() else None


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
