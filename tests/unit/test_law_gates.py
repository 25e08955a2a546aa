"""Each gate of each pack with a matter that passes and one that blocks; then what decides between them."""

from typing import Any

import pytest

from fixtures.closings import CLOSING, GATES, asked_of, closed
from fixtures.matters import ABROAD, ON, PROCESSOR, RECIPIENT, complete, packs, put
from handover.law.facts import Facts
from handover.law.gates import LATER, Verdict, evaluate, hindrances
from handover.law.impact import OPEN, impact_assessment


def verdicts(document: dict[str, Any]) -> dict[str, Verdict]:
    return {one.gate: one for one in evaluate(packs(), Facts.model_validate(document))}


def test_the_table_has_every_gate() -> None:
    assert set(CLOSING) == set(GATES)


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_passes_and_closes(gate: str) -> None:
    transaction = asked_of(gate)
    assert (verdicts(complete(transaction))[gate].state, verdicts(complete(transaction))[gate].lacking) == (
        "pass", ()
    )  # fmt: skip
    verdict = verdicts(closed(gate, transaction))[gate]
    assert verdict.state == ("warn" if verdict.severity == "W" else "block")
    assert verdict.lacking
    assert (verdict.reason, verdict.remedy) == (GATES[gate].reason, GATES[gate].remedy)
    assert verdict.hinders("closing")
    assert verdict.hinders("execution") == (verdict.severity != "C")


@pytest.mark.parametrize(
    "transaction",
    ["asset_transfer", "loan_portfolio_transfer", "merger", "dissolution", "bankruptcy", "vie_termination",
     "ledger_handover", "equity_transfer"],
)  # fmt: skip
def test_nothing_hinders_a_complete_matter(transaction: str) -> None:
    found = evaluate(packs(), Facts.model_validate(complete(transaction)))
    assert hindrances(found, "closing") == ()


def test_an_empty_matter_hinders_everything_that_is_asked() -> None:
    document = {"transaction": "asset_transfer", "on": ON, "matter": {}, "data": {}}
    found = [
        one for one in evaluate(packs(), Facts.model_validate(document)) if one.state != "not_applicable"
    ]
    assert [one.gate for one in found if not one.hinders("closing")] == []


def test_an_equity_deal_copies_nobody() -> None:
    document = put(complete("equity_transfer"), "data.copied_persons", 1)
    assert "copies nobody" in verdicts(document)["CASE-TYPE"].lacking[0]


def test_an_asset_deal_names_who_drops_out() -> None:
    assert "30 人（25.0%）" in verdicts(complete())["CASE-TYPE"].notes[0].zh
    assert "30 (25.0%)" in verdicts(complete())["CASE-TYPE"].notes[0].en


def test_an_opinion_stands_in_for_separate_consents_while_its_file_is_there() -> None:
    document = put(complete(), "data.without_separate_consent", 7)
    assert verdicts(document)["P23"].state == "block"
    paper = document["matter"]["documents"][0] | {"kind": "opinion", "file": "opinion.pdf"}
    document["matter"]["documents"].append(paper)
    document["matter"]["opinions"] = [
        {"about": ["P23"], "counsel": "律师甲", "on": "2026-11-01", "file": "opinion.pdf"}
    ]
    assert verdicts(document)["P23"].state == "block"  # nobody has read the file
    document["verified"].append({"file": "opinion.pdf", "sha256": paper["sha256"]})
    assert [verdicts(document)[gate].state for gate in ("P23", "CASE-TYPE")] == ["pass", "pass"]


def test_a_dissolution_needs_a_recipient_or_a_custodian() -> None:
    document = put(complete("dissolution"), "matter.recipients", [])
    assert verdicts(document)["CASE-TYPE"].state == "pass"
    assert verdicts(put(document, "matter.custodian.contact", None))["CASE-TYPE"].state == "block"


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("date", "2026-11-22", "dated after"),
        ("expires", "2026-11-20", "expired"),
        ("signatory", None, "signatory"),
        ("sha256", "cd" * 32, "another digest"),
        ("party", "somebody else", "not registered"),
    ],
)
def test_a_document_that_does_not_count(field: str, value: object, said: str) -> None:
    document = complete()
    (nda,) = [one for one in document["matter"]["documents"] if one["kind"] == "nda"]
    nda["expires"] = "2026-11-21"
    assert verdicts(document)["G-R01"].state == "pass"
    nda[field] = value
    assert said in verdicts(document)["G-R01"].lacking[0]


