"""The sample VIE ends: a run and a certificate for each entity; the handler's waits for the others."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.disposed import say
from fixtures.runs import Runner, backed_up, rechecked
from handover.errors import CaseInvalid, VerificationFailed
from handover.evidence import pdf
from handover.evidence.ledger import Ledger
from handover.evidence.pdf import write_pdf
from handover.evidence.verifier import verify
from handover.model.approval import Account
from handover.postgres.session import connect
from handover.sample.stores import STORES, generate_store
from handover.settings import REPOSITORY
from handover.stages.approvals import record_requester
from handover.stages.archive_proof import verify_archive
from handover.stages.archiving import archive_lane, prepare_archive, seal_archive
from handover.stages.certifying import ISSUED, end_when_due, issue_certificate
from handover.stages.clean_residue import clean_residue
from handover.stages.close import close_run
from handover.stages.context import Context, open_context
from handover.stages.destruction_listing import make_destruction_list
from handover.stages.disposal import OPENED, open_disposal
from handover.stages.entity_certificates import entity_certificate_faults, found_certificates
from handover.stages.erase_here import erase_here
from handover.stages.facts import legal_day
from handover.stages.freezing import freeze_source
from handover.stages.gates import hear, judge
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.proving import PROVED, prove
from handover.stages.quarantine import quarantine, quarantine_over
from handover.stages.restore_test import restore_test
from handover.stages.tombstones import write_tombstones
from handover.stages.validating import validate_result
from handover.vault.keyring import Keyring

INCLUDE = REPOSITORY / "include"
OPERATING, WFOE, PARENT = "vie-termination", "vie-wfoe", "vie-parent"
ENTITY = {
    OPERATING: "示例小额贷款有限公司 (sample)",
    WFOE: "示例技术服务（外商独资）有限公司 (sample)",
    PARENT: "示例境外控股有限公司 (sample)",
}
STORE = {OPERATING: "vie_operating", WFOE: "vie_wfoe", PARENT: "vie_parent"}
Changed = Callable[[dict[str, Any]], None]


def as_shipped(case: dict[str, Any]) -> None:
    """Leave a case as it is."""


def opened(runner: Runner, name: str, change: Changed = as_shipped, run: str = "run-1") -> Context:
    """A case as it is shipped, of this year, with its file changed, on the store of a test."""
    folder = runner.home / "cases"
    folder.mkdir(exist_ok=True)
    document = yaml.safe_load((INCLUDE / "cases" / f"{name}.yaml").read_text("utf-8"))
    document["matter"]["exports"]["year"] = legal_day().year
    change(document)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    urls = {STORE[name]: runner.urls["src"], "sample_target": runner.urls["dst"]}
    return open_context(runner.settings(), name, run, urls.__getitem__)


def planned(context: Context) -> Context:
    inventory(context)
    plan(context)
    return context


@pytest.fixture
def operator(runner: Runner) -> Runner:
    """A runner whose source is the operating company's store."""
    generate_store(runner.urls["src"], STORE[OPERATING], rows=1_000)
    return runner


@pytest.fixture
def stores(operator: Runner, database: Callable[..., str]) -> dict[str, Runner]:
    """A runner for each case, with the store of its entity."""
    found = {OPERATING: operator}
    for name in (WFOE, PARENT):
        found[name] = operator.between(database(name), operator.urls["dst"])
        generate_store(found[name].urls["src"], STORE[name], rows=1_000)
    return found


def hindering(context: Context) -> set[str]:
    found = hear(context, context.plan()).verdicts
    return {one.gate for one in found if one.hinders("execution") or one.hinders("closing")}


def put(path: str, value: Any) -> Changed:
    """Change one field of the matter."""

    def change(case: dict[str, Any]) -> None:
        *above, last = path.split(".")
        here = case["matter"]
        for part in above:
            here = here[int(part) if part.isdigit() else part]
        here[int(last) if last.isdigit() else last] = value

    return change


