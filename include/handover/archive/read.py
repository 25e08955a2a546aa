"""Print the rows of an archived table as CSV:  python read.py FILE.parquet [KEYS.json] > rows.csv

KEYS.json, or else standard input, holds {"key id": "key in base64"}. Needs Python with the packages pyarrow
and cryptography, nothing else. Without its identifying key a file shows its other columns.

将归档表的行输出为 CSV。密钥文件（或标准输入）为 {"密钥编号": "base64 密钥"}。仅需 pyarrow 与 cryptography。
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap


class Keys(pe.KmsClient):  # type: ignore[misc]
    """Opens the data keys in a file: each is wrapped under one of ours by AES key wrap (RFC 3394)."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        pe.KmsClient.__init__(self)
        self.keys = keys

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        """Return a data key."""
        return aes_key_unwrap(self.keys[master_key_identifier], base64.b64decode(wrapped_key))


def opened(path: Path, keys: Mapping[str, bytes]) -> pq.ParquetFile:
    """Open a file: its footer lies under the key of its other columns."""
    factory = pe.CryptoFactory(lambda _: Keys(keys))
    properties = factory.file_decryption_properties(pe.KmsConnectionConfig(), pe.DecryptionConfiguration())
    return pq.ParquetFile(path, decryption_properties=properties)


def readable(file: pq.ParquetFile, keys: Mapping[str, bytes]) -> list[str]:
    """Return the names of the fields whose key is there."""
    term = json.loads(file.schema_arrow.metadata[b"handover"])["term"]
    said = {field.name: json.loads(field.metadata[b"column"]) for field in file.schema_arrow}
    return [n for n, about in said.items() if term["identifying"] in keys or not about["identifying"]]


def shown(rows: pa.Table) -> pa.Table:
    """Return columns under their own names as text; what was kept as PostgreSQL's text is shown as such."""
    columns: dict[str, pa.ChunkedArray] = {}
    for field, values in zip(rows.schema, rows.columns, strict=True):
        said = json.loads(field.metadata[b"column"])
        if pa.types.is_large_binary(field.type):
            values = pa.array([None if v is None else f"\\x{v.hex()}" for v in values.to_pylist()], "string")
        texts = values.cast("large_string")
        columns[said["name"]] = pc.coalesce(texts, columns[said["name"]]) if said["text_of"] else texts
    return pa.table(columns)


def main(path: str, keys: str = "/dev/stdin") -> None:
    """Print a file."""
    with open(keys, "rb") as source:  # noqa: PTH123 (also a pipe)
        secrets = {name: base64.b64decode(key) for name, key in json.load(source).items()}
    with opened(Path(path), secrets) as file:
        names = readable(file, secrets)
        hidden = [name for name in file.schema_arrow.names if name not in names]
        if hidden:
            print(f"without the identifying key these are left out: {', '.join(hidden)}", file=sys.stderr)
        with pa.PythonFile(sys.stdout.buffer, "w") as out:
            header = True
            for batch in file.iter_batches(columns=names):
                rows = shown(pa.Table.from_batches([batch]))
                pyarrow.csv.write_csv(rows, out, pyarrow.csv.WriteOptions(include_header=header))
                header = False


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (KeyError, InvalidUnwrap) as problem:
        sys.exit(f"a key is missing or is another one: {problem}")
