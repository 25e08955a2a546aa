"""A mandate is for the rules as they were signed and for so many rows: whatever differs is said."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from handover.model.mandate import Mandate, Rules, together
from handover.model.registered import RegisteredSource
from handover.settings import REPOSITORY

VIEWS, LOANS = "网站浏览记录 / page views", "已结清贷款 / settled loans"
PACKS = {"cn-pipl@2026.11": "1" * 64}
DATAMAP = "2" * 64
Document = dict[str, Any]


def document() -> Document:
    text = (REPOSITORY / "include" / "sources" / "sample-lending.yaml").read_text(encoding="utf-8")
    made: Document = yaml.safe_load(text)
    return made


def class_of(said: Document, name: str) -> Document:
    return next(one for one in said["retention"] if one["name"] == name)


def rules(said: Document | None = None, *names: str, **changes: Any) -> Rules:
    source = RegisteredSource.model_validate(said or document())
    now: dict[str, Any] = {"policy": PACKS, "address": "host=a", "datamap": DATAMAP} | changes
    return Rules.of(source, names or (VIEWS, LOANS), **now)


CHANGES: dict[str, tuple[Callable[[Document], object], str]] = {
    "rules": (lambda one: class_of(one, VIEWS)["rules"].append("R16"), f"class {VIEWS} changed"),
    "days": (
        lambda one: class_of(one, VIEWS)["days"]["purpose_end"]["plus"].update(months=5),
        f"class {VIEWS} changed",
    ),
    "where": (lambda one: class_of(one, LOANS).update(where="true"), f"class {LOANS} changed"),
    "along": (lambda one: class_of(one, LOANS)["along"].pop(), f"class {LOANS} changed"),
    "then": (lambda one: class_of(one, LOANS).update(then="pseudonymise"), f"class {LOANS} changed"),
    "gone": (lambda one: one["retention"].remove(class_of(one, VIEWS)), f"class {VIEWS} changed"),
    "references": (lambda one: one["polymorphic"][0]["targets"].pop("loan"), "the source file changed"),
    "schemas": (lambda one: one["database"]["schemas"].pop(), "the source file changed"),
    "backup": (lambda one: one["sweep"]["disposal"].update(backup_days=0), "the source file changed"),
}


@pytest.mark.parametrize("change, said", CHANGES.values(), ids=CHANGES)
def test_a_changed_rule_is_named(change: Callable[[Document], object], said: str) -> None:
    changed = document()
    change(changed)
    assert next(rules().changes(rules(changed))) == said


def test_what_is_around_the_source_is_part_of_it() -> None:
    assert list(rules().changes(rules(policy={**PACKS, "cn-pipl@2026.11": "3" * 64}))) == [
        "the policy packs changed"
    ]
    assert list(rules().changes(rules(address="host=b"))) == ["the address of the source changed"]
    assert list(rules().changes(rules(datamap="4" * 64))) == [], "rows that only go do not need it"
    masked = document()
    class_of(masked, VIEWS).update(then="pseudonymise", where="page IS NOT NULL")
    before, after = (rules(masked, VIEWS, datamap=digest * 64) for digest in "24")
    assert list(before.changes(after)) == ["the data map changed"]


def test_words_and_hours_are_not() -> None:
    changed = document()
    changed |= {"title": "another", "owner": "another office", "mandate_signers": []}
    changed["sweep"]["schedule"] = "0 4 * * *"
    class_of(changed, "投诉 / complaints")["rules"] = ["R25"]
    assert list(rules().changes(rules(changed))) == []


def mandate(**changes: Any) -> Mandate:
    fields = {"rows": 10, "share": Decimal("0.05"), "until": date(2027, 1, 1)} | changes
    return Mandate(id="md-1", source="sample-lending", rules=rules(), **fields)


def test_each_limit_is_kept() -> None:
    at_most = {VIEWS: {"a.views": (5, 100)}, LOANS: {"a.loans": (4, 80), "a.parts": (6, 120)}}
    assert list(mandate().exceeded(at_most)) == []
    assert list(mandate(rows=9).exceeded(at_most)) == [f"10 rows of class {LOANS} go, more than 9"]
    one_more = {VIEWS: {"a.views": (6, 119)}}
    assert list(mandate().exceeded(one_more)) == ["6 of 119 rows of a.views go, more than a share of 0.05"]
    assert list(mandate().exceeded({"other": {"a.b": (1, 100)}})) == ["class other is not in it"]


def test_what_is_gone_counts_as_if_it_went_at_once() -> None:
    gone = {VIEWS: {"a.views": (3, 100)}, LOANS: {"a.loans": (4, 80)}}
    now = {VIEWS: {"a.views": (2, 97)}, "other": {"a.b": (1, 100)}}
    both = together(now, gone)
    assert both == {VIEWS: {"a.views": (5, 100)}, LOANS: {"a.loans": (4, 80)}, "other": {"a.b": (1, 100)}}
    one_more = together({VIEWS: {"a.views": (3, 97)}}, gone)
    assert list(mandate().exceeded(one_more)) == ["6 of 100 rows of a.views go, more than a share of 0.05"]
    further = together({LOANS: {"a.parts": (7, 200)}}, gone)
    assert list(mandate().exceeded(further)) == [f"11 rows of class {LOANS} go, more than 10"]


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"share": "0"}, {"share": "1.01"}, {"share": "NaN"}])
def test_no_limit_can_be_left_open(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mandate(**wrong)
