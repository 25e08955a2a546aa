"""Rows are brought to one writing as regular expressions, applied one after the other, would bring them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from handover.risk.buffers import plain

# Whole signs, and parts of them in any order: what is searched need not be text.
PARTS = [
    *(b"\\", b"\\\\", b"n", b"t", b"\\u0020", b"u4e2d", b"a", b"1", b"\t", b"\n", b"\xe2", b"\x80", b"\x8b"),
    *(
        b"\xe2\x80\x8b",
        b"\xe2\x80\x90",
        b"\xc2",
        b"\xa0",
        b"\xc2\xa0",
        b"\xc2\xad",
        b"\xef",
        b"\xbc",
        b"\x91",
    ),
    *(b"\xef\xbb\xbf", b"\xe3\x80\x80", b"\xef\xb9\xa3", b"\xe4\xb8\xad", b"\xe2\x88\x92", b"\xe2\x81\xa6"),
]
STEPS = (
    (rb"\xe3\x80\x80|\xc2\xa0|\xe2\x80[\x80-\x8a\xaf]|\xe2\x81\x9f", b" "),
    (rb"\xe2\x80[\x90-\x95]|\xe2\x88\x92|\xef\xb9\xa3", b"-"),
    (rb"\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0\xa6-\xa9]|\xc2\xad|\xef\xbb\xbf", b""),
)


def slowly(rows: bytes) -> bytes:
    rows = re.sub(rb"\\+[nrtbfv]", b" ", rows)
    rows = re.sub(rb"\\+u([0-9a-fA-F]{4})", _sign, rows)
    for form, instead in STEPS:
        rows = re.sub(form, instead, rows)
    return re.sub(rb"\xef(?:\xbc[\x81-\xbf]|\xbd[\x80-\x9e])", _narrow, rows)


def _sign(match: re.Match[bytes]) -> bytes:
    sign = chr(int(match[1], 16))
    return b" " if sign.isspace() else sign.encode("utf-8", "replace")


def _narrow(match: re.Match[bytes]) -> bytes:
    return bytes([match[0][2] - (0x60 if match[0][1] == 0xBC else 0x20)])


@given(st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join))
def test_all_at_once_is_one_after_the_other(rows: bytes) -> None:
    expected = slowly(rows)
    assert plain(rows) == expected


def test_what_is_compared_changes() -> None:
    assert slowly(b"\\n\xef\xbc\x91\xe2\x80\x90\xc2\xad") == b" 1-"
