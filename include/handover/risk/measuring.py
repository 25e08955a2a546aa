"""The re-identification test: k, l-diversity, unique records, and the risk under three models of attack.

Prosecutor: knows that the person is in the data; one over the class. Journalist: knows only that he is
in the population around it; one over the class there. Marketer: wants as many as possible; the share of
records that he is expected to get right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from handover.model.masking import Thresholds
from handover.risk.classes import CLASSES, POPULATION, RECORDS, diversity_of
from handover.risk.figures import (
    Attack,
    RiskFigures,
    shown_count,
    shown_risk,
    shown_share,
)


@dataclass(frozen=True)
class _Risk:
    """One attacker's exact figures, which stay in the process."""

    highest: float
    mean: float
    at_risk_share: float

    def shown(self, records: int) -> Attack:
        return Attack(
            highest=shown_risk(self.highest),
            mean=shown_risk(self.mean),
            at_risk_share=shown_share(self.at_risk_share, records),
        )


def measure(label: str, quasi: tuple[str, ...], classes: pd.DataFrame, thresholds: Thresholds) -> RiskFigures:
    """Return the figures of a table's classes and every threshold that they exceed."""
    sizes = classes[RECORDS].to_numpy(np.int64)
    counts = classes[CLASSES].to_numpy(np.int64)
    around = classes[POPULATION].to_numpy(np.int64)
    total = int((sizes * counts).sum())
    known = bool(around.any())
    prosecutor = _risk(sizes, sizes, counts, thresholds.record_risk)
    # A record that the population lacks is in it all the same: the population was read too early, or in part.
    journalist = _risk(np.maximum(around, sizes), sizes, counts, thresholds.record_risk)
    smallest = int(sizes.min()) if total else 0
    unique = int(counts[sizes == 1].sum())
    diversity = diversity_of(classes)
    exceeded = _exceeded(thresholds, total, smallest, unique, diversity, prosecutor) if total else ()
    return RiskFigures(
        label=label,
        quasi_identifiers=quasi,
        records=shown_count(total),
        classes=shown_count(int(counts.sum())),
        smallest_class=shown_count(smallest),
        unique_records=shown_count(unique),
        unique_share=shown_share(unique / total if total else 0.0, total),
        diversity=diversity,
        population=known,
        prosecutor=prosecutor.shown(total),
        journalist=journalist.shown(total),
        marketer=Attack(highest=None, mean=shown_risk(journalist.mean), at_risk_share=None),
        thresholds=thresholds,
        exceeded=exceeded,
    )


def _risk(among: np.ndarray, sizes: np.ndarray, counts: np.ndarray, over: float) -> _Risk:
    """Return the risk of the records when each is looked for in a class of the size ``among``."""
    records = sizes * counts
    total = int(records.sum())
    if not total:
        return _Risk(0.0, 0.0, 0.0)
    risks = 1.0 / among
    return _Risk(
        highest=float(risks.max()),
        mean=float((records * risks).sum() / total),
        at_risk_share=float(records[risks > over].sum() / total),
    )


def _exceeded(
    limits: Thresholds, total: int, smallest: int, unique: int, diversity: dict[str, int], risk: _Risk
) -> tuple[str, ...]:
    """Return a line for each threshold that is exceeded; the prosecutor's risk, the greatest, decides."""
    lines = []
    if smallest < limits.smallest_class:
        lines.append(f"smallest class {shown_count(smallest)}, at least {limits.smallest_class} wanted")
    lines += [
        f"{column}: {least} distinct value(s) in some class, at least {limits.diversity} wanted"
        for column, least in diversity.items()
        if least < limits.diversity
    ]
    if unique / total > limits.unique_share:
        lines.append(
            f"share of unique records {shown_share(unique / total, total)}, at most {limits.unique_share}"
        )
    if risk.at_risk_share > limits.at_risk_share:
        share = shown_share(risk.at_risk_share, total)
        lines.append(
            f"share of records with a risk over {limits.record_risk}: {share}, at most {limits.at_risk_share}"
        )
    if risk.mean > limits.mean_risk:
        lines.append(f"mean risk {shown_risk(risk.mean)}, at most {limits.mean_risk}")
    return tuple(lines)
