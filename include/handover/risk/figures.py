"""What a re-identification test says: thresholds, figures without a value of a row, and what exceeds them.

Method of GB/T 42460-2023 (requirements 4.2, P73): the risk of a record is one over the size of its class, the
records that share all quasi-identifiers. The standard's own numbers are not certain, so that every threshold
comes from the policy. Counts below five name hardly anyone but may name someone: they are shown as "<5".
"""

from __future__ import annotations

from handover.model.base import Frozen
from handover.model.masking import Thresholds

FEWEST_SHOWN = 5
Shown = int | float | str


class Attack(Frozen):
    """The risk under one model of an attacker; ``None`` where the model knows no such figure."""

    highest: Shown | None
    mean: Shown
    at_risk_share: Shown | None


class RiskFigures(Frozen):
    """The test of one table, or of tables joined: counts and shares alone.

    ``population``: whether the journalist's and marketer's classes were counted in a population around these
    records; without one the records themselves are taken for it, which can only overstate the risk.
    """

    label: str
    quasi_identifiers: tuple[str, ...]
    records: Shown
    classes: Shown
    smallest_class: Shown
    unique_records: Shown
    unique_share: Shown
    diversity: dict[str, int]
    population: bool
    prosecutor: Attack
    journalist: Attack
    marketer: Attack
    thresholds: Thresholds
    exceeded: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether every figure is within its threshold."""
        return not self.exceeded


def shown_count(count: int) -> Shown:
    """Return a count as it may be published."""
    return f"<{FEWEST_SHOWN}" if 0 < count < FEWEST_SHOWN else count


def shown_share(share: float, records: int) -> Shown:
    """Return a share as it may be published: not when it tells a small count, of it or of all the others."""
    count, least = share * records, FEWEST_SHOWN / max(records, 1)
    if 0 < round(count, 6) < FEWEST_SHOWN:
        return f"<{min(1.0, round(least, 6))}"
    if 0 < round(records - count, 6) < FEWEST_SHOWN:
        return f">{max(0.0, round(1 - least, 6))}"
    return round(share, 6)


def shown_risk(risk: float) -> Shown:
    """Return a risk as it may be published: that of a small class tells its size."""
    return f">{1 / FEWEST_SHOWN}" if risk > 1 / FEWEST_SHOWN else round(risk, 6)
