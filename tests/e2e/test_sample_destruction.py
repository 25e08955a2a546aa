"""The sample company destroys its vouchers of 1990: nothing goes before their list is signed."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fixtures.contents import run_sql
from fixtures.disposed import say
from fixtures.runs import Runner, backed_up, rechecked
from fixtures.shipped import INCLUDE, Changed, open_shipped
from handover.errors import CaseInvalid, GateBlocked, NotReady, VerificationFailed
from handover.law.gates import LATER
from handover.law.special import scope_digest
from handover.model.approval import Account
from handover.model.destruction_list import OPINIONS, DestructionList
from handover.sample.company import generate
from handover.stages.approvals import record_requester
from handover.stages.archive_proof import verify_archive
from handover.stages.archiving import archive_lane, prepare_archive, seal_archive
from handover.stages.certifying import end_when_due
from handover.stages.clean_residue import clean_residue
from handover.stages.close import close_run
from handover.stages.context import Context
from handover.stages.daily_cases import open_sweep
from handover.stages.destruction_listing import destruction_list_faults, make_destruction_list
from handover.stages.destruction_registering import (
    Scan,
    appraise,
    check_before,
    give_opinion,
    put_away,
    record_execution,
    sign_after,
)
from handover.stages.disposal import is_open, open_disposal, require_law
from handover.stages.erase_here import erase_here, rows_going
from handover.stages.facts import legal_day
from handover.stages.freezing import freeze_source
from handover.stages.gates import hear, judge, require_gates
from handover.stages.hearings import JUDGED
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.proving import prove
from handover.stages.quarantine import quarantine
from handover.stages.restore_test import restore_test
from handover.stages.tombstones import write_tombstones

CASE, OLD, KEPT = "deregistration", "1990年会计凭证 / vouchers of 1990", "会计凭证 / vouchers"
TODAY = legal_day()
# Far from any number that the generator gives; the thirty years of 1990 ended with 2020.
FIRST = 9_000_001
VOUCHERS, LINES = 3, 6
OF_1990 = f"""
INSERT INTO "账务".vouchers SELECT {FIRST} + n, 1990, kind, '1990-06-01', loan_id, '示例旧凭证'
  FROM generate_series(0, {VOUCHERS - 1}) AS n, (SELECT kind, loan_id FROM "账务".vouchers LIMIT 1) AS one;
INSERT INTO "账务".voucher_lines SELECT {FIRST} + n, side, account_code, 100 * (2 - side), 100 * (side - 1)
  FROM generate_series(0, {VOUCHERS - 1}) AS n, generate_series(1, 2) AS side,
  (SELECT account_code FROM "账务".voucher_lines LIMIT 1) AS one;
