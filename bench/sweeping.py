"""Sweeping ten million rows of the sample company on a day on which nothing is due: what a night costs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg.conninfo import make_conninfo

from bench import BenchFailed
from bench.arena import ROLE, Arena
from bench.costs import Figure
from handover.evidence import ledger
from handover.local.programs import binaries
from handover.sample.company import generate
from handover.settings import REPOSITORY, Settings
from handover.stages.approvals import record_requester
from handover.stages.context import Context
from handover.stages.daily_cases import open_sweep
from handover.stages.facts import legal_day
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.sweep_findings import FOUND
from handover.stages.sweeping import due

SWEEP = "sweep"
ROWS = 10_000_000
_SOURCE, _LEDGER, _WRITER = "sample-lending", "sweep_ledger", "sweep_writer"
# So long that nothing of the sample is over.
_LONG = {"years": 30}
_STEPS: dict[str, Callable[[Context], Any]] = {"inventory": inventory, "plan": plan, "due": due}


def on_an_idle_night(place: Arena, rows: int = ROWS) -> Iterator[Figure]:
    """Let a sweep find that nothing is due, and say which index it would like."""
    url = place.fresh(place.source, "swept")
    generate(url, rows=rows)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    place.settle()
    context = _open(place, url)
    record_requester(context, "bench")
    seconds = {}
    for name, step in _STEPS.items():
        began = time.monotonic()
        found = step(context)
        seconds[name] = time.monotonic() - began
    if found:
        raise BenchFailed("something is due that should not be", hint="see bench.sweeping")
    said = ", ".join(f"{name} {took:.1f} s" for name, took in seconds.items())
    print(f"idle sweep of {rows:,} rows: {said}")
    for one in context.last(FOUND, "plan").body["findings"]:
        if one["kind"] == "index":
            print(f"  {one['said']}")
    place.source.drop_database("swept")
    yield Figure("sweep_10m_rows_idle", round(sum(seconds.values()), 1), "s")


def _open(place: Arena, url: str) -> Context:
    home = place.folder("sweep")
    _write_source(home / "sources")
    password = secrets.token_urlsafe(12)
    place.target.drop_database(_LEDGER)
    place.target.create_database(_LEDGER, ROLE)
    admin = place.target.admin_url(_LEDGER)
    ledger.create(admin, _WRITER, password)
    variables = {
        "HANDOVER_HOME": str(home),
        "HANDOVER_SOURCES": str(home / "sources"),
        "HANDOVER_LEDGER_URL": make_conninfo(admin, user=_WRITER, password=password),
        "HANDOVER_PG_BIN": str(binaries()),
    }
    urls = {"sample_source": url, "sample_target": place.fresh(place.target, "sweep_scratch")}
    return open_sweep(Settings.load(variables), _SOURCE, "night", urls.__getitem__, legal_day())


def _write_source(folder: Path) -> None:
    """Write the sample's source with periods that nothing of it has outlived."""
    path = REPOSITORY / "include" / "sources" / f"{_SOURCE}.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for one in document["retention"]:
        for trigger, day in one.get("days", {}).items():
            if trigger != "fiscal_year":
                day["plus"] = _LONG
    folder.mkdir()
    (folder / path.name).write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
