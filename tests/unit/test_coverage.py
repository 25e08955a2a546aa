"""Each requirement has what its kind asks for: tests, evidence that is described, words of people."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from handover import cli
from handover.errors import EvidenceInvalid
from handover.evidence.coverage import described_evidence, existing_tests, markdown, summary
from handover.model.requirements import IDS, Catalogue, parse_catalogue
from handover.settings import REPOSITORY

TEXT = (REPOSITORY / "include" / "requirements.yaml").read_text(encoding="utf-8")
TESTS = existing_tests(REPOSITORY / "tests")
EVIDENCE = described_evidence((REPOSITORY / "docs" / "evidence-format.md").read_text(encoding="utf-8"))


def catalogue() -> Catalogue:
    return parse_catalogue(TEXT, "requirements.yaml")


def test_each_requirement_has_what_stands_for_it() -> None:
    assert len(IDS) == 83
    assert catalogue().faults(TESTS, EVIDENCE) == []


def test_the_table_in_the_documentation_is_the_one_that_is_made() -> None:
    written = (REPOSITORY / "docs" / "requirements.md").read_text(encoding="utf-8")
    assert written == markdown(catalogue()), "`handover coverage --markdown > docs/requirements.md`"


Doctoring = Callable[[dict[str, Any]], object]
# Takes away what a row needs; {id: row} can be changed at will.
DOCTORED: dict[str, tuple[Doctoring, str]] = {
    "a software row without a test": (
        lambda rows: rows["C01"].pop("tests"),
        "C01 is kept by software, but names no test",
    ),
    "software's part without a test": (
        lambda rows: rows["A14"].pop("tests"),
        "A14 is kept by software, but names no test",
    ),
    "without evidence": (
        lambda rows: rows["C01"].pop("evidence"),
        "C01 is kept by software, but names no evidence",
    ),
    "without words about software": (
        lambda rows: rows["C01"].pop("does"),
        "C01 does not say what software does",
    ),
    "people's part without words": (
        lambda rows: rows["A14"].pop("people"),
        "A14 is kept by people, but does not say what they supply",
    ),
    "an organisational row without words": (
        lambda rows: rows["A17"].pop("people"),
        "A17 is kept by people, but does not say what they supply",
    ),
    "a test that is not there": (
        lambda rows: rows["C01"]["tests"].append("tests/unit/test_cli.py::test_nothing_of_the_kind"),
        "C01: there is no test tests/unit/test_cli.py::test_nothing_of_the_kind",
    ),
    "evidence that nobody describes": (
        lambda rows: rows["C01"]["evidence"].append("wishful-thinking"),
        "C01: docs/evidence-format.md describes no wishful-thinking",
    ),
    "pending without a reason": (
        lambda rows: rows["C01"].update(pending=True),
        "C01 is pending, but does not say what it waits for",
    ),
    "a reason without pending": (
        lambda rows: rows["C01"].update(waits_for="better days"),
        "C01 waits for something, but is not pending",
    ),
    "a row that is gone": (lambda rows: rows.pop("C01"), "C01 is missing"),
    "a row twice": (lambda rows: rows["C01"].update(id="C02"), "C02 stands 2 times"),
    "an id of its own": (
        lambda rows: rows["C01"].update(id="Z01"),
        "Z01 is no requirement of the catalogue",
    ),
}


@pytest.mark.parametrize("doctoring, said", DOCTORED.values(), ids=DOCTORED)
def test_a_doctored_catalogue_is_found_out(doctoring: Doctoring, said: str) -> None:
    rows = {row["id"]: row for row in yaml.safe_load(TEXT)["requirements"]}
    doctoring(rows)
    doctored = Catalogue.model_validate({"requirements": list(rows.values())})
    assert said in doctored.faults(TESTS, EVIDENCE)


def test_a_pending_row_needs_no_test_yet() -> None:
    rows = {row["id"]: row for row in yaml.safe_load(TEXT)["requirements"]}
    del rows["C01"]["tests"]
    rows["C01"] |= {"pending": True, "waits_for": "a better day"}
    doctored = Catalogue.model_validate({"requirements": list(rows.values())})
    assert doctored.faults(TESTS, EVIDENCE) == []
    assert "**Pending:** a better day" in markdown(doctored)
    waiting = sum(one.pending for one in doctored.requirements)
    assert summary(doctored).endswith(f"{waiting} wait for something")


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("    kind: SW", "    kind: SOFT", r"line 7, requirements\.0\.kind"),
        ("    zh:", "    cn:", r"requirements\.0\.(zh|cn)"),
        ("tests/unit/", "unit/", r"requirements\.0\.tests\.0"),
        ("requirements:", "rows:", "requirements"),
    ],
)
def test_what_is_written_wrong_is_told_with_its_line(old: str, new: str, said: str) -> None:
    with pytest.raises(EvidenceInvalid, match=said):
        parse_catalogue(TEXT.replace(old, new, 1), "requirements.yaml")


def test_tests_are_found_by_reading(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "unit"
    folder.mkdir(parents=True)
    (folder / "test_some.py").write_text("def test_one() -> None: ...\ndef helper() -> None: ...\n")
    (folder / "other.py").write_text("def test_two() -> None: ...\n")
    assert existing_tests(tmp_path / "tests") == {"tests/unit/test_some.py::test_one"}


def test_the_command_prints_every_requirement_and_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(IDS)
    assert lines[-1] == summary(catalogue())
    assert told.err == ""
    assert cli.main(["coverage", "--markdown"]) == 0
    assert capsys.readouterr().out == markdown(catalogue())
