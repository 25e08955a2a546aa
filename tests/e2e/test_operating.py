"""Operating runs from the command line through real Airflow: resume after a failure, abort, a new case."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from e2e.test_demo import empty_target, ports
from fixtures.contents import run_sql
from fixtures.demo import WHOLE, WHOLE_CASE, Demo
from fixtures.dumps import schema_text, sorted_rows
from handover.local.clusters import Cluster
from handover.settings import REPOSITORY


@contextmanager
def failing_restore_test(demo: Demo, run: str) -> Iterator[None]:
    """Start a run and take the right to create databases away once the inventory has seen it."""
    target = Cluster.at(demo.home, "target", ports(demo)["target"])
    body = {"logical_date": None, "dag_run_id": run, "conf": WHOLE}
    demo.api("POST", "/api/v2/dags/transfer/dagRuns", body)
    while demo.tasks(run).get("inventory") != "success":
        time.sleep(0.2)
    with psycopg.connect(target.admin_url(), autocommit=True) as admin:
        admin.execute("ALTER ROLE company NOCREATEDB")
        try:
            assert demo.finish(run) == "failed"
            yield
        finally:
            admin.execute("ALTER ROLE company CREATEDB")


def test_failed_run_goes_on_after_the_remedy(demo: Demo) -> None:
    empty_target(demo)
    with failing_restore_test(demo, "resumed"):
        assert demo.tasks("resumed")["restore_test"] == "failed"
    done = demo.handover("resume", WHOLE_CASE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RESULT: everything holds" in done.stdout
    source, target = demo.settings["SOURCE_URL"], demo.settings["TARGET_URL"]
    assert (schema_text(target), sorted_rows(target)) == (schema_text(source), sorted_rows(source))
    again = demo.handover("resume", WHOLE_CASE)
    assert again.returncode == 1 and "there is nothing to resume" in again.stderr


def test_failed_run_is_taken_back(demo: Demo) -> None:
    empty_target(demo)
    before = schema_text(demo.settings["TARGET_URL"])
    with failing_restore_test(demo, "taken-back"):
        pass
    done = demo.handover("abort", WHOLE_CASE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the source is as it was" in done.stdout and "unlinked, not verifiable" in done.stdout
    assert schema_text(demo.settings["TARGET_URL"]) == before
    assert not list((demo.home / "vault" / WHOLE_CASE / "taken-back").rglob("*.seg"))


SHOP = """
CREATE TABLE public.orders (id serial PRIMARY KEY, who text NOT NULL, total numeric(10, 2));
INSERT INTO public.orders (who, total) SELECT 'buyer ' || n, n / 3.0 FROM generate_series(1, 2000) AS n;
CREATE TABLE public.notes (order_id int REFERENCES public.orders, note text);
INSERT INTO public.notes SELECT n, 'note ' || n FROM generate_series(1, 100) AS n;
"""


@pytest.fixture
def new_case() -> Iterator[str]:
    """A case id whose file is removed afterwards."""
    case = "test-shop"
    path = REPOSITORY / "include" / "cases" / f"{case}.yaml"
    yield case
    path.unlink(missing_ok=True)


def test_five_commands_move_a_database_of_ones_own(demo: Demo, new_case: str) -> None:
    """The README's section, word by word but for names and addresses."""
    section = (REPOSITORY / "README.md").read_text().split("## Your own databases")[1].split("## ")[0]
    commands = [line.split("handover ", 1)[1] for line in section.splitlines() if line.startswith("$ ")]
    assert len(commands) == 5
    urls = {}
    for side in ("source", "target"):
        cluster = Cluster.at(demo.home, side, ports(demo)[side])
        cluster.create_database("shop", "company")
        urls[side] = demo.settings[f"{side.upper()}_URL"].removesuffix("/company") + "/shop"
    run_sql(urls["source"], SHOP)
    for command, side in zip(commands, ("source", "target", "", "", ""), strict=True):
        words = [urls[side] if word.startswith("postgresql:") else word for word in command.split()]
        done = demo.handover(*(new_case if word == "shop" else word for word in words))
        assert done.returncode == 0, (command, done.stdout + done.stderr)
    assert "RESULT: everything holds" in done.stdout
    assert sorted_rows(urls["target"]) == sorted_rows(urls["source"]) != {}
    assert Path(REPOSITORY / "include" / "cases" / f"{new_case}.yaml").read_text().count("#") > 5
