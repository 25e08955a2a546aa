"""A frozen source takes no write from anybody, owner and superusers included, until the freeze is lifted."""

from collections.abc import Callable
from threading import Event, Thread

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from e2e.test_abort import state
from e2e.test_transfer_engine import SMALL
from fixtures.contents import run_sql
from fixtures.runs import Runner, backed_up, filled, rechecked, transferred, verified
from handover.errors import Busy, CaseInvalid, LateChanges, NotReady
from handover.local.clusters import Cluster
from handover.postgres import freezing as database_freezing
from handover.postgres.freezing import check_freezing, freeze, thaw, thawed
from handover.postgres.session import connect
from handover.stages.abort import abort_run
from handover.stages.context import Context
from handover.stages.freezing import freeze_source, require_frozen
from handover.stages.inventory import current_schema_digest, inventory
from handover.stages.late_changes import late_faults
from handover.stages.plan import plan
from handover.stages.snapshot import hold_snapshot

FREEZE = {"cutover": {"freeze": True}}
# Tables whose rows others reach: by a cascade, a function of the owner's, a view.
REACHED = """
ALTER TABLE s.a ADD CONSTRAINT cascading FOREIGN KEY (parent) REFERENCES s.a ON DELETE CASCADE;
CREATE FUNCTION public.write() RETURNS void SECURITY DEFINER LANGUAGE sql
  AS $$ INSERT INTO s.keyless VALUES (1, 'x') $$;
CREATE VIEW public.through AS SELECT a, b FROM s.keyless;
CREATE TABLE public.outside (id int PRIMARY KEY);
GRANT INSERT, UPDATE ON s.a TO PUBLIC;
"""
WRITES = [
    "INSERT INTO s.a (id) VALUES (5000)",
    "INSERT INTO s.a (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET t = 'x'",
    "UPDATE s.a SET t = 'x' WHERE false",
    "DELETE FROM s.a WHERE id = 1000",
    "TRUNCATE s.empty",
    "TRUNCATE s.a CASCADE",
    "MERGE INTO s.a USING (VALUES (1)) AS v (id) ON s.a.id = v.id WHEN MATCHED THEN DELETE",
    "INSERT INTO s.p VALUES (1, 'x')",
    "INSERT INTO s.p1 VALUES (1, 'x')",
    "UPDATE s.p SET y = 15",
    "INSERT INTO s.nothing DEFAULT VALUES",
    "INSERT INTO public.through VALUES (1, 'x')",
    "SELECT public.write()",
    "WITH gone AS (DELETE FROM s.keyless RETURNING a) SELECT count(*) FROM gone",
    "SET session_replication_role = replica; INSERT INTO s.a (id) VALUES (5000)",
]


@pytest.fixture
def source(runner: Runner) -> str:
    """The URL of a source with tables that are reached in many ways."""
    run_sql(runner.urls["src"], SMALL + REACHED)
    return runner.urls["src"]


