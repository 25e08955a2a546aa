"""Keyed digests for evidence: whoever lacks the case's evidence key cannot test guesses against them."""

from __future__ import annotations

import hashlib
import hmac
import struct

_CHUNK = b"handover.chunk.v1\x00"
_ROW_KEY = b"handover.row-key.v1\x00"
# 128 bits: two of a billion rows share a token with a chance below 10^-20, at half the length in evidence.
_TOKEN_BYTES = 16


def keyed(evidence_key: bytes, sha256_digest: bytes) -> str:
    """The publishable form of a chunk's SHA-256."""
    return _hmac(evidence_key, _CHUNK + sha256_digest).hex()


def token(evidence_key: bytes, *parts: bytes) -> str:
    """The publishable name of a row: its key's parts, each with its length so that none can run together."""
    framed = b"".join(struct.pack(">Q", len(part)) + part for part in parts)
    return _hmac(evidence_key, _ROW_KEY + framed)[:_TOKEN_BYTES].hex()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
