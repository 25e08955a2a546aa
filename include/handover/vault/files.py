"""Writing private files so that a crash leaves the whole content or nothing under the final name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from handover.crashpoints import CrashPoint, passing
from handover.errors import Busy, ConfigurationMissing, HandoverError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

# A full disk, a used-up quota and a limit on file sizes end the same way: somebody makes room, then it works.
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def refusal(error: OSError, path: Path, doing: str) -> HandoverError:
    """The typed error for what the operating system refused at ``path``."""
    reason = os.strerror(error.errno).lower() if error.errno else type(error).__name__
    message = f"{path} cannot be {doing}: {reason}"
    if error.errno in _NO_SPACE:
        return Busy(message, hint="free space on this file system, or raise the quota, and try again")
    return ConfigurationMissing(message, hint="check owner, permissions and mount of this folder")


def make_private_folders(folder: Path) -> None:
    """Create ``folder`` and its missing parents with mode 0700; folders that exist are left as they are."""
    if folder.is_dir():
        return
    make_private_folders(folder.parent)
    folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make names that were added to or removed from ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create_private(path: Path) -> int:
    """Open a new file of mode 0600 for writing; an existing one is an error."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)


def write_synced(handle: int, data: bytes) -> None:
    """Write all of ``data`` to an open file and wait until it is on the medium."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    os.fsync(handle)


def replace_private(path: Path, data: bytes) -> None:
    """Put ``data`` under ``path`` in one step, whether or not there was a file; the caller holds a lock."""
    partial = path.with_name(f".{path.name}.new")  # one name: what a killed process left is replaced as well
    partial.unlink(missing_ok=True)
    handle = create_private(partial)
    try:
        write_synced(handle, data)
    finally:
        os.close(handle)
    passing(CrashPoint.KEYRING_UNREPLACED)
    partial.replace(path)
    sync_folder(path.parent)
