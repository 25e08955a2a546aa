"""The demo of a living company: what is done to its data day by day, by the DAGs that do it by schedule.

A person asks for erasure and is answered; a sweep finds what is due and erases it, proven and certified; the
source is backed up; a backup is restored from the vault alone; everything that is kept is audited.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from rich.console import Console

from handover.local import ServiceFailed, approve, demo, runs, services
from handover.local.services import Machine
from handover.postgres.session import connect, fetch
from handover.stages.facts import legal_day

SOURCE = "sample-lending"
REQUEST = "subject_request"
# The DAGs beside, in the order in which each finds what the one before has left.
OTHERS = (f"scheduled_backup.{SOURCE}", "restore_drill", "evidence_audit")
# Who has much of what a sweep and a request look at: any other customer would do.
SOMEBODY = "SELECT resident_id::text FROM lending.customers ORDER BY customer_id LIMIT 1"
CLERK = "engineer"


def run(scale: int, seed: int, console: Console | None = None) -> int:
    """Let the sample company live a day; 0 only if all of it held."""

    def prepare(machine: Machine, console: Console) -> None:
        demo.prepare_databases(machine, scale, seed, console)
        machine.clusters["source"].set_remark("company", "swept by a demo")

    return demo.perform(prepare, live, SOURCE, console)


def live(machine: Machine, console: Console) -> bool:
    """Answer a person, sweep, back up, drill, audit; say whether all of it held."""
    asked = open_request(machine, console)
    states = {REQUEST: run_to_end(machine, REQUEST, {"request": asked}, console)}
    command(machine, console, ["request", "answer", asked])
    run_id = demo.begin(machine, SOURCE, console)
    state = demo.watch(machine, SOURCE, run_id, {SOURCE: run_id}, console)
    held = runs.report(machine, SOURCE, run_id, state, console)
    states |= {dag: run_to_end(machine, dag, {}, console) for dag in OTHERS}
    return held and all(state == "success" for state in states.values())


def open_request(machine: Machine, console: Console) -> str:
    """Have a clerk record that a person wants to be erased; returns the request's id."""
    with closing(connect(machine.company_url("source"), read_only=True)) as source:
        number = str(fetch(source, SOMEBODY)[0][0])
    certificate = machine.home.write_private("run/requester.pem", _certificate().decode())
    asked = ["request", "open", "--kind", "erasure", "--channel", "demo", "--received", str(legal_day())]
    asked += ["--verified", "demo: nobody was checked", "--to", str(certificate)]
    console.print(f"\na person asks for erasure; the demo records it in place of a clerk, as {CLERK}")
    return command(machine, console, asked, said=number, account=CLERK).split()[0]


def _certificate() -> bytes:
    """Return a certificate whose key nobody keeps: the demo's answer is for no one to read."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sample requester")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=90))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def command(
    machine: Machine, console: Console, arguments: list[str], said: str = "", account: str = ""
) -> str:
    """Run a command as people do and print it and what it says, but not what it was given to read."""
    program = str(Path(sys.executable).parent / "handover")
    console.print(f"$ handover {' '.join(arguments)}", markup=False)
    private, identity = None, []
    if account:
        private = machine.home.write_private("run/password", machine.home.secrets()[account] + "\n")
        identity = ["--as", account, "--password-file", str(private)]
    try:
        done = subprocess.run(
            [program, *arguments, *identity],
            env={**os.environ, "HANDOVER_HOME": str(machine.home.root)},
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        if private:
            private.unlink()
    console.print((done.stdout + done.stderr).rstrip(), markup=False)
    if done.returncode:
        raise ServiceFailed("the command failed", hint="what it says stands above")
    return done.stdout


def run_to_end(machine: Machine, dag: str, conf: dict[str, Any], console: Console) -> str:
    """Run a DAG now instead of waiting for its hour, answering what it asks; returns how it ended."""
    demo.wait_for_dag(machine, dag)
    api, path = machine.as_engineer(), f"/api/v2/dags/{quote(dag)}"
    api.send("PATCH", path, {"is_paused": False})
    run_id = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    asked: dict[str, Any] = {"logical_date": None, "dag_run_id": run_id, "conf": conf}
    api.send("POST", f"{path}/dagRuns", asked)
    console.print(f"\n{dag}, run {run_id}: {machine.api.base}/dags/{dag}/runs/{run_id}")
    state = _ended(lambda: str(api.get(f"{path}/dagRuns/{run_id}")["state"]), machine, dag, run_id, console)
    console.print(f"{dag}: {state}")
    return state


def _ended(state: Callable[[], str], machine: Machine, dag: str, run_id: str, console: Console) -> str:
    while (now := state()) not in ("success", "failed"):
        services.require_alive(machine)
        approve.answer_open_questions(machine, dag, run_id, console)
        time.sleep(runs.LOOK_EVERY_SECONDS)
    return now
