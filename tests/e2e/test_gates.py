"""Gates in a run: all facts on file let it pass; each missing one stops it, by name and with its remedy."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures import runs
from fixtures.contents import run_sql
from fixtures.lawful import (
    CONSENTS,
    POLICY,
    data_map,
    lawful_matter,
    lay_out,
    open_lawful,
    planned,
    write_map,
)
from fixtures.runs import Runner
from handover.cli import main
from handover.errors import CaseInvalid, DataMapInvalid, GateBlocked, LateChanges, NotReady, PolicyInvalid
from handover.postgres.session import connect
from handover.settings import REPOSITORY
from handover.stages.consents import consents_of
from handover.stages.context import Context
from handover.stages.freezing import freeze_source
from handover.stages.gates import gate_faults, impact_text, judge, require_gates
from handover.stages.hearings import require_passed
from handover.stages.snapshot import hold_snapshot

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def company(runner: Runner) -> Runner:
    """A runner whose source, data map and documents are there."""
    lay_out(runner)
    return runner


def blocked(context: Context, step: Any = "execution") -> GateBlocked:
    with pytest.raises(GateBlocked) as raised:
        judge(context, step)
    assert context.entries("gates")[-1].body["hindered"] == raised.value.data["gates"]
    return raised.value


def test_a_run_with_all_facts_passes_and_says_on_what(company: Runner) -> None:
    context = open_lawful(company)
    made = planned(context)
    assert made.scope is not None
    assert made.scope.persons == {"s.person": (8, 7)}
    with pytest.raises(NotReady, match="gates have not been passed"):
        require_passed(context)
    verdicts = judge(context, "execution")
    require_passed(context)
    (entry,) = context.entries("gates")
    assert (entry.body["step"], entry.body["hindered"]) == ("execution", [])
    assert [one["gate"] for one in entry.body["verdicts"]] == [one.gate for one in verdicts]
    assert sorted(entry.body["policy"]) == sorted(POLICY)
    assert entry.body["inputs"]["data"]["minors"] == 1
    assert "Of 8 persons in scope, 1 (12.5%)" in entry.body_text
    assert "privat" not in "".join(line.line for line in context.entries())


def test_somebody_who_comes_along_without_consent_blocks(company: Runner) -> None:
    """A scope that starts from loans needs their persons, whoever consented."""
    decided = [{"table": "s.consent", "rows": "none"}]
    scope = {"roots": [{"table": "s.loan", "where": "person_id <= 8"}], "decided": decided}
    context = open_lawful(company, scope=scope)
    planned(context)
    error = blocked(context)
    assert {"CASE-TYPE", "P23", "P29"} <= set(error.data["gates"])
    assert "P23 (个人信息保护法 23" in error.message
    assert "data.without_separate_consent is 1, at most 0" in error.message
    assert "Take persons without separate consent out" in error.message


def test_a_map_that_leads_to_nobody_leaves_persons_unknown_and_blocks(company: Runner) -> None:
    datamap = data_map()
    for dataset in datamap["datasets"]:
        dataset["subject"] = []
    context = open_lawful(company)
    write_map(company.home, datamap)
    made = planned(context)
    assert made.scope is not None
    assert (made.scope.persons, made.scope.facts) == ({}, {})
    assert {"P15", "P23", "P31"} <= set(blocked(context).data["gates"])


def test_consents_that_nobody_recorded_block(company: Runner) -> None:
    context = open_lawful(company, consents=[])
    planned(context)
    error = blocked(context)
    assert {"CASE-TYPE", "P15", "P23", "P29"} <= set(error.data["gates"])
    assert "data.withdrawn is not said" in error.message


def _on_file(company: Runner, *withdrawn: int) -> None:
    """Write the consents of persons 1 to 7 as a CSV file, some of them taken back."""
    lines = [
        f"{n},2026-01-01,{'2026-01-01' if n == 7 else ''},{'2026-06-01' * (n in withdrawn)}"
        for n in range(1, 8)
    ]
    text = "\n".join(["person_id,given_at,guardian_at,withdrawn_at", *lines, ""])
    (company.home / _document("consents.csv")).write_text(text)


def _in_table(company: Runner, *withdrawn: int) -> None:
    """Take consents back in the source."""
    listed = ", ".join(map(str, withdrawn)) or "NULL"
    script = f"UPDATE s.consent SET withdrawn_at = '2026-06-01' WHERE person_id IN ({listed})"
    run_sql(company.urls["src"], script)


@pytest.mark.parametrize(
    "place, keep",
    [({}, _in_table), ({"table": None, "file": "consents.csv"}, _on_file)],
    ids=["table", "file"],
)
def test_a_consent_withdrawn_after_the_backup_blocks_the_target(
    company: Runner, place: dict[str, Any], keep: Callable[..., None]
) -> None:
    keep(company)
    context = open_lawful(company, consents=[CONSENTS | place])
    runs.backed_up(context)
    require_gates(context)
    keep(company, 10)
    require_gates(context)  # who is not in the batch may withdraw
    keep(company, 10, 3)
    with pytest.raises(GateBlocked, match=r"P15 .*data\.withdrawn is 1") as raised:
        require_gates(context)
    assert "P23" in raised.value.data["gates"]
    with pytest.raises(NotReady):
        require_passed(context)


def _document(name: str) -> Path:
    return Path("documents", "test-transfer", name)


REFUSED: dict[str, tuple[Change, str, str]] = {
    "unknown rule": (
        lambda matter: matter["retention"][0].update(rules=["R99"]),
        r"line \d+, matter\.retention\.0\.rules\.0: 'R99' is in none of the case's packs",
        "correct it or add the pack",
    ),
    "unknown gate": (
        lambda matter: matter["acceptances"][0].update(gate="P999"),
        r"line \d+, matter\.acceptances\.0\.gate: 'P999'",
        "correct it",
    ),
    "unknown table": (
        lambda matter: matter["bases"][0].update(data_set="s.lone"),
        r"line \d+, matter\.bases\.0\.data_set: 's\.lone' is in no data map",
        "correct it",
    ),
    "missing file": (
        lambda matter: matter["documents"][0].update(file="gone.pdf"),
        r"line \d+, matter\.documents\.0\.file: file gone\.pdf is missing",
        "put it beside the others",
    ),
    "other digest": (
        lambda matter: matter["documents"][0].update(sha256="cd" * 32),
        r"line \d+, matter\.documents\.0\.sha256: file notice-0\.pdf has SHA-256 \w{64}, registered is cdcd",
        "put the registered file back",
    ),
}


@pytest.mark.parametrize("change, said, remedy", REFUSED.values(), ids=REFUSED)
def test_what_a_matter_cannot_mean_is_named_with_its_line(
    company: Runner, change: Change, said: str, remedy: str
) -> None:
    matter = lawful_matter()
    change(matter)
    context = open_lawful(company, matter=matter)
    planned(context)
    with pytest.raises(CaseInvalid, match=said) as raised:
        judge(context, "execution")
    assert raised.value.message.startswith("case file test-transfer.yaml")
    assert remedy in raised.value.message
    line = int(raised.value.message.split("line ")[1].split(",")[0])
    field = str(raised.value.data["fields"][0]).split(".")[-1]
    case = (company.home / "cases" / "test-transfer.yaml").read_text().splitlines()
    assert field.isdigit() or f"{field}:" in case[line - 1]


def test_a_document_that_is_a_link_out_of_its_folder_is_refused(company: Runner) -> None:
    path = company.home / _document("notice-0.pdf")
    (company.home / "elsewhere.pdf").write_text(path.read_text())
    path.unlink()
    path.symlink_to(company.home / "elsewhere.pdf")
    context = open_lawful(company)
    planned(context)
    with pytest.raises(CaseInvalid, match=r"notice-0\.pdf lies outside"):
        judge(context, "execution")


def test_a_column_that_the_map_does_not_know_stops_the_plan(company: Runner) -> None:
    run_sql(company.urls["src"], "ALTER TABLE s.loan ADD note text; CREATE TABLE s.late (id int PRIMARY KEY)")
    context = open_lawful(company, run="first")
    with pytest.raises(DataMapInvalid) as raised:
        planned(context)
    text = (company.home / "datamaps" / "test-transfer.yaml").read_text().splitlines()
    first, second = raised.value.message.splitlines()[1:]
    assert "column s.loan.note is not in the map" in second
    assert "table s.late is not in the map" in first
    line = int(second.split("line ")[1].split(",")[0])
    assert "columns:" in text[line - 1]
    assert "s.loan" in "".join(text[line - 10 : line])
    assert "handover classify test-transfer" in raised.value.hint


def test_a_map_that_is_a_proposal_or_missing_stops_the_plan(company: Runner) -> None:
    path = write_map(company.home, {**data_map(), "confirmed": None})
    with pytest.raises(DataMapInvalid, match="is a proposal"):
        planned(open_lawful(company, run="first"))
    path.unlink()
    with pytest.raises(DataMapInvalid, match=r"has no data map test-transfer\.yaml"):
        planned(open_lawful(company, run="second"))


def test_packs_and_map_are_those_of_the_plan(company: Runner) -> None:
    context = open_lawful(company)
    planned(context)
    changed = company.home / "policies"
    shutil.copytree(REPOSITORY / "include" / "policies", changed)
    pack = changed / "cn-pipl-2026.11.yaml"
    pack.write_text(pack.read_text().replace("severity: W", "severity: C", 1))
    other = replace(context, settings=replace(context.settings, policies=changed))
    with pytest.raises(PolicyInvalid, match=r"planned under other packs: cn-pipl@2026\.11"):
        judge(other, "execution")
    datamap = data_map()
    datamap["datasets"][0]["columns"]["name"]["pipl_sensitive"] = True
    write_map(company.home, datamap)
    with pytest.raises(DataMapInvalid, match="not the one that the run was planned with"):
        judge(context, "execution")


def test_a_newer_pack_is_told(company: Runner) -> None:
    folder = company.home / "policies"
    shutil.copytree(REPOSITORY / "include" / "policies", folder)
    text = (folder / "cn-pipl-2026.11.yaml").read_text()
    newer = text.replace('version: "2026.11"', 'version: "2026.12"').replace("severity: W", "severity: C", 1)
    (folder / "cn-pipl-2026.12.yaml").write_text(newer)
    context = open_lawful(company)
    context = replace(context, settings=replace(context.settings, policies=folder))
    planned(context)
    judge(context, "execution")
    (told,) = context.entries("gates")[-1].body["newer"]
    assert (told["frozen"], told["newer"], len(told["rules"])) == ("cn-pipl@2026.11", "cn-pipl@2026.12", 1)


def test_an_equity_deal_copies_nobody(company: Runner) -> None:
    context = open_lawful(company, run="copying", transaction="equity_transfer")
    planned(context)
    error = blocked(context)
    assert "an equity deal copies nobody in clear" in error.message
    classes = [
        {"name": table, "tables": [table], "target": "nothing"}
        for table in ("s.person", "s.loan", "s.consent")
    ]
    nothing = open_lawful(company, run="nothing", transaction="equity_transfer", classes=classes)
    planned(nothing)
    assert "CASE-TYPE" not in blocked(nothing).data["gates"]  # its impact assessment is for another scope


def test_a_dissolution_needs_somebody_who_keeps_the_data(company: Runner) -> None:
    matter = lawful_matter("dissolution") | {"recipients": [], "custodian": {"name": "档案保管人"}}
    context = open_lawful(company, transaction="dissolution", matter=matter)
    planned(context)
    assert "neither matter.recipients nor matter.custodian" in blocked(context).message


def test_without_a_policy_the_ledger_says_once_that_nothing_was_judged(company: Runner) -> None:
    context = company.open(source={"connection": "src", "schemas": ["s"], "large_objects": False})
    runs.inventory(context)
    runs.plan(context)
    assert judge(context, "execution") == ()
    require_gates(context)
    require_passed(context)
    assert gate_faults(context) == []
    assert impact_text(context) is None
    assert len(context.entries("gates-not-judged")) == 1
    assert context.entries("gates") == []


def test_closing_asks_again_and_knows_whether_execution_was_passed(company: Runner) -> None:
    context = open_lawful(company)
    assert gate_faults(context) == []  # a run without plan has other reasons
    planned(context)
    assert gate_faults(context) == ["the gates were not passed before execution"]
    judge(context, "execution")
    assert gate_faults(context) == []
    (company.home / _document("notice-0.pdf")).unlink()
    (fault,) = gate_faults(context)
    assert "notice-0.pdf is missing" in fault
    assert impact_text(context) is None
    assert context.entries("gates")[-1].body["step"] == "closing"


def test_what_only_closing_asks_blocks_closing_alone(company: Runner) -> None:
    context = open_lawful(company, matter=lawful_matter() | {"open_requests": 1})
    planned(context)
    judge(context, "execution")
    fault, *_ = gate_faults(context)
    assert fault.startswith("P44-46 (")
    assert "matter.open_requests is 1, at most 0 is allowed" in fault


def test_the_impact_assessment_comes_pre_filled(company: Runner) -> None:
    context = open_lawful(company)
    planned(context)
    text = impact_text(context)
    assert text is not None
    for said in ("test-transfer", "persons in scope | 8", "persons in the batch | 7", "| C2 |", "s.loan"):
        assert said in text, said


def _export(company: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line find the same installation."""
    folders = {f"HANDOVER_{name.upper()}": str(company.home / name) for name in ("datamaps", "documents")}
    connections = {f"AIRFLOW_CONN_{name.upper()}": url for name, url in company.urls.items()}
    for name, value in {**company.settings().variables, **folders, **connections}.items():
        monkeypatch.setenv(name, value)