def refused(url: str, statement: str) -> bool:
    """Say whether the freeze refused a statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.ReadOnlySqlTransaction as problem:
            assert "is frozen by " in str(problem)
            return True
    return False


def superuser(cluster: Cluster, url: str) -> str:
    return cluster.admin_url(str(conninfo_to_dict(url)["dbname"]))


def test_nobody_writes_to_a_frozen_table(cluster: Cluster, runner: Runner, source: str) -> None:
    before = state(runner, runner.open())
    with connect(source) as connection:
        freeze(connection, ["s"], "case c, run r")
        assert thawed(connection, ["s"], "case c, run r") == []
    for statement in WRITES:
        assert refused(superuser(cluster, source), statement), statement
        if "replica" not in statement:
            assert refused(source, statement), statement
    assert not refused(source, "INSERT INTO public.outside VALUES (1)")
    assert not refused(source, "SELECT nextval('s.g_id_seq'); REFRESH MATERIALIZED VIEW s.m; ANALYZE s.a")
    run_sql(source, "DELETE FROM public.outside")
    with connect(source) as connection:
        assert thaw(connection, "case c, run r")
        assert not thaw(connection, "case c, run r")
    assert state(runner, runner.open()) == before
    assert not refused(source, "INSERT INTO s.keyless VALUES (9, 'x')")


def test_each_freeze_is_its_own(source: str) -> None:
    with connect(source) as connection:
        for holder in ("one", "two", "one"):
            freeze(connection, ["s"], holder)
        thaw(connection, "one")
        assert thawed(connection, ["s"], "two") == []
        assert len(thawed(connection, ["s"], "one")) == 8
        assert refused(source, "TRUNCATE s.empty")
        thaw(connection, "two")
    assert not refused(source, "TRUNCATE s.empty")


WEAKENED = {
    "dropped": "DROP TRIGGER {trigger} ON s.a",
    "disabled": "ALTER TABLE s.a DISABLE TRIGGER {trigger}",
    "not for replicas": "ALTER TABLE s.a ENABLE TRIGGER {trigger}",
    "another trigger of its name": "DROP TRIGGER {trigger} ON s.a;"
    " CREATE TRIGGER {trigger} BEFORE INSERT ON s.a FOR EACH STATEMENT"
    " EXECUTE FUNCTION handover_freeze.{trigger}('x');"
    " ALTER TABLE s.a ENABLE ALWAYS TRIGGER {trigger}",
    "a new table": "CREATE TABLE s.a2 (); DROP TABLE s.empty",
}


@pytest.mark.parametrize("script", WEAKENED.values(), ids=WEAKENED)
def test_a_freeze_that_was_weakened_is_seen_and_mended(source: str, script: str) -> None:
    with connect(source) as connection:
        freeze(connection, ["s"], "one")
        trigger = str(
            connection.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal").fetchone()[0]
        )
        run_sql(source, script.format(trigger=trigger))
        assert [name for _, name in thawed(connection, ["s"], "one")] in (["a"], ["a2"])
        freeze(connection, ["s"], "one")
        assert thawed(connection, ["s"], "one") == []
    assert refused(source, "UPDATE s.a SET t = 'x'")


def test_it_waits_for_who_is_writing_and_gives_up_in_time(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_freezing, "LOCK_SECONDS", 1)
    with psycopg.connect(source) as writer, connect(source) as connection:
        writer.execute("INSERT INTO s.keyless VALUES (9, 'in flight')")
        with pytest.raises(Busy):
            freeze(connection, ["s"], "one")
        assert not refused(source, "INSERT INTO s.empty VALUES (gen_random_uuid())"), "all or nothing"
        frozen = Event()
        other = Thread(target=lambda: (freeze(connection, ["s"], "one"), frozen.set()))
        other.start()
        assert not frozen.wait(0.3)
        writer.commit()
        other.join()
        assert frozen.is_set()


def test_a_role_that_could_not_freeze_is_told_before(
    cluster: Cluster, database: Callable[..., str], source: str
) -> None:
    database("other", owner="stranger")
    with connect(source) as connection:
        assert list(check_freezing(connection, ["s"])) == []
    run_sql(superuser(cluster, source), "ALTER TABLE s.keyless OWNER TO stranger")
    name = conninfo_to_dict(source)["dbname"]
    run_sql(superuser(cluster, source), f"ALTER DATABASE {name} OWNER TO postgres")
    with connect(source) as connection:
        found = {finding.id: finding for finding in check_freezing(connection, ["s"])}
    assert set(found) == {"freeze-owner", "freeze-schema"}
    assert "s.keyless" in found["freeze-owner"].message


def frozen_run(runner: Runner) -> Context:
    """Return a planned run whose source is frozen."""
    context = runner.open(**FREEZE)
    inventory(context)
    plan(context)
    freeze_source(context)
    return context


LEFT = """
SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal), relacl::text FROM pg_class
WHERE oid = 's.a'::regclass
"""


def test_a_frozen_source_is_handed_over_as_it_was_before(runner: Runner, source: str) -> None:
    with psycopg.connect(source) as connection:
        before = connection.execute(LEFT).fetchone()
    assert before is not None and "company" in before[1]
    context = frozen_run(runner)
    freeze_source(context)
    require_frozen(context)
    assert current_schema_digest(context) == context.plan().schema_digest, "planned before, dumped after"
    backed_up(context)
    filled(context)
    verified(context)
    assert refused(source, "UPDATE s.a SET t = 'x'")
    assert late_faults(context) == []
    assert [e.body["schemas"] for e in context.entries("source-frozen")] == [["s"]]
    with psycopg.connect(runner.urls["dst"]) as connection:
        assert connection.execute(LEFT).fetchone() == before


def test_a_trigger_that_only_looks_like_a_freeze_is_handed_over(runner: Runner, source: str) -> None:
    run_sql(
        source,
        "CREATE TRIGGER handover_freeze_0123456789abcdef BEFORE UPDATE ON s.a FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    )
    transferred(runner.open())
    with psycopg.connect(runner.urls["dst"]) as connection:
        found = connection.execute(LEFT).fetchone()
        assert found is not None and found[0] == 1


def test_the_freeze_stays_when_the_run_ends_and_another_run_may_follow(runner: Runner, source: str) -> None:
    context = frozen_run(runner)
    backed_up(context)
    filled(context)
    verified(context)
    assert refused(source, "TRUNCATE s.empty")
    run_sql(
        runner.urls["dst"],
        "DROP SCHEMA s CASCADE; DROP SCHEMA handover CASCADE;"
        "SELECT lo_unlink(oid) FROM pg_largeobject_metadata",
    )
    transferred(runner.open("run-2"))


def test_abort_lifts_the_freeze(runner: Runner, source: str) -> None:
    context = runner.open(**FREEZE)
    before = state(runner, context)
    frozen_run(runner)
    assert "source: freeze" in abort_run(context)
    assert state(runner, context) == before
    assert abort_run(context) == []
    assert not refused(source, "TRUNCATE s.empty")


def test_without_the_freeze_that_the_case_asks_for_nothing_is_read(runner: Runner, source: str) -> None:
    context = runner.open(**FREEZE)
    inventory(context)
    plan(context)
    with pytest.raises(NotReady, match="the source is not frozen"):
        hold_snapshot(context)
    with connect(source) as connection:
        freeze(connection, ["s"], "case test-transfer, run run-1")
    with pytest.raises(NotReady, match="run or clear the task freeze"):
        hold_snapshot(context)  # the ledger alone says that it was approved
    assert context.entries("snapshot-exported") == []


def test_a_lifted_freeze_is_a_late_change(runner: Runner, source: str) -> None:
    context = frozen_run(runner)
    backed_up(context)
    run_sql(source, "DROP SCHEMA handover_freeze CASCADE")
    with pytest.raises(NotReady, match=r"s\.a is not frozen"):
        require_frozen(context)
    with pytest.raises(LateChanges, match=r"s\.a is not frozen"):
        rechecked(context)
    assert any("s.a is not frozen" in line for line in late_faults(context))


def test_a_case_without_it_leaves_the_source_alone(runner: Runner, source: str) -> None:
    context = runner.open()
    freeze_source(context)
    require_frozen(context)
    assert not refused(source, "TRUNCATE s.empty")
    assert context.entries() == []


WRONG = {
    "misspelt": {"cutover": {"frezze": True}},
    "no answer": {"cutover": {"freeze": "perhaps"}},
    "our own schema": {"source": {"connection": "src", "schemas": ["handover_freeze"]}},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_a_case_that_says_it_wrongly_is_refused(runner: Runner, changes: dict[str, object]) -> None:
    with pytest.raises(CaseInvalid, match=r"cutover\.fr|never handed over"):
        runner.open(**changes)