CERTIFICATES = {"P21.entities", "P21.returned"}
# What is wrong about the offshore copy, the offshore accounts or the contracts, and the gates that it closes.
CLOSING: list[tuple[Changed, set[str]]] = [
    (as_shipped, set()),
    (put("exports.flows", []), {"P38", "DSL31/36", "P55/56"}),
    (put("exports.counts_remote_reading", False), {"P38", "DSL31/36"}),
    (put("exports.flows.1.mechanism", None), {"P38", "DSL31/36"}),
    (put("opinions", []), {"P39"}),
    (put("processors.1.contract.duties", None), {"P21"}),
]


def test_only_certificates_are_missing_and_exports_count(operator: Runner) -> None:
    context = planned(opened(operator, OPERATING))
    for change, gates in CLOSING:
        changed = replace(context, case=opened(operator, OPERATING, change).case)
        assert hindering(changed) == CERTIFICATES | gates
    nobody = replace(context, case=opened(operator, OPERATING, without_entities).case)
    assert hindering(nobody) == CERTIFICATES | {"CASE-TYPE"}
    stranger = replace(context, case=opened(operator, OPERATING, put("entity_cases.另一公司", WFOE)).case)
    with pytest.raises(CaseInvalid, match=r"'另一公司' is in no list of matter\.entities"):
        hear(stranger, context.plan())


def without_entities(case: dict[str, Any]) -> None:
    case["matter"] |= {"entities": [], "entity_cases": {}}


def test_a_paper_stands_for_an_entity_without_a_case(operator: Runner, tmp_path: Path) -> None:
    context = planned(opened(operator, OPERATING))
    documents = tmp_path / "documents"
    shutil.copytree(INCLUDE / "documents" / OPERATING, documents / OPERATING)
    papers = []
    for name in (WFOE, PARENT):
        text = f"{ENTITY[name]}：已全部删除 / everything was erased"
        (documents / OPERATING / f"{name}.md").write_text(text, encoding="utf-8")
        papers.append(
            {"kind": "return_or_delete_certificate", "file": f"{name}.md", "date": "2026-10-30",
             "expires": "never", "signatory": ENTITY[name], "party": ENTITY[name],
             "sha256": hashlib.sha256(text.encode()).hexdigest()}
        )  # fmt: skip

    def with_papers(*registered: dict[str, Any]) -> Context:
        def change(case: dict[str, Any]) -> None:
            case["matter"]["documents"] += registered
            case["matter"]["entities"].remove(ENTITY[OPERATING])
            del case["matter"]["entity_cases"]

        settings = replace(context.settings, documents=documents)
        return replace(context, settings=settings, case=opened(operator, OPERATING, change).case)

    assert hindering(with_papers(*papers)) == set()
    assert hindering(with_papers(papers[0])) == CERTIFICATES
    (documents / OPERATING / f"{WFOE}.md").write_text("something else")
    with pytest.raises(CaseInvalid, match="registered is"):
        hindering(with_papers(*papers))


def test_only_a_final_certificate_of_the_entity_itself_counts(runner: Runner, tmp_path: Path) -> None:
    context = opened(runner, OPERATING)

    def write(run: str, kind: str, **body: Any) -> None:
        context.ledger.append(WFOE, run, kind, body)

    def begin(run: str, entity: str, transaction: str = "vie_termination") -> None:
        said = {"parties": {"giver": {"name": entity}}, "transaction": transaction}
        write(run, "run-opened", case=said)
        write(run, OPENED)

    def because() -> str:
        [found] = [one for one in found_certificates(context) if one.case == WFOE]
        assert (found.entry is None) == bool(found.because)
        return found.because

    assert because() == "has let nothing go yet"
    begin("run-1", ENTITY[PARENT])
    write("run-1", ISSUED, finality="final", open_points=[])
    assert because() == "is another company's, or another transaction's"
    begin("run-2", ENTITY[WFOE], "dissolution")
    assert because() == "is another company's, or another transaction's"
    begin("run-3", ENTITY[WFOE])
    assert because() == "has issued no certificate after the end of its backup"
    write("run-3", ISSUED, finality="provisional", open_points=["a store is open"])
    assert because() == "has issued a provisional certificate only: a store is open"
    write("run-3", ISSUED, finality="final", open_points=[])
    assert because() == ""
    write("run-4", "run-opened")  # a dry run takes nothing back
    assert because() == ""
    begin("run-5", ENTITY[WFOE])  # there was more: what was certified is not all
    assert because() == "has issued no certificate after the end of its backup"
    write("run-5", ISSUED, finality="final", open_points=[])
    assert because() == ""
    forger = Keyring.open(tmp_path / "other").signer()
    Ledger(context.ledger_url, forger).append(WFOE, "run-6", "run-opened", {})
    assert because().startswith("has a ledger that does not verify: ")


