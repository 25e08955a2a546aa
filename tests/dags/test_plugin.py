"""Handover's pages in Airflow: behind its login and permissions, on the real server; cheap for all others."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from email.message import Message
from types import SimpleNamespace

import jwt
import pytest

from fixtures.demo import Demo
from handover.evidence import verifier
from handover.settings import REPOSITORY, read_env_file

REPORT = "Verification report 核验报告"
PLAN = "Plan 计划"
PAGES = ("/runs/demo-transfer/{run}", "/runs/demo-transfer/{run}.json", "/dag-runs/{run}")
ANYTHING = ("/", "/docs", "/redoc", "/openapi.json", "/runs", "/runs/a/b", "/dag-runs/absent", "/static/x.js")


def get(demo: Demo, path: str, token: str | None = None, cookie: bool = False) -> tuple[int, Message, bytes]:
    """Ask for a page of ours as a browser or a program would, without following to another."""
    headers = (
        {"Cookie": f"_token={token}"} if cookie else {"Authorization": f"Bearer {token}"} if token else {}
    )
    request = urllib.request.Request(  # noqa: S310 (the demo's own address)
        f"{demo.settings['AIRFLOW_URL']}/handover{path.format(run=demo.run)}", headers=headers
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    try:
        with opener.open(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


@pytest.fixture(scope="module")
def auditor(demo: Demo) -> str:
    """The token of somebody who may only look."""
    return demo.token("auditor")


@pytest.mark.parametrize("path", [*PAGES, *ANYTHING])
def test_nobody_sees_anything_without_login(demo: Demo, path: str) -> None:
    status, headers, body = get(demo, path)
    assert (status, body) == (401, b'{"detail":"Not authenticated"}')
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("cookie", [False, True], ids=["bearer", "cookie"])
def test_a_forged_login_is_refused(demo: Demo, path: str, cookie: bool) -> None:
    head, body, _ = demo.token().split(".")
    assert get(demo, path, f"{head}.{body}.{'A' * 86}", cookie)[0] in (401, 403)


@pytest.mark.parametrize("cookie", [False, True], ids=["bearer", "cookie"])
def test_who_may_look_gets_the_report_as_it_is_in_the_ledger(demo: Demo, auditor: str, cookie: bool) -> None:
    status, headers, page = get(demo, PAGES[0], auditor, cookie)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f'<dd translate="no">{demo.run}</dd>' in page.decode()
    status, headers, data = get(demo, PAGES[1], auditor, cookie)
    document = json.loads(data)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert (document["case"], document["run"], document["verdict"]) == ("demo-transfer", demo.run, "equal")
    assert data == verifier.compact(document).encode() + b"\n"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # the demo's own key
@pytest.mark.parametrize("path", PAGES)
def test_a_login_that_may_not_read_the_dag_is_refused(demo: Demo, auditor: str, path: str) -> None:
    """The same person with a genuine token that carries no role any more."""
    key = read_env_file(demo.home / "handover.env")["AIRFLOW__API_AUTH__JWT_SECRET"]
    claims = jwt.decode(auditor, options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(auditor)["alg"]
    assert get(demo, path, jwt.encode(claims, key, algorithm))[0] in (200, 302), "signed like Airflow's own"
    assert get(demo, path, jwt.encode(claims | {"role": None}, key, algorithm))[0] == 403


def test_a_dag_run_leads_to_its_report(demo: Demo, auditor: str) -> None:
    status, headers, _ = get(demo, PAGES[2], auditor)
    assert (status, headers["Location"]) == (302, f"../runs/demo-transfer/{demo.run}")


@pytest.mark.parametrize("path", ANYTHING)
def test_what_is_not_there_is_not_found(demo: Demo, auditor: str, path: str) -> None:
    assert get(demo, path, auditor)[0] == 404


@pytest.mark.parametrize(
    "name", ["%3Cscript%3Ealert(1)%3C%2Fscript%3E", "..%2F..%2Fetc", "%00", "x'%20OR%201=1--"]
)
def test_an_unknown_run_is_not_echoed(demo: Demo, auditor: str, name: str) -> None:
    for path in (f"/runs/{name}/{name}", f"/runs/demo-transfer/{name}.json", f"/dag-runs/{name}"):
        status, headers, body = get(demo, path, auditor)
        assert status == 404
        assert headers["Content-Type"] == "application/json"
        assert b"script" not in body
        assert b"etc" not in body


@pytest.mark.parametrize("path", [*PAGES, "/absent"])
def test_every_answer_is_private_and_harmless(demo: Demo, auditor: str, path: str) -> None:
    _, headers, _ = get(demo, path, auditor)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("frame-ancestors 'self'")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_a_mapped_verify_task_and_a_plain_one_link_to_the_report(demo: Demo) -> None:
    for task in ("verify/links?map_index=0", "verify_objects/links"):
        links = demo.api("GET", f"/api/v2/dags/transfer/dagRuns/{demo.run}/taskInstances/{task}")
        assert links["extra_links"] == {PLAN: None, REPORT: f"handover/dag-runs/{demo.run}"}


def test_airflow_loaded_one_plugin_without_errors(demo: Demo, auditor: str) -> None:
    assert demo.api("GET", "/api/v2/plugins/importErrors")["import_errors"] == []
    (plugin,) = demo.api("GET", "/api/v2/plugins")["plugins"]
    assert (plugin["name"], plugin["source"]) == ("handover", "$PLUGINS_FOLDER/handover_airflow/plugin.py")
    assert [view["destination"] for view in plugin["external_views"]] == ["dag_run"]


def test_a_task_of_another_dag_has_no_link(airflow: object) -> None:
    from handover_airflow.links import ReportLink

    other, ours = (
        SimpleNamespace(dag_id=dag, run_id="manual__2026-01-01T00:00:00+00:00") for dag in ("x", "transfer")
    )
    assert ReportLink().get_link(None, ti_key=other) == ""
    assert ReportLink().get_link(None, ti_key=ours).endswith("/manual__2026-01-01T00%3A00%3A00%2B00%3A00")


def test_loading_the_plugin_loads_no_page() -> None:
    """Every task and every look at a DAG file loads it: neither pages nor stages may hang on that."""
    code = (
        "import sys; import airflow.sdk; import airflow.sdk.plugins_manager; before = set(sys.modules);"
        "import handover_airflow.plugin;"
        "print(sorted(m for m in set(sys.modules) - before if m.split('.')[0] in"
        " ('fastapi', 'jinja2', 'psycopg', 'handover', 'starlette', 'sqlalchemy')))"
    )
    folders = [str(REPOSITORY / name) for name in ("plugins", "include")]
    program = f"import sys; sys.path[:0] = {folders!r}; {code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
