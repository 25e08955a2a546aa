"""Encrypted segments: what was sealed comes back, and every damage is named."""

import hashlib
import secrets
import struct
from dataclasses import replace

import pytest

from handover.errors import KeyUnavailable, VaultCorrupt
from handover.vault.segment import MAGIC, Label, open_segment, read_header, rewrap, seal

LABEL = Label(case="case-1", run="run-1", generation=1, kind="rows", table="公司.客户", chunk=7)
KEY = bytes(range(32))
NAME = "case-1/run-1/0007.seg"
PLAIN = b"".join(b"%d\tsome text\n" % number for number in range(10_000))


@pytest.fixture(scope="module")
def blob() -> bytes:
    return seal(LABEL, [PLAIN], "backup-1", KEY)


def flipped(data: bytes, index: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1 << bit
    return bytes(changed)


def test_sealed_chunk_comes_back(blob: bytes) -> None:
    assert open_segment(blob, LABEL, KEY, NAME) == PLAIN
    assert len(blob) < len(PLAIN) / 2


@pytest.mark.parametrize("plain", [b"", b"x", secrets.token_bytes(300_000)], ids=["empty", "one", "random"])
def test_sizes(plain: bytes) -> None:
    assert open_segment(seal(LABEL, [plain], "k", KEY), LABEL, KEY, NAME) == plain


def test_pieces_are_joined_in_order() -> None:
    pieces = [b"first", memoryview(b"second"), b"", b"third"]
    assert open_segment(seal(LABEL, pieces, "k", KEY), LABEL, KEY, NAME) == b"firstsecondthird"
    assert open_segment(seal(LABEL, [], "k", KEY), LABEL, KEY, NAME) == b""


def test_header_is_readable_without_a_key(blob: bytes) -> None:
    header = read_header(blob[:1000], NAME)
    assert header.label == LABEL
    assert header.key_id == "backup-1"
    assert header.plaintext_size == len(PLAIN)


def test_no_plaintext_in_the_file() -> None:
    assert b"13800138000" not in seal(LABEL, [b"13800138000"], "k", KEY)


def test_each_file_has_its_own_data_key_and_nonce() -> None:
    headers = [read_header(seal(LABEL, [b"same"], "k", KEY), NAME) for _ in range(50)]
    assert len({header.wrapped_key for header in headers}) == 50
    assert len({header.nonce for header in headers}) == 50


def test_wrong_key_is_told_from_damage(blob: bytes) -> None:
    with pytest.raises(KeyUnavailable, match=f"does not open {NAME}, which was sealed under key backup-1"):
        open_segment(blob, LABEL, bytes(32), NAME)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (0, "is no segment"),
        (7, "is no segment"),
        (8, "length of its header is impossible"),
        (11, "was changed: its header|was cut"),
        (20, "header does not match its digest"),
        (-1, "content does not match its seal"),
        (-200, "content does not match its seal"),
    ],
)
def test_flipped_byte_is_named(blob: bytes, place: int, message: str) -> None:
    with pytest.raises(VaultCorrupt, match=f"{NAME}.*({message})"):
        open_segment(flipped(blob, place), LABEL, KEY, NAME)


@pytest.mark.parametrize("length", [0, 5, 8, 10, 12, 100, 500, 1000, -1])
def test_cut_file_is_named(blob: bytes, length: int) -> None:
    with pytest.raises(VaultCorrupt, match=f"{NAME}.*cut"):
        open_segment(blob[:length], LABEL, KEY, NAME)


def test_added_bytes_are_named(blob: bytes) -> None:
    with pytest.raises(VaultCorrupt, match=f"{NAME} has 3 bytes too many"):
        open_segment(blob + b"abc", LABEL, KEY, NAME)


DIFFERENCES = [
    ({"case": "case-2"}, "case is 'case-1', expected 'case-2'"),
    ({"run": "run-2"}, "run is 'run-1', expected 'run-2'"),
    ({"generation": 2}, "generation is 1, expected 2"),
    ({"kind": "schema"}, "kind is 'rows', expected 'schema'"),
    ({"table": "other"}, "table is '公司.客户', expected 'other'"),
    ({"chunk": 8}, "chunk is 7, expected 8"),
]


@pytest.mark.parametrize(("change", "message"), DIFFERENCES, ids=lambda value: str(value)[:20])
def test_swapped_or_foreign_file_is_named(blob: bytes, change: dict[str, object], message: str) -> None:
    with pytest.raises(VaultCorrupt, match=f"{NAME} belongs elsewhere: its label says {message}$"):
        try:
            open_segment(blob, replace(LABEL, **change), KEY, NAME)
        except VaultCorrupt as error:
            raise VaultCorrupt(error.message) from None


def relabelled(blob: bytes) -> bytes:
    """A forger's work: the header says chunk 8, with a digest that fits."""
    (length,) = struct.unpack_from(">I", blob, len(MAGIC))
    end = len(MAGIC) + 4 + length
    start = blob[:end].replace(b'"chunk":7', b'"chunk":8')
    return start + hashlib.sha256(start).digest() + blob[end + 32 :]


def test_forged_label_breaks_the_seal(blob: bytes) -> None:
    with pytest.raises(VaultCorrupt, match="content does not match its seal"):
        open_segment(relabelled(blob), replace(LABEL, chunk=8), KEY, NAME)


def test_unknown_compression_is_refused(blob: bytes) -> None:
    (length,) = struct.unpack_from(">I", blob, len(MAGIC))
    end = len(MAGIC) + 4 + length
    start = blob[:end].replace(b'"zstd-1"', b'"zstd-9"')
    with pytest.raises(VaultCorrupt, match="this version cannot read"):
        read_header(start + hashlib.sha256(start).digest(), NAME)


def test_a_file_that_is_shared_opens_under_either_key(blob: bytes) -> None:
    other = bytes(range(32, 64))
    mine = read_header(blob, NAME)
    wrapped = rewrap(mine.wrapped_key, mine.key_id, KEY, other, NAME)
    assert open_segment(blob, LABEL, other, NAME, wrapped) == PLAIN
    assert open_segment(blob, LABEL, KEY, NAME) == PLAIN
    for key, kept in ((other, b""), (KEY, wrapped), (bytes(32), wrapped)):
        with pytest.raises(KeyUnavailable, match="does not open"):
            open_segment(blob, LABEL, key, NAME, kept)
    with pytest.raises(KeyUnavailable, match="sealed under key backup-1"):
        rewrap(mine.wrapped_key, mine.key_id, other, KEY, NAME)
    with pytest.raises(VaultCorrupt):
        open_segment(flipped(blob, len(blob) - 1), LABEL, other, NAME, wrapped)
