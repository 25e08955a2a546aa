"""The ledger's sessions: few, reused, replaced when the server ended them, never shared across a fork."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from fixtures.runs import make_ledger
from handover import crashpoints
from handover.crashpoints import CrashPoint
from handover.errors import ConnectionLost, LedgerRefused
from handover.evidence import connection, progress
from handover.evidence.ledger import Ledger, verify_chain
from handover.local.clusters import Cluster
from handover.vault.signing import Signer

SIGNER = Signer(bytes(range(32)))
SESSIONS = "SELECT pid, state FROM pg_stat_activity WHERE datname = %s ORDER BY backend_start"
END_ALL = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"


class Server:
    """The ledger's server as its administrator sees it."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self.admin = cluster.admin_url()
        self.database = str(conninfo_to_dict(url)["dbname"])

    def ask(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.admin, autocommit=True) as admin:
            return admin.execute(query.encode(), [self.database]).fetchall()

    def sessions(self) -> list[object]:
        """Server processes of the ledger's sessions; all of them must be idle, outside a transaction."""
        found = self.ask(SESSIONS)
        assert {state for _, state in found} <= {"idle"}
        return [pid for pid, _ in found]

    def end_all(self) -> None:
        assert self.ask(END_ALL)


@pytest.fixture
def url(cluster: Cluster, database: Callable[..., str]) -> Iterator[str]:
    """The writer's address, for a test that begins and ends without kept sessions."""
    connection.close_idle()
    yield make_ledger(cluster, database)
    connection.close_idle()


@pytest.fixture
def ledger(url: str) -> Ledger:
    return Ledger(url, SIGNER)


@pytest.fixture
def server(cluster: Cluster, url: str) -> Server:
    return Server(cluster, url)


def test_all_calls_of_a_thread_use_one_session(ledger: Ledger, url: str, server: Server) -> None:
    with progress.meter(url, "c", "r", "backup") as meter:
        for number in range(10):
            ledger.append("c", "r", "a", {"n": number}, key=str(number))
            meter.add(1, 1)
    first = server.sessions()
    assert len(first) == 1
    assert len(ledger.entries("c")) == 10
    assert ledger.cases() == ["c"]
    assert [stage.rows for stage in progress.read(url, "c", "r")] == [10]
    assert server.sessions() == first


def test_a_session_that_the_server_ended_is_replaced_unseen(ledger: Ledger, server: Server) -> None:
    ledger.append("c", "r", "a", {})
    (first,) = server.sessions()
    server.end_all()
    ledger.append("c", "r", "a", {})
    (second,) = server.sessions()
    assert second != first
    server.end_all()
    assert [entry.seq for entry in ledger.entries("c")] == [1, 2]


def test_a_session_that_was_silent_for_long_is_replaced(
    ledger: Ledger, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append("c", "r", "a", {})
    first = server.sessions()
    monkeypatch.setattr(connection, "_LONGEST_IDLE_SECONDS", 0.0)
    ledger.append("c", "r", "a", {})
    assert len(server.sessions()) == 1
    assert server.sessions() != first


def test_an_append_cut_in_the_middle_is_told_and_found_again_by_its_key(
    ledger: Ledger, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append("c", "r", "a", {})

    def cut(point: CrashPoint) -> None:
        assert point is CrashPoint.LEDGER_ENTRY_UNCOMMITTED
        server.end_all()

    monkeypatch.setattr(crashpoints, "_watchers", [cut])
    with pytest.raises(ConnectionLost, match="the ledger at ledger_writer@"):
        ledger.append("c", "r", "b", {"rows": 1}, key="k")
    monkeypatch.undo()
    assert server.sessions() == []
    assert [entry.kind for entry in ledger.entries("c")] == ["a"]
    again = ledger.append("c", "r", "b", {"rows": 1}, key="k")
    assert ledger.append("c", "r", "b", {"rows": 1}, key="k") == again
    assert verify_chain(ledger.lines("c"), [SIGNER.public_pem]) == []


def test_a_refused_append_leaves_no_transaction_and_no_lock(ledger: Ledger, server: Server) -> None:
    ledger.append("c", "r", "a", {"rows": 1}, key="k")
    with pytest.raises(LedgerRefused):
        ledger.append("c", "r", "a", {"rows": 2}, key="k")
    assert server.sessions() == []
    assert ledger.append("c", "r", "b", {}).seq == 2


def test_threads_have_a_session_each_and_only_some_are_kept(ledger: Ledger, server: Server) -> None:
    together = Barrier(12)

    def hold(number: int) -> None:
        with connection.session(ledger._url) as mine:
            together.wait(30)
            mine.execute("SELECT 1")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(hold, range(12)))
    assert len(server.sessions()) == connection._MOST_IDLE


def append_some(ledger: Ledger) -> None:
    for number in range(20):
        ledger.append("c", "child", "a", {"n": number})


def test_a_forked_process_leaves_its_parents_session_alone(ledger: Ledger, server: Server) -> None:
    ledger.append("c", "parent", "a", {})
    mine = server.sessions()
    child = multiprocessing.get_context("fork").Process(target=append_some, args=[ledger])
    child.start()
    for number in range(20):
        ledger.append("c", "parent", "b", {"n": number})
    child.join(60)
    assert child.exitcode == 0
    assert [entry.run for entry in ledger.entries("c")].count("child") == 20
    assert server.sessions() == mine
    assert verify_chain(ledger.lines("c"), [SIGNER.public_pem]) == []
