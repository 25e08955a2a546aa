"""A keyed pseudorandom function over whole columns: AES-256 CBC-MAC of length-prefixed values.

Why it is one: CBC-MAC is a PRF on any set of messages of which none is a prefix of another, up to about
l·q²/2^128 (q values of l blocks; Bellare, Pietrzak, Rogaway, "Improved Security Analyses for CBC MACs",
CRYPTO 2005, after Bellare, Kilian, Rogaway). A value's length stands in front of it and zeros fill its last
block: values of one length are framed to one length, and values of two lengths differ in their first four
bytes, so none is a prefix of another and no two are framed alike. Plain AES of a value would not do (values
longer than a block), CBC-MAC without the length neither (it can be extended). A key serves one use alone.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from handover.pseudonymise.cells import Bools, Bytes, Cells, Ints, Words

BLOCK = 16
# Rows worked on at once: their blocks stay in the processor's second cache.
TILE = 16_384
_LENGTH_BYTES = 4
_BASE32 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", np.uint8)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
# Twelve signs from each half of a block: 60 of its 64 bits.
_SIGNS_OF_WORD = 12
LONGEST_TOKEN = 2 * _SIGNS_OF_WORD
_UUID_GAPS = (8, 12, 16, 20)
# Above it 128 bits are folded in by less than a byte, see remainder.
LARGEST_MODULUS = 1 << 56


class Aes:
    """The block cipher itself, on any number of blocks at once."""

    def __init__(self, key: bytes) -> None:
        # One independent permutation per block is what CBC-MAC and FF1 are made of; nothing is sent in ECB.
        self._cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305

    def __call__(self, blocks: Bytes) -> Bytes:
        """Return each row of 16 bytes enciphered."""
        out = np.empty(blocks.size + BLOCK - 1, np.uint8)  # the room that update_into asks for
        self._cipher.update_into(np.ascontiguousarray(blocks).reshape(-1).data, out.data)
        return out[: blocks.size].reshape(-1, BLOCK)


def prf(key: bytes, cells: Cells, rows: Ints) -> Bytes:
    """Return 16 pseudorandom bytes for each of ascending rows."""
    cipher = Aes(key)
    out = np.empty((len(rows), BLOCK), np.uint8)
    counts = (cells.lengths[rows] + (_LENGTH_BYTES + BLOCK - 1)) // BLOCK
    for count in np.unique(counts):
        places = np.flatnonzero(counts == count)
        step = max(1, TILE * 2 // int(count))
        for start in range(0, len(places), step):
            part = places[start : start + step]
            out[part] = _cbc_mac(cipher, cells, rows[part], int(count))
    return out


def _cbc_mac(cipher: Aes, cells: Cells, rows: Ints, count: int) -> Bytes:
    framed = cells.padded(rows, count * BLOCK, _LENGTH_BYTES)
    framed[:, :_LENGTH_BYTES] = cells.lengths[rows].astype("<u4").view(np.uint8).reshape(-1, _LENGTH_BYTES)
    state = cipher(framed[:, :BLOCK])
    for block in range(1, count):
        state ^= framed[:, block * BLOCK : (block + 1) * BLOCK]
        state = cipher(state)
    return state


def words(blocks: Bytes) -> Words:
    """Return each row's bytes as big-endian numbers of 64 bits."""
    return np.ascontiguousarray(blocks).view(">u8").astype(np.uint64)


def remainder(blocks: Bytes, modulus: int) -> Words:
    """Return each row's bytes, read as one number, modulo a number up to 2^56."""
    step = (64 - (modulus - 1).bit_length()) // 8
    divisor = np.uint64(modulus)
    # The first bytes fill a word; what is left over of it leaves room for ``step`` more.
    rest = _modulo(words(blocks[:, :8])[:, 0], divisor)
    place = 8
    while place < blocks.shape[1]:
        taken = min(step, 4, blocks.shape[1] - place)
        rest = _modulo((rest << np.uint64(8 * taken)) | _number(blocks[:, place : place + taken]), divisor)
        place += taken
    return rest


def _modulo(numbers: Words, divisor: np.uint64) -> Words:
    """The remainder by way of the quotient, which numpy divides by multiplying."""
    return numbers - numbers // divisor * divisor


def _number(columns: Bytes) -> Words:
    total = columns[:, 0].astype(np.uint64)
    for place in range(1, columns.shape[1]):
        total = (total << np.uint64(8)) | columns[:, place]
    return total


@cache
def _pairs() -> NDArray[np.uint16]:
    """Two signs for each number of ten bits, as they lie in memory."""
    first, second = np.divmod(np.arange(1024), 32)
    return np.ascontiguousarray(np.stack([_BASE32[first], _BASE32[second]], axis=1)).view(np.uint16)[:, 0]


def token_text(blocks: Bytes, length: int) -> Bytes:
    """Return base32 texts (RFC 4648) of up to 24 signs: five bits each, four in the first, a letter.

    The letter keeps a token from ever reading as a number.
    """
    halves = words(blocks)
    halves[:, 0] &= np.uint64((1 << 63) - 1)
    pairs = np.empty((len(blocks), (length + 1) // 2), np.uint16)
    for place in range(pairs.shape[1]):
        half, within = divmod(place, _SIGNS_OF_WORD // 2)
        shift = np.uint64(54 - 10 * within)
        pairs[:, place] = _pairs()[((halves[:, half] >> shift) & np.uint64(1023)).astype(np.intp)]
    return pairs.view(np.uint8)[:, :length]


def token_bits(length: int) -> int:
    """Return how many bits of the function a text of this length holds."""
    return 5 * length - 1


def uuid_text(blocks: Bytes) -> Bytes:
    """Return UUIDs of version 8 (RFC 9562: own making), 122 bits of the function each."""
    raw = blocks.copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x80
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    signs = np.empty((len(raw), 2 * BLOCK), np.uint8)
    signs[:, 0::2] = _HEX[raw >> 4]
    signs[:, 1::2] = _HEX[raw & 15]
    return np.insert(signs, _UUID_GAPS, ord("-"), axis=1)


def valid_rows(cells: Cells, among: Bools | None = None) -> Ints:
    """Return the rows that hold a value, among those given."""
    return np.flatnonzero(cells.valid if among is None else cells.valid & among)
