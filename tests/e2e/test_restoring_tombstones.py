"""A backup of January, an erasure in February, a restore in March: the erased do not come back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from threading import Thread
from typing import Any

import psycopg
import pytest

from fixtures.archived import apart
from fixtures.contents import run_sql
from fixtures.disposed import Disposing, disposed_map, fill, opened
from fixtures.erased import DISPOSAL, STORES, gone, open_erasing, proven
from fixtures.holding import at
from fixtures.lawful import IDENTIFIER, write_map
from fixtures.runs import Runner, backed_up
from fixtures.settled import GONE, open_settled
from handover.cli import main
from handover.crashpoints import CrashPoint
from handover.errors import GateBlocked, KeyUnavailable, LedgerRefused, VerificationFailed
from handover.evidence.progress import Meter
from handover.model.approval import Account
from handover.postgres.erasing import batches, engine, pace
from handover.postgres.erasing.request import Erased
from handover.postgres.living import rows_there
from handover.postgres.session import connect
from handover.stages import erase_here as erase_stage
from handover.stages import restore_override
from handover.stages.abort import abort_run
from handover.stages.backup_index import find_index, read_index
from handover.stages.classed_rows import ERASED_ONLY, ClassedRows
from handover.stages.context import Context
from handover.stages.erase_here import erase_here
from handover.stages.erasures import same_database, spent
from handover.stages.freezing import lift_freeze
from handover.stages.holding import (
    Laid,
    Matter,
    hold_subject,
    hold_table,
    open_holder,
    release,
    request_release,
)
from handover.stages.loading import Destination
from handover.stages.restore import STEP, Restored, restore, restore_again
from handover.stages.restore_test import restore_test
from handover.vault.roots import Purpose

# Another connection to the same database, a case without law: whoever backs up need not be who erases.
JANUARY: dict[str, Any] = {
    "case": "january",
    "source": {"connection": "copy", "schemas": ["s"], "large_objects": False},
    "approvals": {"execute": {"approvers": ["first", "second"], "count": 2},
                  "accept": {"approvers": ["receiver"]}},
}  # fmt: skip
FIRST, SECOND = Account(name="first", id="first"), Account(name="second", id="second")
# What the backup has beside what was erased: rows that the company deleted itself in between, a log that
# writes down who is deleted, a view over everybody, somebody who vouches for another one.
MORE = """
CREATE FUNCTION s.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO s.log VALUES (OLD.id, 'deleted ' || OLD.name); RETURN OLD; END $$;
CREATE TRIGGER tell AFTER DELETE ON s.person FOR EACH ROW EXECUTE FUNCTION s.tell();
ALTER TABLE s.person ENABLE ALWAYS TRIGGER tell;
"""
SINCE = "DELETE FROM s.visit WHERE person_id = 2"
NAMES = [f"privat {n}" for n in range(1, 6)] + [f"1380013800{n}" for n in range(1, 6)]
STAYING = [f"privat {n}" for n in (6, 7, 9)]
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""


def found(url: str, values: list[str]) -> dict[str, list[str]]:
    """Search the text of all rows, statistics among them; returns which values are where."""
    with psycopg.connect(url) as connection:
        texts = {
            table: connection.execute(f"SELECT string_agg(t::text, ' ') FROM {table} t").fetchone()
            for (table,) in [*connection.execute(_TABLES).fetchall(), ("pg_catalog.pg_stats",)]
        }
    hits = {v: [table for table, (text,) in texts.items() if text and spelt(v, text)] for v in values}  # type: ignore[misc]
    return {value: places for value, places in hits.items() if places}


def spelt(value: str, text: str) -> bool:
    """Say whether a value stands in a text, not as the beginning of a longer one."""
    return any(not rest[:1].isdigit() for rest in text.split(value)[1:])


@pytest.fixture
def company(runner: Runner) -> Disposing:
    """A runner whose source is filled."""
    made = fill(runner)
    run_sql(made.urls["src"], MORE)
    return replace(made, urls={**made.urls, "copy": made.urls["src"]})


def january(company: Disposing, **changes: Any) -> Context:
    """A proven backup of everything."""
    context = company.open("run-1", **{**JANUARY, **changes})
    backed_up(context)
    restore_test(context)
    return context


def february(company: Disposing) -> Context:
    """An erasure of persons 1 to 5, of another case."""
    context = open_settled(company, stores=STORES, disposal=DISPOSAL)
    gone(context)
    return context


def again(context: Context, url: str, **how: Any) -> Restored:
    """Restore into a database."""
    meter = Meter(context.ledger_url, (context.case.case, context.run, "restore", ""))
    return restore(context, url, meter, **how)


def test_the_erased_are_erased_again(company: Disposing, target_database: Callable[..., str]) -> None:
    old = january(company)
    run_sql(company.urls["src"], SINCE)
    erasing = february(company)
    the_unfinished_stay_away(old, target_database("unfinished"))
    proven(erasing)
    march = target_database("march")
    done = again(old, march).again
    assert found(march, NAMES) == {}
    assert found(march, STAYING).keys() == set(STAYING)
    assert not done.open_runs
    tables = {one.table: (one.erased, one.along, one.needed) for one in done.tables}
    assert tables.keys() == GONE.keys()
    assert tables["s.person"] == (5, 0, 0)
    visits, along, _ = tables["s.visit"]
    assert (visits + along, along > 0) == (GONE["s.visit"], True), (
        "what the company deleted goes with its owner"
    )
    triggers_are_as_they_were(march)
    (entry,) = old.entries("restored")[-1:]
    begun = old.entries("restore-begun")[-1]
    assert begun.seq < entry.seq
    assert begun.body["database"] == entry.body["database"] != ""
    assert entry.body["erased_again"]["runs"] == ["test-transfer/run-1"]
    assert "privat" not in entry.line
    assert "13800138" not in entry.line
    lift_freeze(erasing)
    its_snapshot_is_no_older_than(old)
    killed_in_between_it_is_repeated(old, target_database("repeated"))
    its_own_target = replace(company, urls={**company.urls, "dst": target_database("later")})
    a_newer_backup_is_left_alone(its_own_target, target_database("newer"))
    two_persons_may_decide_otherwise(old, target_database("kept"))
    nothing_without_all_tombstones(old, target_database("tampered"))
    tombstones_live_as_long_as_the_backup(erasing, old)


def the_unfinished_stay_away(old: Context, url: str) -> None:
    """Rows are gone, nobody has written down which: the backup of that run tells."""
    done = again(old, url).again
    assert done.open_runs == ("test-transfer/run-1",)
    assert found(url, NAMES) == {}
    assert found(url, STAYING)


def killed_in_between_it_is_repeated(old: Context, url: str) -> None:
    """Rows are gone again, nobody was told: the next attempt does not take that for a difference."""
    meter = Meter(old.ledger_url, (old.case.case, old.run, "restore", ""))
    first = restore_again(old, find_index(old), Destination(url, STEP), meter)
    assert first.again.rows > 0
    assert again(old, url) == first
    assert found(url, NAMES) == {}


def triggers_are_as_they_were(url: str) -> None:
    with psycopg.connect(url) as connection:
        states = connection.execute(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
        ).fetchall()
    assert states == [("tell", "A"), ("touch", "O")]


def a_newer_backup_is_left_alone(company: Disposing, url: str) -> None:
    """Who came back as a customer after the erasure is in a later backup by right."""
    run_sql(company.urls["src"], "INSERT INTO s.person (id, branch, name) VALUES (3, 1, 'privat 3')")
    newer = january(company, case="later")
    done = again(newer, url).again
    assert (done.runs, done.tables) == ((), ())
    assert found(url, ["privat 3"])
    run_sql(company.urls["src"], "DELETE FROM s.person WHERE id = 3")


def its_snapshot_is_no_older_than(old: Context) -> None:
    """What was erased between the snapshot and its entry in the ledger is in the backup."""
    (mine,) = [one for one in same_database(old) if one.name == old.backup_name]
    (taken,), (planned,) = old.entries("snapshot-exported"), old.entries("plan")
    assert mine.read_at == planned.at < taken.at
    assert replace(mine, entries={**mine.entries, "plan": []}).read_at == ""


def two_persons_may_decide_otherwise(old: Context, url: str) -> None:
    silent = replace(old, case=old.case.model_copy(update={"approvals": None}))
    name = restore_override.ask(silent, FIRST, "dst", "T-1", "a claim in court needs the old state")
    with pytest.raises(LedgerRefused, match="names nobody"):
        restore_override.approve(silent, SECOND, name)
    with pytest.raises(LedgerRefused, match="not approved"):
        restore_override.use(old, FIRST, name, "dst")
    with pytest.raises(LedgerRefused, match="asked for by this person"):
        restore_override.approve(old, FIRST, name)
    restore_override.approve(old, SECOND, name)
    with pytest.raises(LedgerRefused, match="another database"):
        restore_override.use(old, FIRST, name, "elsewhere")
    restore_override.use(old, FIRST, name, "dst")
    with pytest.raises(LedgerRefused, match="used"):
        restore_override.use(old, FIRST, name, "dst")
    done = again(old, url, keep_erased=name).again
    assert (done.kept, done.runs) == (True, ("test-transfer/run-1",))
    assert found(url, ["privat 3"])
    assert old.entries("restored")[-1].body["keep_erased"] == name


def nothing_without_all_tombstones(old: Context, url: str) -> None:
    """One that is taken out is missed."""
    with psycopg.connect(old.ledger_url) as ledger:
        row = ledger.execute(
            "DELETE FROM public.tombstone WHERE label = 's.person' AND token = (SELECT min(token) FROM "
            "public.tombstone WHERE label = 's.person') RETURNING case_id, run, label, token"
        ).fetchone()
    with pytest.raises(LedgerRefused, match="tombstones"):
        again(old, url)
    with psycopg.connect(old.ledger_url) as ledger:
        ledger.execute("INSERT INTO public.tombstone VALUES (%s, %s, %s, %s)", row)
    keyless = apart(old, old.settings.home / "apart")
    gone_key = keyless.keyring.find(Purpose.TOMBSTONE, "test-transfer/run-1")
    assert gone_key is not None
    keyless.keyring.destroy(gone_key.key_id)
    with pytest.raises(KeyUnavailable, match="the key of the tombstones of run run-1"):
        again(keyless, url)
    assert found(url, STAYING) == {}, "it was refused before a row was back"


def tombstones_live_as_long_as_the_backup(erasing: Context, old: Context) -> None:
    """They outlive the backup of their own run as long as an older one of the database lives."""
    assert spent(erasing) == []
    own = erasing.keyring.find(Purpose.BACKUP, erasing.backup_name)
    assert own is not None
    erasing.keyring.destroy(own.key_id)
    assert spent(erasing) == [], "January's backup lives; the later one does not hold the rows"
    abort_run(old)
    assert [one.name for one in spent(erasing)] == [erasing.backup_name]


WHY = Matter("litigation", "a claim is before the court", "sample court")
OF_A_PERSON = {"s.person": "id", **dict.fromkeys(("s.loan", "s.consent", "s.visit", "s.call"), "person_id")}


def persons(url: str) -> list[int]:
    """Which persons there are."""
    with psycopg.connect(url) as connection:
        return [int(n) for (n,) in connection.execute("SELECT id FROM s.person ORDER BY 1").fetchall()]


def of_person(url: str, number: int) -> dict[str, int]:
    """How many rows of each table are a person's."""
    with psycopg.connect(url) as connection:
        rows = {
            table: connection.execute(f"SELECT count(*) FROM {table} WHERE {column} = {number}").fetchone()
            for table, column in OF_A_PERSON.items()
        }
    return {table: int(row[0]) for table, row in rows.items() if row and row[0]}


