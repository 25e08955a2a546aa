"""Starts and stops everything on this machine: three clusters, the ledger, Airflow.

``up`` may be called at any time and starts only what does not run; ``down`` stops exactly what ``up``
started. Services receive their settings by environment; handover.env and demo.env hold them for people.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from handover.errors import ConfigurationMissing, ConnectionLost
from handover.local import ServiceFailed, airflow
from handover.local.api import Api
from handover.local.clusters import Cluster, url
from handover.local.home import PEOPLE, Home, Ports
from handover.local.processes import Service
from handover.local.server import prepare

# Five seconds of processor time for each of four components; ten times that on a slow or busy machine.
HEALTHY_WITHIN_SECONDS = 240.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Machine:
    """The state folder with its ports: what runs here, and the addresses of it."""

    home: Home
    ports: Ports

    @property
    def clusters(self) -> dict[str, Cluster]:
        return {name: Cluster.at(self.home.root, name, port) for name, port in self.ports.clusters.items()}

    @property
    def services(self) -> dict[str, Service]:
        return {name: _service(self.home, name) for name in airflow.COMPONENTS}

    @property
    def api(self) -> Api:
        return Api(f"http://127.0.0.1:{self.ports.api}")

    def as_engineer(self) -> Api:
        return self.api.log_in("engineer", self.home.secrets()["engineer"])

    def company_url(self, cluster: str) -> str:
        """The sample company's database in the source or target cluster, as its owner."""
        return url("company", self.home.secrets()["company"], self.ports.clusters[cluster], "company")

    @property
    def ledger_url(self) -> str:
        return airflow.ledger_url(self.home, self.ports)


def open_machine() -> Machine:
    """The machine's state folder and ports, made or found again, without starting anything."""
    home = Home.locate()
    home.create()
    before = home.remembered_ports()
    ours = _ports_in_use(Machine(home, before)) if before else frozenset()
    ports = home.choose_ports(ours)
    if before and ports != before:
        _stop(Machine(home, before))
    return Machine(home, ports)


def start_clusters(machine: Machine) -> None:
    """Create and start the three clusters, with roles and databases."""
    with ThreadPoolExecutor(len(machine.clusters)) as pool:
        list(pool.map(_start_cluster, machine.clusters.values()))
    prepare(machine.clusters, machine.home.secrets())
    _write_settings(machine)


def start_airflow(machine: Machine) -> None:
    """Start Airflow's components at the same time, after its metadata database is up to date."""
    variables = airflow.service_environment(airflow.environment(machine.home, machine.ports))
    _migrate(machine, variables)
    for name, arguments in airflow.COMPONENTS.items():
        machine.services[name].start([airflow.program(), *arguments], variables)


def wait_for_airflow(machine: Machine) -> None:
    """Wait until every component reports to be healthy, then make sure of the pools."""
    deadline = time.monotonic() + HEALTHY_WITHIN_SECONDS
    while unhealthy := _unhealthy(machine):
        require_alive(machine)
        if time.monotonic() > deadline:
            raise _failed(
                machine.services[unhealthy[0]], f"is not healthy after {HEALTHY_WITHIN_SECONDS:.0f} s"
            )
        time.sleep(0.3)
    _make_pools(machine.as_engineer())


def require_alive(machine: Machine) -> None:
    """Refuse to wait for a service that has ended."""
    for service in machine.services.values():
        if not service.is_running():
            raise _failed(service, "ended by itself")


def up(say: Say = print) -> int:
    """Start everything and say where it is."""
    machine = open_machine()
    start_clusters(machine)
    start_airflow(machine)
    wait_for_airflow(machine)
    for line in addresses(machine):
        say(line)
    return 0


def down(say: Say = print) -> int:
    """Stop everything that was started; data stays."""
    home = Home.locate()
    if ports := home.remembered_ports():
        _stop(Machine(home, ports))
    say(f"stopped; data stays in {home.root}")
    return 0


