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
            lambda s: s["retention"].append(
                first({"retention": [s["retention"][6]]}) | {"name": "x", "along": []}
            ),
            "write the same along and then for both",
        ),
        (lambda s: s["retention"][0].update(along=["lending.loans"]), "has a fate of its own"),
        (lambda s: s.update(source="another"), "says source: another"),
        (lambda s: s.update(colour="red"), "unknown key"),
    ],
)
def test_what_is_refused(change: Callable[[dict[str, Any]], object], said: str) -> None:
    with pytest.raises(SourceInvalid, match=said):
        parse_source(changed(change), Path(f"{NAME}.yaml"))


def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("source: there")
    for name in ("../there", "absent", "/etc/passwd"):
        with pytest.raises(SourceInvalid, match="is not registered"):
            load_source(tmp_path / "sources", name)