"""
BOOKS = ["账务.vouchers", "账务.voucher_lines"]
CLERK = Account(name="clerk", id="clerk")


def due(case: dict[str, Any]) -> None:
    """Let the vouchers of 1990 go, as whoever declares archives, appraisal and grounds of it would."""
    for one in case["classes"]:
        if one["name"] == KEPT:
            one["where"] = f"voucher_id < {FIRST}"
    case["classes"].append(
        {
            "name": OLD,
            "tables": BOOKS,
            "where": f"voucher_id >= {FIRST}",
            "target": "nothing",
            "source": "erase",
        }
    )
    matter = case["matter"]
    matter["retention"].append({"row_class": OLD, "rules": ["R01"], "triggers": {"fiscal_year": 1990}})
    matter["stated"]["accounting_rows_to_destroy"] = VOUCHERS + LINES
    matter["bases"] += [
        {"data_set": table, "operation": "erase", "basis": "statutory_duty", "article": "PIPL 13(1)(3)",
         "cites": "会计档案管理办法 18 / accounting archive measures 18"}
        for table in BOOKS
    ]  # fmt: skip
    matter["documents"].append(paper("appraisal", number="JD-1990"))
    case["ledger"] = {
        "number": "XH-1990-1", "pack": "cn-accounting@2026.11", "medium": "示例介质 / sample medium",
        "reader": "psql", "currency": "CNY",
        "archives": [{"name": "会计凭证 / vouchers", "code": "PZ", "rule": "R01", "tables": BOOKS,
                      "totals": [{"item": "vouchers-by-kind"}]}],
    }  # fmt: skip


def paper(kind: str, **more: Any) -> dict[str, Any]:
    """A document that is on file: its text is its kind."""
    return {"kind": kind, "file": f"{kind}.md", "date": TODAY.isoformat(), "expires": "never",
            "signatory": "示例档案主管 (sample)", "sha256": hashlib.sha256(kind.encode()).hexdigest(),
            **more}  # fmt: skip


def opened(runner: Runner, run: str, change: Changed = due) -> Context:
    """The case as it is shipped, changed, with the papers on file."""
    documents = runner.home / "documents"
    if not documents.exists():
        shutil.copytree(INCLUDE / "documents", documents)
        (documents / CASE / "appraisal.md").write_text("appraisal")
    return open_shipped(runner, CASE, change, run, documents)


def planned(context: Context) -> Context:
    inventory(context)
    plan(context)
    return context


def assessed(runner: Runner) -> Context:
    """A run whose impact assessment is for what it does."""
    draft = planned(opened(runner, "draft"))
    no_list_to_come(draft, runner)
    digest = scope_digest(hear(draft, draft.plan()).facts)

    def change(case: dict[str, Any]) -> None:
        due(case)
        case["matter"]["impact_assessment"]["scope_sha256"] = digest

    return opened(runner, "run-1", change)


def archived(context: Context) -> DestructionList:
    """Run everything up to the list."""
    record_requester(context, "engineer")
    planned(context)
    let_through_for_now(context)
    for name in ("approver", "supervisor"):
        say(context, "execute", name)
    freeze_source(context)
    backed_up(context)
    restore_test(context)
    prepare_archive(context)
    for number in range(len(context.plan().lanes)):
        archive_lane(context, number)
    seal_archive(context)
    verify_archive(context)
    rechecked(context)
    made = make_destruction_list(context)
    assert made is not None
    return made


LISTED = {"ACC-18", "ACC-18.supervised"}


def let_through_for_now(context: Context) -> None:
    """The run may begin before its list is made: the gates that ask for it say so, and hinder closing."""
    heard = {one.gate: one for one in judge(context, "execution")}
    assert {name for name, one in heard.items() if one.later} == LISTED
    assert all(heard[name].notes == (LATER,) and heard[name].hinders("closing") for name in LISTED)
    assert "appraisal" not in " ".join(heard["ACC-18"].lacking)
    assert context.entries(JUDGED)[-1].body["hindered"] == []


def kept_by_the_gate(context: Context) -> None:
    """The law itself asks for the opinions before anything goes, whatever the list's own rules say."""
    with pytest.raises(GateBlocked, match="gate ACC-18") as refused:
        require_law(context)
    assert refused.value.data["gates"] == ["ACC-18"]
    with pytest.raises(GateBlocked, match="ACC-18"):
        require_gates(context)


def said(role: str, **more: object) -> dict[str, Any]:
    return {"role": role, "name": f"示例 {role}", "on": TODAY, **more}


def shut(context: Context, missing: str) -> None:
    """Disposal is refused, naming what the list lacks; nothing was erased."""
    with pytest.raises(NotReady, match=f"accounting archives cannot be destroyed; missing: {missing}"):
        open_disposal(context)
    assert not is_open(context)


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    path = tmp_path / "scan.pdf"
    path.write_bytes(b"signed")
    return Scan(path)


