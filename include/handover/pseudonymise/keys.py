"""Keys of domains: from the case's pseudonym key, one secret for each domain and purpose (HKDF, RFC 5869).

A domain names what a value identifies ("customer", "mobile"): columns that share it get equal pseudonyms for
equal values, however each of them is written. Keys of two domains, and of two uses of one domain, say
nothing of each other, so that what leaks of one does not help against another.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from handover.errors import KeyUnavailable
from handover.pseudonymise.domains import Domain

KEY_BYTES = 32
_VERSION = b"handover.pseudonym.v1\x00"


@dataclass(frozen=True)
class DomainKey:
    """The case's pseudonym key, for one domain."""

    case_key: bytes = field(repr=False)
    domain: Domain

    def __post_init__(self) -> None:
        if len(self.case_key) != KEY_BYTES:
            raise KeyUnavailable(
                f"a pseudonym key has {KEY_BYTES} bytes, this one {len(self.case_key)}",
                hint="take the case's pseudonym key from the keyring",
            )

    def secret(self, purpose: str) -> bytes:
        """Return the AES-256 key of this domain for one use of it."""
        parts = (self.domain.name.encode(), purpose.encode())
        info = _VERSION + b"".join(struct.pack(">I", len(part)) + part for part in parts)
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self.case_key)
