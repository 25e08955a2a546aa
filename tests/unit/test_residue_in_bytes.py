"""Raw values are found in bytes of any kind, whatever is glued to them; and only those values."""

import random
import time

import pytest

from handover.risk.in_bytes import BytesSearch
from handover.risk.raw_values import RawValues

VALUES = {
    "resident_id": "99010119900307123X",
    "bank_card": "9900001234567890123",
    "mobile": "10000000001",
    "email": "someone@example.test",
    "uscc": "9J990000MA0000001X",
}


def search(*kinds: str) -> BytesSearch:
    values = RawValues()
    for kind in kinds or VALUES:
        values.add(kind, [VALUES[kind]])
    return BytesSearch(values)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("before", [b"", b"\0", b"3", b"A", b"id99", b"\xe6\x9d"], ids=repr)
@pytest.mark.parametrize("after", [b"", b"\0", b"5", b"\xe6\x9d\x8e"], ids=repr)
def test_glued_values_are_found(kind: str, before: bytes, after: bytes) -> None:
    # JSON in its binary form writes one value straight behind the other.
    data = bytes(100) + before + VALUES[kind].encode() + after + bytes(100)
    assert search(kind)(data)
    assert search()(data)


@pytest.mark.parametrize("kind", VALUES)
def test_another_value_is_not(kind: str) -> None:
    other = VALUES[kind].replace("1", "2").replace("some", "any")
    assert not search()(bytes(50) + other.encode() + bytes(50))


def test_other_writings_are_found() -> None:
    assert search("bank_card")(b"\0card 9900 0012 3456 7890 123\0")
    assert search("resident_id")(b"\x0199010119900307123x\0")
    assert search("mobile")("电话：１００００００００01".encode())


def test_across_the_end_of_a_piece() -> None:
    for at in (1 << 20, (1 << 20) - 5, (1 << 20) + 511):
        assert search("mobile")(bytes(at) + VALUES["mobile"].encode() + bytes(9))


def test_nothing_in_noise_and_quickly() -> None:
    noise = random.Random(7).randbytes(8 << 20)
    started = time.perf_counter()
    assert not search()(noise)
    assert len(noise) / (time.perf_counter() - started) > 2_000_000
    assert not search()(b"")
