"""Servers that crash, come back, or take no more sessions: every step is tried again and goes on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from faults.conftest import SOURCE
from fixtures.audit import audit
from fixtures.child import Child
from fixtures.clusters import databases, running
from fixtures.contents import run_sql
from fixtures.drive import Drive, Fault
from fixtures.runs import Runner, make_ledger
from handover.local.clusters import Cluster


@dataclass(frozen=True)
class Servers:
    """Three clusters of these tests' own, so that no other test misses them."""

    source: Cluster
    target: Cluster
    control: Cluster


@pytest.fixture(scope="module")
def servers(cluster_home: Path) -> Iterator[Servers]:
    """Start them once."""
    with ExitStack() as stack:
        yield Servers(
            *(
                stack.enter_context(running(cluster_home, f"crashing-{n}"))
                for n in ("source", "target", "control")
            )
        )


@pytest.fixture
def crashing(servers: Servers, world: Runner, tmp_path: Path) -> Iterator[Runner]:
    """A runner between fresh databases of these clusters."""
    with (
        databases(servers.source) as source,
        databases(servers.target) as target,
        databases(servers.control) as control,
    ):
        urls = {"src": source(), "dst": target()}
        run_sql(urls["src"], SOURCE)
        yield Runner(tmp_path, make_ledger(servers.control, control), world.pg_bin, urls)


def crash(cluster: Cluster) -> None:
    """End a server as a power cut would, but for the disk: no session is told, nothing is written down."""
    command = [cluster.programs / "pg_ctl", "stop", "--pgdata", cluster.data, "--mode=immediate"]
    assert cluster.account.run(command).returncode == 0


def while_down(cluster: Cluster, drive: Drive) -> Callable[[Child], None]:
    """Let a task meet a server that has crashed; then the server comes back."""

    def strike(child: Child) -> None:
        crash(cluster)
        try:
            child.resume()
            child.ended()
        finally:
            cluster.start()
        drive.change()

    return strike


CRASHES = {
    "source": {
        "snapshot": "SNAPSHOT_UNRECORDED:1",
        "backup 0": "FILE_UNNAMED:3",
        "seal": "INDEX_UNRECORDED:1",
    },
    "target": {
        "restore_test": "ROWS_UNCOMMITTED:3",
        "prepare": "OBJECT_UNCOMMITTED:2",
        "migrate 0": "ROWS_UNCOMMITTED:2",
        "finish": "OBJECTS_COMMITTED:1",
        "verify 1": "COMPARISON_UNRECORDED:1",
        "close": "CLOSING_RECORDED:1",
    },
    "control": {
        "snapshot": "SNAPSHOT_UNRECORDED:1",
        "backup 0": "FILE_UNRECORDED:3",
        "seal": "INDEX_UNRECORDED:1",
        "restore_test": "RESTORE_TEST_UNRECORDED:1",
        "migrate 0": "ROWS_UNRECORDED:1",
        "verify 0": "COMPARISON_UNRECORDED:1",
        "close": "RECEIPTS_DROPPED:1",
    },
}


@pytest.mark.parametrize("server", CRASHES)
def test_server_crashes_under_each_phase(servers: Servers, crashing: Runner, server: str) -> None:
    drive = Drive(crashing)
    strike = while_down(getattr(servers, server), drive)
    drive.go({task: [Fault(f"point:{point}", strike=strike)] for task, point in CRASHES[server].items()})
    assert drive.said
    assert all(said.startswith(("ConnectionLost: ", "SnapshotLost: ")) for said in drive.said), drive.said
    assert audit(crashing, drive.moments) == []


@contextmanager
def no_session_for(cluster: Cluster, role: str) -> Iterator[None]:
    """What a server says whose connections are all taken, to one role."""
    with psycopg.connect(cluster.admin_url(), autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
        try:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [role]
            )
            yield
        finally:
            admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")


@pytest.mark.parametrize("server, role", [("control", "ledger_writer"), ("target", "company")])
def test_too_many_sessions(servers: Servers, crashing: Runner, server: str, role: str) -> None:
    def strike(child: Child) -> None:
        with no_session_for(getattr(servers, server), role):
            child.resume()
            child.ended()

    drive = Drive(crashing)
    drive.go({"verify 1": [Fault("point:COMPARISON_UNRECORDED:1", strike=strike)]})
    assert drive.said
    assert all(said.startswith("ConnectionLost: ") for said in drive.said), drive.said
    assert audit(crashing, drive.moments) == []
