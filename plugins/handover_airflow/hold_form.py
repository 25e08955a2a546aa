"""The form of the DAG legal_hold: what is stored of it in clear names no person, and who sent it is the one.

A person is given by the name that ``handover hold token`` printed, because Airflow keeps what a form holds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, get_current_context, task

from handover_airflow.edge import connection_url, without_values

if TYPE_CHECKING:
    from handover.stages.context import Context
    from handover.stages.holding import Account, Laid, Matter

log = logging.getLogger(__name__)
ACTIONS = ("hold", "ask for release", "release")
WHATS = ("subject", "table", "predicate", "everything")


def params() -> dict[str, Param]:
    """Return the form."""

    def text(title: str, description: str, **more: Any) -> Param:
        return Param("", type="string", title=title, description_md=description, **more)

    return {
        "source": text(
            "Source or case 数据源或案件",
            "A registered source binds every case over its database; a case binds itself alone.",
        ),
        "action": Param(
            ACTIONS[0],
            enum=list(ACTIONS),
            title="What to do 操作",
            description_md="A hold is released by another person than the one who asked for it.",
        ),
        "what": Param(WHATS[0], enum=list(WHATS), title="What is held 保留对象"),
        "subject": text(
            "Person 个人",
            "What `handover hold token SOURCE` printed, never a name or number: the form is stored in clear. "
            "请勿填写姓名或证件号码。",
        ),
        "table": text("Table 表", "`schema.table`, for a table or a predicate."),
        "where": text(
            "Predicate 条件", "For a predicate, over the table's own columns; without personal data."
        ),
        "kind": text(
            "Kind 类型", "Of the policy packs, as `litigation`.", examples=["litigation", "inquiry"]
        ),
        "reason": text("Reason 理由", "Without personal data; it becomes evidence."),
        "authority": text("Authority 要求方", "Who wants it, as a court or an authority."),
        "until": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Until 截止",
            description_md="The first day on which it is over by itself; empty: until it is released.",
        ),
        "hold": text("Hold 保留编号", "Its id, to ask for its release."),
        "request": text("Request 解除申请", "Its id, to release the hold."),
    }


@task
def carry_out() -> str:
    """Do what the form says; returns the id of the hold or of the request for release."""
    from handover.settings import Settings
    from handover.stages.holding import account_named, open_holder

    def work() -> str:
        airflow = get_current_context()
        form = _form(airflow)
        context = open_holder(Settings.load(), form["source"], connection_url)
        return acted(context, account_named(context, airflow["dag_run"].triggering_user_name), form)

    return without_values(work)


def _form(airflow: Mapping[str, Any]) -> dict[str, str]:
    """Return what the form says; Airflow itself accepts unknown keys, we do not."""
    from handover.errors import CaseInvalid

    known = params()
    if unknown := set(airflow["dag_run"].conf or {}) - known.keys():
        raise CaseInvalid(
            f"the run's conf has unknown keys: {', '.join(sorted(unknown))}",
            hint=f"give only {', '.join(known)}",
        )
    return {name: str(airflow["params"][name] or "").strip() for name in known}


def acted(context: Context, who: Account, form: Mapping[str, str]) -> str:
    """Do what a form says that was sent by somebody."""
    from handover.stages.holding import release, request_release

    if form["action"] == "ask for release":
        return request_release(context, who, form["hold"], form["reason"])
    if form["action"] == "release":
        return release(context, who, form["request"]).id
    laid = _laid(context, who, form)
    for name, moment in sorted(laid.moments.items()):
        log.info("hold %s binds %s; it came %s rows go", laid.id, name, moment)
    return laid.id


def _laid(context: Context, who: Account, form: Mapping[str, str]) -> Laid:
    from handover.errors import CaseInvalid
    from handover.stages import holding

    why = _matter(form)
    wanted = {"subject": ("subject",), "table": ("table",), "predicate": ("table", "where"), "everything": ()}
    needed = wanted[form["what"]]
    fields = ("subject", "table", "where")
    if wrong := [name for name in fields if bool(form[name]) != (name in needed)]:
        raise CaseInvalid(
            f"a hold over what is called {form['what']} needs {' and '.join(needed) or 'nothing more'}",
            hint=f"fill these fields and leave the others empty; look at {', '.join(wrong)}",
        )
    if form["what"] == "subject":
        return holding.hold_named(context, who, form["subject"], why)
    if form["what"] == "everything":
        return holding.hold_everything(context, who, why)
    return holding.hold_table(context, who, form["table"], why, form["where"])


def _matter(form: Mapping[str, str]) -> Matter:
    from handover.errors import CaseInvalid
    from handover.stages.holding import Matter

    try:
        until = date.fromisoformat(form["until"]) if form["until"] else None
    except ValueError:
        raise CaseInvalid("until is no date", hint="write it as 2027-01-31, or leave it empty") from None
    return Matter(form["kind"], form["reason"], form["authority"], until)