def test_a_rule_nobody_has_read_needs_a_named_counsel() -> None:
    document = complete()
    kept = [one for one in document["matter"]["counsel_acceptances"] if one["rule"] != "NDSR24"]
    verdict = verdicts(put(document, "matter.counsel_acceptances", kept))["NDSR24"]
    assert (verdict.state, "K-high" in verdict.lacking[0]) == ("block", True)
    without_clock = [one for one in kept if one["rule"] != "GDPR-33.clock"]
    resting = verdicts(put(document, "matter.counsel_acceptances", without_clock))["GDPR-33/34"]
    assert "GDPR-33.clock" in resting.lacking[0]


def test_a_warning_stands_until_a_named_person_accepts_it() -> None:
    document = closed("CC-546", "loan_portfolio_transfer")
    assert verdicts(document)["CC-546"].hinders("execution")
    accepted = {"gate": "CC-546", "name": "负责人", "on": "2026-11-22", "reason": "已公告"}
    document["matter"]["acceptances"].append(accepted)
    assert verdicts(document)["CC-546"].hinders("execution")  # tomorrow's
    accepted["on"] = "2026-11-21"
    found = verdicts(document)["CC-546"]
    assert (found.state, found.hinders("closing"), found.accepted.name) == ("warn", False, "负责人")


def test_no_acceptance_opens_a_blocking_gate() -> None:
    document = closed("P15", "asset_transfer")
    document["matter"]["acceptances"].append(
        {"gate": "P15", "name": "某", "on": "2026-11-01", "reason": "无"}
    )
    assert (verdicts(document)["P15"].state, verdicts(document)["P15"].accepted) == ("block", None)


def test_an_unknown_aml_duty_counts_as_yes() -> None:
    document = closed("AML34.handover", "dissolution")
    assert verdicts(put(document, "matter.aml_obliged", "unknown"))["AML34.handover"].state == "block"
    assert verdicts(put(document, "matter.aml_obliged", "no"))["AML34.handover"].state == "not_applicable"


def test_what_is_not_asked_says_why() -> None:
    verdict = verdicts(put(complete(), "matter.processors", []))["P21"]
    assert (verdict.state, verdict.reason.en) == ("not_applicable", "Not asked: matter.processors is none.")
    assert verdicts(complete())["P22"].reason.en == "Not asked of this type of transaction."


def test_the_inputs_digest_changes_with_an_input_and_with_nothing_else() -> None:
    before = verdicts(complete())["P15"]
    assert verdicts(put(complete(), "data.withdrawn", 1))["P15"].inputs_sha256 != before.inputs_sha256
    assert verdicts(put(complete(), "data.minors", 1))["P15"].inputs_sha256 == before.inputs_sha256


