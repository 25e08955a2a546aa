"""A case file: what it must say, what is refused and how it is told; values that may be secret are not."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from fixtures.runs import CASE, write_case
from handover.errors import CaseInvalid
from handover.model.case import Case, load_case, parse_case
from handover.model.strict_yaml import read_mapping
from handover.settings import REPOSITORY

PATH = Path("test-transfer.yaml")


def text(**changes: object) -> str:
    return yaml.safe_dump({**CASE, **changes}, allow_unicode=True)


def refusal(document: str) -> CaseInvalid:
    with pytest.raises(CaseInvalid) as caught:
        parse_case(document, PATH)
    assert caught.value.hint
    return caught.value


def test_the_example_is_valid_and_says_what_it_says() -> None:
    case = load_case(REPOSITORY / "include" / "cases", "whole-database")
    assert case.source.schemas == ("lending", "账务", "Odd Values")
    assert (case.source.connection, case.target.connection) == ("sample_source", "sample_target")
    assert (case.lanes, case.snapshot_hours) == (2, 12)
    assert case.expectations == ("sample-lending", "sample-ledger")
    assert case.reconciliation.balances[0].name == "trial-balance"


def test_defaults_are_those_of_the_documentation() -> None:
    case = parse_case(text(), PATH)
    assert (case.lanes, case.snapshot_hours, case.source.large_objects) == (2, 12, True)


def test_a_case_never_changes() -> None:
    case = parse_case(text(), PATH)
    with pytest.raises(ValidationError, match="frozen"):
        case.lanes = 3


def test_the_digest_is_of_the_meaning_and_not_of_the_layout() -> None:
    turned = yaml.safe_dump(dict(reversed(CASE.items())), default_flow_style=True) + "# a comment\n"
    assert parse_case(turned, PATH).sha256_of_json() == parse_case(text(), PATH).sha256_of_json()
    assert parse_case(text(lanes=3), PATH).sha256_of_json() != parse_case(text(), PATH).sha256_of_json()


def test_every_fault_is_told_at_once() -> None:
    error = refusal(text(lanes=0, snapshot_hours=500, kind="theft", extra=1))
    assert error.data["fields"] == ["kind", "lanes", "snapshot_hours", "extra"]
    for words in ("lanes: 0:", "snapshot_hours: 500:", "kind: 'theft'", "extra: unknown key"):
        assert words in error.message


@pytest.mark.parametrize("name", ["pg_catalog", "pg_temp_1", "information_schema", "handover"])
def test_schemas_that_are_nobodys_data(name: str) -> None:
    error = refusal(text(source={"connection": "src", "schemas": [name]}))
    assert f"schemas names {name!r}, which is never handed over; take it out" in error.message


def test_no_schema_at_all() -> None:
    assert "source.schemas" in refusal(text(source={"connection": "src", "schemas": []})).message


def test_a_schema_name_is_measured_in_bytes() -> None:
    """PostgreSQL would cut a longer one, perhaps to the name of another schema."""
    longest = "账" * 21
    assert parse_case(text(source={"connection": "src", "schemas": [longest]}), PATH)
    error = refusal(text(source={"connection": "src", "schemas": [longest + "a"]}))
    assert "source.schemas.0" in error.message
    assert "longer than 63 bytes" in error.message


SECRET = "hidden-password"
ADDRESS = f"postgresql://someone:{SECRET}@host/db"
MISPLACED = {
    "as the target itself": {"target": ADDRESS},
    "as a list of targets": {"target": [ADDRESS]},
    "as the connection": {"target": {"connection": ADDRESS}},
    "as libpq's other form": {"target": {"connection": f"host=h password={SECRET}"}},
    "in a list": {"target": {"connection": [ADDRESS]}},
    "as an unknown key": {"target": {"connection": "dst", "url": ADDRESS}},
    "as the number of lanes": {"lanes": ADDRESS},
}


@pytest.mark.parametrize("changes", MISPLACED.values(), ids=MISPLACED)
def test_an_address_is_never_repeated(changes: dict[str, object]) -> None:
    error = refusal(text(**changes))
    assert SECRET not in str(error) + repr(error.data)
    assert next(iter(changes)) in error.message


WRONG_YAML = {
    "an impossible date": "title: 2020-13-45",
    "an impossible number": "title: 0b_",
    "an endless number": f"title: {'9' * 5000}",
    "a tag that does not fit": "title: !!timestamp abc",
    "a boolean that is none": "title: !!bool abc",
    "a call into Python": "title: !!python/object/apply:os.system [x]",
    "a text that contains itself": "title: &a [*a]",
    "a merge": "base: &b {a: 1}\ntitle: {<<: *b}",
    "a key that is a list": "? [a]\n: b",
}


@pytest.mark.parametrize("document", WRONG_YAML.values(), ids=WRONG_YAML)
def test_yaml_that_is_wrong_is_told_with_its_place(document: str) -> None:
    assert "not YAML at line " in refusal(document).message


def test_endless_nesting_is_refused() -> None:
    assert "is not YAML" in refusal("[" * 100_000).message


def test_only_true_and_false_are_truths() -> None:
    _, read = read_mapping("{on: off, yes: no, so: true}", "a document", "an example", CaseInvalid)
    assert read == {"on": "off", "yes": "no", "so": True}


def test_a_key_twice_anywhere() -> None:
    error = refusal(text() + "lanes: 2\nlanes: 3\n")
    assert "key 'lanes' twice" in error.message


def test_a_case_under_another_files_name(tmp_path: Path) -> None:
    write_case(tmp_path)
    (tmp_path / "test-transfer.yaml").rename(tmp_path / "other.yaml")
    with pytest.raises(CaseInvalid, match=r"other\.yaml says case: test-transfer"):
        load_case(tmp_path, "other")


def test_the_documents_form_survives_a_round_trip() -> None:
    case = parse_case(text(acknowledge=["a", "b"]), PATH)
    assert Case.model_validate(case.document()) == case
