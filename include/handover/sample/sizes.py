"""How many of each thing the sample company has, from the approximate number of rows over all tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

from handover.errors import PreflightFailed

SMALLEST, LARGEST = 1_000, 200_000_000
# Measured: rows that do not grow with the company (oddities, accounts, periods), and rows for each customer.
_FIXED_ROWS = 190
_ROWS_PER_CUSTOMER = 69.6


@dataclass(frozen=True)
class Sizes:
    """Counts of the tables that others refer to."""

    customers: int

    @classmethod
    def for_rows(cls, rows: int) -> Sizes:
        if not SMALLEST <= rows <= LARGEST:
            raise PreflightFailed(
                f"the sample company cannot have {rows} rows",
                hint=f"ask for {SMALLEST} to {LARGEST} rows",
            )
        return cls(math.ceil((rows - _FIXED_ROWS) / _ROWS_PER_CUSTOMER))

    @property
    def branches(self) -> int:
        return 3 + self.customers // 5_000

    @property
    def employees(self) -> int:
        return 3 * self.branches + self.customers // 200

    @property
    def cards(self) -> int:
        return self.customers + self.customers // 4

    @property
    def applications(self) -> int:
        return self.customers

    @property
    def loans(self) -> int:
        return self.customers * 3 // 5

    @property
    def complaints(self) -> int:
        return 2 + self.customers // 20

    @property
    def page_views(self) -> int:
        return 14 + self.customers // 2

    @property
    def attachments(self) -> int:
        return self.customers // 2
