"""What an audit finds: a finding for each fault: what is wrong, where, who sees to it and until when."""

from __future__ import annotations

from datetime import date
from typing import Literal

from handover.model.base import Frozen
from handover.model.policy import Text

Severity = Literal["error", "warning", "notice"]
# Within how many working days somebody has to see to it (a product rule).
WITHIN: dict[Severity, int] = {"error": 3, "warning": 10, "notice": 30}


class Finding(Frozen):
    """A fault. ``id`` is the same as long as it stands; nothing in it names a person whose data is kept."""

    id: str
    check: str
    severity: Severity
    what: Text
    where: str
    owner: str
    due: date
