"""Ed25519 signatures; the private key leaves this object only as signatures.

Whoever holds the private key can sign anything: a signature proves which key signed, not who used it.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Signer:
    """Signs with one key; ``key_id`` is the SHA-256 of its public SubjectPublicKeyInfo in DER."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key()
        self.public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key_id = hashlib.sha256(der).hexdigest()

    def sign(self, message: bytes) -> bytes:
        """64 bytes that only this key can make for this message."""
        return self._private.sign(message)