ALSO_CLOSING = {
    "authentication data": ("P06", {"data.outgoing.0.authentication": True}, "never leaves"),
    "a duty to erase": ("P47", {"data.row_classes.0.outcome": "must_erase",
                                "data.row_classes.0.planned": "copy"}, "has to be erased"),
    "a split": ("P47", {"data.row_classes.0.outcome": "split",
                        "data.row_classes.0.planned": "keep"}, "has to be split"),
    "pseudonymised too early": ("P47", {"data.row_classes.0.outcome": "restrict",
                                        "data.row_classes.0.planned": "pseudonymise"}, "is restrict"),
    "a law not cited": ("P13", {"matter.bases.0.basis": "statutory_duty", "matter.bases.0.cites": None},
                        "not cited"),
    "a record kept too short": (
        "P55/56", {"matter.impact_assessment.keep_until": "2029-11-09"}, "three years"
    ),
    "an assessment of tomorrow": ("P55/56", {"matter.impact_assessment.on": "2026-11-22"}, "after this day"),
    "another scope": ("P55/56", {"data.outgoing.0.column": "name"}, "another scope"),
    "a flow to nowhere": ("P55/56", {"matter.exports.flows.0.region": None}, "with their regions"),
    "a signature of tomorrow": ("A14", {"matter.departments.0.on": "2026-11-22"}, "has not signed"),
    "an unread retention rule": ("P19", {"matter.counsel_acceptances": []}, "rule R20 needs a counsel"),
    "an anonymous form with its key": ("P73", {"data.transforms.0.key_destroyed": None}, "destroyed keys"),
    "a token called anonymous": ("P73", {"data.transforms.0.kind": "token"}, "never anonymised"),
    "no risk said": ("H02", {"matter.impact_assessment.risk": None}, "small_batches"),
    "an old due diligence": ("G-R05", {"on": "2027-10-02"}, "older than 365 days"),
    "an incident nobody counted": ("INC-CN", {"matter.incidents.0.loss_yuan": None,
                                              "matter.incidents.0.hours_to_report": 5}, "4 h are allowed"),
    "an incident not reported": ("INC-CN", {"matter.incidents.0.hours_to_report": None}, "900 h have passed"),
    "critical infrastructure": ("INC-CN", {"matter.incidents.0.persons_affected": 1_000_000,
                                           "matter.incidents.0.critical_infrastructure": True}, "1 h are"),
    "a million persons": ("INC-CN", {"matter.incidents.0.persons_affected": 1_000_000,
                                     "matter.incidents.0.hours_to_report": 5}, "4 h are allowed"),
    "a hundred million yuan": ("INC-CN", {"matter.incidents.0.loss_yuan": 100_000_000,
                                          "matter.incidents.0.hours_to_report": 5}, "4 h are allowed"),
}  # fmt: skip


@pytest.mark.parametrize("gate, changes, said", ALSO_CLOSING.values(), ids=ALSO_CLOSING)
def test_what_else_closes(gate: str, changes: dict[str, object], said: str) -> None:
    document = complete()
    for path, value in changes.items():
        put(document, path, value)
    assert any(said in line for line in verdicts(document)[gate].lacking)


def test_claims_settle_on_a_day_that_has_come() -> None:
    for field in ("claim_period_ended", "report_confirmed"):
        document = put(complete("dissolution"), f"matter.claims.{field}", "2026-11-22")
        assert field in verdicts(document)["CO-1"].lacking[0]


def test_a_counsel_of_tomorrow_stands_for_nothing_today() -> None:
    document = complete()
    for one in document["matter"]["counsel_acceptances"]:
        one["on"] = "2026-11-22"
    assert verdicts(document)["NDSR24"].state == "block"


def export_lines(**changes: object) -> tuple[str, ...]:
    document = complete()
    document["matter"]["exports"]["flows"][0] |= changes
    return verdicts(document)["P38"].lacking


@pytest.mark.parametrize(
    "ordinary, sensitive, row",
    [(99_999, 0, None), (100_000, 0, "middle"), (0, 1, "middle"), (999_999, 9_999, "middle"),
     (1_000_000, 0, "large"), (0, 10_000, "large"), (None, 0, "large"), (0, None, "large")],
)  # fmt: skip
def test_the_export_table(ordinary: int | None, sensitive: int | None, row: str | None) -> None:
    found = export_lines(ordinary_persons=ordinary, sensitive_persons=sensitive, mechanism=None)
    assert [f"row EXPORT.{row}" in line for line in found] == ([True] if row else [])


def test_an_export_is_counted_over_the_year_the_group_and_all_batches() -> None:
    document = complete()
    flows = document["matter"]["exports"]["flows"]
    flows.append(flows[0] | {"recipient": "Affiliate", "mechanism_recipient": "Affiliate"})
    for flow in flows:
        flow["sensitive_persons"] = 5_000
    assert all("security_assessment" in line for line in verdicts(document)["P38"].lacking)
    assert len(verdicts(document)["P38"].lacking) == 2


