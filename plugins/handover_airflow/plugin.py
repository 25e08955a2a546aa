"""Registers with Airflow what Handover adds to its pages; read by every component, so nothing heavy here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

from handover_airflow.deadlines import RequestDue
from handover_airflow.links import PREFIX, REPORT, ReportLink, address
from handover_airflow.plan_link import PlanLink

Message = MutableMapping[str, Any]


async def pages(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer a request; the pages are imported when the API server, alone of all components, needs them."""
    from handover_airflow.pages import app

    await app(scope, receive, send)


class HandoverPlugin(AirflowPlugin):
    """The verification report: its pages, a tab on every DAG run, a link on every task of a transfer.

    The plan: its page, a link on the tasks that make and judge it. And when a person's request is overdue.
    """

    name = "handover"
    fastapi_apps = [{"app": pages, "url_prefix": f"/{PREFIX}", "name": "Handover"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": REPORT,
            "href": address("{RUN_ID}"),
            "destination": "dag_run",
            "url_route": "handover-report",
        }
    ]
    deadline_references = [RequestDue]  # noqa: RUF012
    global_operator_extra_links = [ReportLink(), PlanLink()]  # noqa: RUF012
