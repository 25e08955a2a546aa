"""A copy that went wrong under real Airflow does not end complete, is named, and can be mended."""

import json

import psycopg

from e2e.test_demo import empty_target
from e2e.test_faults_in_airflow import until
from fixtures.demo import WHOLE, WHOLE_CASE, Demo
from fixtures.dumps import schema_text, sorted_rows

RUN = "went-wrong"
FAULT = """
UPDATE lending.customers SET name = name || ' '
WHERE customer_id = (SELECT min(customer_id) FROM lending.customers)
"""


def latest_evidence(demo: Demo) -> dict[str, object]:
    """The verification report in the newest evidence folder of the run."""
    folder = max(
        demo.evidence_of(WHOLE_CASE, RUN).parent.glob(f"{RUN}*"), key=lambda path: path.stat().st_mtime
    )
    report = json.loads((folder / "verification.json").read_text())
    assert (folder / "verification.html").read_text().startswith("<!DOCTYPE html>")
    return report


def test_a_wrong_copy_is_named_and_mended(demo: Demo) -> None:
    empty_target(demo)
    body = {"logical_date": None, "dag_run_id": RUN, "conf": WHOLE}
    demo.api("POST", "/api/v2/dags/transfer/dagRuns", body)
    until(lambda: demo.tasks(RUN).get("migrate") in ("success", "failed", "upstream_failed"))
    assert demo.tasks(RUN)["finish"] != "success"
    with psycopg.connect(demo.settings["TARGET_URL"]) as target:
        assert target.execute(FAULT).rowcount == 1
    assert demo.finish(RUN) == "failed"
    states = demo.tasks(RUN)
    assert (states["verify"], states["close"]) == ("failed", "failed")
    report = latest_evidence(demo)
    assert (report["status"], report["verdict"]) == ("not complete", "different")
    assert any("lending.customers: row with customer_id = " in line for line in report["reasons"])
    assert any(line.endswith("differs in name") for line in report["reasons"])

    again = {"dag_run_id": RUN, "task_ids": ["finish"], "include_downstream": True, "dry_run": False}
    demo.api("POST", "/api/v2/dags/transfer/clearTaskInstances", {**again, "only_failed": False})
    assert demo.finish(RUN) == "success"
    report = latest_evidence(demo)
    assert (report["status"], report["verdict"], report["findings"]) == ("complete", "equal", [])
    source, target_url = demo.settings["SOURCE_URL"], demo.settings["TARGET_URL"]
    assert (schema_text(target_url), sorted_rows(target_url)) == (schema_text(source), sorted_rows(source))
