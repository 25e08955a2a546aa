"""A run from the command line plans and judges unless it is told to execute, and says where the plan is."""

from pathlib import Path

import psycopg

from e2e.test_demo import empty_target
from fixtures.demo import Demo


def test_a_run_ends_with_its_plan_unless_told_to_execute(demo: Demo) -> None:
    empty_target(demo)
    done = demo.handover("run", "demo-transfer")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dry run: planned; no rows were copied" in done.stdout
    assert "`handover run demo-transfer --execute` carries it out" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("plan: "))
    plan = Path(line.removeprefix("plan: "))
    assert demo.handover("plan", "demo-transfer").stdout == plan.read_text()
    brief = demo.handover("case", "brief", "demo-transfer").stdout
    assert "# 案件简报 / Case brief: demo-transfer" in brief and "--execute" in brief
    with psycopg.connect(demo.settings["TARGET_URL"]) as target:
        assert target.execute("SELECT to_regnamespace('lending')").fetchone() == (None,)
    run = plan.parent.name
    assert {demo.tasks(run)[task] for task in ("inventory", "plan", "gates")} == {"success"}
