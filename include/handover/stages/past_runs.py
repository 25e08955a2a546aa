"""Runs of any case as the ledger has them: a run is opened again without its case file, or its source."""

from __future__ import annotations

from handover.errors import NotReady
from handover.evidence.ledger import Entry, Ledger
from handover.model.case import Case
from handover.settings import Settings
from handover.stages.context import Context, Resolver, open_case
from handover.vault.keyring import Keyring


def open_past(settings: Settings, case: str, run: str, resolve: Resolver) -> Context:
    """Open a run of a case as it was when the run began; raises NotReady when the ledger has no such run."""
    return _open(settings, _opened(settings, case, run), resolve)


def newest_past(settings: Settings, case: str, resolve: Resolver) -> Context:
    """Open the newest run of a case as it was when it began."""
    return _open(settings, _opened(settings, case, None), resolve)


def _opened(settings: Settings, case: str, run: str | None) -> Entry:
    ledger = Ledger(settings.require("HANDOVER_LEDGER_URL"), Keyring.open(settings.keyring).signer())
    found = ledger.entries(case, run, ["run-opened"])
    if not found:
        raise NotReady(
            f"case {case} has no run{f' {run}' if run else ''} in the ledger",
            hint="`handover status` lists cases and runs",
        )
    return found[-1]


def _open(settings: Settings, opened: Entry, resolve: Resolver) -> Context:
    return open_case(settings, case_of(opened), opened.run, resolve)


def case_of(opened: Entry) -> Case:
    """Return the case as an entry ``run-opened`` has it."""
    return Case.model_validate(opened.body["case"])
