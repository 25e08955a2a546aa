"""Object store of the vault: whole objects under unique names, never changed once they are there.

``put`` gives an object its name only when all of its bytes are on the medium, and never replaces one, so
a name that exists stands for a complete object. What was read back is not trusted before its digest or
its seal was checked by the caller.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from handover.crashpoints import CrashPoint, passing
from handover.errors import VaultCorrupt
from handover.vault.files import create_private, make_private_folders, refusal, sync_folder, write_synced

PARTIAL = ".partial-"
# What ext4, xfs and S3 all accept.
_LONGEST_NAME = 1024
_LONGEST_PART = 255
# No such object; no hard links here, none to files of others, not over file systems, no more to this file.
_NOT_SHARED = frozenset({errno.ENOENT, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV, errno.EMLINK})


@dataclass(frozen=True)
class StoredObject:
    """An object as it was written: what a receipt says about it."""

    name: str
    size: int
    sha256: str


class Store(Protocol):
    """Whole objects under relative POSIX names."""

    def put(self, name: str, data: bytes) -> StoredObject:
        """Store a new object; an existing name is refused."""
        ...

    def get(self, name: str) -> bytes:
        """The object's bytes; a missing one is VaultCorrupt."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Names that start with ``prefix``, in order."""
        ...

    def share(self, name: str, other: str) -> bool:
        """Give an object another name beside its own, each to be deleted alone, without storing it again.

        False where that cannot be had: the object is gone, or the medium knows no second names.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove an object; a missing one is VaultCorrupt."""
        ...

    def size(self, name: str) -> int:
        """The object's length in bytes."""
        ...

    def remove_partial(self) -> int:
        """Remove what interrupted puts left; returns how many there were."""
        ...


def check_name(name: str) -> str:
    """The name itself, if it cannot leave the store and is no name of a half-written object."""
    parts = name.split("/")
    if not name.isprintable() or "\\" in name or any(part in ("", ".", "..") for part in parts):
        problem = "must be a relative path of printable characters without '.', '..' or a backslash"
    elif any(part.startswith(PARTIAL) for part in parts):
        problem = f"must not start with {PARTIAL}"
    elif len(name.encode()) > _LONGEST_NAME or any(len(part.encode()) > _LONGEST_PART for part in parts):
        problem = f"is longer than {_LONGEST_NAME} bytes, or one of its parts than {_LONGEST_PART}"
    else:
        return name
    raise VaultCorrupt(
        f"the object name {name!a} is not allowed: it {problem}",
        hint="do not edit manifests or ledgers; names are made by the backup",
        object=name,
    )


class FolderStore:
    """A store in a local folder (0700, files 0600)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, data: bytes) -> StoredObject:
        """Write beside, sync, link without replacing, sync the folder."""
        path = self._path(name)
        try:
            make_private_folders(path.parent)
            self._publish(path, data)
            sync_folder(path.parent)
        except OSError as error:
            raise refusal(error, path, "written") from error
        return StoredObject(name, len(data), hashlib.sha256(data).hexdigest())

    def share(self, name: str, other: str) -> bool:
        """Add a hard link: the bytes stay until the last of their names is deleted."""
        path = self._path(other)
        try:
            make_private_folders(path.parent)
            os.link(self._path(name), path, follow_symlinks=False)
            sync_folder(path.parent)
        except OSError as error:
            if error.errno in _NOT_SHARED:
                return False
            raise refusal(error, path, "written") from error
        return True

    def get(self, name: str) -> bytes:
        """Read a whole object; links are not followed."""
        path = self._path(name)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(handle, "rb") as source:
                return source.read()
        except OSError as error:
            raise self._unreadable(name, error) from error

    def list(self, prefix: str) -> Iterator[str]:
        """Names of complete objects that start with ``prefix``, in order."""
        for path in sorted(self._files(), key=lambda path: path.relative_to(self.root).as_posix()):
            name = path.relative_to(self.root).as_posix()
            if name.startswith(prefix) and not path.name.startswith(PARTIAL):
                yield name

    def delete(self, name: str) -> None:
        """Unlink an object; says nothing about what the medium still holds."""
        path = self._path(name)
        try:
            path.unlink()
            sync_folder(path.parent)
        except OSError as error:
            raise self._unreadable(name, error) from error

    def size(self, name: str) -> int:
        """Length in bytes as the file system knows it."""
        try:
            return self._path(name).lstat().st_size
        except OSError as error:
            raise self._unreadable(name, error) from error

    def remove_partial(self) -> int:
        """Remove what interrupted puts left; a put that is still running holds a lock and is left alone."""
        leftovers = [path for path in self._files() if path.name.startswith(PARTIAL)]
        return sum(_remove_unlocked(path) for path in leftovers)

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)

    def _files(self) -> Iterator[Path]:
        if not self.root.exists():
            return
        for folder, _, files in os.walk(self.root, onerror=_unlisted):
            yield from (Path(folder) / name for name in files)

    def _publish(self, path: Path, data: bytes) -> None:
        partial = path.parent / f"{PARTIAL}{secrets.token_hex(8)}"
        handle = create_private(partial)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            write_synced(handle, data)
            passing(CrashPoint.FILE_UNNAMED)
            self._link(partial, path)
        finally:
            os.close(handle)
            partial.unlink(missing_ok=True)

    def _link(self, partial: Path, path: Path) -> None:
        try:
            os.link(partial, path)
        except FileExistsError:
            name = path.relative_to(self.root).as_posix()
            raise VaultCorrupt(
                f"object {name} exists already and is never replaced",
                hint="use a new name for each attempt, or delete the void generation first",
                object=name,
            ) from None

    def _unreadable(self, name: str, error: OSError) -> VaultCorrupt:
        absent = error.errno in (errno.ENOENT, errno.ENOTDIR)
        reason = "is missing" if absent else f"cannot be read: {os.strerror(error.errno or 0).lower()}"
        return VaultCorrupt(
            f"object {name} {reason} in the vault {self.root}",
            hint="bring the file back from a copy of the vault, or make the backup again",
            object=name,
        )


def _unlisted(error: OSError) -> None:
    raise refusal(error, Path(error.filename), "listed") from error


def _remove_unlocked(path: Path) -> int:
    with suppress(FileNotFoundError):  # its put just ended and took the name away itself
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except BlockingIOError:
            return 0
        finally:
            os.close(handle)
        return 1
    return 0
