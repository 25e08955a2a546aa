"""Encrypted segments: one self-describing file per chunk, bound to what it is a chunk of.

Layout, integers big-endian::

    8 bytes   magic "HDVRSEG" and the format version, 0x01
    4 bytes   length of the header
    header    JSON in RFC 8785 form: the label {case, run, generation, kind, table, chunk} and {key_id,
              wrapped_key, nonce, compression "zstd-1", plaintext_size, sealed_size}; wrapped_key (AES key
              wrap, RFC 3394, under the case key) and nonce are base64
    32 bytes  SHA-256 of everything before it: tells a damaged header from a wrong key, without any key
    sealed    AES-256-GCM (zstd (plaintext)) with its 16-byte tag; everything before it is associated data

Each file has a data key of its own, so a nonce can never repeat under one key, and so that a later backup can
share the file: its receipt has the data key wrapped under the key of that backup (``rewrap``), and outlives
the key in the header. The header is readable
without a key and says nothing about rows except their compressed and plain size. ``read_header`` finds
damage, not forgery; only ``open_segment`` proves that a holder of the case key sealed exactly this.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import rfc8785
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from handover.errors import KeyUnavailable, VaultCorrupt

MAGIC = b"HDVRSEG\x01"
COMPRESSION = "zstd-1"
# Level 1 packs COPY text to about a quarter at the speed of the disk; level 3 costs twice the time for 8 %.
_LEVEL = 1
_TAG_BYTES = 16
_NONCE_BYTES = 12
_DATA_KEY_BITS = 256
_DIGEST_BYTES = 32
# A header is some hundred bytes; the bound keeps a damaged length from being believed.
_LONGEST_HEADER = 64 * 1024


@dataclass(frozen=True)
class Label:
    """What a segment is a chunk of."""

    case: str
    run: str
    generation: int
    kind: str
    table: str
    chunk: int


@dataclass(frozen=True)
class Header:
    """What a segment says about itself without a key."""

    label: Label
    key_id: str
    wrapped_key: bytes
    nonce: bytes
    plaintext_size: int
    sealed_size: int


def seal(label: Label, plaintext: Sequence[bytes | memoryview], key_id: str, case_key: bytes) -> bytes:
    """Compress and encrypt the pieces of one chunk; holds at most two packed copies beside the input."""
    size = sum(len(piece) for piece in plaintext)
    packed = _pack(plaintext, size)
    data_key = AESGCM.generate_key(_DATA_KEY_BITS)
    header = Header(
        label=label,
        key_id=key_id,
        wrapped_key=aes_key_wrap(case_key, data_key),
        nonce=secrets.token_bytes(_NONCE_BYTES),
        plaintext_size=size,
        sealed_size=len(packed) + _TAG_BYTES,
    )
    prefix = _prefix(header)
    sealed = AESGCM(data_key).encrypt(header.nonce, packed, prefix)
    del packed
    return prefix + sealed


def open_segment(blob: bytes, label: Label, case_key: bytes, name: str, wrapped_key: bytes = b"") -> bytes:
    """The plaintext, if the segment is whole, unchanged and has this label; ``name`` is for messages.

    ``wrapped_key``: the data key as ``rewrap`` gave it, where not the one of the header is to be used.
    """
    header, start = _parse(blob, name)
    _check_label(header.label, label, name)
    _check_size(len(blob) - start, header.sealed_size, name)
    data_key = _data_key(wrapped_key or header.wrapped_key, header.key_id, case_key, name)
    view = memoryview(blob)
    try:
        packed = AESGCM(data_key).decrypt(header.nonce, view[start:], view[:start])
        plaintext = zstandard.ZstdDecompressor().decompress(packed, max_output_size=header.plaintext_size)
    except (InvalidTag, zstandard.ZstdError):
        raise _corrupt(name, "was changed: its content does not match its seal") from None
    if len(plaintext) != header.plaintext_size:
        raise _corrupt(name, f"holds {len(plaintext)} bytes, expected {header.plaintext_size}")
    return plaintext


def rewrap(wrapped_key: bytes, key_id: str, case_key: bytes, other_key: bytes, name: str) -> bytes:
    """A data key that was wrapped under ``case_key``, wrapped under another one."""
    return aes_key_wrap(other_key, _data_key(wrapped_key, key_id, case_key, name))


def read_header(blob: bytes, name: str) -> Header:
    """What the segment says about itself; the start of the file is enough."""
    return _parse(blob, name)[0]


def _pack(plaintext: Sequence[bytes | memoryview], size: int) -> bytes:
    packer = zstandard.ZstdCompressor(level=_LEVEL).compressobj(size=size)
    packed = [packer.compress(piece) for piece in plaintext]
    packed.append(packer.flush())
    return b"".join(packed)


def _prefix(header: Header) -> bytes:
    document = asdict(header) | {
        "compression": COMPRESSION,
        "wrapped_key": base64.b64encode(header.wrapped_key).decode(),
        "nonce": base64.b64encode(header.nonce).decode(),
    }
    text = rfc8785.dumps(document)
    start = MAGIC + struct.pack(">I", len(text)) + text
    return start + hashlib.sha256(start).digest()


def _parse(blob: bytes, name: str) -> tuple[Header, int]:
    if not blob.startswith(MAGIC):
        raise _corrupt(name, "is no segment of this format: its first bytes differ, or it was cut")
    if len(blob) < len(MAGIC) + 4:
        raise _corrupt(name, f"was cut after {len(blob)} bytes")
    (length,) = struct.unpack_from(">I", blob, len(MAGIC))
    end = len(MAGIC) + 4 + length
    if length > _LONGEST_HEADER:
        raise _corrupt(name, "was changed: the length of its header is impossible")
    if len(blob) < end + _DIGEST_BYTES:
        raise _corrupt(name, f"was cut after {len(blob)} bytes, in its header")
    if hashlib.sha256(blob[:end]).digest() != blob[end : end + _DIGEST_BYTES]:
        raise _corrupt(name, "was changed: its header does not match its digest")
    return _header(blob[len(MAGIC) + 4 : end], name), end + _DIGEST_BYTES


def _header(text: bytes, name: str) -> Header:
    try:
        document: Mapping[str, object] = json.loads(text)
        values = dict(document)
        if values.pop("compression") != COMPRESSION:
            raise ValueError("compression")
        values["label"] = Label(**values["label"])  # type: ignore[arg-type]
        for field in ("wrapped_key", "nonce"):
            values[field] = base64.b64decode(str(values[field]), validate=True)
        return Header(**values)  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError):
        raise _corrupt(name, "has a header that this version cannot read") from None


def _check_label(found: Label, expected: Label, name: str) -> None:
    differences = [
        f"{field.name} is {getattr(found, field.name)!r}, expected {getattr(expected, field.name)!r}"
        for field in fields(Label)
        if getattr(found, field.name) != getattr(expected, field.name)
    ]
    if differences:
        raise _corrupt(name, "belongs elsewhere: its label says " + "; ".join(differences))


def _check_size(found: int, expected: int, name: str) -> None:
    if found < expected:
        raise _corrupt(name, f"was cut: {expected - found} of {expected} sealed bytes are missing")
    if found > expected:
        raise _corrupt(name, f"has {found - expected} bytes too many after its end")


def _data_key(wrapped_key: bytes, key_id: str, case_key: bytes, name: str) -> bytes:
    try:
        return aes_key_unwrap(case_key, wrapped_key)
    except (InvalidUnwrap, ValueError):
        raise KeyUnavailable(
            f"the key given does not open {name}, which was sealed under key {key_id}",
            hint="use the keyring of the installation that made the backup",
            object=name,
            key_id=key_id,
        ) from None


def _corrupt(name: str, what: str) -> VaultCorrupt:
    return VaultCorrupt(
        f"{name} {what}",
        hint="bring the file back from a copy of the vault, or make the backup again",
        object=name,
    )
