"""Any chunk comes back from its segment, and no single flipped bit or cut goes unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.errors import VaultCorrupt
from handover.vault.segment import Label, open_segment, seal

KEY = bytes(range(32))
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(0, 2**53 - 1)
LABELS = st.builds(Label, case=NAMES, run=NAMES, generation=NUMBERS, kind=NAMES, table=NAMES, chunk=NUMBERS)
LABEL = Label("case", "run", 1, "rows", "t", 0)
BLOB = seal(LABEL, [b"0123456789" * 30], "backup-1", KEY)


@given(LABELS, st.lists(st.binary(max_size=500), max_size=5))
def test_any_label_and_content_come_back(label: Label, pieces: list[bytes]) -> None:
    assert open_segment(seal(label, pieces, "k", KEY), label, KEY, "x") == b"".join(pieces)


@given(st.integers(0, len(BLOB) * 8 - 1))
def test_any_flipped_bit_is_found(position: int) -> None:
    changed = bytearray(BLOB)
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises(VaultCorrupt, match="object-name"):
        open_segment(bytes(changed), LABEL, KEY, "object-name")


@given(st.integers(0, len(BLOB) - 1))
def test_any_cut_is_found(length: int) -> None:
    with pytest.raises(VaultCorrupt, match="object-name"):
        open_segment(BLOB[:length], LABEL, KEY, "object-name")
