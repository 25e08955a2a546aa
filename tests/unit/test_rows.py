"""Chunks taken apart by hand: rows and fields as PostgreSQL's formats define them."""

import pytest

from handover.codec.rows import fields, split_rows, surrogate
from handover.errors import VaultCorrupt

NULL = b"\xff\xff\xff\xff"


def binary_row(*values: bytes | None) -> bytes:
    parts = [NULL if v is None else len(v).to_bytes(4, "big") + v for v in values]
    return len(values).to_bytes(2, "big") + b"".join(parts)


ROWS = [binary_row(b"\0\0\0\1", None, b""), binary_row(b"\xff\xff\xff\xff", b"\n", b"\t"), binary_row()]


def test_binary_rows_come_back() -> None:
    assert list(split_rows(b"".join(ROWS), "binary")) == ROWS
    assert [fields(row, "binary") for row in ROWS] == [
        [b"\0\0\0\1", None, b""],
        [NULL, b"\n", b"\t"],
        [],
    ]


def test_a_negative_length_other_than_null_is_no_row() -> None:
    with pytest.raises(VaultCorrupt, match="inside a row"):
        list(split_rows(b"\0\1\xff\xff\xff\xfe", "binary"))


@pytest.mark.parametrize("cut", range(1, len(ROWS[1])))
def test_a_binary_row_cut_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(VaultCorrupt, match="inside a row") as caught:
        list(split_rows(ROWS[0] + ROWS[1][:cut], "binary"))
    assert caught.value.hint


def test_text_rows_come_back() -> None:
    data = b"1\t\\N\t\n2\t\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8\r\\r\tx\n\n"
    rows = list(split_rows(data, "text"))
    assert b"".join(rows) == data
    assert [fields(row, "text") for row in rows] == [
        [b"1", None, b""],
        [b"2", b"\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8\r\\r", b"x"],
        [b""],
    ]


def test_the_text_backslash_n_is_not_null() -> None:
    assert fields(b"\\\\N\tN\t\\N\n", "text") == [b"\\\\N", b"N", None]


def test_nothing_holds_no_row() -> None:
    assert list(split_rows(b"", "binary")) == list(split_rows(b"", "text")) == []


@pytest.mark.parametrize(
    "number, type_name, size", [(-1, "smallint", 2), (7, "bigint", 8), (2**31, "oid", 4)]
)
def test_a_bare_number_names_a_row(number: int, type_name: str, size: int) -> None:
    raw = number.to_bytes(size, "big", signed=number < 0)
    assert surrogate(raw, type_name, "binary") == surrogate(str(number).encode(), type_name, "text")
    assert surrogate(raw, type_name, "binary") == str(number)


def test_a_uuid_names_a_row() -> None:
    text = "00112233-4455-6677-8899-aabbccddeeff"
    assert surrogate(bytes.fromhex(text.replace("-", "")), "uuid", "binary") == text
    assert surrogate(text.encode(), "uuid", "text") == text


@pytest.mark.parametrize(
    "type_name", ["text", "date", "numeric", "character varying(18)", "s.number", "inet"]
)
def test_whatever_could_name_a_person_does_not(type_name: str) -> None:
    assert surrogate(b"anything", type_name, "text") is None
    assert surrogate(None, "integer", "text") is None


@pytest.mark.parametrize(
    "field, type_name, form",
    [
        (b"Li", "integer", "binary"),
        (b"Li Lei", "bigint", "text"),
        (b"12345678901234567890", "bigint", "text"),
        (b"13800138000"[:9], "smallint", "binary"),
        (b"Li Lei was here!!", "uuid", "binary"),
        (b"Li Lei", "uuid", "text"),
        (b"", "integer", "text"),
        (b"", "uuid", "binary"),
    ],
)
def test_what_is_not_of_its_types_form_is_not_shown(field: bytes, type_name: str, form: str) -> None:
    """It comes from a target whose column was given another type."""
    assert surrogate(field, type_name, form) is None
