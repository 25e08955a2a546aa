"""A source's file: what is refused in it, with the field and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from handover.errors import SourceInvalid
from handover.model.registered import load_source, parse_source
from handover.settings import REPOSITORY

FOLDER = REPOSITORY / "include" / "sources"
NAME = "sample-lending"


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    document = yaml.safe_load((FOLDER / f"{NAME}.yaml").read_text(encoding="utf-8"))
    change(document)
    return yaml.safe_dump(document, allow_unicode=True)


def first(source: dict[str, Any]) -> dict[str, Any]:
    return dict(source["retention"][0])


def test_what_is_shipped_is_valid() -> None:
    assert load_source(FOLDER, NAME).zone.key == "Asia/Shanghai"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(timezone="Mars/Olympus"), "is no time zone"),
        (lambda s: s["sweep"].update(schedule="now"), "is no cron expression"),
        (lambda s: s["database"].update(large_objects=True), "nobody can say whose a large object is"),
        (lambda s: s["retention"].append(first(s)), "names a class twice"),
        (lambda s: s["retention"][0].update(then="pseudonymise"), "needs a where"),
        (lambda s: s["retention"][7]["days"]["fiscal_year"].update(plus={"years": 1}), "has plus"),
        (
            lambda s: s["retention"].append(dict(s["retention"][6]) | {"name": "x", "along": []}),
            "write one class with the rules and the where of both",
        ),
        (
            lambda s: s["retention"].append(dict(s["retention"][6]) | {"name": "x", "where": "false"}),
            "write one class with the rules and the where of both",
        ),
        (
            lambda s: s["retention"][0].update(along=["lending.guarantors"]),
            r"lending\.guarantors is under along twice",
        ),
        (lambda s: s["retention"][0].update(along=["lending.loans"]), "has a fate of its own"),
        (lambda s: s.update(source="another"), "says source: another"),
        (lambda s: s.update(colour="red"), "unknown key"),
    ],
)
def test_what_is_refused(change: Callable[[dict[str, Any]], object], said: str) -> None:
    with pytest.raises(SourceInvalid, match=said):
        parse_source(changed(change), Path(f"{NAME}.yaml"))


def by_both_rules(source: dict[str, Any]) -> None:
    """One class of settled and written-off loans."""
    loans = source["retention"][6]
    loans.update(where="status IN ('settled', 'written_off')", rules=[*loans["rules"], "R21"])


def by_classes_of_their_own(source: dict[str, Any]) -> None:
    """Settled and written-off loans apart, and what came along as well."""
    loans = source["retention"][6]
    tables = loans.pop("along")
    written_off = dict(loans) | {"name": "written off", "where": "status = 'written_off'"}
    own = [{"name": table, "table": table, "rules": ["R21"]} for table in tables]
    source["retention"] += [written_off, *own]


@pytest.mark.parametrize("remedy", [by_both_rules, by_classes_of_their_own])
def test_two_classes_of_a_table_can_be_written_as_the_refusal_says(
    remedy: Callable[[dict[str, Any]], None],
) -> None:
    parse_source(changed(remedy), Path(f"{NAME}.yaml"))


def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("source: there")
    for name in ("../there", "absent", "/etc/passwd"):
        with pytest.raises(SourceInvalid, match="is not registered"):
            load_source(tmp_path / "sources", name)
