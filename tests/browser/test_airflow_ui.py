"""What a person sees in Airflow's pages: the run, the trigger form, a failed task."""

from pathlib import Path

from playwright.sync_api import Page, expect

from fixtures.demo import Demo

STAGES = ("inventory", "plan", "snapshot", "backup", "seal", "restore_test", "migrate", "verify", "close")


def test_run_shows_every_stage_and_named_lanes(demo: Demo, page: Page, pictures: Path) -> None:
    page.goto(f"/dags/transfer/runs/{demo.run}")
    for stage in STAGES:
        expect(page.get_by_text(stage, exact=False).first).to_be_visible()
    expect(page.get_by_text("lane 2:").first).to_be_visible()
    expect(page.get_by_text("Success").first).to_be_visible()
    page.screenshot(path=pictures / "run.png")


def test_trigger_form_explains_itself(demo: Demo, page: Page, pictures: Path) -> None:
    page.goto("/dags/transfer")
    page.get_by_role("button", name="Trigger").first.click()
    expect(page.get_by_text("Case 案件").first).to_be_visible()
    expect(page.get_by_text("Dry run 演练").first).to_be_visible()
    expect(page.get_by_text("include/cases/").first).to_be_visible()
    page.screenshot(path=pictures / "trigger.png")


def test_failed_task_says_what_and_the_remedy(demo: Demo, page: Page, pictures: Path) -> None:
    run = "unknown-key"
    assert demo.trigger(run, case="demo-transfer", colour="red") == "failed"
    page.goto(f"/dags/transfer/runs/{run}/tasks/inventory")
    message = page.get_by_text("unknown keys: colour").first
    expect(message).to_be_visible(timeout=20_000)
    expect(page.get_by_text("HINT: give only case and dry_run").first).to_be_visible()
    page.screenshot(path=pictures / "failed.png")
