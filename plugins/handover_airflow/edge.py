"""Runs a stage inside an Airflow task: connections come from Airflow, errors go to it without values.

A Terminal error fails the task at once; a Transient one lets Airflow try again. Of an error that nobody
foresaw only its type and place are told, because its message could quote a row.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook, get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

if TYPE_CHECKING:
    from handover.stages.context import Context

log = logging.getLogger(__name__)
Result = TypeVar("Result")
PARAMS = frozenset({"case", "dry_run"})
# Kinds of cases, each run by the DAG of its name; a DAG of another name runs what its author means it to.
KINDS = ("transfer", "deregistration")


def known_cases(kind: str) -> list[str]:
    """Return the ids of the cases of a kind, which the trigger form offers; read at a look, not validated."""
    from handover.settings import Settings

    said = re.compile(rf"^kind:\s*{kind}\b", re.MULTILINE)
    cases = Settings.load().cases.glob("*.yaml")
    return sorted(
        path.stem for path in cases if said.search(path.read_text(encoding="utf-8", errors="replace"))
    )


def run_stage(work: Callable[[Context], Result]) -> Result:
    """Open the DAG run's case and do one stage of it."""
    from handover.errors import Terminal, Transient
    from handover.settings import Settings
    from handover.stages.context import open_context

    airflow = get_current_context()
    try:
        case = requested_case(airflow)
        context = open_context(Settings.load(), case, airflow["dag_run"].run_id, connection_url)
        _require_kind(context, airflow["dag_run"].dag_id)
        result = work(context)
    except Terminal as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
    except Transient as error:
        raise AirflowException(f"{type(error).__name__}: {error}") from None
    except Exception as error:  # noqa: BLE001 (not swallowed: told without the values it may quote)
        raise AirflowFailException(unforeseen(error)) from None
    log.info("%s is done", airflow["ti"].task_id)
    return result


def _require_kind(context: Context, dag: str) -> None:
    from handover.errors import CaseInvalid

    if dag in KINDS and context.case.kind != dag:
        raise CaseInvalid(
            f"case {context.case.case} is a {context.case.kind}, and this is the DAG {dag}",
            hint=f"trigger the DAG {context.case.kind}; `handover run {context.case.case}` finds it",
        )


def requested_case(airflow: Mapping[str, Any]) -> str:
    """Return the case id of a DAG run; Airflow itself accepts unknown keys in its conf, we do not."""
    from handover.errors import CaseInvalid

    unknown = set(airflow["dag_run"].conf or {}) - PARAMS
    if unknown:
        raise CaseInvalid(
            f"the run's conf has unknown keys: {', '.join(sorted(unknown))}",
            hint=f"give only {' and '.join(sorted(PARAMS))}",
        )
    return str(airflow["params"]["case"])


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
