"""Parquet modular encryption under a term's two keys, which the caller hands over and nothing here keeps.

The footer is encrypted, not only signed, under the key of the other columns: names, counts and sizes stay
hidden, whoever may read the skeleton needs no second key for it, and a term dies with that one key. Each
identifying column, with its own metadata, lies under the identifying key. Every file and column has a data
key of its own, wrapped by AES key wrap (RFC 3394) inside the file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_wrap

from handover.archive import read
from handover.archive.columns import Layout
from handover.errors import KeyUnavailable, VaultCorrupt
from handover.model.archive import TermKeys

KEY_BYTES = 32
Secrets = Mapping[str, bytes]


class _Sealing(read.Keys):
    """Wraps as well: what writing needs beside reading."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        """Return a data key wrapped under one of ours."""
        return base64.b64encode(aes_key_wrap(self.keys[master_key_identifier], key_bytes))


@contextmanager
def writing(
    path: Path, schema: pa.Schema, layout: Layout, keys: TermKeys, secrets: Secrets
) -> Iterator[pq.ParquetWriter]:
    """Write a file whose every column lies under one of the term's keys."""
    for key in (keys.identifying, keys.other):
        if len(secrets.get(key, b"")) != KEY_BYTES:
            raise KeyUnavailable(
                f"key {key} of the archive was not handed over",
                hint="take both keys of every term from the keyring",
            )
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        write_statistics=False,  # smallest and largest values are values
        encryption_properties=_properties(layout, keys, secrets),
    ) as writer:
        yield writer


def _properties(layout: Layout, keys: TermKeys, secrets: Secrets) -> Any:
    groups = {
        keys.identifying: layout.names(identifying=True),
        keys.other: layout.names(identifying=False),
    }
    configuration = pe.EncryptionConfiguration(
        footer_key=keys.other,
        column_keys={key: names for key, names in groups.items() if names},
        encryption_algorithm="AES_GCM_V1",
        plaintext_footer=False,
        double_wrapping=False,  # for a service that wraps slowly; ours is a function
        data_key_length_bits=KEY_BYTES * 8,
        internal_key_material=True,
    )
    factory = pe.CryptoFactory(lambda _: _Sealing(secrets))
    return factory.file_encryption_properties(pe.KmsConnectionConfig(), configuration)


@contextmanager
def reading(path: Path, secrets: Secrets) -> Iterator[pq.ParquetFile]:
    """Open a file with the keys that there are; what its reading raises inside the block becomes ours."""
    try:
        with read.opened(path, secrets) as file:
            yield file
    except (KeyError, InvalidUnwrap):
        raise KeyUnavailable(
            f"the keys handed over do not open {path.name}",
            hint="a destroyed key is final; else take the keys that the bag's archive.json names",
        ) from None
    except (OSError, ValueError, pa.ArrowException):
        raise VaultCorrupt(
            f"{path.name} is damaged or is no file of an archive",
            hint="check the bag's fixity and bring the file back from a copy of the bag",
        ) from None
