"""The ledger in a real database: append-only for everybody, one unbroken signed chain, append-once."""

import json
import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handover.errors import ConfigurationMissing, ConnectionLost, DataRefused, LedgerRefused
from handover.evidence.connection import close_idle
from handover.evidence.ledger import Ledger, create, verify_chain
from handover.local.clusters import Cluster
from handover.vault.signing import Signer

SEED = bytes(range(32))
SIGNER = Signer(SEED)
PASSWORD = "it's a pass-word"


@dataclass(frozen=True)
class Place:
    admin: str
    writer: str
    role: str


@pytest.fixture
def place(cluster: Cluster, database: Callable[..., str]) -> Place:
    name = str(conninfo_to_dict(database("ledger"))["dbname"])
    role = f"{name} 写"
    admin = cluster.admin_url(name)
    create(admin, role, PASSWORD)
    return Place(admin, make_conninfo(admin, user=role, password=PASSWORD), role)


@pytest.fixture
def ledger(place: Place) -> Ledger:
    return Ledger(place.writer, SIGNER)


def test_entries_come_back_in_order(ledger: Ledger) -> None:
    first = ledger.append("c", "r", "step", {"b": 1, "a": "客户"})
    second = ledger.append("c", "r", "receipt", {})
    assert ledger.entries("c") == [first, second]
    assert (first.seq, second.seq, second.prev_hash) == (1, 2, first.hash)
    assert first.body == {"a": "客户", "b": 1}
    assert first.body_text == '{"a":"客户","b":1}'
    assert first.key_id == SIGNER.key_id


def test_filters(ledger: Ledger) -> None:
    for run, kind in [("r1", "a"), ("r1", "b"), ("r2", "a")]:
        ledger.append("c", run, kind, {})
    assert [entry.seq for entry in ledger.entries("c", "r1")] == [1, 2]
    assert [entry.seq for entry in ledger.entries("c", kinds=["a"])] == [1, 3]
    assert [entry.seq for entry in ledger.entries("c", "r2", ["b"])] == []


def test_each_case_has_its_own_chain(ledger: Ledger) -> None:
    entries = [ledger.append(case, "r", "a", {}) for case in ("x", "y", "x")]
    assert [entry.seq for entry in entries] == [1, 1, 2]
    assert ledger.cases() == ["x", "y"]
    for case in "xy":
        assert verify_chain(ledger.lines(case), [SIGNER.public_pem]) == []


def test_time_is_the_servers(ledger: Ledger) -> None:
    at = datetime.fromisoformat(ledger.append("c", "r", "a", {}).at)
    assert at.tzinfo is UTC or at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert ledger.entries("c")[0].at.endswith("Z")


def test_the_environment_cannot_make_times_unreadable(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATESTYLE", "German")
    monkeypatch.setenv("PGTZ", "Asia/Shanghai")
    close_idle()
    entry = ledger.append("case", "run", "kind", {})
    assert ledger.entries("case") == [entry]
    close_idle()  # the next test's sessions shall be its own


def test_append_once_returns_what_stands(ledger: Ledger) -> None:
    first = ledger.append("c", "r", "receipt", {"rows": 1}, key="chunk-1")
    assert ledger.append("c", "r", "receipt", {"rows": 1}, key="chunk-1") == first
    assert ledger.append("c", "r2", "receipt", {"rows": 1}, key="chunk-1").seq == 2
    assert ledger.append("c", "r", "other", {"rows": 1}, key="chunk-1").seq == 3


def test_append_once_refuses_another_body(ledger: Ledger) -> None:
    ledger.append("c", "r", "receipt", {"rows": 1}, key="chunk-1")
    with pytest.raises(LedgerRefused, match=r"entry 1 \(receipt, key chunk-1\) stands already"):
        ledger.append("c", "r", "receipt", {"rows": 2}, key="chunk-1")
    assert len(ledger.entries("c")) == 1


def test_without_a_key_entries_may_repeat(ledger: Ledger) -> None:
    assert [ledger.append("c", "r", "a", {}).seq for _ in range(3)] == [1, 2, 3]


def test_big_body(ledger: Ledger) -> None:
    body = {"rows": [{"table": "t", "digest": "0" * 64, "n": number} for number in range(40_000)]}
    entry = ledger.append("c", "r", "plan", body)
    assert len(entry.body_text) > 3_000_000
    assert ledger.entries("c")[0] == entry
    assert verify_chain(ledger.lines("c"), [SIGNER.public_pem]) == []


@pytest.mark.parametrize("text", ["a\u2028b\u0085c", "NUL \x00 in the body", "😀 'quoted' \\N"])
def test_odd_texts_in_the_body(ledger: Ledger, text: str) -> None:
    assert ledger.append("c", "r", "a", {"t": text}).body == {"t": text}
    assert verify_chain(ledger.lines("c"), [SIGNER.public_pem]) == []


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800"])
def test_texts_that_cannot_be_stored_are_refused(ledger: Ledger, text: str) -> None:
    with pytest.raises(LedgerRefused, match="the run of a ledger entry"):
        ledger.append("c", text, "a", {})
    with pytest.raises(LedgerRefused, match="the key of a ledger entry"):
        ledger.append("c", "r", "a", {}, key=text)


def test_float_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerRefused, match="a ledger entry sum holds a float at /total"):
        ledger.append("c", "r", "sum", {"total": 1.5})


def test_reader_cannot_append(place: Place, ledger: Ledger) -> None:
    ledger.append("c", "r", "a", {})
    reader = Ledger(place.writer, None)
    assert len(reader.entries("c")) == 1
    with pytest.raises(LedgerRefused, match="opened for reading only"):
        reader.append("c", "r", "a", {})


