"""Arithmetic of reconciliation: pandas on Arrow decimals, never float64, so that no digit is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from typing import Any

import pandas as pd
import pyarrow as pa

TEXT = pd.ArrowDtype(pa.string())
WHOLE = pd.ArrowDtype(pa.int64())
# One digit of Arrow's 76 is left to the carry of an addition. What does not fit, a numeric(1000,500) or
# the sum of floats of 300 digits, is computed as Python's Decimal: slower, and as exact.
_DIGITS, _SCALE = 75, 36
_MONEY = pd.ArrowDtype(pa.decimal256(_DIGITS, _SCALE))
_UNBOUNDED = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation])


def frame(texts: Mapping[str, Sequence[str | None]], wholes: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Return a frame of Arrow strings and 64-bit integers; a missing value stays missing, never NaN."""
    columns = {name: pd.Series(list(values), dtype=TEXT) for name, values in texts.items()}
    columns |= {name: pd.Series(list(values), dtype=WHOLE) for name, values in wholes.items()}
    return pd.DataFrame(columns)


def records(merged: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame with None for what is missing."""
    found = merged.astype(object).where(merged.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in found]


def differences(left: pd.Series, right: pd.Series) -> pd.Series:
    """Return left − right of two columns of decimal texts as Decimals, exactly.

    A missing value counts as 0, as in a sum; the result is missing where a side is not a finite number.
    """
    pairs = [(_parse(a), _parse(b)) for a, b in zip(left, right, strict=True)]
    narrow = [(a, b) for a, b in pairs if _fits(a) and _fits(b)]
    ours = pd.Series([a for a, _ in narrow], dtype=_MONEY)
    exact = iter(ours - pd.Series([b for _, b in narrow], dtype=_MONEY))
    found = [next(exact) if _fits(a) and _fits(b) else _subtract(a, b) for a, b in pairs]
    return pd.Series(found, index=left.index, dtype=object)


def _parse(text: object) -> Decimal:
    return Decimal(text) if isinstance(text, str) else Decimal(0)


def _fits(number: Decimal) -> bool:
    if not number.is_finite():
        return False
    exponent = int(number.as_tuple().exponent)
    return -exponent <= _SCALE and number.adjusted() < _DIGITS - _SCALE


def _subtract(left: Decimal, right: Decimal) -> Decimal | None:
    if not (left.is_finite() and right.is_finite()):
        return None
    return _UNBOUNDED.subtract(left, right)
