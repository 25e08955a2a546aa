"""FF1 in bulk is FF1 of the standard: its sample vectors, and many more beside a slow form of the same."""

import random

import numpy as np
import pytest

from fixtures.pseudonyms import ff1
from handover.pseudonymise.ff1 import FF1, Feistel
from handover.pseudonymise.integers import Integers, shuffled
from handover.pseudonymise.prf import TILE

# NIST, "FF1 samples" (Cryptographic Standards and Guidelines: Examples with Intermediate Values).
KEY = "2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94"
TWEAK, LONG_TWEAK = "39383736353433323130", "3737373770717273373737"
DIGITS, LETTERS = "0123456789", "0123456789abcdefghi"
SIGNS = "0123456789abcdefghijklmnopqrstuvwxyz"
SAMPLES = {
    "sample 1": (16, 10, "", DIGITS, "2433477484"),
    "sample 2": (16, 10, TWEAK, DIGITS, "6124200773"),
    "sample 3": (16, 36, LONG_TWEAK, LETTERS, "a9tv40mll9kdu509eum"),
    "sample 4": (24, 10, "", DIGITS, "2830668132"),
    "sample 5": (24, 10, TWEAK, DIGITS, "2496655549"),
    "sample 6": (24, 36, LONG_TWEAK, LETTERS, "xbj3kv35jrawxv32ysr"),
    "sample 7": (32, 10, "", DIGITS, "6657667009"),
    "sample 8": (32, 10, TWEAK, DIGITS, "1001623463"),
    "sample 9": (32, 36, LONG_TWEAK, LETTERS, "xs8a0azh2avyalyzuwd"),
}


@pytest.mark.parametrize("bits, radix, tweak, plain, cipher", SAMPLES.values(), ids=SAMPLES)
def test_the_standards_samples(bits: int, radix: int, tweak: str, plain: str, cipher: str) -> None:
    key = bytes.fromhex(KEY)[:bits]
    before, after = ([SIGNS.index(sign) for sign in text] for text in (plain, cipher))
    bulk = FF1(key, radix, bytes.fromhex(tweak))
    assert bulk.encrypt(np.array([before, before])).tolist() == [after, after]
    assert bulk.decrypt(np.array([after])).tolist() == [before]
    assert ff1(key, radix, bytes.fromhex(tweak), before) == after  # so that the slow form may judge below
    assert ff1(key, radix, bytes.fromhex(tweak), after, decrypt=True) == before


# Radix and length: the ends of both, halves of one and of several words and blocks, u beyond a byte.
EDGES = [
    *((2, n) for n in (20, 21, 64, 111, 112, 113, 128, 255, 300, 512, 700)),
    *((3, n) for n in (13, 70)),
    *((10, n) for n in (6, 7, 9, 10, 11, 16, 18, 19, 32, 33, 38, 56, 80)),
    *((36, n) for n in (4, 5, 18, 21, 22, 23)),
    *((255, n) for n in (3, 14)),
    *((256, n) for n in (3, 13, 14, 15, 40)),
    *((1000, n) for n in (2, 3, 11)),
    *((65535, n) for n in (2, 7)),
    *((65536, n) for n in (2, 3, 6, 7, 8, 9)),
]


@pytest.mark.parametrize("radix, length", EDGES)
def test_edges_of_radix_and_length(radix: int, length: int) -> None:
    dice = random.Random(radix * 1000 + length)
    rows = [[0] * length, [radix - 1] * length]
    rows += [[dice.randrange(radix) for _ in range(length)] for _ in range(3)]
    for tweak in (b"", b"tweak", dice.randbytes(16)):
        key = dice.randbytes(dice.choice((16, 24, 32)))
        bulk = FF1(key, radix, tweak)
        made = bulk.encrypt(np.array(rows))
        assert made.tolist() == [ff1(key, radix, tweak, row) for row in rows]
        assert bulk.decrypt(made).tolist() == rows


@pytest.mark.parametrize("length", [1, 2, 7, 8, 10, 11, 12, 13, 15, 16, 17, 31, 32, 33, 100, 255, 256, 1000])
def test_edges_of_the_tweak(length: int) -> None:
    dice = random.Random(length)
    key, tweak = dice.randbytes(32), dice.randbytes(length)
    for radix, places in ((10, 18), (10, 6), (36, 40), (65536, 7)):
        row = [dice.randrange(radix) for _ in range(places)]
        assert FF1(key, radix, tweak).encrypt(np.array([row])).tolist() == [ff1(key, radix, tweak, row)]