DAMAGING = [
    "UPDATE entry SET body = '{}'",
    "UPDATE entry SET body = '{}' WHERE false",
    "DELETE FROM entry",
    "TRUNCATE entry",
    "INSERT INTO entry SELECT * FROM entry ON CONFLICT (case_id, seq) DO UPDATE SET body = '{}'",
    "MERGE INTO entry e USING entry f ON e.seq = f.seq WHEN MATCHED THEN DELETE",
]


@pytest.mark.parametrize("replication", ["origin", "replica"])
@pytest.mark.parametrize("statement", DAMAGING)
def test_superuser_cannot_change_entries(
    place: Place, ledger: Ledger, statement: str, replication: str
) -> None:
    entry = ledger.append("c", "r", "a", {"b": 1})
    with psycopg.connect(place.admin, autocommit=True) as connection:
        connection.execute(f"SET session_replication_role = {replication}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            connection.execute(statement)
    assert ledger.entries("c") == [entry]


@pytest.mark.parametrize("statement", [*DAMAGING, "DROP TABLE entry", "DELETE FROM progress"])
def test_writer_may_only_insert_and_select(place: Place, ledger: Ledger, statement: str) -> None:
    ledger.append("c", "r", "a", {})
    with (
        psycopg.connect(place.writer, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_writer_may_update_progress(place: Place) -> None:
    with psycopg.connect(place.writer) as connection:
        connection.execute(
            "INSERT INTO progress (case_id, run, stage, lane) VALUES ('c', 'r', 'backup', '1');"
            "UPDATE progress SET rows = 1, done = true"
        )
        assert connection.execute("SELECT rows, done FROM progress").fetchall() == [(1, True)]


def test_create_again_keeps_entries_and_changes_the_password(place: Place, ledger: Ledger) -> None:
    ledger.append("c", "r", "a", {})
    create(place.admin, place.role, "another")
    close_idle()  # a session outlives a change of its role's password
    with pytest.raises(ConnectionLost):
        ledger.entries("c")
    again = Ledger(make_conninfo(place.writer, password="another"), SIGNER)
    assert again.append("c", "r", "a", {}).seq == 2


def test_password_never_reaches_the_server(place: Place, cluster: Cluster) -> None:
    with psycopg.connect(place.admin, autocommit=True) as connection:
        for setting in ("log_statement = 'all'", "log_min_messages = 'log'"):
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {setting}")
    create(place.admin, place.role, "canary-of-a-password")
    log = cluster.log.read_text()
    assert "SCRAM-SHA-256$" in log
    assert "canary-of-a-password" not in log


def test_ledgers_of_one_server_can_be_created_at_once(cluster: Cluster, database: Callable[..., str]) -> None:
    names = [str(conninfo_to_dict(database("ledger"))["dbname"]) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: create(cluster.admin_url(name), "one_writer", PASSWORD), names * 3))
    for name in names:
        writer = make_conninfo(cluster.admin_url(name), user="one_writer", password=PASSWORD)
        assert Ledger(writer, SIGNER).append("c", "r", "a", {}).seq == 1


def append_many(url: str, name: str) -> None:
    ledger = Ledger(url, Signer(SEED))
    for number in range(15):
        ledger.append("c", name, "own", {"n": number})
        ledger.append("c", "shared", "once", {"n": number}, key=str(number))


def test_processes_make_one_unbroken_chain(place: Place, ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append_many, args=(place.writer, f"w{n}")) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    entries = ledger.entries("c")
    assert [entry.seq for entry in entries] == list(range(1, 4 * 15 + 15 + 1))
    assert sorted(int(str(e.key)) for e in entries if e.kind == "once") == list(range(15))
    assert verify_chain(ledger.lines("c"), [SIGNER.public_pem]) == []


def test_threads_may_share_a_ledger(ledger: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: ledger.append("c", "r", "a", {"n": number}), range(30)))
    assert verify_chain(ledger.lines("c"), [SIGNER.public_pem]) == []
    assert len(ledger.entries("c")) == 30


def test_superuser_who_drops_the_trigger_is_found_by_the_chain(place: Place, ledger: Ledger) -> None:
    for number in range(3):
        ledger.append("c", "r", "a", {"n": number})
    with psycopg.connect(place.admin) as connection:
        connection.execute(
            "ALTER TABLE entry DISABLE TRIGGER ALL; UPDATE entry SET body = '{}' WHERE seq = 2"
        )
    findings = verify_chain(ledger.lines("c"), [SIGNER.public_pem])
    assert findings == ["ledger.jsonl seq 2: was edited: its content does not match its hash"]


def test_lines_are_json_with_the_exact_body(ledger: Ledger) -> None:
    entry = ledger.append("c", "r", "a", {"b": "x"}, key="k")
    (line,) = ledger.lines("c")
    assert json.loads(line)["body"] == '{"b":"x"}' == entry.body_text
    assert json.loads(line)["key"] == "k"


def test_dead_server_is_transient_and_shows_no_password(place: Place) -> None:
    ledger = Ledger(make_conninfo(place.writer, port=1), SIGNER)
    with pytest.raises(ConnectionLost, match=r"the ledger at .*127\.0\.0\.1:1/ledger_") as caught:
        ledger.append("c", "r", "a", {})
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


def test_address_that_is_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigurationMissing, match="no PostgreSQL URL"):
        Ledger("not a url", None).cases()


def test_database_without_a_ledger_is_terminal(database: Callable[..., str]) -> None:
    with pytest.raises(DataRefused, match="SQLSTATE 42P01"):
        Ledger(database("empty"), None).cases()
