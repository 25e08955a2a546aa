"""Regions of GB/T 2260 by their first four digits: those that people's numbers have, and those that none has.

Prefectures are listed with those of former years (the editions since 1980); counties change often and are
not. Numbers 54 to 89 and 91 to 99 have never been a prefecture's: a pseudonym there is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from handover.pseudonymise.cells import Ints

# Province: its prefectures. 00 stands for the province itself, as in credit codes.
_PREFECTURES = """
11: 00-02
12: 00-02
13: 00-11 21-30 90
14: 00-11 21-27 90
15: 00-09 21-29
21: 00-14 21-22 90
22: 00-08 21-26 90
23: 00-12 21-27 90
31: 00-02
32: 00-13 21-27 90
33: 00-11 21-28 90
34: 00-18 21-29
35: 00-09 21-27 90
36: 00-11 21-26
37: 00-17 21-29 90
41: 00-17 21-30 90
42: 00-13 21-29 90
43: 00-13 21-31 90
44: 00-29 51-53 90
45: 00-14 21-28
46: 00-04 90
50: 00-03
51: 00-39 90
52: 00-06 21-27
53: 00-09 21-35
54: 00-06 21-27
61: 00-10 21-27
62: 00-12 21-30
63: 00-02 21-28
64: 00-05 21-22
65: 00-05 21-32 40-43 90
71: 00
"""
_PERMITS = (8100, 8200, 8300)
_NATION = 1000  # of credit codes given by the nation's own authorities
_NEVER = (*range(54, 90), *range(91, 100))
# Sample companies use 99 for their people.
_SAMPLE = 99


def _listed() -> Iterator[tuple[int, list[int]]]:
    for line in _PREFECTURES.strip().splitlines():
        province, ranges = line.split(":")
        spans = [span.split("-") for span in ranges.split()]
        yield int(province), [n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)]


def _table(prefectures: list[int]) -> Ints:
    return np.array(sorted(prefectures), np.int64)


_LISTED = [province * 100 + one for province, ones in _listed() for one in (*ones, _SAMPLE)]
KNOWN_TO_RESIDENTS = _table(_LISTED)
KNOWN_TO_PEOPLE = _table([*_LISTED, *_PERMITS])
KNOWN_TO_COMPANIES = _table([*_LISTED, _NATION])
UNASSIGNED = _table([province * 100 + one for province, _ in _listed() if province != 71 for one in _NEVER])
