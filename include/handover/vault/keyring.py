"""The keyring: one key per purpose and case, each wrapped by the root of its purpose.

``keyring.json`` alone opens nothing. It is replaced as a whole under a file lock, so processes may share
it. Its text is not authenticated: a changed entry shows when its key does not unwrap or does not open
the segment that names it. A key is destroyed by taking its entry out, wrapping the remaining ones under
a new root and destroying the old root; copies of the file from before are then dead as well.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from handover.errors import ConfigurationMissing, KeyUnavailable
from handover.vault.files import PRIVATE_FILE, make_private_folders, refusal, replace_private
from handover.vault.roots import FileRootProvider, Purpose, RootProvider
from handover.vault.signing import Signer

__all__ = ["Destruction", "KeyInfo", "KeyState", "Keyring", "Purpose", "RootInfo", "Signer"]

_FORMAT = 1
_KEY_BYTES = 32


class KeyState(StrEnum):
    """Whether a key can still be had."""

    ACTIVE = "active"
    DESTROYED = "destroyed"


@dataclass(frozen=True)
class KeyInfo:
    """What may be told about a key."""

    key_id: str
    purpose: Purpose
    case: str
    created: str
    state: KeyState
    root: int


@dataclass(frozen=True)
class RootInfo:
    """The root in force for a purpose."""

    purpose: Purpose
    version: int


@dataclass(frozen=True)
class Destruction:
    """What was done to a key, and what may be claimed about it; ``copies``: declared ones that live on."""

    key_id: str
    purpose: Purpose
    case: str
    at: str
    result: str
    copies: tuple[str, ...]


@dataclass(frozen=True)
class _Record:
    info: KeyInfo
    wrapped: str = ""
    destroyed: str = ""


@dataclass
class _Book:
    roots: dict[Purpose, int] = field(default_factory=dict)
    records: dict[str, _Record] = field(default_factory=dict)

    def active(self, purpose: Purpose) -> list[_Record]:
        records = self.records.values()
        return [r for r in records if r.info.purpose is purpose and r.info.state is KeyState.ACTIVE]


class Keyring:
    """Keys in one folder: ``keyring.json``, its lock and, with the file provider, ``roots/``.

    ``copies``: where its keeper says that copies of it are.
    """

    def __init__(self, folder: Path, provider: RootProvider, copies: Iterable[str] = ()) -> None:
        self.folder = folder
        self._provider = provider
        self._copies = tuple(copies)

    @classmethod
    def open(cls, folder: Path, copies: Iterable[str] = ()) -> Keyring:
        """The keyring in ``folder`` with file roots; an absent folder is created (0700)."""
        try:
            make_private_folders(folder)
            mode = folder.stat().st_mode
        except OSError as error:
            raise refusal(error, folder, "opened") from error
        if mode & 0o077:
            raise ConfigurationMissing(
                f"the keyring folder {folder} can be entered by others (mode {mode & 0o777:o})",
                hint=f"chmod 700 {folder}",
            )
        ring = cls(folder, FileRootProvider(folder / "roots"), copies)
        with ring._changing() as book:
            ring._destroy_superseded(book)
        return ring

    def ensure(self, purpose: Purpose, case: str) -> KeyInfo:
        """The active key of a purpose and case, made now if there is none."""
        with self._changing() as book:
            found = _find(book, purpose, case)
            if found:
                return found.info
            root = book.roots.get(purpose) or self._new_root(purpose)
            book.roots[purpose] = root
            secret = secrets.token_bytes(_KEY_BYTES)
            info = KeyInfo(_new_id(purpose, secret), purpose, case, _now(), KeyState.ACTIVE, root)
            book.records[info.key_id] = _Record(info, self._wrap(purpose, root, secret))
            self._save(book)
            return info

    def key(self, key_id: str) -> bytes:
        """The secret of a case's key."""
        with self._reading() as book:
            return self._unwrap(_active(book, key_id, self.folder))

    def find(self, purpose: Purpose, case: str) -> KeyInfo | None:
        """The active key of a purpose and case, if there is one."""
        with self._reading() as book:
            found = _find(book, purpose, case)
            return found.info if found else None

    def list(self) -> list[KeyInfo]:
        """Every key that ever was here, destroyed ones too, oldest first."""
        with self._reading() as book:
            return sorted((r.info for r in book.records.values()), key=lambda i: (i.created, i.key_id))

    def rotate(self, purpose: Purpose) -> RootInfo:
        """Wrap the purpose's keys under a new root and destroy the old one; the keys stay the same."""
        with self._changing() as book:
            self._rewrap(book, purpose)
            return RootInfo(purpose, book.roots[purpose])

    def destroy(self, key_id: str) -> Destruction:
        """Destroy a key and the root it was wrapped under; done again, it reports the same destruction."""
        with self._changing() as book:
            record = book.records.get(key_id) or _absent(key_id, self.folder)
            if not record.destroyed:
                info = replace(record.info, state=KeyState.DESTROYED)
                record = book.records[key_id] = _Record(info, destroyed=_now())
                self._rewrap(book, info.purpose)
            self._destroy_superseded(book)
            info, at = record.info, record.destroyed
            return Destruction(key_id, info.purpose, info.case, at, self._provider.destruction, self._copies)

    def signer(self) -> Signer:
        """The signer of this installation, made now if there is none."""
        info = self.ensure(Purpose.SIGNING, "")
        with self._reading() as book:
            return Signer(self._unwrap(_active(book, info.key_id, self.folder)))

    def _rewrap(self, book: _Book, purpose: Purpose) -> None:
        secrets_now = {record.info.key_id: self._unwrap(record) for record in book.active(purpose)}
        root = book.roots[purpose] = self._new_root(purpose)
        for key_id, secret in secrets_now.items():
            info = replace(book.records[key_id].info, root=root)
            book.records[key_id] = _Record(info, self._wrap(purpose, root, secret))
        self._save(book)
        self._destroy_superseded(book)

    def _destroy_superseded(self, book: _Book) -> None:
        # Lower versions only: were an older keyring.json put back, the root now in force must survive it.
        for purpose, root in book.roots.items():
            for version in self._provider.versions(purpose):
                if version < root:
                    self._provider.destroy(purpose, version)

    def _new_root(self, purpose: Purpose) -> int:
        version = max(self._provider.versions(purpose), default=0) + 1
        self._provider.create(purpose, version)
        return version

    def _wrap(self, purpose: Purpose, root: int, secret: bytes) -> str:
        return base64.b64encode(self._provider.wrap(purpose, root, secret)).decode()

    def _unwrap(self, record: _Record) -> bytes:
        info = record.info
        return self._provider.unwrap(info.purpose, info.root, base64.b64decode(record.wrapped))

    @contextmanager
    def _changing(self) -> Iterator[_Book]:
        with self._locked(fcntl.LOCK_EX):
            yield self._load()

    @contextmanager
    def _reading(self) -> Iterator[_Book]:
        # Shared with other readers; a rotation would otherwise destroy the root between two of our reads.
        with self._locked(fcntl.LOCK_SH):
            yield self._load()

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        path = self.folder / "keyring.lock"
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
        except OSError as error:
            raise refusal(error, path, "opened") from error
        try:
            fcntl.flock(handle, kind)
            yield
        finally:
            os.close(handle)

    def _load(self) -> _Book:
        path = self.folder / "keyring.json"
        try:
            return _parse(path.read_bytes())
        except FileNotFoundError:
            return _Book()
        except OSError as error:
            raise refusal(error, path, "read") from error
        except (KeyError, TypeError, ValueError, AttributeError):
            raise KeyUnavailable(
                f"the keyring {path} is damaged and cannot be read", hint="bring the file back from a copy"
            ) from None

    def _save(self, book: _Book) -> None:
        path = self.folder / "keyring.json"
        records = [asdict(record) for record in book.records.values()]
        text = json.dumps({"format": _FORMAT, "roots": book.roots, "keys": records}, indent=1, sort_keys=True)
        try:
            replace_private(path, text.encode() + b"\n")
        except OSError as error:
            raise refusal(error, path, "written") from error