def test_the_command_shows_all_gates(
    company: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _export(company, monkeypatch)
    context = open_lawful(company)
    planned(context)
    assert main(["case", "gates", "test-transfer"]) == 0
    shown = capsys.readouterr().out
    assert "CASE-TYPE" in shown
    assert "0 in the way of execution" in shown
    open_lawful(company, consents=[])  # the file alone: no new plan
    assert main(["case", "gates", "test-transfer"]) == 0
    assert "counts are those of that plan" in capsys.readouterr().out
    open_lawful(company, matter=lawful_matter() | {"sensitive_necessity": None})
    assert main(["case", "gates", "test-transfer", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["run"], found["hindered"]) == ("run-1", ["P28"])
    assert main(["case", "gates", "test-transfer", "--impact"]) == 0
    assert "Impact assessment: test-transfer" in capsys.readouterr().out
    assert context.entries("gates") == []  # looking records nothing


def test_the_command_says_what_it_needs(
    company: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _export(company, monkeypatch)
    context = company.open(source={"connection": "src", "schemas": ["s"], "large_objects": False})
    assert main(["case", "gates", "test-transfer"]) == 1
    assert "has no plan yet" in capsys.readouterr().err
    runs.inventory(context)
    runs.plan(context)
    assert main(["case", "gates", "test-transfer"]) == 1
    assert "names no policy" in capsys.readouterr().err


WRONG_CONSENTS = {
    "no such table": ({"table": "s.concent"}, "table: table s.concent is not in the source"),
    "no such column": ({"matches": ["person"]}, "matches: consents of s.person cannot be matched"),
    "other type": ({"columns": ["name"]}, "matches: consents of s.person cannot be matched"),
    "no such person": ({"person": "s.people"}, "person: table s.people is not in the source"),
    "no predicate": ({"withdrawn": "withdrawn_at > now()"}, "withdrawn: "),
}


@pytest.mark.parametrize("change, said", WRONG_CONSENTS.values(), ids=WRONG_CONSENTS)
def test_consents_that_cannot_be_read_are_named_with_their_line(
    company: Runner, change: dict[str, Any], said: str
) -> None:
    context = open_lawful(company, consents=[CONSENTS | change])
    with closing(connect(context.source, read_only=True)) as source, pytest.raises(CaseInvalid) as raised:
        consents_of(context, source)
    assert f"consents.0.{said}" in raised.value.message
    assert "line " in raised.value.message


def test_a_table_of_persons_has_its_consents_in_one_place(company: Runner) -> None:
    context = open_lawful(company, consents=[CONSENTS, {**CONSENTS, "table": None, "file": "consents.csv"}])
    with (
        closing(connect(context.source, read_only=True)) as source,
        pytest.raises(CaseInvalid, match=r"consents\.1\.person: s\.person has consents on record already"),
    ):
        consents_of(context, source)


def test_a_hearing_opens_only_what_it_was_about(company: Runner) -> None:
    """Of another plan, or from before the backup, it counts no more; clearing the task asks about now."""
    context = open_lawful(company)
    runs.backed_up(context)
    with pytest.raises(NotReady, match="gates have not been passed"):
        require_passed(context)
    require_gates(context)
    require_passed(context)
    _in_table(company, 3)
    with pytest.raises(GateBlocked, match=r"data\.withdrawn is 1"):
        judge(context, "execution")
    other = open_lawful(company, run="planned-twice")
    planned(other)
    run_sql(company.urls["src"], "INSERT INTO s.loan VALUES (11, 1, 5)")
    judge(other, "execution")
    require_passed(other)
    runs.plan(other)
    with pytest.raises(NotReady, match="gates have not been passed"):
        require_passed(other)


@pytest.mark.parametrize("stage", [freeze_source, hold_snapshot])
def test_without_gates_passed_nothing_is_frozen_or_read(
    company: Runner, stage: Callable[[Context], object]
) -> None:
    context = open_lawful(company, cutover={"freeze": True})
    planned(context)
    with pytest.raises(NotReady, match="gates have not been passed"):
        stage(context)
    run_sql(company.urls["src"], "INSERT INTO s.loan VALUES (11, 1, 5)")
    assert context.entries("snapshot-exported", "source-frozen") == []


def test_persons_whose_consents_nobody_can_look_up_any_more_do_not_leave(company: Runner) -> None:
    """The backup holds them, the source does not: it was restored, or they were erased there on request."""
    context = open_lawful(company)
    runs.backed_up(context)
    run_sql(
        company.urls["src"],
        "DELETE FROM s.consent WHERE person_id = 3; DELETE FROM s.loan WHERE person_id = 3;"
        "DELETE FROM s.person WHERE id = 3",
    )
    with pytest.raises(LateChanges, match=r"s\.person: 7 persons were backed up, 6 of them are there now"):
        require_gates(context)
    with pytest.raises(NotReady, match="gates have not been passed"):
        require_passed(context)
