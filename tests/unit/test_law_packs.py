"""Policy packs: what they must say, what is refused and where, how versions and documents are told apart."""

import hashlib
from datetime import date

import pytest
import yaml

from fixtures.matters import DOCUMENTS, complete, packs
from handover.errors import PolicyInvalid
from handover.law.packs import load_packs, newer_packs, parse_pack, select
from handover.law.papers import verify_files
from handover.law.references import unknown_ids, unknown_parts
from handover.model.matter import Document, Matter
from handover.model.policy import Pack
from handover.settings import REPOSITORY

FOLDER = REPOSITORY / "include" / "policies"
PIPL = (FOLDER / "cn-pipl-2026.11.yaml").read_text(encoding="utf-8")
LABELS = ["cn-pipl@2026.11", "cn-microloan@2026.11", "cn-accounting@2026.11", "gdpr@2026.11"]
ON = date(2026, 11, 21)


def refusal(text: str, name: str = "cn-pipl-2026.11.yaml") -> PolicyInvalid:
    with pytest.raises(PolicyInvalid) as caught:
        parse_pack(text, name)
    assert caught.value.hint
    return caught.value


def line(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_packs_fit_together() -> None:
    assert [pack.label for pack in select(packs(), LABELS, ON)] == LABELS


def test_every_pack_says_that_it_is_no_advice() -> None:
    for path in FOLDER.glob("*.yaml"):
        assert "not legal advice" in path.read_text(encoding="utf-8").partition("\npack:")[0]


def test_every_gate_of_the_catalogue_is_a_gate_or_a_banner() -> None:
    listed = """
        P06 P08 P13 P14 P15 P16 P17 P18 P19 P20 P21 P22 P23 P25 P28 P29 P30 P31 P32 P38 P39 P40 P41 P42
        P44-46 P47 P48-50 P51 P52 P54 P55/56 P57 P66 P69 P73 DSL21 DSL27 DSL29 DSL30 DSL31/36 NDSR11 NDSR12
        NDSR14 NDSR24 NDSR25 NDSR28 NDSR32 NDSR31 CSL23 CSL42 CSL61 CSL39 A-AUD INC-CN E-BANK E-PBC AML34
        CR12/16 ML-EXIT CO-1 CO-2 BK-1 CC-546 CC-1038 EC-16/24/31 CON-29 ACC-24 ACC-18 ACC-19 ACC-20..22
        ACC-25 CR-162/253 LAB-50"""
    there = {rule for pack in packs() for rule in (*pack.gates, *pack.banners)}
    missing = [
        one for one in listed.split() if not any(name == one or name.startswith(f"{one}.") for name in there)
    ]
    assert missing == []


def test_every_document_of_a_gate_is_in_the_complete_matter_or_an_alternative() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml"))
    assert [kind for kind in DOCUMENTS if f"of_kind: {kind}" not in text] == []


WRONG = {
    "an unknown key": ("    severity: B\n", "    severity: B\n    colour: red\n", "colour: unknown key"),
    "a missing key": ("    severity: B\n", "", "gates.CASE-TYPE.severity: missing"),
    "a severity": ("    severity: B", "    severity: X", "gates.CASE-TYPE.severity: input should be"),
    "an unknown check": ("kind: special, name: case_type", "kind: magic", "gates.CASE-TYPE.check"),
    "an unknown special": ("name: case_type", "name: guess", "gates.CASE-TYPE.check.name"),
    "an unknown fact": ("fact: data.withdrawn", "fact: data.withdrew", "no fact 'withdrew'"),
    "an unknown fact inside": ("of: data.persons, by:", "of: data.people, by:", "no fact 'people'"),
    "a list of one": ("fact: data.withdrawn", 'fact: "data.withdrawn[]"', "withdrawn is no list"),
    "an unknown condition": ("fact: matter.joint_handlers, e", "fact: matter.joined, e", "no fact 'joined'"),
    "a status": ("status: V2, verified", "status: sure, verified", "basis.status"),
    "no date of verification": (", verified: 2026-11-21,\n", ",\n", "basis.verified: missing"),
    "no period": ("    period: {years: 3}\n", "", "retention.R12: give trigger and period"),
    "a circle": (
        "    category: {zh: 平台商品、服务与交易信息",
        "    rests_on: [R12]\n    category: {zh: 平台商品、服务与交易信息",
        "retention.R12.rests_on: leads in a circle: R12 → R12",
    ),
    "an end before the beginning": (
        "effective_from: 2026-01-01",
        "effective_from: 2026-01-01\neffective_to: 2025-01-01",
        "effective_to is before",
    ),
    "another name": ('version: "2026.11"', 'version: "2026.12"', "name the file cn-pipl-2026.12.yaml"),
    "an id in two parts": ("  R12:", "  P66:", "rule P66 stands in two parts"),
}


@pytest.mark.parametrize("old, new, said", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, said: str) -> None:
    assert old in PIPL
    message = refusal(PIPL.replace(old, new, 1)).message
    assert said in message
    assert "\n  line " in message


def test_the_line_is_that_of_the_field() -> None:
    text = PIPL.replace("fact: data.withdrawn", "fact: data.withdrew", 1)
    assert f"line {line(text, 'data.withdrew')}, gates.P15.check.fact" in refusal(text).message
    nested = PIPL.replace("of: data.persons, by: [matter.notices.delivered, ", "of: data.none, by: [", 1)
    assert f"line {line(nested, 'data.none')}, gates.P18.check.checks.0.of" in refusal(nested).message


def test_an_id_twice_and_what_is_no_yaml() -> None:
    text = PIPL.replace("  P08:", "  P06:", 1)
    assert f"line {line(PIPL, '  P08:')}, column" in refusal(text).message
    assert "key 'P06' twice" in refusal(text).message
    assert "expected a mapping" in refusal("- a").message
    assert "not YAML" in refusal("[").message


def changed(pack: Pack, **update: object) -> Pack:
    return pack.model_copy(update=update)


def test_what_does_not_fit_together_is_refused() -> None:
    by_label = {pack.label: pack for pack in packs()}
    pipl, loans = by_label[LABELS[0]], by_label[LABELS[1]]
    wrong = {
        "is not there": (packs(), ["cn-pipl@2020.01"]),
        "named twice": (packs(), [LABELS[0], LABELS[0]]),
        "builds on cn-pipl": (packs(), [LABELS[1]]),
        "at least one pack": (packs(), []),
        "in force from": ((changed(pipl, effective_from=date(2027, 1, 1)),), [LABELS[0]]),
        "in another pack too": ((pipl, changed(loans, gates=pipl.gates)), LABELS[:2]),
        "no pack of the case has": ((pipl, changed(loans, retention={})), LABELS[:2]),
    }
    for said, (known, labels) in wrong.items():
        with pytest.raises(PolicyInvalid, match=said):
            select(known, labels, ON)


def test_a_circle_over_two_packs_is_refused() -> None:
    by_label = {pack.label: pack for pack in packs()}
    pipl, loans = by_label[LABELS[0]], by_label[LABELS[1]]
    r12 = pipl.retention["R12"].model_copy(update={"rests_on": ("R10",)})
    r10 = loans.retention["R10"].model_copy(update={"rests_on": ("R12",)})
    both = (
        changed(pipl, retention={**pipl.retention, "R12": r12}),
        changed(loans, retention={**loans.retention, "R10": r10}),
    )
    with pytest.raises(PolicyInvalid, match="leads in a circle"):
        select(both, LABELS[:2], ON)


def test_a_newer_pack_names_the_open_cases_and_the_rules_that_differ() -> None:
    (pipl,) = (pack for pack in packs() if pack.pack == "cn-pipl")
    gate = pipl.gates["P15"].model_copy(update={"severity": "C"})
    newer = changed(
        pipl, version="2026.12", effective_from=date(2026, 12, 1), gates={**pipl.gates, "P15": gate}
    )
    frozen = {"one": ("cn-pipl@2026.11",), "two": ("cn-pipl@2026.12",), "three": ("gdpr@2026.11",)}
    assert newer_packs(frozen, (*packs(), newer), date(2026, 11, 30)) == ()
    (affected,) = newer_packs(frozen, (*packs(), newer), date(2026, 12, 1))
    assert (affected.case, affected.newer, affected.rules) == ("one", "cn-pipl@2026.12", ("P15",))


def test_a_pack_file_that_cannot_be_read(tmp_path) -> None:
    (tmp_path / "x-2026.11.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyInvalid, match=r"x-2026\.11\.yaml cannot be read"):
        load_packs(tmp_path)


def test_ids_that_no_pack_has_are_named_with_their_field() -> None:
    matter = Matter.model_validate(complete()["matter"])
    assert unknown_ids(matter, packs()) == ()
    wrong = {
        "counsel_acceptances": [{"rule": "R99", "name": "律师甲", "on": ON}],
        "acceptances": [{"gate": "R01", "name": "某", "on": ON, "reason": "无"}],
        "opinions": [{"about": ["P99"], "counsel": "律师甲", "on": ON, "file": "x.pdf"}],
        "retention": [{"row_class": "x", "rules": ["P06"]}],
        "holds": [{"kind": "litigation", "opened": ON}, {"kind": "P06", "opened": ON}],
    }
    found = unknown_ids(Matter.model_validate(wrong), packs())
    assert [field for field, _ in found] == [
        ("counsel_acceptances", 0, "rule"), ("acceptances", 0, "gate"), ("opinions", 0, "about", 0),
        ("retention", 0, "rules", 0), ("holds", 1, "kind"),
    ]  # fmt: skip


def test_parts_that_nobody_knows_are_named_with_their_field() -> None:
    matter = Matter.model_validate(complete()["matter"])
    assert unknown_parts(matter, {"lending.loan"}, {"settled"}) == ()
    wrong = {
        "purposes": {"lending.lone": "loan service"},
        "bases": [{"data_set": "lending.lone", "operation": "transfer"}],
        "retention": [{"row_class": "open"}],
        "holds": [{"kind": "litigation", "opened": ON, "row_classes": ["settled", "open"]}],
    }
    found = unknown_parts(Matter.model_validate(wrong), {"lending.loan"}, {"settled"})
    assert [field for field, _ in found] == [
        ("purposes", "lending.lone"), ("bases", 0, "data_set"), ("retention", 0, "row_class"),
        ("holds", 0, "row_classes", 1),
    ]  # fmt: skip


def test_documents_are_read_and_compared() -> None:
    files = {"right.pdf": [b"a", b"b"], "changed.pdf": [b"x"]}
    documents = [
        Document(kind="nda", file=name, sha256=hashlib.sha256(b"ab").hexdigest(), date=ON, expires="never")
        for name in ("right.pdf", "changed.pdf", "gone.pdf")
    ]
    verified, wrong = verify_files(documents, files.get)
    assert [one.file for one in verified] == ["right.pdf"]
    assert [field for field, _ in wrong] == [("documents", 1, "sha256"), ("documents", 2, "file")]
    assert "file changed.pdf has SHA-256" in wrong[0][1]
    assert "file gone.pdf is missing" in wrong[1][1]


@pytest.mark.parametrize("name", ["../x.pdf", "/etc/x.pdf", "a/../../x.pdf", "a\\b.pdf", "a\nb.pdf", ""])
def test_a_document_cannot_lead_out_of_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="file"):
        Document(kind="nda", file=name, sha256="ab" * 32, date=ON, expires="never")


def test_whether_a_document_expires_must_be_said() -> None:
    document = {"kind": "nda", "file": "x.pdf", "sha256": "ab" * 32, "date": ON}
    with pytest.raises(ValueError, match="expires"):
        Document.model_validate(document)


def test_a_matter_goes_through_yaml_and_json_unchanged() -> None:
    matter = Matter.model_validate(yaml.safe_load(yaml.safe_dump(complete()["matter"], allow_unicode=True)))
    assert Matter.model_validate(matter.document()) == matter
    assert matter.sha256_of_json() == Matter.model_validate_json(matter.model_dump_json()).sha256_of_json()
