"""The plan's page in Airflow: behind its login and permissions, on the real server; links on two tasks."""

from types import SimpleNamespace

import jwt
import pytest

from dags.test_plugin import get
from fixtures.demo import Demo
from handover.settings import read_env_file

PLAN = "Plan 计划"
PAGES = ("/runs/demo-transfer/{run}/plan", "/dag-runs/{run}/plan")
ABSENT = ("/runs/demo-transfer/absent/plan", "/runs/absent/{run}/plan", "/dag-runs/absent/plan")
HOSTILE = ("%3Cscript%3Ealert(1)%3C%2Fscript%3E", "..%2F..%2Fetc", "%00", "x'%20OR%201=1--")


@pytest.fixture(scope="module")
def auditor(demo: Demo) -> str:
    """The token of somebody who may only look."""
    return demo.token("auditor")


@pytest.mark.parametrize("path", [*PAGES, *ABSENT])
def test_nobody_sees_anything_without_login(demo: Demo, path: str) -> None:
    status, headers, body = get(demo, path)
    assert (status, body) == (401, b'{"detail":"Not authenticated"}')
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("cookie", [False, True], ids=["bearer", "cookie"])
def test_a_forged_login_is_refused(demo: Demo, path: str, cookie: bool) -> None:
    head, body, _ = demo.token().split(".")
    assert get(demo, path, f"{head}.{body}.{'A' * 86}", cookie)[0] in (401, 403)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # the demo's own key
@pytest.mark.parametrize("path", PAGES)
def test_a_login_that_may_not_read_the_dag_is_refused(demo: Demo, auditor: str, path: str) -> None:
    key = read_env_file(demo.home / "handover.env")["AIRFLOW__API_AUTH__JWT_SECRET"]
    claims = jwt.decode(auditor, options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(auditor)["alg"]
    assert get(demo, path, jwt.encode(claims, key, algorithm))[0] in (200, 302), "signed like Airflow's own"
    assert get(demo, path, jwt.encode(claims | {"role": None}, key, algorithm))[0] == 403


def test_who_may_look_gets_the_plan(demo: Demo, auditor: str) -> None:
    status, headers, page = get(demo, PAGES[0], auditor)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "计划 / Plan: demo-transfer" in page.decode()
    status, headers, _ = get(demo, PAGES[1], auditor)
    assert (status, headers["Location"]) == (302, f"../../runs/demo-transfer/{demo.run}/plan")


@pytest.mark.parametrize("path", ABSENT)
def test_a_wrong_run_is_not_found(demo: Demo, auditor: str, path: str) -> None:
    assert get(demo, path, auditor)[0] == 404


@pytest.mark.parametrize("name", HOSTILE)
def test_an_unknown_run_is_not_echoed(demo: Demo, auditor: str, name: str) -> None:
    for path in (f"/runs/{name}/{name}/plan", f"/runs/demo-transfer/{name}/plan", f"/dag-runs/{name}/plan"):
        status, headers, body = get(demo, path, auditor)
        assert (status, headers["Content-Type"]) == (404, "application/json")
        assert b"script" not in body and b"etc" not in body


@pytest.mark.parametrize("path", [*PAGES, ABSENT[0]])
def test_every_answer_is_private_and_harmless(demo: Demo, auditor: str, path: str) -> None:
    _, headers, _ = get(demo, path, auditor)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and policy.endswith("frame-ancestors 'self'")
    assert "unsafe" not in policy and "script-src" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("task, there", [("plan", True), ("gates", True), ("seal", False)])
def test_plan_and_gates_alone_link_to_the_plan(demo: Demo, task: str, there: bool) -> None:
    links = demo.api("GET", f"/api/v2/dags/transfer/dagRuns/{demo.run}/taskInstances/{task}/links")
    assert links["extra_links"][PLAN] == (f"handover/dag-runs/{demo.run}/plan" if there else None)


def test_a_task_of_another_dag_has_no_link(airflow: object) -> None:
    from handover_airflow.plan_link import PlanLink

    run = "manual__2026-01-01T00:00:00+00:00"
    other, ours = (SimpleNamespace(dag_id=dag, task_id="plan", run_id=run) for dag in ("x", "transfer"))
    assert PlanLink().get_link(None, ti_key=other) == ""
    assert PlanLink().get_link(None, ti_key=ours).endswith("/manual__2026-01-01T00%3A00%3A00%2B00%3A00/plan")
