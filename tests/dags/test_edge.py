"""Airflow's edge: errors end or repeat a task, never quote a value; connections come from Airflow."""

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from fixtures.runs import Runner, write_case
from handover import errors
from handover.errors import HandoverError, Terminal, Transient
from handover.stages.context import Context

Stage = Callable[[Callable[[Context], object]], object]
FAMILY = [
    c
    for c in vars(errors).values()
    if isinstance(c, type) and issubclass(c, HandoverError) and c not in (HandoverError, Terminal, Transient)
]


@pytest.fixture
def edge(airflow: ModuleType) -> ModuleType:
    from handover_airflow import edge

    return edge


@contextmanager
def dag_run(conf: dict[str, object] | None = None, dag: str = "transfer", **params: object) -> Iterator[None]:
    """Be inside a task of a DAG run, as Airflow's task runner makes it."""
    from airflow.sdk.execution_time.context import set_current_context

    run = SimpleNamespace(run_id="manual__2026-01-01T00:00:00+00:00", conf=conf, dag_id=dag)
    given = {"case": "test-transfer", "dry_run": False} | params
    context: Any = {"dag_run": run, "params": given, "ti": SimpleNamespace(task_id="a_task")}
    with set_current_context(context):
        yield


@pytest.fixture
def stage(edge: ModuleType, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """``run_stage`` inside a run of the test case, with connections as Airflow's variables."""
    write_case(runner.home / "cases")
    for name, value in runner.settings().variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    for name, url in runner.urls.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)

    def run(work: Callable[[Context], object]) -> object:
        with dag_run():
            return edge.run_stage(work)

    return run


def raising(error: Exception) -> Callable[[Context], object]:
    def work(_: Context) -> object:
        raise error

    return work


def test_a_stage_gets_its_run_and_its_connections(stage: Stage, runner: Runner) -> None:
    seen: list[Context] = []
    assert stage(lambda context: seen.append(context) or "its result") == "its result"
    assert (seen[0].case.case, seen[0].run[:10]) == ("test-transfer", "manual-202")
    wanted, given = conninfo_to_dict(runner.urls["src"]), conninfo_to_dict(seen[0].source)
    assert given == wanted


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_only_transient_errors_reach_a_retry(stage: Stage, kind: type[HandoverError]) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowException) as caught:
        stage(raising(kind("what happened", hint="what to do")))
    assert isinstance(caught.value, AirflowFailException) == issubclass(kind, Terminal)
    assert str(caught.value) == f"{kind.__name__}: what happened\nHINT: what to do"


def planted(value: str) -> None:
    raise ValueError(f"row {value!r} is bad")


def test_an_unforeseen_error_is_told_without_its_message(stage: Stage) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    def work(_: Context) -> None:
        planted("private value")

    with pytest.raises(AirflowFailException) as caught:
        stage(work)
    told = "".join(traceback.format_exception(caught.value))
    message = str(caught.value)
    assert message.startswith("unforeseen ValueError")
    assert "test_edge.py:" in message
    assert "in planted" in message
    assert "in without_values" in message
    assert "private value" not in message
    assert "row 'private" not in told, "not by way of the original error either"


@pytest.mark.parametrize("problem", [KeyError("private value"), OSError(5, "x", "private value")], ids=repr)
def test_no_kind_of_unforeseen_error_quotes(stage: Stage, problem: Exception) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException) as caught:
        stage(raising(problem))
    assert "private value" not in "".join(traceback.format_exception(caught.value))


def test_unknown_conf_keys_are_refused(edge: ModuleType) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    def never(_: Context) -> None:
        raise AssertionError("the stage must not begin")

    conf = {"case": "test-transfer", "sql": "DROP TABLE x", "Case": "y"}
    with dag_run(conf), pytest.raises(AirflowFailException, match="unknown keys: Case, sql") as caught:
        edge.run_stage(never)
    assert "give only case and dry_run" in str(caught.value)
    assert "DROP" not in str(caught.value)


@pytest.mark.parametrize("conf", [None, {}, {"case": "x"}, {"case": "x", "dry_run": True}])
def test_known_conf_keys_pass(edge: ModuleType, conf: dict[str, object] | None) -> None:
    run = {"dag_run": SimpleNamespace(conf=conf), "params": {"case": "x"}}
    assert edge.requested_case(run) == "x"


def test_a_case_that_is_not_there_fails_at_once(edge: ModuleType, stage: Stage) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with dag_run(case="../absent"), pytest.raises(AirflowFailException, match=r"case id '\.\./absent'"):
        edge.run_stage(lambda context: None)


def test_an_unknown_connection_is_told_as_the_field_of_the_case(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.delenv("AIRFLOW_CONN_DST")
    with pytest.raises(AirflowFailException, match=r"target\.connection: connection 'dst' is not known"):
        stage(lambda context: None)


def test_connections_keep_their_ssl_and_options(edge: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_WITH_SSL",
        '{"conn_type": "postgres", "host": "h", "port": 6000, "login": "u", "password": "a b\'c%",'
        ' "schema": "d", "extra": {"sslmode": "verify-full", "options": "-c x=y", "cursor": "dictcursor"}}',
    )
    assert conninfo_to_dict(edge.connection_url("with_ssl")) == {
        "host": "h",
        "port": "6000",
        "user": "u",
        "password": "a b'c%",
        "dbname": "d",
        "sslmode": "verify-full",
        "options": "-c x=y",
    }


def test_an_unknown_connection_is_a_key_error(edge: ModuleType) -> None:
    with pytest.raises(KeyError, match="nowhere"):
        edge.connection_url("nowhere")


@pytest.mark.parametrize("value", [True, False])
def test_a_dry_run_is_known_from_the_params(edge: ModuleType, value: bool) -> None:
    with dag_run(dry_run=value):
        assert edge.is_dry_run() is value


def test_the_form_offers_the_cases_that_are_there(
    edge: ModuleType, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(runner.home / "cases")
    write_case(runner.home / "cases", case="another")
    monkeypatch.setenv("HANDOVER_CASES", str(runner.home / "cases"))
    write_case(runner.home / "cases", case="ended", kind="deregistration", target=None)
    assert edge.known_cases("transfer") == ["another", "test-transfer"]
    assert edge.known_cases("deregistration") == ["ended"]


def test_a_case_of_another_kind_is_told_its_dag(edge: ModuleType, stage: Stage, runner: Runner) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with dag_run(dag="deregistration"), pytest.raises(AirflowFailException, match="trigger the DAG transfer"):
        edge.run_stage(lambda context: None)
