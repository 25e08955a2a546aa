"""Takes chunks of COPY data apart into rows and fields, for the rare case that two chunks differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

from handover.errors import VaultCorrupt
from handover.model.plan import CopyFormat

_NULL_LENGTH = 0xFFFFFFFF
# Mobile, identity and card numbers begin here; a number as large is not taken for a mere row number.
SMALLEST_NUMBER_OF_A_PERSON = 10**10
_INTEGERS = {"smallint": 2, "integer": 4, "bigint": 8, "oid": 4}  # bytes of the binary form
_UUID_BYTES = 16
_UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(rb"-?[0-9]{1,11}")


def split_rows(data: bytes, form: CopyFormat) -> Iterator[bytes]:
    """Yield each row of a chunk as it stands there."""
    if form == "text":
        for line in data.split(b"\n")[:-1]:  # splitlines() would also split at form feeds and the like
            yield line + b"\n"
        return
    position = 0
    while position < len(data):
        start = position
        count = int.from_bytes(data[position : position + 2], "big")
        position += 2
        for _ in range(count):
            length = int.from_bytes(data[position : position + 4], "big")
            position += 4 + (0 if length == _NULL_LENGTH else length)
        if position > len(data):
            raise VaultCorrupt("a chunk ends inside a row", hint="verify the vault: handover verify --vault")
        yield data[start:position]


def fields(row: bytes, form: CopyFormat) -> list[bytes | None]:
    """Return the fields of a row in their COPY form, None for NULL."""
    if form == "text":
        parts = row.rstrip(b"\n").split(b"\t")
        return [None if part == b"\\N" else part for part in parts]
    result: list[bytes | None] = []
    position = 2
    for _ in range(int.from_bytes(row[:2], "big")):
        length = int.from_bytes(row[position : position + 4], "big")
        position += 4
        if length == _NULL_LENGTH:
            result.append(None)
        else:
            result.append(row[position : position + length])
            position += length
    return result


def surrogate(field: bytes | None, type_name: str, form: CopyFormat) -> str | None:
    """Return a key field for people when it is a small number or uuid, else None.

    Such keys mean nothing outside their database; any other key (a text, a date) could name a person.
    A field that is not of its type's form came from a column whose type was changed: it is not shown.
    """
    if field is None:
        return None
    if type_name == "uuid":
        return _uuid(field, form)
    number = _number(field, type_name, form) if type_name in _INTEGERS else None
    return None if number is None or abs(number) >= SMALLEST_NUMBER_OF_A_PERSON else str(number)


def _uuid(field: bytes, form: CopyFormat) -> str | None:
    if form == "text":
        return field.decode("ascii") if _UUID.fullmatch(field) else None
    return str(UUID(bytes=field)) if len(field) == _UUID_BYTES else None


def _number(field: bytes, type_name: str, form: CopyFormat) -> int | None:
    if form == "text":
        return int(field) if _NUMBER.fullmatch(field) else None
    if len(field) != _INTEGERS[type_name]:
        return None
    return int.from_bytes(field, "big", signed=type_name != "oid")
