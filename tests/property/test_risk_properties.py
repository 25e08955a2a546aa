"""Searches and figures agree with the slow and obvious way to the same answer, whatever comes."""

import re
from collections import Counter, defaultdict
from itertools import product

import pandas as pd
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from handover.risk.buffers import plain
from handover.risk.classes import classes_in
from handover.risk.figures import Thresholds, shown_count
from handover.risk.generalising import Lattice, lattice_of, propose
from handover.risk.ladders import LadderKind
from handover.risk.measuring import measure
from handover.risk.raw_values import RawValues
from handover.risk.searching import Search, pieces

MOBILES = ["13800138000", "13900139000", "13513513513"]
IDENTITIES = ["11010519491231002X", "310101198001010017"]
VALUES = RawValues()
VALUES.add("mobile", MOBILES)
VALUES.add("resident_id", IDENTITIES)
SEARCH = Search(VALUES)
_GAP = re.compile(r"[ \-.()_]{1,3}")
DIALLED = {prefix + mobile for mobile in MOBILES for prefix in ("0", "86", "086", "0086")}

# Pieces of the values and what may stand between, so that near misses and hits are both common.
_SIGNS = [" ", "-", ".", "(", ")", "_", ",", "a", "张", "X", "x", "  ", " - ", "\u3000", "\u200b", "８", "０"]
_DIGITS = "138 0013 8000 00138000 13800138000 135 1351 3513 513 +86 86 0 1 3 8".split()  # noqa: SIM905
_DIGITS += "110105 19491231 002 310101198001010017 310101 1980 0101 0017".split()  # noqa: SIM905
PARTS = st.sampled_from([*_SIGNS, *_DIGITS])
TEXTS = st.lists(PARTS, max_size=14).map("".join)


def obvious(text: str) -> bool:
    """Say whether a value stands in a text, by trying every run of groups."""
    groups = list(re.finditer(r"\d+", text))
    for first in range(len(groups)):
        joined, dots = "", 0
        for last in range(first, len(groups)):
            if last > first:
                gap = text[groups[last - 1].end() : groups[last].start()]
                if not _GAP.fullmatch(gap):
                    break
                dots += gap == "."
            joined += groups[last][0]
            if last - first < 6 and dots != 1 and _is_value(joined, text[groups[last].end() :]):
                return True
    return any(_is_value("".join(group), rest) for group, rest in _chains(text, groups) if len(group) > 6)


def _chains(text: str, groups: list[re.Match[str]]) -> list[tuple[list[str], str]]:
    chains: list[tuple[list[str], str]] = []
    for before, group in zip([None, *groups], groups, strict=False):
        joined = before is not None and _GAP.fullmatch(text[before.end() : group.start()])
        chain = [*chains.pop()[0], group[0]] if joined else [group[0]]
        chains.append((chain, text[group.end() :]))
    return chains


def _is_value(digits: str, rest: str) -> bool:
    if digits in {*MOBILES, *DIALLED, *IDENTITIES}:
        return True
    return digits + "X" in IDENTITIES and re.match(r"[ \-.()_]?[xX](?![0-9A-Za-z])", rest) is not None


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=1, max_size=6))
@example([["138.0013.8000", "138.00138000"], ["11010519491231002 x", "11010519491231002XX"]])
@example([["1 3 8 0 0 1 3 8 0 0 0", "1.3.8.0.0.1.3.8.0.0.0"]])
def test_the_search_finds_what_the_obvious_way_finds(rows: list[list[str]]) -> None:
    written = "".join("\t".join(row) + "\n" for row in rows).encode()
    cells = plain(written).decode().split("\n")
    expected = {
        (row, column)
        for row, line in enumerate(cells)
        for column, text in enumerate(line.split("\t"))
        if obvious(text)
    }
    assert {(hit.row, hit.column) for hit in SEARCH(written)} == expected


@given(st.text(max_size=60).map(lambda text: text.replace("\0", "")), st.binary(max_size=60))
def test_one_writing_keeps_rows_and_columns(text: str, binary: bytes) -> None:
    for signs in (text.encode("utf-8", "replace"), binary):
        after = plain(signs)
        assert (after.count(b"\n"), after.count(b"\t")) == (signs.count(b"\n"), signs.count(b"\t"))


@given(st.text("1 3\n,张", max_size=40), st.integers(0, 3_000_000))
def test_pieces_cover_a_buffer(text: str, filler: int) -> None:
    signs = text.encode() + b"1" * filler + text.encode()
    found = list(pieces(signs))
    assert b"".join(signs[start:end] for start, end in found) == signs


RECORDS = st.lists(
    st.tuples(st.sampled_from(["m", "f", None]), st.sampled_from(["a", "b", "c"]), st.integers(0, 2)),
    max_size=40,
)
LIMITS = Thresholds(
    smallest_class=3, diversity=2, record_risk=0.5, unique_share=0.1, at_risk_share=0.2, mean_risk=0.3
)


@given(RECORDS)
def test_figures_are_those_counted_one_by_one(records: list[tuple[str | None, str, int]]) -> None:
    frame = pd.DataFrame(records, columns=["sex", "place", "illness"])
    found = measure("t", ("sex", "place"), classes_in(frame, ["sex", "place"], ["illness"]), LIMITS)
    sizes = Counter((sex, place) for sex, place, _ in records)
    kinds: dict[tuple[str | None, str], set[int]] = defaultdict(set)
    for sex, place, illness in records:
        kinds[sex, place].add(illness)
    smallest = min(sizes.values(), default=0)
    unique = sum(size == 1 for size in sizes.values())
    at_risk = sum(size for size in sizes.values() if 1 / size > LIMITS.record_risk)
    total = len(records)
    assert found.smallest_class == shown_count(smallest)
    assert found.diversity["illness"] == min(map(len, kinds.values()), default=0)
    assert found.passed == (
        not total
        or (
            smallest >= LIMITS.smallest_class
            and found.diversity["illness"] >= LIMITS.diversity
            and unique / total <= LIMITS.unique_share
            and at_risk / total <= LIMITS.at_risk_share
            and len(sizes) / total <= LIMITS.mean_risk
        )
    )


DAYS = st.sampled_from(
    [f"198{year}-0{month}-1{day}" for year in (0, 7) for month in (1, 2) for day in (0, 1)]
)


@given(
    st.lists(st.tuples(DAYS, st.sampled_from("abc"), st.integers(1, 3)), min_size=1, max_size=12),
    st.integers(1, 8),
)
def test_no_choice_on_the_ladders_loses_less(rows: list[tuple[str, str, int]], k: int) -> None:
    born, place, records = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"born": born, "place": place, "records": records})
    kinds: dict[str, LadderKind] = {"born": "date", "place": "other"}
    found = propose(table, "records", kinds, k)
    assert found.found == (sum(records) >= k)
    if found.found:
        lattice = lattice_of(table, "records", kinds, k)
        every = product(*(range(most + 1) for most in lattice.top()))
        assert found.least
        assert found.loss == min(lattice.loss(levels) for levels in every if _reached(lattice, levels, k))


def _reached(lattice: Lattice, levels: tuple[int, ...], k: int) -> bool:
    sizes: Counter[tuple[int, ...]] = Counter()
    codes = [column.at(level)[0].tolist() for column, level in zip(lattice.columns, levels, strict=True)]
    for key, count in zip(zip(*codes, strict=True), lattice.records.tolist(), strict=True):
        sizes[key] += count
    return min(sizes.values()) >= k