def test_the_own_case_certifies_for_nobody_else(runner: Runner) -> None:
    context = opened(runner, OPERATING, put(f"entity_cases.{ENTITY[WFOE]}", OPERATING))
    context.record(PROVED, {"faults": 0})
    assert [one.entity for one in found_certificates(context) if one.entry] == [ENTITY[OPERATING]]
    others = f"certificate outstanding: {ENTITY[WFOE]}: case {OPERATING} is another company's"
    assert [line for line in entity_certificate_faults(context) if line.startswith(others)]
    context.record(PROVED, {"faults": 1})
    assert [one for one in found_certificates(context) if one.entry] == []


def disposed(context: Context) -> Context:
    """The real stages in the order of the DAG, up to the proof."""
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
    rechecked(context)
    make_destruction_list(context)
    quarantine(context)
    assert quarantine_over(context), "the sample waits no day"
    for name in ("approver", "supervisor"):
        say(context, "dispose", name)
    open_disposal(context)
    erase_here(context)
    clean_residue(context)
    prove(context, {context.case.source.connection: context.source}.__getitem__)
    write_tombstones(context)
    return context


def validated(context: Context) -> Context:
    supervisor = Account(name="supervisor", id="supervisor")
    validate_result(context, supervisor, good_enough=True, reason="as agreed 已核对")
    return context


def ended(context: Context) -> None:
    """Close a run and end its backup."""
    assert verify(close_run(context)).ok
    end_when_due(context)


def issued(context: Context) -> str:
    return str(context.entries(ISSUED)[-1].body["finality"])


def left(runner: Runner, table: str) -> int:
    with closing(connect(runner.urls["src"], read_only=True)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM lending.{table}".encode()).fetchall()[0][0])


def test_closing_waits_for_the_certificate_of_each_entity(
    stores: dict[str, Runner], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Seven certificates are made here; without the font there is no PDF of each, which others test.
    monkeypatch.setattr(pdf, "write_pdf", partial(write_pdf, fonts=tmp_path / "none"))
    wfoe = validated(disposed(opened(stores[WFOE], WFOE)))
    ended(wfoe)
    assert issued(wfoe) == "final"
    parent = disposed(opened(stores[PARENT], PARENT))
    operating = disposed(opened(stores[OPERATING], OPERATING))
    assert [left(stores[name], table) for name in (WFOE, PARENT) for table in STORES[STORE[name]]] == [0] * 5
    assert [left(stores[OPERATING], table) > 0 for table in STORES[STORE[OPERATING]]] == [
        True,
        True,
        False,
        False,
    ]

    outstanding(operating, "has issued no certificate after the end of its backup")
    ended(parent)
    assert issued(parent) == "provisional", "nobody has validated it"
    outstanding(operating, "has issued a provisional certificate only: .*not validated")
    issue_certificate(validated(parent))
    assert issued(parent) == "final"

    assert entity_certificate_faults(operating) == []
    ended(validated(operating))
    assert issued(operating) == "final"
    assert {one.entity: one.entry.case for one in found_certificates(operating) if one.entry} == {
        entity: name for name, entity in ENTITY.items()
    }


def outstanding(context: Context, because: str) -> None:
    """Only the parent's certificate is outstanding: closing says so and refuses."""
    [line] = entity_certificate_faults(context)
    assert re.match(f"certificate outstanding: {re.escape(ENTITY[PARENT])}: case {PARENT} {because}", line)
    with pytest.raises(VerificationFailed) as refused:
        close_run(context)
    gates = re.findall(r"^  (P21\.\w+) .*", refused.value.message, re.MULTILINE)
    assert gates == ["P21.returned", "P21.entities"]
    assert "matter.entities[2]" in refused.value.message
    assert "matter.processors[1]" in refused.value.message
    assert not re.search(r"entities\[[01]\]|processors\[0\]", refused.value.message)
    assert context.entries("evidence-written")[-1].body["status"] == "not complete"