@pytest.mark.parametrize(
    "path, value, said",
    [
        ("matter.exports.year", 2025, "year is 2025"),
        ("matter.exports.year", "every", "without any exports"),
        ("matter.exports.counts_affiliates", None, "counts_affiliates"),
        ("matter.exports.counts_remote_reading", False, "reading from abroad"),
        ("matter.exports.flows.0.mechanism_recipient", RECIPIENT, "another recipient"),
        ("matter.exports.flows.0.mechanism_data_sets", [], "data sets"),
        ("matter.exports.flows.0.mechanism_number", None, "without number"),
        ("matter.recipients.0.region", "SG", "no flow names it"),
        ("matter.store_regions", ["CN", "US"], "a store is in US"),
        ("matter.ciio", None, "row EXPORT.ciio"),
        ("data.highest_grade", None, "row EXPORT.important"),
        ("matter.exports.flows.0.exemption", "invented", None),
    ],
)
def test_what_keeps_an_export_back(path: str, value: object, said: str | None) -> None:
    found = verdicts(put(complete(), path, value))["P38"]
    assert (found.state == "pass") if said is None else any(said in line for line in found.lacking)


def test_who_never_exports_says_so_for_every_year() -> None:
    document = put(complete(), "matter.exports", {"year": "every", "flows": [], "counts_affiliates": True,
                                                  "counts_remote_reading": True})  # fmt: skip
    assert verdicts(document)["P38"].state == "pass"


def test_an_exempt_flow_is_not_counted_once_counsel_accepts_the_exemption() -> None:
    document = put(complete(), "matter.exports.flows.0.mechanism", None)
    put(document, "matter.exports.flows.0.exemption", "contract_with_person")
    assert verdicts(document)["P38"].state == "pass"
    kept = [one for one in document["matter"]["counsel_acceptances"] if one["rule"] != "contract_with_person"]
    assert verdicts(put(document, "matter.counsel_acceptances", kept))["P38"].state == "block"


def test_the_assessment_is_written_for_a_person_to_conclude() -> None:
    document = put(complete(), "data.withdrawn", 3)
    put(document, "matter.sensitive_necessity", "合同 | <b>[x](y)</b>")
    facts = Facts.model_validate(document)
    text = impact_assessment("demo", facts, {"C2": 41}, evaluate(packs(), facts), packs())
    for part in ("# 个人信息保护影响评估", "| C2 | 41 |", RECIPIENT, ABROAD, "P15", "30", OPEN):
        assert part in text
    assert document["matter"]["impact_assessment"]["scope_sha256"] in text
    assert "<b>" not in text
    assert text.count(OPEN) == 8
    assert PROCESSOR not in text.split("## 6")[1]


def test_the_assessment_of_an_empty_matter_claims_nothing() -> None:
    facts = Facts.model_validate({"transaction": "asset_transfer", "on": ON, "matter": {}, "data": {}})
    text = impact_assessment("demo", facts, {}, evaluate(packs(), facts), packs())
    assert "是 / yes" not in text
    assert "未见 / not seen" not in text


def without(*kinds: str) -> Facts:
    document = complete("dissolution")
    matter = document["matter"]
    matter["documents"] = [one for one in matter["documents"] if one["kind"] not in kinds]
    return Facts.model_validate(document)


@pytest.mark.parametrize("missing", ["appraisal", "stop_notice"])
def test_only_what_the_run_makes_itself_is_asked_later(missing: str) -> None:
    now, then = without("destruction_list"), without()
    waiting = {one.gate: one for one in evaluate(packs(), now, coming=then) if one.later}
    assert set(waiting) == {"ACC-18", "ACC-18.supervised"}
    assert not waiting["ACC-18"].hinders("execution") and waiting["ACC-18"].hinders("closing")
    assert waiting["ACC-18"].notes == (LATER,)
    assert [one.gate for one in hindrances(evaluate(packs(), now), "execution")] == ["ACC-18"]

    now, then = without("destruction_list", missing), without(missing)
    blocked = {one.gate for one in hindrances(evaluate(packs(), now, coming=then), "execution")}
    assert blocked == ({"ACC-18"} if missing == "appraisal" else {"EC-16/24/31.stop"})
