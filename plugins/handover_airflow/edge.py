"""Runs a stage inside an Airflow task: connections come from Airflow, errors go to it without values.

A Terminal error fails the task at once; a Transient one lets Airflow try again. Of an error that nobody
foresaw only its type and place are told, because its message could quote a row.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook, get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

if TYPE_CHECKING:
    from handover.stages.context import Context
    from handover.stages.daily_cases import RegisteredSource

log = logging.getLogger(__name__)
Result = TypeVar("Result")
PARAMS, DAILY_PARAMS = frozenset({"case", "dry_run"}), frozenset({"as_of", "dry_run"})
# Kinds of cases, each run by the DAG of its name; a DAG of another name runs what its author means it to.
KINDS = ("transfer", "deregistration")
# DAGs of registered sources are named KIND.SOURCE.
SWEEP, BACKUP = "retention_sweep", "scheduled_backup"
REQUEST, REQUEST_PARAMS = "subject_request", frozenset({"request", "source", "dry_run"})


def known_cases(kind: str) -> list[str]:
    """Return the ids of the cases of a kind, which the trigger form offers; read at a look, not validated."""
    from handover.settings import Settings

    said = re.compile(rf"^kind:\s*{kind}\b", re.MULTILINE)
    cases = Settings.load().cases.glob("*.yaml")
    return sorted(
        path.stem for path in cases if said.search(path.read_text(encoding="utf-8", errors="replace"))
    )


def registered_sources() -> list[RegisteredSource]:
    """Return the sources that get DAGs of their own."""
    from handover.settings import Settings
    from handover.stages import daily_cases

    return daily_cases.registered_sources(Settings.load())


def run_stage(work: Callable[[Context], Result]) -> Result:
    """Open the DAG run's case and do one stage of it."""
    return without_values(lambda: work(_opened(get_current_context())))


def without_values(work: Callable[[], Result]) -> Result:
    """Do the work of a task; its errors go to Airflow without the values that they may quote."""
    from handover.errors import Terminal, Transient

    try:
        result = work()
    except Terminal as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
    except Transient as error:
        raise AirflowException(f"{type(error).__name__}: {error}") from None
    except Exception as error:  # noqa: BLE001 (not swallowed: told without the values it may quote)
        raise AirflowFailException(unforeseen(error)) from None
    log.info("%s is done", get_current_context()["ti"].task_id)
    return result


def _opened(airflow: Mapping[str, Any]) -> Context:
    """Open the case that a DAG run names, or is made of the source after which its DAG is named."""
    from handover.settings import Settings
    from handover.stages.context import open_context
    from handover.stages.daily_cases import open_backup, open_sweep
    from handover.stages.request_runs import open_erasure

    settings, run = Settings.load(), airflow["dag_run"]
    kind, _, source = run.dag_id.partition(".")
    if kind in (SWEEP, BACKUP):
        _require_known(airflow, DAILY_PARAMS)
    if kind == SWEEP:
        return open_sweep(settings, source, run.run_id, connection_url, _as_of(airflow, source))
    if kind == BACKUP:
        return open_backup(settings, source, run.run_id, connection_url)
    if kind == REQUEST:
        request, named = requested(airflow)
        return open_erasure(settings, named, request, run.run_id, connection_url, _as_of(airflow, named))
    context = open_context(settings, requested_case(airflow), run.run_id, connection_url)
    _require_kind(context, run.dag_id)
    return context


def requested(airflow: Mapping[str, Any]) -> tuple[str, str]:
    """Return the id of a person's request, and the source in which it is carried out."""
    from handover.settings import Settings
    from handover.stages.request_runs import source_of
    from handover.stages.requests import Desk

    _require_known(airflow, REQUEST_PARAMS)
    request, named = (str(airflow["params"][name] or "").strip() for name in ("request", "source"))
    return request, source_of(Desk(Settings.load(), connection_url), request, named)


def _as_of(airflow: Mapping[str, Any], source: str) -> date:
    """Return the day of a sweep: what its form says, else that of its schedule where the source is.

    Nobody can ask the law of a day to come, but in a dry run.
    """
    from handover.errors import CaseInvalid
    from handover.settings import Settings
    from handover.stages.daily_cases import day_there
    from handover.stages.facts import legal_day

    said, run = airflow["params"].get("as_of"), airflow["dag_run"]
    try:
        # Whoever triggers a run by the API may name any interval: its end is no proof of the day.
        scheduled = day_there(Settings.load(), source, run.data_interval_end or run.run_after)
        on = date.fromisoformat(str(said)) if said else scheduled
    except ValueError:
        raise CaseInvalid(f"as_of: {said!r} is no day", hint="write it as 2026-01-31") from None
    today = min(legal_day(), day_there(Settings.load(), source, datetime.now(UTC)))
    if on > today and not is_dry_run():
        raise CaseInvalid(
            f"as_of: {on} is to come, and nothing goes before its day",
            hint="ask for a dry run, or `handover sweep forecast`",
        )
    return on


def _require_kind(context: Context, dag: str) -> None:
    from handover.errors import CaseInvalid

    if dag in KINDS and context.case.kind != dag:
        raise CaseInvalid(
            f"case {context.case.case} is a {context.case.kind}, and this is the DAG {dag}",
            hint=f"trigger the DAG {context.case.kind}; `handover run {context.case.case}` finds it",
        )


def requested_case(airflow: Mapping[str, Any]) -> str:
    """Return the case id of a DAG run; Airflow itself accepts unknown keys in its conf, we do not."""
    _require_known(airflow, PARAMS)
    return str(airflow["params"]["case"])


def _require_known(airflow: Mapping[str, Any], known: frozenset[str]) -> None:
    from handover.errors import CaseInvalid

    unknown = set(airflow["dag_run"].conf or {}) - known
    if unknown:
        raise CaseInvalid(
            f"the run's conf has unknown keys: {', '.join(sorted(unknown))}",
            hint=f"give only {' and '.join(sorted(known))}",
        )


def is_dry_run() -> bool:
    """Say whether this DAG run is to end after the plan."""
    return bool(get_current_context()["params"]["dry_run"])


def connection_url(connection_id: str) -> str:
    """Return the URL of an Airflow connection; KeyError when there is none."""
    from handover.connections import conninfo, extra_options

    try:
        found = BaseHook.get_connection(connection_id)
    except AirflowNotFoundException:
        raise KeyError(connection_id) from None
    options = extra_options(found.extra_dejson)
    return conninfo(found.host, found.port, found.login, found.password, found.schema, options)


def unforeseen(error: Exception) -> str:
    """Describe an error by its type and the places it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    places = "\n".join(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"unforeseen {type(error).__name__} (its message is withheld, it may quote a row) at\n{places}"
