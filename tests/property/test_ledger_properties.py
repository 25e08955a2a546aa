"""Whatever is done to a chain's lines is found, and so is any flipped bit in any evidence file."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fixtures.evidence import SIGNER, Bundle, chain, make_bundle
from handover.evidence.entry import GENESIS, Draft, link, verify_chain
from handover.evidence.verifier import entry_hash, verify

LINES = [entry.line for entry in chain(8, "case-1", SIGNER)]
KEYS = [SIGNER.public_pem]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FIELDS = ["case", "run", "at", "kind", "key", "body", "prev_hash"]
ENTRIES = st.fixed_dictionaries(
    {name: TEXTS for name in FIELDS} | {"key": TEXTS | st.none(), "seq": st.integers(1)}
)


@pytest.fixture(scope="module")
def bundle() -> Iterator[Bundle]:
    with tempfile.TemporaryDirectory() as home:
        yield make_bundle(Path(home))


@given(ENTRIES, ENTRIES)
def test_different_entries_hash_differently(one: dict[str, object], other: dict[str, object]) -> None:
    assume(one != other)
    assert entry_hash(one) != entry_hash(other)


@given(ENTRIES, st.sampled_from(FIELDS[:-1]))
def test_fields_cannot_run_together(entry: dict[str, object], name: str) -> None:
    """A character moved from the end of one field to the start of the next one changes the hash."""
    following = FIELDS[FIELDS.index(name) + 1]
    first, second = str(entry[name]), str(entry[following])
    assume(first)
    moved = entry | {name: first[:-1], following: first[-1] + second}
    assert entry_hash(entry | {name: first, following: second}) != entry_hash(moved)


@given(TEXTS, TEXTS, TEXTS, TEXTS | st.none(), TEXTS)
def test_any_text_makes_an_entry_that_holds(
    case: str, run: str, kind: str, key: str | None, body: str
) -> None:
    entry = link(Draft(case, run, kind, key, body), 1, GENESIS, "2026-01-01T00:00:00.000000Z", SIGNER)
    assert verify_chain([entry.line], KEYS) == []


@given(st.permutations(LINES))
def test_any_reordering_is_found(lines: list[str]) -> None:
    assert (verify_chain(lines, KEYS) == []) == (lines == LINES)


@given(st.sets(st.integers(0, len(LINES) - 1), min_size=1))
def test_any_removal_but_of_the_end_is_found(removed: set[int]) -> None:
    """The end is the manifest's business: a chain alone cannot know how long it was."""
    lines = [line for number, line in enumerate(LINES) if number not in removed]
    assume(lines != LINES[: len(lines)])
    assert verify_chain(lines, KEYS) != []


@given(st.integers(0, len(LINES) - 1), st.data())
def test_any_flipped_bit_in_a_line_is_found(number: int, data: st.DataObject) -> None:
    line = bytearray(LINES[number].encode())
    position = data.draw(st.integers(0, len(line) * 8 - 1))
    line[position // 8] ^= 1 << position % 8
    changed = line.decode(errors="surrogateescape")
    findings = verify_chain([*LINES[:number], changed, *LINES[number + 1 :]], KEYS)
    assert any(f"seq {number + 1}" in finding or f"line {number + 1}" in finding for finding in findings)


@given(st.data())
def test_any_flipped_bit_in_any_file_is_found(bundle: Bundle, data: st.DataObject) -> None:
    files = sorted(
        path for home in (bundle.folder, bundle.vault) for path in home.rglob("*") if path.is_file()
    )
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[position // 8] ^= 1 << position % 8
    path.write_bytes(changed)
    try:
        report = verify(bundle.folder, bundle.vault)
    finally:
        path.write_bytes(whole)
    assert any(path.name in finding.where for finding in report.findings)
