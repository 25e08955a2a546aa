"""An aborted run leaves source, target, scratch and vault as they were before it."""

from collections.abc import Callable

import psycopg
import pytest

from e2e.test_transfer_engine import SMALL
from fixtures.contents import run_sql
from fixtures.dumps import large_objects, schema_text, sorted_rows
from fixtures.runs import Runner, backed_up, migrated, transferred
from handover.errors import CaseInvalid, KeyUnavailable, NotReady
from handover.stages.abort import abort_run
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.migrate import migrate_lane, prepare_target
from handover.stages.restore_test import create_database, restore_test, scratch_name
from handover.vault.keyring import KeyState

# What a target may hold before: an empty schema of the case with a comment, and things of others.
BEFORE = """
CREATE SCHEMA s;
COMMENT ON SCHEMA s IS 'was here before';
CREATE SCHEMA other;
CREATE TABLE other.kept (id int PRIMARY KEY);
INSERT INTO other.kept VALUES (1);
"""


def half_migrated(context: Context) -> None:
    """Stop between two lanes."""
    backed_up(context)
    restore_test(context)
    prepare_target(context)
    migrate_lane(context, 0)


def scratch_left(context: Context) -> None:
    """Die in the middle of the restore test."""
    backed_up(context)
    create_database(context, scratch_name(context))


STAGES: dict[str, Callable[[Context], object]] = {
    "inventory": inventory,
    "backup": backed_up,
    "scratch": scratch_left,
    "half migrated": half_migrated,
    "migrated": migrated,
}


def state(runner: Runner, context: Context) -> dict[str, object]:
    """Return all that an abort has to leave as it was."""
    found: dict[str, object] = {}
    for side, url in runner.urls.items():
        found[side] = (schema_text(url), sorted_rows(url), large_objects(url))
        with psycopg.connect(url) as connection:
            found[f"{side} receipts"] = connection.execute("SELECT to_regnamespace('handover')").fetchone()
            scratch = "SELECT datname FROM pg_database WHERE datname = %s"
            found[f"{side} scratch"] = connection.execute(scratch, (scratch_name(context),)).fetchall()
    found["vault"] = list(context.store.list(f"{context.case.case}/"))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_everything_is_as_before(runner: Runner, stage: str) -> None:
    run_sql(runner.urls["src"], SMALL)
    run_sql(runner.urls["dst"], BEFORE)
    context = runner.open()
    before = state(runner, context)
    STAGES[stage](context)
    removed = abort_run(runner.open())
    assert state(runner, context) == before
    assert abort_run(runner.open()) == []
    assert (removed == []) == (stage == "inventory")
    keys = [key for key in context.keyring.list() if key.case == context.backup_name]
    assert all(key.state is KeyState.DESTROYED for key in keys)
    for key in keys:
        with pytest.raises(KeyUnavailable):
            context.keyring.key(key.key_id)


def test_another_runs_backup_survives(runner: Runner) -> None:
    run_sql(runner.urls["src"], SMALL)
    backed_up(runner.open("run-1"))
    backed_up(runner.open("run-2"))
    abort_run(runner.open("run-2"))
    restore_test(runner.open("run-1"))


def test_a_new_run_succeeds_after_an_abort(runner: Runner) -> None:
    run_sql(runner.urls["src"], SMALL)
    half_migrated(runner.open("run-1"))
    abort_run(runner.open("run-1"))
    transferred(runner.open("run-2"))


def test_a_complete_run_is_not_taken_back(runner: Runner) -> None:
    run_sql(runner.urls["src"], SMALL)
    transferred(runner.open())
    with pytest.raises(NotReady, match="is complete and is not taken back"):
        abort_run(runner.open())
    assert sorted_rows(runner.urls["dst"])


def test_a_destroyed_key_is_never_made_anew(runner: Runner) -> None:
    run_sql(runner.urls["src"], SMALL)
    context = runner.open()
    inventory(context)
    context.keyring.destroy(context.backup_key_id)
    with pytest.raises(KeyUnavailable, match="backup key of test-transfer/run-1 was destroyed"):
        backed_up(runner.open())


def test_an_aborted_run_does_nothing_more(runner: Runner) -> None:
    run_sql(runner.urls["src"], SMALL)
    backed_up(runner.open())
    abort_run(runner.open())
    with pytest.raises(NotReady, match="run run-1 was aborted"):
        restore_test(runner.open())


def test_a_changed_case_file_cannot_make_an_abort_drop_others_data(runner: Runner) -> None:
    run_sql(runner.urls["src"], SMALL)
    run_sql(runner.urls["dst"], BEFORE)
    migrated(runner.open())
    changed = runner.open(source={"connection": "src", "schemas": ["s", "other"]})
    with pytest.raises(CaseInvalid, match="case file changed"):
        abort_run(changed)
    assert sorted_rows(runner.urls["dst"])["other.kept"] == ["1"]