def test_the_run_waits_for_its_list_and_the_certificate_names_it(runner: Runner, scan: Scan) -> None:
    generate(runner.urls["src"], rows=1_000)
    run_sql(runner.urls["src"], OF_1990)
    context = assessed(runner)
    made = archived(context)
    [volume] = made.volumes
    assert (volume.code, volume.first_year, volume.last_year, volume.rows) == (
        "PZ",
        1990,
        1990,
        VOUCHERS + LINES,
    )
    quarantine(context)
    for name in ("approver", "supervisor"):
        say(context, "dispose", name)

    shut(context, "the appraisal")
    kept_by_the_gate(context)
    appraise(context, CLERK, "JD-1990", ("鉴定甲", "鉴定乙"), TODAY, scan)
    *first, last = OPINIONS
    for role in first:
        give_opinion(context, CLERK, scan, **said(role, agrees=True, reason="同意销毁"))
    shut(context, f".*{last}")
    kept_by_the_gate(context)
    give_opinion(context, CLERK, scan, **said(last, agrees=True, reason="同意销毁"))
    shut(context, "the check before by")
    for role in made.supervisors:
        check_before(context, Account(name=role, id=role), **said(role, agrees=True, reason="核对相符"))
    open_disposal(context)

    erase_here(context)
    clean_residue(context)
    prove(context, {"sample_source": runner.urls["src"]}.__getitem__)
    write_tombstones(context)
    unsigned(context)
    record_execution(context, CLERK, ["执行甲"])
    for role in made.supervisors:
        sign_after(context, CLERK, scan, **said(role))
    put_away(context, CLERK, scan, name="档案甲", on=TODAY, place="示例档案室 / sample archive room")
    certified(context, made)


def without(kind: str) -> Changed:
    """Leave out something that the list of the run needs."""

    def change(case: dict[str, Any]) -> None:
        due(case)
        if kind == "ledger":
            del case["ledger"]
        else:
            case["matter"]["documents"] = [one for one in case["matter"]["documents"] if one["kind"] != kind]

    return change


def no_list_to_come(context: Context, runner: Runner) -> None:
    """Without appraisal, or declared archives, or in a run that makes no lists, there is none to wait for."""
    other = replace(context, case=BaseModel.model_copy(context.case, update={"kind": "transfer"}))
    assert not any(one.later for one in hear(other, other.plan(), ahead=True).verdicts)
    bare = replace(context, case=opened(runner, "bare", without("appraisal")).case)
    heard = {one.gate: one for one in hear(bare, bare.plan(), ahead=True).verdicts}
    assert heard["ACC-18"].hinders("execution") and not heard["ACC-18"].later
    undeclared = replace(context, case=opened(runner, "undeclared", without("ledger")).case)
    with pytest.raises(CaseInvalid, match="the case declares none"):
        hear(undeclared, undeclared.plan(), ahead=True)


def unsigned(context: Context) -> None:
    """What went without the signatures after it is not closed, and gets no certificate."""
    assert destruction_list_faults(context)
    with pytest.raises(VerificationFailed, match="destruction list: missing") as refused:
        close_run(context)
    assert "ACC-18.supervised" in refused.value.message
    assert list(context.settings.evidence.rglob("destruction-certificate*")) == []


def certified(context: Context, made: DestructionList) -> None:
    """The run closes; list and signatures lie beside the certificate, which names the list by its digest."""
    folder = close_run(context)
    end_when_due(context)
    certificate = json.loads((folder / "destruction-certificate.json").read_text(encoding="utf-8"))
    assert [(one["number"], one["sha256"], one["state"]) for one in certificate["lists"]] == [
        ("XH-1990-1", made.sha256, "archived")
    ]
    [treated] = [one for one in certificate["treated"] if one["row_class"] == OLD]
    assert treated["list_sha256"] == made.sha256
    assert sum(one["done"] for one in treated["tables"]) == VOUCHERS + LINES
    assert {one.name for one in folder.iterdir()} >= {"destruction-list.json", "destruction-signatures.json"}


def test_a_sweep_lets_no_voucher_go(runner: Runner) -> None:
    generate(runner.urls["src"], rows=1_000)
    run_sql(runner.urls["src"], OF_1990)
    urls = {"sample_source": runner.urls["src"], "sample_target": runner.urls["dst"]}
    context = open_sweep(runner.settings(), "sample-lending", "run-1", urls.__getitem__, TODAY)
    record_requester(context, "engineer")
    planned(context)
    assert not {table for table in rows_going(context.plan()) if table.startswith("账务.")}
