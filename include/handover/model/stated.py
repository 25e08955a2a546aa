"""What a named person says of a matter's data: facts that no count finds, and holds over it."""

from __future__ import annotations

from datetime import date

from handover.model.base import Frozen
from handover.model.legal_terms import Grade, Persons, Region, Words


class Hold(Frozen):
    """An open matter over some row classes, or all; it ends on the day on which a person releases it."""

    kind: Words
    opened: date
    row_classes: tuple[Words, ...] | None = None
    released_by: Words | None = None
    released_on: date | None = None

    def is_open(self, on: date) -> bool:
        """Say whether it still keeps the data on that day."""
        return self.released_by is None or self.released_on is None or self.released_on > on


class Stateable(Frozen):
    """Facts about the data that a person may have to state, because no count finds them."""

    credit_report_rows: Persons | None = None
    alert_rows_outgoing: Persons | None = None
    cancelled_accounts_active: Persons | None = None
    young_trades_planned_for_erasure: Persons | None = None
    open_vouchers_planned_for_erasure: Persons | None = None
    young_contracts_planned_for_erasure: Persons | None = None
    accounting_rows_to_destroy: Persons | None = None
    accounting_regions: tuple[Region, ...] | None = None
    unexplained_differences: Persons | None = None
    unidentified_publications: Persons | None = None
    highest_grade: Grade | None = None


class StatedFacts(Stateable):
    """Such facts as stated: the person named here stands for each from that day on."""

    by: Words
    on: date
