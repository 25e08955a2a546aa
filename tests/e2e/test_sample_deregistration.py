"""The sample company wound up: what its gates say, what goes, what is kept, and that no book is destroyed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.contents import run_sql
from fixtures.disposed import say
from fixtures.runs import Runner, backed_up, rechecked
from handover.errors import GateBlocked, NotReady
from handover.model.case import load_case
from handover.model.destruction_certificate import certify
from handover.postgres.quarantining import policy_name
from handover.sample.company import generate
from handover.settings import REPOSITORY
from handover.stages.approvals import record_requester
from handover.stages.archive_proof import archive_faults, verify_archive
from handover.stages.archiving import archive_lane, prepare_archive, seal_archive
from handover.stages.certificate_facts import certificate_facts
from handover.stages.class_decisions import class_decisions, planned_classes
from handover.stages.clean_residue import clean_residue
from handover.stages.completeness import missing_steps
from handover.stages.context import Context, open_context
from handover.stages.destruction_listing import (
    NOT_NEEDED,
    destruction_list_faults,
    make_destruction_list,
    require_list_cleared,
)
from handover.stages.destruction_volumes import to_destroy
from handover.stages.disposal import kept_by_law, open_disposal
from handover.stages.erase_here import erase_here
from handover.stages.facts import legal_day
from handover.stages.freezing import freeze_source
from handover.stages.gates import hear, judge
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.proving import prove
from handover.stages.quarantine import quarantine, quarantine_over
from handover.stages.restore_test import restore_test
from handover.stages.tombstones import write_tombstones

INCLUDE = REPOSITORY / "include"
CASE = "deregistration"
Changed = Callable[[dict[str, Any]], None]


def opened(runner: Runner, change: Changed = lambda case: None) -> Context:
    """The case as it is shipped, with its file changed, in databases of the test."""
    folder = runner.home / "cases"
    folder.mkdir(exist_ok=True)
    document = yaml.safe_load((INCLUDE / "cases" / f"{CASE}.yaml").read_text(encoding="utf-8"))
    change(document)
    (folder / f"{CASE}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    urls = {"sample_source": runner.urls["src"], "sample_target": runner.urls["dst"]}
    return open_context(runner.settings(), CASE, "run-1", urls.__getitem__)


def planned(context: Context) -> Context:
    inventory(context)
    plan(context)
    return context


GOING = {"lending.contacts": 24, "lending.device_logs": 144, "lending.page_views": 20, "lending.客户备注": 4}
# The last rows of each class that the periods let go, by the classes' own rules; None: nobody knows yet.
KEPT_FROM = {
    "客户身份资料 / who customers are": date(2036, 7, 1),
    "贷款档案 / loan files": date(2036, 7, 1),
    "已结清贷款 / settled loans": date(2036, 7, 1),
    "注销前转让的贷款 / loans sold before the end": None,
    "投诉 / complaints": None,
    "同意记录 / consents on record": date(2029, 7, 1),
    "机构与员工 / branches and staff": date(2028, 7, 1),
    "会计凭证 / vouchers": date(2056, 1, 1),
    "会计账簿 / books": date(2056, 1, 1),
    "产品与设置 / products and settings": date(2036, 7, 1),
}


@pytest.fixture
def ended(runner: Runner) -> Runner:
    generate(runner.urls["src"], rows=1_000)
    return runner


def test_every_row_is_kept_until_its_day_or_goes(ended: Runner) -> None:
    context = planned(opened(ended))
    classes = planned_classes(context.plan())
    assert {table: one.rows for table, one in classes if one.source == "erase"} == GOING
    assert all(one.target == ("nothing" if one.source == "erase" else "archive") for _, one in classes)
    decisions = class_decisions(context, legal_day())
    assert {name: decisions[name].free_from for name in KEPT_FROM} == KEPT_FROM
    assert decisions.keys() - KEPT_FROM.keys() == {one.name for _, one in classes if one.source == "erase"}
    outcomes = {name: one.outcome for name, one in decisions.items()}
    assert kept_by_law((one for _, one in classes), outcomes) == []


def test_all_gates_let_it_pass(ended: Runner) -> None:
    context = planned(opened(ended))
    assert judge(context, "execution")
    assert [one.gate for one in hear(context, context.plan()).verdicts if one.hinders("closing")] == []
    assert make_destruction_list(context) is None, "no accounting archive is destroyed"
    assert make_destruction_list(context) is None
    assert len(context.entries(NOT_NEEDED)) == 1
    assert destruction_list_faults(context) == []


def test_gates_at_another_size_and_seed(runner: Runner) -> None:
    generate(runner.urls["src"], rows=40_000, seed=5)
    assert judge(planned(opened(runner)), "execution")


def without(*path: str | int) -> Changed:
    def change(case: dict[str, Any]) -> None:
        *above, last = path
        here: Any = case
        for part in above:
            here = here[part]
        del here[last]

    return change


def erasing(*names: str) -> Changed:
    def change(case: dict[str, Any]) -> None:
        for one in case["classes"]:
            if one["name"] in names:
                one.update(target="nothing", source="erase")

    return change


def unsettled(case: dict[str, Any]) -> None:
    case["matter"]["claims"]["open_claims"] = 1


def held(case: dict[str, Any]) -> None:
    case["matter"]["holds"] = [{"kind": "litigation", "opened": "2026-10-01"}]


# What is open or missing, and the gates that it closes.
CLOSING: list[tuple[Changed, set[str]]] = [
    (without("matter", "custodian"), {"CASE-TYPE", "CO-2", "P48-50"}),
    (unsettled, {"CO-1"}),
    (without("matter", "claims", "report_confirmed"), {"CO-1"}),
    (without("matter", "retention", 0, "triggers"), set()),  # it is kept, only without an end
    (without("matter", "retention", -1, "triggers"), {"P47"}),
    (held, {"P47"}),
    (without("matter", "holds"), {"P47"}),
]


def hindering(context: Context) -> set[str]:
    found = hear(context, context.plan()).verdicts
    return {one.gate for one in found if one.hinders("execution") or one.hinders("closing")}


def test_what_is_open_or_missing_closes_gates(ended: Runner) -> None:
    context = planned(opened(ended))
    for change, gates in CLOSING:
        assert hindering(replace(context, case=opened(ended, change).case)) == gates


def test_young_books_need_a_list_that_nobody_can_make(ended: Runner) -> None:
    """Whoever states that no book goes and lets one go all the same meets the law, and the list (ACC-18)."""
    books, identities = "会计凭证 / vouchers", "客户身份资料 / who customers are"
    context = planned(opened(ended, erasing(books, identities)))
    [lacking] = [one.lacking for one in hear(context, context.plan()).verdicts if one.gate == "P47"]
    assert {line.split(" is to be")[0] for line in lacking} == {
        f"row class {books}",
        f"row class {identities}",
    }
    decisions = class_decisions(context, legal_day())
    wanted = {one.table for one in to_destroy(context, decisions) if one.needs_list}
    assert wanted == {"账务.vouchers", "账务.voucher_lines"}
    with pytest.raises(NotReady, match="会计凭证 / vouchers: restrict, kept through 2055-12-31"):
        make_destruction_list(context)
    with pytest.raises(
        NotReady, match="accounting archives cannot be destroyed; missing: a destruction list"
    ):
        require_list_cleared(context)
    assert destruction_list_faults(context) == ["destruction list: missing a destruction list (销毁清册)"]


def test_an_objection_keeps_the_gates_closed(ended: Runner, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    shutil.copytree(INCLUDE / "documents", documents)
    with (documents / CASE / "objections.csv").open("a") as file:
        file.write("1,,,,2026-10-01\n")
    context = opened(ended)
    context = planned(replace(context, settings=replace(context.settings, documents=documents)))
    with pytest.raises(GateBlocked) as refusal:
        judge(context, "execution")
    assert refusal.value.data["gates"] == ["P15"]


def test_the_run_until_everything_is_proven(ended: Runner) -> None:
    """The real stages in the order of the DAG, on the case as it is shipped."""
    context = opened(ended)
    record_requester(context, "engineer")
    planned(context)
    judge(context, "execution")
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
    assert archive_faults(context) == []
    rechecked(context)
    assert make_destruction_list(context) is None
    quarantine(context)
    assert quarantine_over(context), "the sample waits no day"
    for name in ("approver", "supervisor"):
        say(context, "dispose", name)
    open_disposal(context)
    assert erase_here(context) == sum(GOING.values())
    clean_residue(context)
    prove(context, {"sample_source": ended.urls["src"]}.__getitem__)
    write_tombstones(context)
    assert missing_steps(context) == []
    where_everything_is_now(context)


def where_everything_is_now(context: Context) -> None:
    """The certificate says of each class that stays where it lies, and that the source still has it."""
    said = {one.row_class: one.where for one in certify(certificate_facts(context)).retained}
    assert said.keys() == KEPT_FROM.keys()
    in_use = said.pop("产品与设置 / products and settings")
    assert "加密归档" in in_use.zh
    assert in_use.en.endswith("; at the source, in use")
    for place in said.values():
        assert "encrypted archive" in place.en
        assert "at the source, restricted (by row security: only the custodian's role" in place.en
        assert all(who in place.en for who in ("superusers", "bypass", "owners", "views"))
    [entry] = context.entries("quarantined")
    one = entry.body["restricted"][0]
    locked = policy_name(f"case deregistration, run {context.run}, restricted")
    run_sql(context.source, f"DROP POLICY {locked} ON {one['table']}")
    assert missing_steps(context) == [f"{one['table']} is not restricted at the source"]


def test_every_store_has_its_paper() -> None:
    """What is out of reach is attested by a file that is there, unchanged; the rest is searched."""
    stores = load_case(INCLUDE / "cases", CASE).stores
    assert {one.kind for one in stores} == {"database", "file_share", "mail", "paper", "backup"}
    for one in stores:
        assert (one.connection is None) == (one.attestation is not None)
        if one.attestation is not None:
            data = (INCLUDE / "documents" / CASE / one.attestation.file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == one.attestation.sha256
