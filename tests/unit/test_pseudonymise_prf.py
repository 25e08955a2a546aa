"""Tokens: each is the pseudorandom function of its value, its domain's key and nothing else."""

import uuid

import numpy as np
import pyarrow as pa
import pytest

from fixtures.pseudonyms import CASE_KEY, OTHER_CASE_KEY, domain_key, framed_mac
from handover.errors import KeyUnavailable
from handover.pseudonymise.cells import Cells, Pieces
from handover.pseudonymise.keys import DomainKey
from handover.pseudonymise.prf import (
    LARGEST_MODULUS,
    TILE,
    prf,
    remainder,
    token_text,
    uuid_text,
    valid_rows,
)
from handover.pseudonymise.replacing import TEXT, Token

KEY = bytes(range(32))
# Around the ends of blocks: four bytes of length and twelve of value fill one.
LENGTHS = [0, 1, 11, 12, 13, 27, 28, 29, 44, 300, 5000]
VALUES = [b"\x00" * length for length in LENGTHS] + ["汉字".encode() * length for length in LENGTHS[1:6]]


def blocks(values: list[str | None] | pa.Array) -> dict[int, bytes]:
    cells = Cells.of(values if isinstance(values, pa.Array) else pa.array(values, pa.string()))
    rows = valid_rows(cells)
    return dict(zip(rows.tolist(), map(bytes, prf(KEY, cells, rows)), strict=True))


def test_in_bulk_it_is_what_it_is_one_by_one() -> None:
    values = [value.decode() for value in VALUES]
    expected = {row: framed_mac(KEY, value) for row, value in enumerate(VALUES)}
    assert blocks(values) == expected
    assert len(set(expected.values())) == len({*VALUES})


@pytest.mark.parametrize("width", [18, None], ids=["one length", "many lengths"])
def test_rows_over_several_tiles(width: int | None) -> None:
    values = [str(number).zfill(width or number % 40) for number in range(2 * TILE + 5)]
    made = blocks(values)
    assert len(made) == len(values)
    for row in (0, 1, TILE - 1, TILE, 2 * TILE, 2 * TILE + 4):
        assert made[row] == framed_mac(KEY, values[row].encode())


def test_nulls_slices_and_other_texts_under_a_null_change_nothing() -> None:
    plain = blocks(["a", None, "bb", "", None, "ccc"])
    assert list(plain) == [0, 2, 3, 5]
    sliced = pa.array(["x", "y", "a", None, "bb", "", None, "ccc", "z"])[2:8]
    assert blocks(sliced) == plain
    offsets, data = pa.array([0, 1, 5, 7, 7, 9, 12], pa.int32()).buffers()[1], pa.py_buffer(b"a????bb??ccc")
    dirty = pa.StringArray.from_buffers(6, offsets, data, pa.py_buffer(bytes([0b101101])))
    assert blocks(dirty) == plain
    assert blocks(pa.array([], pa.string())) == {}
    assert blocks(pa.array([None, None], pa.string())) == {}


def test_a_value_is_no_other_value_with_zeros_behind() -> None:
    assert len(set(blocks(["a", "a\x00", "a\x00\x00", "", "\x00"]).values())) == 5


@pytest.mark.parametrize("modulus", [1, 2, 3, 10, 255, 2**32, 2**32 + 15, 10**15, LARGEST_MODULUS])
def test_the_remainder_is_that_of_the_whole_number(modulus: int) -> None:
    raw = np.random.default_rng(modulus % 97).integers(0, 256, (50, 16), np.uint8)
    raw[0], raw[1] = 0, 255
    assert remainder(raw, modulus).tolist() == [int.from_bytes(row.tobytes(), "big") % modulus for row in raw]
    short = raw[:, :11]
    assert remainder(short, modulus).tolist() == [int.from_bytes(r.tobytes(), "big") % modulus for r in short]


