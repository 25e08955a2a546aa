"""The record of processing: what it says in both languages, and that it says nothing that nobody said."""

import json
import os
from pathlib import Path

import pytest

from handover.classify.record import markdown, record
from handover.cli import main
from handover.model.case import load_case
from handover.model.datamap import load_datamap
from handover.settings import REPOSITORY

INCLUDE = REPOSITORY / "include"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder that holds nothing."""
    for name in [n for n in os.environ if n.startswith("HANDOVER_") and n != "HANDOVER_PG_BIN"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HANDOVER_HOME", str(tmp_path))


def test_the_sample_companys_record() -> None:
    case = load_case(INCLUDE / "cases", "whole-database")
    made = record(case, load_datamap(INCLUDE / "datamaps", "whole-database"))
    activities = {activity["table"]: activity for activity in made["activities"]}
    customers = activities["lending.customers"]
    assert customers["sensitive_columns"] == ["resident_id", "monthly_income"]
    assert {"居民身份证号", "手机号", "姓名"} <= set(customers["kinds_zh"])
    assert (customers["highest_jrt0171"], customers["highest_gbt43697"]) == ("C2", 4)
    assert activities["lending.call_notes"]["sensitive_columns"] == ["note"]
    assert activities["lending.attachments"]["persons"] == [
        "lending.credit_applications",
        "lending.customers",
        "lending.loans",
    ]
    assert "lending.products" not in activities
    assert made["controller"] == case.parties.giver.name
    assert made["unknown_purpose_or_origin"] == ["lending.page_views"]


def test_markdown_and_json_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ropa", "whole-database"]) == 0
    said = capsys.readouterr().out
    assert "# 个人信息处理活动记录 / Record of processing activities" in said
    assert "- [ ] 保存期限 / periods after which data is erased" in said
    assert "lending.page_views: 目的或来源未知" in said
    assert main(["ropa", "whole-database", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["activities"]) == 24


def test_only_a_confirmed_map_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (INCLUDE / "datamaps" / "whole-database.yaml").read_text()
    (tmp_path / "whole-database.yaml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("confirmed:"))
    )
    monkeypatch.setenv("HANDOVER_DATAMAPS", str(tmp_path))
    assert main(["ropa", "whole-database"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "288 columns are not confirmed" in said.err


def test_names_cannot_break_the_table() -> None:
    case = load_case(INCLUDE / "cases", "whole-database")
    datamap = load_datamap(INCLUDE / "datamaps", "whole-database")
    first = next(d for d in datamap.datasets if d.subject)
    odd = first.model_copy(update={"purpose": "a | b\n<b>c"})
    changed = datamap.model_copy(
        update={"datasets": tuple(odd if d is first else d for d in datamap.datasets)}
    )
    rows = [line for line in markdown(record(case, changed)).splitlines() if "a \\| b &lt;b>c" in line]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 7
