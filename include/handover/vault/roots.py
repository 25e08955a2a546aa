"""Root keys: they wrap the keys in the keyring and never leave their provider.

One root per purpose and version, so that destroying one kills every copy of what it wrapped and nothing
else. The file provider is for one machine and for demonstrations: it can unlink a root, but nobody can
verify that the medium forgot it.
"""

from __future__ import annotations

import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from handover.errors import KeyUnavailable
from handover.vault.files import create_private, make_private_folders, refusal, sync_folder, write_synced

ROOT_BYTES = 32


class Purpose(StrEnum):
    """What a key is for; each has a root of its own, to be destroyed without the others."""

    BACKUP = "backup"
    ARCHIVE = "archive"
    PSEUDONYM = "pseudonym"
    EVIDENCE = "evidence"
    TOMBSTONE = "tombstone"
    HOLD = "hold"
    SIGNING = "signing"


class RootProvider(Protocol):
    """Creates, uses and destroys roots by purpose and version."""

    destruction: str
    """What may be claimed after ``destroy``, word by word as certificates say it."""

    def versions(self, purpose: Purpose) -> list[int]:
        """Versions that exist, in order."""
        ...

    def create(self, purpose: Purpose, version: int) -> None:
        """Make a new root; an existing version is an error."""
        ...

    def wrap(self, purpose: Purpose, version: int, key: bytes) -> bytes:
        """Encrypt a key under a root."""
        ...

    def unwrap(self, purpose: Purpose, version: int, wrapped: bytes) -> bytes:
        """Decrypt a key; KeyUnavailable when the root is gone or is another one."""
        ...

    def destroy(self, purpose: Purpose, version: int) -> None:
        """Make a root unusable for good; one that is gone already is fine."""
        ...


class FileRootProvider:
    """Roots as files ``<purpose>.<version>.key`` (0600), wrapping by AES key wrap (RFC 3394)."""

    destruction = "unlinked, not verifiable"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self, purpose: Purpose) -> list[int]:
        """Versions that exist as files."""
        middles = (path.name.split(".")[1] for path in self.folder.glob(f"{purpose}.*.key"))
        return sorted(int(middle) for middle in middles if middle.isdecimal())

    def create(self, purpose: Purpose, version: int) -> None:
        """Write a new random root."""
        path = self._path(purpose, version)
        try:
            make_private_folders(self.folder)
            handle = create_private(path)
            try:
                write_synced(handle, secrets.token_bytes(ROOT_BYTES))
            finally:
                os.close(handle)
            sync_folder(self.folder)
        except OSError as error:
            raise refusal(error, path, "created") from error

    def wrap(self, purpose: Purpose, version: int, key: bytes) -> bytes:
        """AES key wrap under the root."""
        return aes_key_wrap(self._root(purpose, version), key)

    def unwrap(self, purpose: Purpose, version: int, wrapped: bytes) -> bytes:
        """AES key unwrap under the root; its built-in check tells a wrong root."""
        root = self._root(purpose, version)
        try:
            return aes_key_unwrap(root, wrapped)
        except (InvalidUnwrap, ValueError):
            raise KeyUnavailable(
                f"root {purpose}.{version} in {self.folder} does not open this key",
                hint="keyring.json and roots/ must come from the same keyring",
            ) from None

    def destroy(self, purpose: Purpose, version: int) -> None:
        """Overwrite once, sync, unlink; journals, snapshots and flash cells may keep the old bytes."""
        path = self._path(purpose, version)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            write_synced(handle, secrets.token_bytes(ROOT_BYTES))
        finally:
            os.close(handle)
        path.unlink()
        sync_folder(self.folder)

    def _path(self, purpose: Purpose, version: int) -> Path:
        return self.folder / f"{purpose}.{version}.key"

    def _root(self, purpose: Purpose, version: int) -> bytes:
        path = self._path(purpose, version)
        try:
            root = path.read_bytes()
        except FileNotFoundError:
            root = b""
        except OSError as error:
            raise refusal(error, path, "read") from error
        if len(root) != ROOT_BYTES:
            raise KeyUnavailable(
                f"root {purpose}.{version} is not in {self.folder}: it was destroyed, or never belonged here",
                hint="a keyring copy older than a destruction stays dead; use the present keyring",
            )
        return root
