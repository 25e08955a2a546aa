"""The demo answers in place of people: through Airflow's REST API, as the accounts asked, and says so.

Nothing here gets round a check: an account that may not answer is refused by Airflow, an answer that does not
count by the ledger.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from rich.console import Console

from handover.local.home import PEOPLE
from handover.local.services import Machine

REASON = "demo: no person looked at this; the program answers in place of people"
# Airflow may take an answer that comes before it saw the asking process end for a failure, and ask again. On
# a busy machine it sees that late, so that whoever is asked again takes his time.
QUICKEST_ANSWER, SLOWER_EACH_TIME = timedelta(seconds=8), 3
# The button that means no; every other one names what is approved.
NO = "Refuse"


def answer_open_questions(machine: Machine, dag: str, run_id: str, console: Console) -> list[str]:
    """Say yes to each question of a run that is open now; returns the accounts that did.

    Each is answered as the first account of this machine that it is put to. Raises ServiceFailed when Airflow
    does not take an answer.
    """
    run = f"/api/v2/dags/{quote(dag)}/dagRuns/{quote(run_id, safe='')}"
    found = machine.as_engineer().get(f"{run}/hitlDetails?response_received=false&state=awaiting_input")
    return [name for asked in found["hitl_details"] if (name := _answer(machine, run, asked, console))]


def _answer(machine: Machine, run: str, asked: dict[str, Any], console: Console) -> str:
    names = [user["name"] for user in asked["assigned_users"] if user["name"] in PEOPLE]
    yes = [option for option in asked["options"] if not option.startswith(NO)]
    task = asked["task_instance"]
    # A question that is put again keeps the day of its first time.
    age = datetime.now(UTC) - datetime.fromisoformat(task["start_date"] or asked["created_at"])
    if not names or not yes or age < QUICKEST_ANSWER * SLOWER_EACH_TIME ** (task["try_number"] - 1):
        return ""
    console.print(
        f"{task['task_id']}: the demo answers in place of a person, as {names[0]}: {yes[0]}", markup=False
    )
    person = machine.api.log_in(names[0], machine.home.secrets()[names[0]])
    path = f"{run}/taskInstances/{quote(task['task_id'])}/{task['map_index']}/hitlDetails"
    person.send("PATCH", path, {"chosen_options": yes[:1], "params_input": {"reason": REASON}})
    return str(names[0])