def clean(say: Say = print) -> int:
    """Stop everything and delete the state folder; refuses one that is not ours."""
    home = Home.locate()
    if not home.root.exists():
        say(f"nothing to clean: {home.root} does not exist")
        return 0
    if not (home.root / "ports.json").exists():
        raise ConfigurationMissing(
            f"{home.root} holds no ports.json, so it is not a state folder of this program",
            hint="set HANDOVER_HOME to the state folder, or delete the folder by hand",
        )
    down(say)
    shutil.rmtree(home.root)
    say(f"deleted {home.root}")
    return 0


def addresses(machine: Machine) -> list[str]:
    """Where the user interface is and who may log in."""
    secrets = machine.home.secrets()
    people = [f"  {name:<10} {secrets[name]}   ({role})" for name, role in airflow.ROLES.items()]
    return [f"Airflow: {machine.api.base}", *people, f"kept in {machine.home.root / 'demo.env'}"]


def _service(home: Home, name: str) -> Service:
    return Service(name, home.root / "run" / f"{name}.json", home.root / "logs" / f"{name}.log")


def _start_cluster(cluster: Cluster) -> None:
    cluster.create()
    cluster.start()


def _ports_in_use(machine: Machine) -> frozenset[int]:
    held = {cluster.port for cluster in machine.clusters.values() if cluster.is_running()}
    return frozenset(held | ({machine.ports.api} if machine.services["api-server"].is_running() else set()))


def _stop(machine: Machine) -> None:
    with ThreadPoolExecutor(len(machine.services)) as pool:
        list(pool.map(Service.stop, machine.services.values()))
        list(pool.map(Cluster.stop, machine.clusters.values()))


def _write_settings(machine: Machine) -> None:
    home, secrets = machine.home, machine.home.secrets()
    home.write_env("handover.env", airflow.environment(home, machine.ports))
    home.write_private("airflow/passwords.json", json.dumps({name: secrets[name] for name in PEOPLE}))
    home.write_env(
        "demo.env",
        {
            "SOURCE_URL": machine.company_url("source"),
            "TARGET_URL": machine.company_url("target"),
            "LEDGER_URL": machine.ledger_url,
            "AIRFLOW_URL": machine.api.base,
            **{f"{name.upper()}_PASSWORD": secrets[name] for name in PEOPLE},
        },
    )


def _migrate(machine: Machine, variables: dict[str, str]) -> None:
    """Bring Airflow's tables to the installed version; a remark on the database spares asking again."""
    version = importlib.metadata.version("apache-airflow-core")
    control = machine.clusters["control"]
    if control.remark("airflow") == version:
        return
    log = machine.home.root / "logs" / "migrate.log"
    log.touch(mode=0o600)
    with log.open("ab") as output:
        command = [str(airflow.program()), *airflow.MIGRATE]
        ended = subprocess.run(command, env=variables, stdout=output, stderr=output, check=False)
    if ended.returncode:
        raise ServiceFailed(
            f"airflow {' '.join(airflow.MIGRATE)} ended with status {ended.returncode}",
            hint=f"its log is {log}",
        )
    control.set_remark("airflow", version)


def _unhealthy(machine: Machine) -> list[str]:
    """The components that do not report to be healthy yet; all of them while the api-server is silent."""
    health: dict[str, Any] = {}
    with suppress(ConnectionLost):
        health = machine.api.get("/api/v2/monitor/health")
    if not health:
        return ["api-server"]
    reports = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
    return [name for name, key in reports.items() if health[key]["status"] != "healthy"]


def _failed(service: Service, what: str) -> ServiceFailed:
    return ServiceFailed(
        f"Airflow's {service.name} {what}; the end of its log:\n{service.last_lines()}",
        hint=f"its whole log is {service.log}",
        component=service.name,
        log=str(service.log),
    )


def _make_pools(engineer: Api) -> None:
    for name, (slots, description) in airflow.POOLS.items():
        pool = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        if engineer.exists(f"/api/v2/pools/{name}"):
            engineer.send("PATCH", f"/api/v2/pools/{name}", pool)
        else:
            engineer.send("POST", "/api/v2/pools", pool)
