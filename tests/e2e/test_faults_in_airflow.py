"""What runs a transfer is killed under real Airflow; the run goes on and is whole."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import psycopg

from e2e.test_demo import empty_target, ports
from fixtures.demo import PATIENCE_SECONDS, WHOLE, WHOLE_CASE, Demo
from fixtures.dumps import schema_text, sorted_rows
from handover.local.clusters import Cluster

LOOK_EVERY_SECONDS = 0.1
# A loading session of the engine that waits for our lock: the port on its side of the connection.
WAITING = """
SELECT client_port FROM pg_stat_activity
WHERE datname = 'company' AND application_name = 'handover' AND wait_event_type = 'Lock'
"""


def until(found: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not found():
        assert time.monotonic() < deadline
        time.sleep(LOOK_EVERY_SECONDS)


@contextmanager
def held_up(demo: Demo) -> Iterator[psycopg.Connection]:
    """Nobody can write a receipt into the target, so no chunk is loaded; gives a session that may look."""
    target = Cluster.at(demo.home, "target", ports(demo)["target"])
    with (
        psycopg.connect(target.admin_url("company")) as holder,
        psycopg.connect(target.admin_url("company"), autocommit=True) as looking,
    ):
        holder.execute("LOCK TABLE handover.receipt IN SHARE ROW EXCLUSIVE MODE")
        yield looking


def process_at(port: int) -> psutil.Process:
    """The process whose end of a connection has this port."""
    for process in psutil.process_iter():
        try:
            if any(line.laddr.port == port for line in process.net_connections("tcp") if line.raddr):
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue
    raise AssertionError(f"nobody has port {port}")


def test_killed_task_is_tried_again(demo: Demo) -> None:
    empty_target(demo)
    run = "killed"
    body = {"logical_date": None, "dag_run_id": run, "conf": WHOLE}
    demo.api("POST", "/api/v2/dags/transfer/dagRuns", body)
    until(lambda: demo.tasks(run).get("prepare") in ("success", "failed", "upstream_failed"))
    assert demo.tasks(run)["prepare"] == "success"
    with held_up(demo) as looking:
        until(lambda: looking.execute(WAITING).fetchall())
        [port] = looking.execute(WAITING).fetchall()[0]
        os.kill(process_at(port).pid, signal.SIGKILL)
    assert demo.finish(run) == "success"
    path = f"/api/v2/dags/transfer/dagRuns/{run}/taskInstances?limit=100"
    tried = {t["task_id"] for t in demo.api("GET", path)["task_instances"] if t["try_number"] > 1}
    assert tried == {"migrate"}
    source, target = demo.settings["SOURCE_URL"], demo.settings["TARGET_URL"]
    assert (schema_text(target), sorted_rows(target)) == (schema_text(source), sorted_rows(source))
    done = demo.handover("verify", demo.evidence_of(WHOLE_CASE, run), "--vault")
    assert done.returncode == 0, done.stdout + done.stderr