def _parse(data: bytes) -> _Book:
    document = json.loads(data)
    if document["format"] != _FORMAT:
        raise ValueError(document["format"])
    book = _Book({Purpose(name): int(version) for name, version in document["roots"].items()})
    for item in document["keys"]:
        info = item["info"]
        info |= {"purpose": Purpose(info["purpose"]), "state": KeyState(info["state"])}
        base64.b64decode(item["wrapped"], validate=True)
        book.records[info["key_id"]] = _Record(KeyInfo(**info), item["wrapped"], item["destroyed"])
    return book


def _find(book: _Book, purpose: Purpose, case: str) -> _Record | None:
    return next((record for record in book.active(purpose) if record.info.case == case), None)


def _active(book: _Book, key_id: str, folder: Path) -> _Record:
    record = book.records.get(key_id) or _absent(key_id, folder)
    if record.destroyed:
        raise KeyUnavailable(
            f"key {key_id} was destroyed at {record.destroyed}",
            hint="what was encrypted under it cannot be read any more; this is final",
            key_id=key_id,
        )
    return record


def _absent(key_id: str, folder: Path) -> _Record:
    raise KeyUnavailable(
        f"key {key_id} is not in the keyring {folder}",
        hint="use the keyring of the installation that made the backup; `handover keys` lists what is here",
        key_id=key_id,
    )


def _new_id(purpose: Purpose, secret: bytes) -> str:
    return Signer(secret).key_id if purpose is Purpose.SIGNING else f"{purpose}-{secrets.token_hex(8)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