def test_what_a_hold_keeps_from_an_open_run_stays(
    company: Disposing, target_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold comes when one person is gone: the next ones may be, the held one is not."""
    monkeypatch.setattr(batches, "SUBJECTS_OF_A_NUMBER", 1)
    monkeypatch.setattr(pace, "FIRST_WIDTH", 1)
    old = january(company)
    erasing = open_settled(company, stores=STORES, disposal=DISPOSAL)
    opened(erasing)
    there = open_holder(company.settings(), "test-transfer", company.urls.__getitem__)
    with monkeypatch.context() as patching:
        stopped_before_the_first_batch(erasing, there, patching)
    before = target_database("before")
    done = again(old, before).again
    assert (done.runs, done.tables) == ((), ()), "nothing can have gone"
    assert persons(before) == persons(erasing.source) == list(range(1, 11))
    adding = Thread(target=lambda: hold_subject(there, FIRST, "13800138005", None, WHY))

    def begin() -> None:
        adding.start()
        adding.join(0.3)
        assert adding.is_alive(), "it did not wait for the batch"

    with at(CrashPoint.ERASED_UNCOMMITTED, begin), pytest.raises(GateBlocked):
        erase_here(erasing)
    adding.join()
    assert persons(erasing.source) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    held = of_person(erasing.source, 5)
    assert held.keys() == OF_A_PERSON.keys()
    march = target_database("march")
    done = again(old, march).again
    assert done.open_runs == ("test-transfer/run-1",)
    assert persons(march) == [5, 6, 7, 8, 9, 10], "who is not held may be gone"
    assert of_person(march, 5) == held
    assert {one.table: one.held for one in done.tables} == held
    elsewhere = replace(company, urls={**company.urls, "dst": target_database("later")})
    newer, april = january(elsewhere, case="later"), target_database("april")
    assert again(newer, april).again.runs == (), "since it was read nothing can have gone"
    assert persons(april) == persons(erasing.source)
    run_sql(company.urls["src"], "ALTER TABLE s.loan ADD COLUMN note text")
    hold_table(there, FIRST, "s.loan", WHY, "note IS NOT NULL")
    with pytest.raises(VerificationFailed, match="nobody can say which of its rows are held"):
        again(old, target_database("untold"))


def stopped_before_the_first_batch(erasing: Context, there: Context, patching: pytest.MonkeyPatch) -> None:
    """Let a hold come when it is written down how rows go; it is released again."""
    held: list[Laid] = []

    def erase(*asked: Any) -> Erased:
        held.append(hold_subject(there, FIRST, "13800138004", None, WHY))
        return engine.erase(*asked)

    patching.setattr(erase_stage, "erase", erase)
    with pytest.raises(GateBlocked):
        erase_here(erasing)
    assert erasing.entries("erasing-planned")
    release(there, SECOND, request_release(there, FIRST, held[0].id, "the court has decided"))


def test_a_row_that_stayed_at_the_source_comes_back(
    company: Disposing, target_database: Callable[..., str]
) -> None:
    """It changed after the backup: neither it nor what it needs was erased."""
    old = january(company)
    erasing = open_settled(company, stores=STORES, disposal=DISPOSAL, cutover={})
    opened(erasing)
    run_sql(erasing.source, "UPDATE s.loan SET amount = 1 WHERE id = 2")
    assert erase_here(erasing) == sum(GONE.values()) - 2
    proven(erasing)
    (written,) = erasing.entries("tombstones-written")
    assert (written.body["living"], written.body["rows"]) == (2, sum(GONE.values()) - 2)
    url = target_database("march")
    assert again(old, url).again.runs == ("test-transfer/run-1",)
    assert persons(url) == [2, 6, 7, 8, 9, 10]
    assert of_person(url, 2) == {"s.person": 1, "s.loan": 1}
    rows_are_found_by_key_or_text(erasing)
    it_goes_later_and_is_remembered_then(erasing, old, target_database("later"))


def rows_are_found_by_key_or_text(erasing: Context) -> None:
    """Of a table without a key the whole row tells, of one in parts the key of the whole."""
    visit = "INSERT INTO s.visit VALUES (2, 'seen 13800138002')"
    run_sql(erasing.source, f"{visit}; INSERT INTO s.call VALUES (8, '2026-02-02', 2)")
    with closing(connect(erasing.source)) as source:
        rows = ClassedRows(erasing, read_index(erasing), source)
        found: dict[str, int] = {}
        for plan in rows.tables(ERASED_ONLY):
            table = rows.table(plan)
            data = b"".join(f.get(f"settled {table.label}", b"") for f in rows.of(plan))
            there = rows_there(source, table, plan, data)
            assert {*there.splitlines()} <= {*data.splitlines()}
            found[plan.name] = there.count(b"\n")
    assert found == {"call_1": 0, "call_2": 1, "consent": 0, "loan": 1, "person": 1, "visit": 5}
    run_sql(erasing.source, "DELETE FROM s.call WHERE id = 8; DELETE FROM s.visit WHERE person_id = 2")


def it_goes_later_and_is_remembered_then(erasing: Context, old: Context, url: str) -> None:
    run_sql(erasing.source, "UPDATE s.loan SET amount = 200 WHERE id = 2")
    assert erase_here(erasing) == sum(GONE.values())
    (mine,) = [one for one in same_database(erasing) if one.name == erasing.backup_name]
    assert mine.is_open, "two rows went of which there are no tombstones"
    proven(erasing)
    assert again(old, url).again.open_runs == ()
    assert found(url, NAMES) == {}


def test_identities_come_back_when_two_persons_say_so(
    company: Disposing, target_database: Callable[..., str]
) -> None:
    """Of settled persons the identities were taken, of all persons the traces erased."""
    old = january(company)
    gone(open_erasing(company))
    url = target_database("march")
    with pytest.raises(LedgerRefused, match="have their identities again: test-transfer/run-1"):
        again(old, url)
    assert found(url, NAMES) == {}, "it was refused before a row was back"
    name = restore_override.ask(old, FIRST, "dst", "T-2", "the server is lost", identities_only=True)
    restore_override.approve(old, SECOND, name)
    restore_override.use(old, FIRST, name, "dst")
    done = again(old, url, keep_erased=name).again
    assert (done.kept, done.masked_runs, done.runs) == (False, *2 * (("test-transfer/run-1",),))
    assert of_person(url, 3) == {"s.person": 1, "s.loan": 1, "s.consent": 1}, "traces are erased again"
    silent = replace(old, case=old.case.model_copy(update={"approvals": None}))
    assert again(silent, target_database("told")).again.masked_runs == ("test-transfer/run-1",)
    everything = restore_override.ask(old, FIRST, "dst", "T-3", "a claim in court needs the old state")
    left = again(old, target_database("kept"), keep_erased=everything).again
    assert (left.kept, left.masked_runs) == (True, ("test-transfer/run-1",))


def test_a_row_that_nobody_owns(
    company: Disposing,
    target_database: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A reference to a person is emptied where it may be; where it may not, nothing is handed over."""
    source = company.urls["src"]
    run_sql(source, "ALTER TABLE s.loan ADD COLUMN surety int CONSTRAINT surety REFERENCES s.person")
    run_sql(source, "UPDATE s.loan SET surety = 3 WHERE id = 9")
    old = january(company)
    run_sql(source, "UPDATE s.loan SET surety = 9 WHERE id = 9")
    stricter = company.open("run-1", **{**JANUARY, "case": "strict"})
    run_sql(
        source,
        "UPDATE s.loan SET surety = 3 WHERE surety IS NULL; ALTER TABLE s.loan ALTER surety SET NOT NULL",
    )
    backed_up(stricter)
    restore_test(stricter)
    run_sql(source, "ALTER TABLE s.loan DROP COLUMN surety")
    proven(february(company))
    url = target_database("severed")
    restored_by_command(company, monkeypatch, url)
    said = capsys.readouterr().out.splitlines()
    said = said[said.index(next(line for line in said if line.startswith("restored run"))) :]
    assert said[0].startswith("restored run run-1 into march and compared it: equal")
    assert "s.person: 5 rows erased again, 0 along with them, 0 needed" in said
    assert "1 rows of s.loan refer by surety to rows that were erased; the reference was emptied" in said
    assert found(url, NAMES) == {}
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT surety FROM s.loan WHERE id = 9").fetchone() == (None,)
    with pytest.raises(VerificationFailed, match="refer by surety"):
        again(stricter, target_database("refused"))
    who_only_handled_a_row_does_not_own_it(company, old, target_database("handled"))


def who_only_handled_a_row_does_not_own_it(company: Disposing, old: Context, url: str) -> None:
    """A loan is the borrower's, whomever else it names: it stays without him."""
    datamap = disposed_map()
    (loan,) = [one for one in datamap["datasets"] if one["table"] == "s.loan"]
    loan["subject"].append({"by": ["surety"], "to": "s.person"})
    loan["columns"]["surety"] = IDENTIFIER
    write_map(company.home, datamap)
    done = again(old, url).again
    assert done.severed == ("1 rows of s.loan refer by surety to rows that were erased",)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT surety FROM s.loan WHERE id = 9").fetchone() == (None,)


def restored_by_command(company: Disposing, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Restore as a person does, who has no case file any more; nobody has asked for more."""
    urls = {f"AIRFLOW_CONN_{name.upper()}": one for name, one in (company.urls | {"march": url}).items()}
    folders = {f"HANDOVER_{name.upper()}": str(company.home / name) for name in ("datamaps", "documents")}
    for name, value in {**company.settings().variables, **urls, **folders}.items():
        monkeypatch.setenv(name, value)
    (company.home / "cases" / "january.yaml").unlink()
    assert main(["keep-erased", "list", "january"]) == 0
    wanted = ["restore", "january", "run-1", "--into", "march"]
    assert main([*wanted, "--keep-erased", "ke-none"]) == 1
    assert main(wanted) == 0
