"""BagIt 1.0 (RFC 8493): a folder of files with a list of their SHA-256, that any tool for bags can check.

The manifests find damage, not forgery: whoever changes a file can change them too. ``make_bag`` therefore
returns the digest of the outermost list, to be kept elsewhere, and ``check_fixity`` takes it back.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from handover.errors import VaultCorrupt
from handover.vault.files import create_private, refusal, sync_folder, write_synced

DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
PAYLOAD = "data"
MANIFEST, TAG_MANIFEST = "manifest-sha256.txt", "tagmanifest-sha256.txt"
_INFO, _BAGIT = "bag-info.txt", "bagit.txt"
_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(.+)")
_OXUM = re.compile(rb"^Payload-Oxum:[ \t]*([0-9]+)\.([0-9]+)[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file of a bag."""

    file: str
    what: Literal["missing", "changed", "extra", "unreadable"]


def make_bag(staging: Path, bag: Path, info: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Make a bag of what lies in ``staging``/data, give it its name, return the SHA-256 of its tag manifest.

    ``expected``: digests of payload files from when they were written; one that differs, is missing or is
    extra stops the bag. A name that exists is never replaced.
    """
    if os.path.lexists(bag):
        raise VaultCorrupt(
            f"{bag} exists already and is never replaced", hint="make every archive under a new name"
        )
    tags = (_BAGIT, _INFO, MANIFEST, TAG_MANIFEST)
    try:
        for name in tags:  # of an attempt that was killed before the bag had its name
            (staging / name).unlink(missing_ok=True)
        found = {name: _synced_digest(staging / name) for name in sorted(_files(staging))}
        _refuse_others(found, {f"{PAYLOAD}/{name}": digest for name, digest in expected.items()})
        size = sum((staging / name).stat().st_size for name in found)
        lines = "".join(f"{key}: {value}\n" for key, value in info.items())
        texts = [DECLARATION, f"{lines}Payload-Oxum: {size}.{len(found)}\n".encode(), _manifest(found)]
        last = _manifest(
            {name: hashlib.sha256(data).hexdigest() for name, data in zip(tags, texts, strict=False)}
        )
        for name, data in zip(tags, [*texts, last], strict=True):
            write_file(staging / name, data)
        for folder in _folders(staging):
            sync_folder(folder)
        staging.rename(bag)
        sync_folder(bag.parent)
    except OSError as error:
        raise refusal(error, bag, "made") from None
    return hashlib.sha256(last).hexdigest()


def check_fixity(bag: Path, tag_manifest_sha256: str | None = None) -> tuple[Damage, ...]:
    """Return every file that is missing, changed or extra; none when the bag is whole.

    With the digest that ``make_bag`` returned, a bag whose lists were rewritten is found as well.
    """
    found: set[Damage] = set()
    listed = _read_manifest(bag, TAG_MANIFEST, found) | _read_manifest(bag, MANIFEST, found)
    if tag_manifest_sha256 is not None:
        listed[TAG_MANIFEST] = tag_manifest_sha256
    present = set(_files(bag))
    for name, digest in listed.items():
        found |= {Damage(name, what) for what in _compared(bag / name, digest, name in present)}
    found |= {Damage(name, "extra") for name in present - listed.keys() - {TAG_MANIFEST}}
    found |= {Damage(name, "missing") for name in {_BAGIT, _INFO} - listed.keys() - present}
    found |= _declared(bag, [name for name in present if name.startswith(f"{PAYLOAD}/")])
    return tuple(sorted(found, key=lambda damage: (damage.file, damage.what)))


def _compared(
    path: Path, digest: str, present: bool
) -> Iterator[Literal["missing", "changed", "unreadable"]]:
    if not present:
        yield "missing"
        return
    try:
        if path.is_symlink() or _digest(path) != digest:  # a link may lead out of the bag
            yield "changed"
    except OSError:
        yield "unreadable"


def _declared(bag: Path, payload: list[str]) -> set[Damage]:
    """Return what is wrong with the declaration and with the count of the payload."""
    wrong: set[Damage] = set()
    try:
        if (bag / _BAGIT).read_bytes() != DECLARATION:
            wrong.add(Damage(_BAGIT, "changed"))
        counted = _OXUM.search((bag / _INFO).read_bytes())
        size = sum((bag / name).lstat().st_size for name in payload)
        if counted is None or (int(counted[1]), int(counted[2])) != (size, len(payload)):
            wrong.add(Damage(_INFO, "changed"))
    except OSError:
        pass  # what is missing or unreadable is named already: both files are listed
    return wrong


def _read_manifest(bag: Path, name: str, found: set[Damage]) -> dict[str, str]:
    try:
        text = (bag / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        found.add(Damage(name, "missing"))
        return {}
    except (OSError, UnicodeDecodeError):
        found.add(Damage(name, "unreadable"))
        return {}
    entries: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n"):
        parts = _LINE.fullmatch(line.removesuffix("\r"))
        path = _decoded(parts[2]) if parts else ""
        if not parts or path in entries or not _belongs(name, path):
            found.add(Damage(name, "changed"))
        else:
            entries[path] = parts[1].lower()
    return entries


def _belongs(manifest: str, path: str) -> bool:
    """Say whether a manifest may list a path: the payload's in one, all else in the other, none outside."""
    parts = path.split("/")
    is_payload = parts[0] == PAYLOAD and len(parts) > 1
    return is_payload is (manifest == MANIFEST) and not {"", ".", ".."} & set(parts) and "\0" not in path


def _manifest(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {_encoded(name)}\n" for name, digest in sorted(digests.items())).encode()


def _encoded(name: str) -> str:
    return name.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")


def _decoded(name: str) -> str:
    plain = re.sub("%0a", "\n", re.sub("%0d", "\r", name, flags=re.IGNORECASE), flags=re.IGNORECASE)
    return plain.replace("%25", "%")


def _refuse_others(found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if names:
        raise VaultCorrupt(
            f"{len(names)} files of the archive being made are not those that were written, first {names[0]}",
            hint="nothing else may write into its folder; make the archive again",
            files=names,
        )


def _files(root: Path) -> Iterator[str]:
    for where, folders, files in os.walk(root):
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        yield from ((Path(where) / name).relative_to(root).as_posix() for name in [*files, *links])


def _folders(root: Path) -> list[Path]:
    return [Path(where) for where, _, _ in os.walk(root, topdown=False)]


def write_file(path: Path, data: bytes) -> None:
    """Write a file of a bag that has no name yet, in place of what a killed attempt left."""
    path.unlink(missing_ok=True)
    handle = create_private(path)
    try:
        write_synced(handle, data)
    finally:
        os.close(handle)


def _synced_digest(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb", buffering=0) as file:
        os.fsync(handle)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