def test_rows_do_not_depend_on_each_other_nor_on_where_a_tile_ends() -> None:
    numerals = np.random.default_rng(1).integers(0, 10, (TILE + 3, 18))
    bulk = FF1(bytes(32), 10)
    made = bulk.encrypt(numerals)
    for row in (0, TILE - 1, TILE, TILE + 2):
        assert made[row].tolist() == ff1(bytes(32), 10, b"", numerals[row].tolist())
    assert (bulk.decrypt(made) == numerals).all()
    assert bulk.encrypt(numerals[:0]).shape == (0, 18)


@pytest.mark.parametrize(
    "radix, length", [(2, 2), (2, 3), (2, 11), (3, 2), (5, 4), (10, 3), (31, 2), (10, 5)]
)
def test_a_small_domain_is_permuted_as_a_whole(radix: int, length: int) -> None:
    """Below the standard's least size, which only this test lowers, all values can be looked at."""
    every = np.stack(np.unravel_index(np.arange(radix**length), (radix,) * length), axis=1)
    bulk = FF1(b"k" * 32, radix, smallest=1)
    made = bulk.encrypt(every)
    assert len(np.unique(made, axis=0)) == radix**length
    assert (bulk.decrypt(made) == every).all()


@pytest.mark.parametrize("size", [10**6, 10**6 + 1, 1_234_567])
def test_a_walked_domain_is_permuted_as_a_whole(size: int) -> None:
    every = np.arange(size, dtype=np.uint64)
    permutation = Integers(b"k" * 32, size)
    made = permutation.encrypt(every)
    assert (np.sort(made) == every).all()
    assert (permutation.decrypt(made) == every).all()
    assert (made == every).sum() < 10  # one in a random permutation, on average


@pytest.mark.parametrize("size", [10**9, 2**32, 2**32 + 1, 10**12 + 7, 10**18, 2**63 - 1, 2**63])
def test_a_large_domain_is_kept(size: int) -> None:
    numbers = np.array([0, 1, size // 2, size - 2, size - 1], np.uint64)
    permutation = Integers(b"k" * 32, size)
    made = permutation.encrypt(numbers)
    assert (made < size).all()
    assert len(np.unique(made)) == len(numbers)
    assert (permutation.decrypt(made) == numbers).all()


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 999_999])
def test_a_table_is_a_permutation_of_its_key(size: int) -> None:
    table = shuffled(b"k" * 32, size)
    assert (np.sort(table) == np.arange(size)).all()
    assert size < 10 or (table != shuffled(b"j" * 32, size)).any()
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 0


def test_all_orders_of_a_small_table_occur_equally() -> None:
    """24 orders of four, 2400 keys: chi-squared with 23 degrees of freedom is below 60 but once in 30,000."""
    orders = [tuple(shuffled(number.to_bytes(32, "big"), 4)) for number in range(2400)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 24
    assert sum((count - 100) ** 2 / 100 for count in counts) < 60


def test_what_the_standard_does_not_allow_is_refused() -> None:
    for radix in (1, 65537):
        with pytest.raises(ValueError, match="a radix is 2 to 65536"):
            Feistel(bytes(16), radix, 40)
    for radix, length in ((10, 5), (2, 19), (65536, 1)):
        with pytest.raises(ValueError, match="fewer than 1000000 values"):
            Feistel(bytes(16), radix, length)
    assert [FF1(bytes(16), radix).shortest() for radix in (2, 10, 36, 1000, 65536)] == [20, 6, 4, 2, 2]
    for size in (10**6 - 1, 2**63 + 1):
        with pytest.raises(ValueError, match="FF1 takes"):
            Integers(bytes(16), size)
    for size in (0, 10**6):
        with pytest.raises(ValueError, match="a table is for"):
            shuffled(bytes(16), size)


def test_no_key_shows_in_what_may_be_printed() -> None:
    key = b"secret-secret-secret-secret-1234"
    for shown in (FF1(key, 10), Feistel(key, 10, 18), Integers(key, 10**6)):
        assert "secret" not in repr(shown)
