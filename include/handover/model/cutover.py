"""Cut-over: what keeps the source from changing between its snapshot and the acceptance."""

from __future__ import annotations

from handover.model.base import Frozen

# Holds the functions of freezes in the source; like the receipts' schema it is never handed over.
FREEZE_SCHEMA = "handover_freeze"
# With this begin the names of the policies that lock rows away for a while.
QUARANTINE_POLICY = "handover_quarantine"


class Cutover(Frozen):
    """With ``freeze`` nobody can write to the case's tables from the approval on, until the run is aborted.

    Either way the source is read again before the acceptance, and a change since the backup ends the run.
    """

    freeze: bool = False
