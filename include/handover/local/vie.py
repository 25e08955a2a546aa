"""The demo of a VIE that ends: a store, a run and a certificate for each of three entities, and one refusal.

The operating company's run does not close while the offshore parent's certificate is provisional: the demo
shows the refusal, has that certificate validated, and lets the run go on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from rich.console import Console

from handover.evidence import progress
from handover.local import demo, runs
from handover.local.approve import REASON
from handover.local.clusters import url
from handover.local.services import Machine
from handover.sample.stores import STORES, generate_store
from handover.stages.context import run_name

WFOE, PARENT, OPERATING = "vie-wfoe", "vie-parent", "vie-termination"
# Who says that a result is good enough: anybody whom the cases ask, but not who started the run.
VALIDATES = "supervisor"


def run(scale: int, seed: int, console: Console | None = None) -> int:
    """End the sample VIE; 0 only if closing was refused once and everything held in the end."""

    def prepare(machine: Machine, console: Console) -> None:
        for store in STORES:
            fill(machine, store, scale, seed, console)

    return demo.perform(prepare, end, OPERATING, console)


def store_url(machine: Machine, store: str) -> str:
    """Return the address of an entity's database in the source cluster, as its owner."""
    return url("company", machine.home.secrets()["company"], machine.ports.clusters["source"], store)


def fill(machine: Machine, store: str, scale: int, seed: int, console: Console) -> None:
    """Make an entity's store in its database, always anew: a demo takes it apart."""
    source = machine.clusters["source"]
    source.drop_database(store)
    source.create_database(store, "company")
    began = time.monotonic()
    rows = generate_store(store_url(machine, store), store, rows=scale, seed=seed)
    console.print(
        f"store {store}: {sum(rows.values()):,} rows in {len(rows)} tables "
        f"generated in {time.monotonic() - began:.1f} s"
    )


def connect_stores(machine: Machine) -> None:
    """Give Airflow a connection to each store, as an engineer does, or correct the one that it has."""
    api = machine.as_engineer()
    for store in STORES:
        parts = conninfo_to_dict(store_url(machine, store))
        body = {
            "connection_id": store,
            "conn_type": "postgres",
            "host": parts["host"],
            "port": int(str(parts["port"])),
            "login": parts["user"],
            "password": parts["password"],
            "schema": parts["dbname"],
        }
        path = f"/api/v2/connections/{store}"
        if api.exists(path):
            api.send("PATCH", path, body)
        else:
            api.send("POST", "/api/v2/connections", body)


def end(machine: Machine, console: Console) -> bool:
    """Run the three cases; say whether one closing was refused and all certificates are final."""
    connect_stores(machine)
    begun = {case: demo.begin(machine, case, console, prefix=f"demo-{case}") for case in (WFOE, PARENT)}
    states = {case: demo.watch(machine, case, run_id, begun, console) for case, run_id in begun.items()}
    for case, state in states.items():
        if state != "success":
            return runs.report(machine, case, begun[case], state, console)
    held = certified(machine, WFOE, begun[WFOE], console)

    master = demo.begin(machine, OPERATING, console, prefix=f"demo-{OPERATING}")
    state = demo.watch(machine, OPERATING, master, {OPERATING: master}, console)
    runs.report(machine, OPERATING, master, state, console)
    if not _is_refused_for_the_parent(machine, master, state):
        console.print("closing was not refused for the certificate that is outstanding")
        return False
    console.print(f"\nclosing was refused, as it must be: the certificate of case {PARENT} is outstanding")
    held = certified(machine, PARENT, begun[PARENT], console) and held

    runs.clear_failed(machine, OPERATING, master)
    console.print(f"\ncase {OPERATING}: what failed is cleared, the run goes on")
    state = demo.watch(machine, OPERATING, master, {OPERATING: master}, console)
    if state != "success":
        return runs.report(machine, OPERATING, master, state, console)
    return certified(machine, OPERATING, master, console) and held


def _is_refused_for_the_parent(machine: Machine, run_id: str, state: str) -> bool:
    """Say whether the run failed because only the parent's certificate is outstanding."""
    said = progress.failures(machine.ledger_url, OPERATING, run_name(run_id))
    outstanding = [line for text in said for line in text.splitlines() if "certificate outstanding" in line]
    return state == "failed" and len(outstanding) == 1 and f"case {PARENT} " in outstanding[0]


def certified(machine: Machine, case: str, run_id: str, console: Console) -> bool:
    """Have the result validated and the certificate issued, by the commands that people use, and report."""
    password = machine.home.write_private("run/password", machine.home.secrets()[VALIDATES] + "\n")
    console.print(f"\ncase {case}: the demo validates the result in place of a person, as {VALIDATES}")
    try:
        identity = ["--as", VALIDATES, "--password-file", str(password)]
        validate = ["validate", case, "--run", run_id, "--good-enough", "yes", "--reason", REASON]
        held = _command(machine, console, *validate, *identity)
    finally:
        password.unlink()
    held = held and _command(machine, console, "issue", case, "--run", run_id)
    return runs.report(machine, case, run_id, "success", console) and held


def _command(machine: Machine, console: Console, *arguments: str) -> bool:
    """Run a command about a certificate and print what it says; whether it went well."""
    command = [str(Path(sys.executable).parent / "handover"), "certificate", *arguments]
    # Asking Airflow's own program for the connections would take many seconds each time.
    known = {f"AIRFLOW_CONN_{store.upper()}": store_url(machine, store) for store in STORES}
    console.print(f"$ handover certificate {' '.join(arguments[:4])}", markup=False)
    done = subprocess.run(
        command,
        env={**os.environ, "HANDOVER_HOME": str(machine.home.root), **known},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    console.print(done.stdout.rstrip(), markup=False)
    return done.returncode == 0
