"""Pages of Handover inside Airflow's web server, for whoever may read the runs of its DAGs.

Airflow leaves a plugin's app open to everybody: each route here stands behind its login and its permissions,
and a request to anything else in this app is refused in the same order, login first.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from handover.errors import HandoverError
from handover.settings import Settings
from handover.stages.plan_page import read_plan
from handover.stages.report import Report, places, read_report
from handover_airflow.links import DAGS

log = logging.getLogger(__name__)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}
app = FastAPI(
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[
        Depends(get_user),
        *(Depends(requires_access_dag("GET", DagAccessEntity.RUN, dag)) for dag in DAGS),
    ],
)


@app.middleware("http")
async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Give every response, errors too, the headers that keep it private and harmless."""
    response = await answer(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@app.exception_handler(HandoverError)
async def unavailable(_: Request, error: HandoverError) -> Response:
    """Say what is in the way, with the remedy; such a message never quotes a row."""
    log.error("a page could not be made: %s: %s", type(error).__name__, error)
    return PlainTextResponse(f"{type(error).__name__}: {error}", status_code=503)


@app.get("/runs/{case}/{run}.json")
def report_json(case: str, run: str) -> Response:
    """Return verification.json as it would be written now."""
    return Response(_report(case, run).json, media_type="application/json")


@app.get("/runs/{case}/{run}")
def report_page(case: str, run: str) -> Response:
    """Return the page."""
    report = _report(case, run)
    return _page(report.html, report.policy)


@app.get("/runs/{case}/{run}/plan")
def plan_page(case: str, run: str) -> Response:
    """Return the plan in force."""
    found = read_plan(Settings.load(), case, run)
    if found is None:
        raise HTTPException(404, "the ledger holds no such plan; it is there once the task plan is done")
    return _page(found.html, found.policy)


@app.get("/dag-runs/{run_id}")
def report_of_dag_run(run_id: str) -> Response:
    """Lead from a DAG run to its report."""
    return RedirectResponse(f"../{_place(run_id)}", status_code=302)


@app.get("/dag-runs/{run_id}/plan")
def plan_of_dag_run(run_id: str) -> Response:
    """Lead from a DAG run to its plan."""
    return RedirectResponse(f"../../{_place(run_id)}/plan", status_code=302)


@app.get("/{anything:path}")
def nothing_else(anything: str) -> Response:
    """Refuse what is not there, only after the login."""
    _unknown()


def _page(html: bytes, policy: str) -> Response:
    headers = {"Content-Security-Policy": f"{policy}; frame-ancestors 'self'"}
    return Response(html, media_type="text/html", headers=headers)


def _place(run_id: str) -> str:
    """Return where the run of a DAG run is; each case has at most one under an id."""
    found = places(Settings.load(), run_id)
    if not found:
        _unknown()
    case, run = found[-1]
    return f"runs/{quote(case, safe='')}/{quote(run, safe='')}"


def _report(case: str, run: str) -> Report:
    found = read_report(Settings.load(), case, run)
    return found if found is not None else _unknown()


def _unknown() -> NoReturn:
    raise HTTPException(404, "the ledger knows no such run; it is there once the task inventory has begun")
