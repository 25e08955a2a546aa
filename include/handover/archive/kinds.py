"""PostgreSQL types in Parquet: a value is typed only as far as its exact text comes back from what was typed.

Nobody has to know where PostgreSQL and Arrow write a value differently: each value is read, written again
and compared when it is archived, and where the text is another one it is kept beside the typed value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from handover.errors import VaultCorrupt

Change = Callable[[pa.Array], pa.Array]
TEXT = pa.large_string()
_MOST_DIGITS = 38
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MOMENT = rf"{_DAY} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,6}})?"
_NUMERIC = re.compile(r"numeric\(([0-9]+),([0-9]+)\)")
_TIMESTAMP = re.compile(r"timestamp(?:\([0-6]\))? (with|without) time zone")


@dataclass(frozen=True)
class Kind:
    """How text becomes a value of ``type`` and text again; ``beside``: some of its values stay text."""

    type: pa.DataType
    read: Change
    write: Change
    beside: bool = False


def kind_of(type_name: str) -> Kind:
    """Return the kind of a type as format_type writes it; whatever is not known here stays text."""
    if type_name in _PLAIN:
        return _PLAIN[type_name]
    if found := _TIMESTAMP.fullmatch(type_name):
        return _WITH_ZONE if found[1] == "with" else _WITHOUT_ZONE
    if found := _NUMERIC.fullmatch(type_name):
        digits, places = int(found[1]), int(found[2])
        if 0 <= places <= digits <= _MOST_DIGITS:
            return _cast(pa.decimal128(digits, places), only=r"-?[0-9]+(\.[0-9]+)?", beside=True)
    return _TEXT


def typed(kind: Kind, texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the values that the kind can hold, and the texts that do not come back from them."""
    try:
        values = kind.read(texts)
    except ValueError:  # Arrow's own is one; it quotes the value, so its message goes no further
        values = pa.nulls(len(texts), kind.type)
    same = pc.fill_null(pc.equal(kind.write(values), texts), False)
    beside = pc.if_else(same, pa.scalar(None, TEXT), texts)
    if not kind.beside and beside.null_count != len(beside):
        raise VaultCorrupt(
            f"a column of rows to be archived does not hold what its type {kind.type} says",
            hint="the table was changed after it was backed up, or the chunk is damaged: make a new backup",
        )
    return values, beside


def text_again(kind: Kind, values: pa.Array, beside: pa.Array | None) -> pa.Array:
    """Return the texts from which ``typed`` made its two arrays."""
    texts = kind.write(values)
    return texts if beside is None else pc.coalesce(beside, texts)


def _cast(kind: pa.DataType, *, only: str = "", beside: bool = False) -> Kind:
    return Kind(kind, lambda texts: _only(texts, only).cast(kind), lambda values: values.cast(TEXT), beside)


def _only(texts: pa.Array, pattern: str) -> pa.Array:
    """Return the texts of a form that Arrow reads; one other would make it refuse all."""
    if not pattern:
        return texts
    return pc.if_else(pc.match_substring_regex(texts, f"^({pattern})$"), texts, pa.scalar(None, TEXT))


def _read_moment(texts: pa.Array) -> pa.Array:
    return _only(texts, _MOMENT).cast(pa.timestamp("us"))


def _write_moment(values: pa.Array) -> pa.Array:
    # Arrow writes six places, PostgreSQL none that is a trailing zero.
    return pc.utf8_rtrim(pc.utf8_rtrim(values.cast(TEXT), "0"), ".")


def _read_zoned(texts: pa.Array) -> pa.Array:
    """Read moments as a session in UTC writes them; the zone is always the same."""
    bare = pc.utf8_slice_codeunits(_only(texts, _MOMENT + r"\+00"), 0, -3)
    return bare.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))


def _write_zoned(values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(
        _write_moment(values.cast(pa.timestamp("us"))), pa.scalar("+00", TEXT), pa.scalar("", TEXT)
    )


def _write_bool(values: pa.Array) -> pa.Array:
    return pc.if_else(values, pa.scalar("t", TEXT), pa.scalar("f", TEXT))


def _read_bytes(texts: pa.Array) -> pa.Array:
    return pa.array(
        [None if text is None else bytes.fromhex(text[2:]) for text in texts.to_pylist()], pa.large_binary()
    )


def _write_bytes(values: pa.Array) -> pa.Array:
    return pa.array([None if v is None else f"\\x{v.hex()}" for v in values.to_pylist()], TEXT)


_TEXT = Kind(TEXT, lambda texts: texts, lambda values: values)
_WITHOUT_ZONE = Kind(pa.timestamp("us"), _read_moment, _write_moment, beside=True)
_WITH_ZONE = Kind(pa.timestamp("us", "UTC"), _read_zoned, _write_zoned, beside=True)
_PLAIN = {
    "boolean": Kind(pa.bool_(), lambda texts: pc.equal(texts, "t"), _write_bool),
    "smallint": _cast(pa.int16()),
    "integer": _cast(pa.int32()),
    "bigint": _cast(pa.int64()),
    "oid": _cast(pa.int64()),
    "real": _cast(pa.float32(), beside=True),
    "double precision": _cast(pa.float64(), beside=True),
    "date": _cast(pa.date32(), only=_DAY, beside=True),
    "bytea": Kind(pa.large_binary(), _read_bytes, _write_bytes),
}