def test_a_text_token_starts_with_a_letter_and_holds_the_functions_bits() -> None:
    raw = np.random.default_rng(1).integers(0, 256, (4000, 16), np.uint8)
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

    def slow(row: np.ndarray) -> str:
        halves = (
            int.from_bytes(row[:8].tobytes(), "big") & (2**63 - 1),
            int.from_bytes(row[8:].tobytes(), "big"),
        )
        return "".join(signs[half >> shift & 31] for half in halves for shift in range(59, 3, -5))

    texts = [bytes(row).decode() for row in token_text(raw, 24)]
    assert texts == [slow(row) for row in raw]
    assert all(text[0] in signs[:16] for text in texts)
    for length in (4, 5, 12, 13, 23):
        assert [bytes(row).decode() for row in token_text(raw, length)] == [text[:length] for text in texts]


def test_uuids_say_that_they_are_of_own_making() -> None:
    raw = np.random.default_rng(2).integers(0, 256, (100, 16), np.uint8)
    made = [uuid.UUID(bytes(row).decode()) for row in uuid_text(raw)]
    assert {(one.version, one.variant) for one in made} == {(8, uuid.RFC_4122)}
    kept = [int.from_bytes(row.tobytes(), "big") for row in raw]
    free = ~(0xF << 76 | 0x3 << 62)
    assert [one.int & free for one in made] == [number & free for number in kept]


def test_tokens_are_spread_evenly() -> None:
    """Chi-squared with 31 degrees of freedom is below 80 but once in 200,000, for each place."""
    column = Token(length=24).apply(pa.array(map(str, range(100_000))), domain_key()).column
    signs = Cells.of(column).matrix(np.arange(100_000), 24)
    for place in range(24):
        counts = np.bincount(signs[:, place], minlength=128)
        counts = counts[counts > 0]
        assert len(counts) == (32 if place else 16)
        assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 80


def test_another_key_domain_or_use_is_another_function() -> None:
    column = pa.array(["one value"])
    made = [
        Token().apply(column, key).column[0].as_py()
        for key in (domain_key(), domain_key("other"), domain_key(case_key=OTHER_CASE_KEY))
    ]
    assert len({token[:6] for token in made}) == 3
    assert Token().apply(column, domain_key()).column[0].as_py() == made[0]
    secrets = {domain_key(name).secret(use) for name in ("a", "b", "ab") for use in ("a", "b", "bb", "ba")}
    assert len(secrets) == 12


def test_pinned() -> None:
    """Pseudonyms of a case must stay the same over releases: who changes this makes a new format of them."""
    column = pa.array(["示例"])
    assert Token().apply(column, domain_key()).column.to_pylist() == ["KHJINELGXGUBZVFCPW3XVR4F"]
    assert Token(output="uuid").apply(column, domain_key()).column.to_pylist() == [
        "e89b183a-209e-8c4a-80d5-efb5fa29069c"
    ]
    assert Token(output="integer").apply(column, domain_key()).column.to_pylist() == ["34435033259451814"]


def test_a_key_of_another_length_is_refused_and_no_key_shows() -> None:
    with pytest.raises(KeyUnavailable, match="32 bytes, this one 16"):
        DomainKey(b"k" * 16, domain_key().domain)
    assert repr(CASE_KEY)[2:-1] not in repr(domain_key())
    assert "case_key" not in repr(domain_key())


def test_a_short_token_is_the_beginning_of_a_long_one() -> None:
    """So that a column with less room still joins by prefix, and a fallback is the column's own token."""
    column = pa.array(["a", None, "b"])
    long, short = (Token(length=n).apply(column, domain_key()).column.to_pylist() for n in (24, 11))
    assert [text and text[:11] for text in long] == short


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_pieces_go_where_they_belong(order: list[int]) -> None:
    parts = [([0, 4], b"ab"), ([1, 5], b"xxyy"), ([3], b"")]
    into = Pieces(7)
    for number in order:
        rows, text = parts[number]
        into.put(np.array(rows), np.frombuffer(text, np.uint8).reshape(len(rows), -1))
    column = into.column()
    column.validate(full=True)
    assert column.to_pylist() == ["a", "xx", None, "", "b", "yy", None]


def test_the_purpose_of_text_tokens_is_the_one_used() -> None:
    cells = Cells.of(pa.array(["v"]))
    expected = token_text(prf(domain_key().secret(TEXT), cells, valid_rows(cells)), 24)
    assert Token().apply(pa.array(["v"]), domain_key()).column[0].as_py() == bytes(expected[0]).decode()
