"""What a case wants reconciled beyond the sums of every numeric column: names of tables and columns only.

Everything here is structured, never SQL: a case file must not be able to say what the database runs.
"""

from __future__ import annotations

from handover.model.base import Frozen


class Reconciliation(Frozen):
    """What to reconcile."""
