"""Report: what the ledger says of a run so far, as a page; also while the run still goes on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from handover.evidence.ledger import Ledger
from handover.evidence.report import write_report
from handover.evidence.report_html import content_policy
from handover.settings import Settings
from handover.stages.context import run_name

# Case ids and names of runs are made of these alone; the ledger is not asked for anything else.
_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True)
class Report:
    """Both forms of a report; ``policy`` is the Content-Security-Policy under which the page works."""

    html: bytes
    json: bytes
    policy: str


def read_report(settings: Settings, case: str, run: str) -> Report | None:
    """Return the report of a run by its name in the ledger, None when the ledger knows no such run."""
    if not (_NAME.fullmatch(case) and _NAME.fullmatch(run)):
        return None
    entries = _ledger(settings).entries(case, run=run)
    if not entries:
        return None
    made = write_report(entries)
    return Report(made["verification.html"], made["verification.json"], content_policy())


def places(settings: Settings, run_id: str) -> list[tuple[str, str]]:
    """Return case and run of everything that was done under a run id of Airflow's."""
    ledger, run = _ledger(settings), run_name(run_id)
    return [(case, run) for case in ledger.cases() if ledger.entries(case, run=run, kinds=["run-opened"])]


def _ledger(settings: Settings) -> Ledger:
    return Ledger(settings.require("HANDOVER_LEDGER_URL"), None)
