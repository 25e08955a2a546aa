"""A hand-over list of accounting archives: volumes from both sides' figures, files, declaration."""

import csv
import io
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.matters import packs
from fixtures.runs import CASE
from handover.errors import CaseInvalid
from handover.evidence.handover_list import list_csv, list_files, list_html
from handover.model.case import parse_case
from handover.model.figures import Amount, Figures, Group, ItemFigures, TableFigures
from handover.model.handover_list import (
    Control,
    ControlAmount,
    Duration,
    HandoverList,
    ListedTable,
    TechnicalCheck,
    Volume,
)
from handover.model.ledger_list import Archive, year_in
from handover.model.policy import Text
from handover.model.reconciliation import Reconciliation
from handover.quality.volumes import Volume as Held
from handover.quality.volumes import volumes
from handover.stages.archive_checks import line_said
from handover.stages.handover_list import impossible_years, listed_volumes

DECLARED: dict[str, Any] = {
    "counts": [
        {"name": "vouchers", "table": "s.voucher", "by": ["kind", "book_year"]},
        {"name": "dated", "table": "s.voucher", "by": ["kind"], "year": "made"},
        {"name": "accounts", "table": "s.account", "by": ["code"]},
    ],
    "balances": [
        {"name": "trial", "table": "s.line", "debit": "debit", "credit": "credit", "period": "made"},
        {"name": "whole", "table": "s.line", "debit": "debit", "credit": "credit"},
    ],
    "relations": [
        {
            "name": "owed",
            "table": "s.loan",
            "key": ["id"],
            "total": {"table": "s.instalment", "column": "due"},
            "minus": {"table": "s.payment", "column": "paid"},
            "show_by": ["book_year"],
        }
    ],
}
RECONCILIATION = Reconciliation.model_validate(DECLARED)
ARCHIVE: dict[str, Any] = {"name": "凭证 / vouchers", "code": "PZ", "rule": "R01", "tables": ["s.line"]}
LEDGER: dict[str, Any] = {
    "number": "YJ-1",
    "pack": "cn-accounting@2026.11",
    "medium": "m",
    "reader": "r",
    "currency": "CNY",
    "archives": [ARCHIVE | {"totals": [{"item": "trial"}]}],
}
NAMED = "archive PZ 凭证 / vouchers"


def archive(*totals: dict[str, str], **changes: object) -> Archive:
    return Archive.model_validate(ARCHIVE | {"totals": list(totals)} | changes)


def table(name: str, rows: int) -> TableFigures:
    return TableFigures(schema_name="s", name=name, rows=rows, columns=(), generated=(), generated_digest="")


def group(labels: Sequence[str | None], rows: int, *totals: str | None, others: int = 20) -> Group:
    amounts = tuple(Amount(total=total, others=others) for total in totals)
    return Group(labels=tuple(labels), rows=rows, amounts=amounts)


def figures(name: str, groups: Sequence[Group], **tables: int) -> Figures:
    item = ItemFigures(name=name, coarse=(), groups=tuple(groups))
    return Figures(tables=tuple(table(label, rows) for label, rows in tables.items()), items=(item,))


def compared(of: Archive, source: Figures, target: Figures | None = None) -> tuple[list[Any], list[str]]:
    return volumes(of, RECONCILIATION, source, target or source, lambda parts: f"token-{len(parts)}")


def test_months_add_up_to_the_volume_of_their_year_to_the_last_digit() -> None:
    cent = "0." + "0" * 60 + "1"
    side = figures(
        "trial",
        [
            group(["2020-01"], 12, "100000000000000000000000000000.10", "1"),
            group(["2020-12"], 30, cent, None),
            group(["2021-01"], 11, "5.00", "5.00"),
        ],
        line=53,
    )
    found, lines = compared(archive({"item": "trial"}), side)
    assert lines == []
    assert [one.years for one in found] == [(2020, 2020), (2021, 2021)]
    (control,) = found[0].controls
    assert (control.table, control.rows) == ("s.line", 42)
    assert [(amount.of, amount.shown) for amount in control.amounts] == [
        ("debit", "100000000000000000000000000000.10" + "0" * 58 + "1"),
        ("credit", "1"),
    ]


def test_the_year_is_found_in_each_kind_of_item() -> None:
    vouchers = figures("vouchers", [group(["收", "2020"], 3), group(["付", "2020"], 4)], line=7)
    found, lines = compared(archive({"item": "vouchers", "year": "book_year"}), vouchers)
    assert ([(one.years, one.controls[0].rows) for one in found], lines) == ([((2020, 2020), 7)], [])
    dated = figures("dated", [group(["收", "2020"], 3), group(["收", "2021"], 4)], line=7)
    found, lines = compared(archive({"item": "dated"}), dated)
    assert ([one.controls[0].rows for one in found], lines) == ([3, 4], [])
    owed = figures("owed", [group(["2020"], 7, "9.5", "1.5", "8.0")], line=7)
    found, lines = compared(archive({"item": "owed", "year": "book_year"}), owed)
    shown = [(amount.of, amount.shown) for amount in found[0].controls[0].amounts]
    assert (shown, lines) == ([("due", "9.5"), ("paid", "1.5"), ("due − paid", "8.0")], [])


def test_an_archive_of_all_years_is_one_volume() -> None:
    whole = archive({"item": "whole"}, years=[2019, 2021])
    found, lines = compared(whole, figures("whole", [group([], 9, "1.0", "1.0")], line=9))
    assert ([(one.years, one.controls[0].rows) for one in found], lines) == ([((2019, 2021), 9)], [])
    found, lines = compared(whole, figures("whole", [], line=0))
    assert ([(one.years, one.controls[0].rows) for one in found], lines) == ([((2019, 2021), 0)], [])


YEARS = [group(["2020"], 12, "7.00", "7.00"), group(["2021"], 12, "9.00", "9.00")]


@pytest.mark.parametrize(
    "changed, said",
    [
        (group(["2021"], 12, "9.01", "9.00"), "debit of s.line: its total in the target is not that of"),
        (group(["2021"], 12, "9.00", "9.0"), "credit of s.line: its total in the target is not that of"),
        (group(["2021"], 12, "9.00", None), "credit of s.line: its total in the target is not that of"),
        (group(["2021"], 11, "9.00", "9.00"), "12 rows of s.line in the source, 11 in the target"),
    ],
)
def test_a_difference_is_named_by_archive_and_volume(changed: Group, said: str) -> None:
    target = figures("trial", [YEARS[0], changed], line=24)
    _, lines = compared(archive({"item": "trial"}), figures("trial", YEARS, line=24), target)
    assert len(lines) == 1
    assert lines[0].startswith(f"{NAMED}, volume 2021: ")
    assert said in lines[0]
    assert not re.search(r"[79]\.0", lines[0])


def test_a_volume_that_only_one_side_has_is_a_difference() -> None:
    both, one = figures("trial", YEARS, line=24), figures("trial", YEARS[:1], line=24)
    for ours, theirs, counts in ((both, one, ("12", "0")), (one, both, ("0", "12"))):
        _, lines = compared(archive({"item": "trial"}), ours, theirs)
        said = f"{NAMED}, volume 2021: {counts[0]} rows of s.line in the source, {counts[1]} in the target"
        assert said in lines


@pytest.mark.parametrize("label", [None, "infinity", "-0044", "12020", "2020-1"])
def test_rows_without_a_fiscal_year_are_not_listed_in_silence(label: str | None) -> None:
    side = figures("trial", [*YEARS, group([label], 3, "1.00", "1.00")], line=27)
    _, lines = compared(archive({"item": "trial"}), side)
    assert f"{NAMED}: 3 rows of s.line belong to no fiscal year" in lines
    assert year_in(label) is None


def test_rows_that_no_volume_counts_are_found() -> None:
    _, lines = compared(archive({"item": "trial"}), figures("trial", YEARS, line=25))
    assert lines == [
        f"{NAMED}: its volumes count 24 rows, its tables hold 25; give for each table one item that counts "
        "all of its rows"
    ]
    _, lines = compared(archive({"item": "trial"}, tables=["s.gone"]), figures("trial", YEARS, line=24))
    assert lines == [f"{NAMED}: s.gone is no table that moved; name partitions one by one"]
    _, lines = compared(archive({"item": "trial"}), figures("vouchers", [], line=24))
    assert "its volumes count 0 rows" in lines[0]


def test_what_rests_on_few_values_is_shown_in_no_volume() -> None:
    """The report hides March 2020, and January 2021 with it: 2020 less its other months would be March."""
    side = figures(
        "trial",
        [
            group(["2020-02"], 40, "40.00", "40.00"),
            group(["2020-03"], 2, "765.43", "765.43", others=2),
            group(["2021-01"], 20, "20.00", "20.00"),
            group(["2022-01"], 60, "60.00", "60.00"),
        ],
        line=122,
    )
    found, lines = compared(archive({"item": "trial"}), side)
    assert lines == []
    shown = {one.years[0]: one.controls[0].amounts[0].shown for one in found}
    assert shown == {2020: "<10 · token-5", 2021: "<10 · token-5", 2022: "60.00"}


def test_hidden_months_that_rest_on_enough_values_together_hide_no_year() -> None:
    months = [group([f"2020-{n:02}"], 6, "6.00", "6.00", others=6) for n in (1, 2)]
    found, _ = compared(archive({"item": "trial"}), figures("trial", [*months, *YEARS[1:]], line=24))
    assert [one.controls[0].amounts[0].shown for one in found] == ["12.00", "9.00"]


# -- periods ------------------------------------------------------------------------------------------------


def listed(rule: str, on: date, *years: tuple[int, int]) -> list[Volume]:
    pack = next(pack for pack in packs() if pack.label == LEDGER["pack"])
    held = [Held(years=one, controls=()) for one in years]
    return listed_volumes(archive({"item": "trial"}), held, pack.retention[rule], on)


@pytest.mark.parametrize(
    ("year", "on", "kept"),
    [
        (2019, date(2020, 1, 1), (0, 0)),
        (2019, date(2020, 1, 31), (0, 0)),
        (2019, date(2020, 2, 1), (0, 1)),
        (2019, date(2026, 12, 31), (6, 11)),
        (2019, date(2027, 1, 1), (7, 0)),
        (2026, date(2026, 11, 22), (0, 0)),  # the year is not over
    ],
)
def test_a_period_is_kept_from_the_day_after_the_fiscal_year(
    year: int, on: date, kept: tuple[int, int]
) -> None:
    (found,) = listed("R01", on, (year, year))
    assert (found.kept.years, found.kept.months) == kept
    assert (found.required_years, found.keep_until) == (30, date(year + 30, 12, 31))


def test_periods_are_those_of_the_rule() -> None:
    today = date(2026, 11, 22)
    (ten,) = listed("R03", today, (2020, 2021))
    assert (ten.required_years, ten.keep_until, ten.kept.years) == (10, date(2031, 12, 31), 4)
    (permanent,) = listed("R04", today, (2020, 2020))
    assert (permanent.required_years, permanent.keep_until) == (None, None)
    several = listed("R01", today, (2020, 2020), (2021, 2021))
    assert [(one.number, one.volumes, one.first_year) for one in several] == [(1, 2, 2020), (2, 2, 2021)]


@pytest.mark.parametrize("years", [(2027, 2027), (2020, 2999), (1900, 1900)])
def test_years_that_no_books_can_have_are_named(years: tuple[int, int]) -> None:
    on = date(2026, 11, 22)
    found = impossible_years(archive({"item": "trial"}), [Held(years, ()), Held((2026, 2026), ())], on)
    assert len(found) == 1
    assert found[0].startswith(f"{NAMED}, volume {years[0]}")


def test_how_data_goes_to_the_target_is_said_honestly() -> None:
    said = {line_said(tls=tls, same_machine=here).en for tls in (True, False) for here in (True, False)}
    assert len(said) == 3
    assert "not encrypted" in line_said(tls=False, same_machine=False).en


# -- the files ----------------------------------------------------------------------------------------------


def volume(number: int, count: int, name: str = "凭证 <b>& vouchers", **changes: object) -> Volume:
    lines = Control(
        table="账务.lines", rows=1234, amounts=tuple(ControlAmount(of=o, shown="-1.00") for o in ("借", "贷"))
    )
    made = Volume(
        archive=name,
        code="PZ",
        number=number,
        volumes=count,
        first_year=2000 + number,
        last_year=2000 + number,
        rule="R01",
        required_years=30,
        kept=Duration(years=4, months=10),
        keep_until=date(2051, 12, 31),
        controls=(lines, Control(table="账务.vouchers", rows=5, amounts=())),
    )
    return made.model_copy(update=changes)


def made_list(*found: Volume, **changes: object) -> HandoverList:
    checks = [
        TechnicalCheck(test=test, passed=True, found=(Text(zh="相符。", en="equal."),))
        for test in ("accurate", "complete", "usable", "safe")
    ]
    tables = [
        ListedTable(archive="凭证", table="账务.lines", rows=1234, chunks=2, format="text", digest="ab" * 32)
    ]
    made = HandoverList(
        number="YJ-1", edition=1, case="case-1", run="run-1", title="移交 / transfer",
        compiled_on=date(2026, 11, 22),
        giver="示例甲 <giver>", recipient="示例乙", medium="m", reader="r", currency="元", generation=1,
        volumes=found, tables=tuple(tables), checks=tuple(checks), open_questions=(),
    )  # fmt: skip
    return made.model_copy(update=changes)


def test_the_same_list_gives_the_same_bytes() -> None:
    made = made_list(volume(1, 1))
    assert list_files(made) == list_files(HandoverList.model_validate_json(made.json_bytes))
    assert made.sha256 in list_html(made)


def test_the_table_has_a_line_for_each_amount_and_each_table_without() -> None:
    permanent = volume(2, 2, "=HYPERLINK(1)", required_years=None, keep_until=None)
    rows = list(csv.reader(io.StringIO(list_csv(made_list(volume(1, 2), permanent)).decode("utf-8-sig"))))
    heading, *lines = rows
    assert len(lines) == 6
    assert {len(line) for line in rows} == {len(heading)}
    assert lines[0][:9] == ["1", "凭证 <b>& vouchers", "1", "2", "2001", "2001", "PZ", "30 年 years",
                            "4 年 10 月 4y 10m"]  # fmt: skip
    assert lines[0][11:15] == ["账务.lines", "1234", "借", "-1.00"]
    assert lines[2][11:15] == ["账务.vouchers", "5", "", ""]
    assert lines[3][1] == "'=HYPERLINK(1)"  # a spreadsheet must not take a name for a formula
    assert lines[3][7:10] == ["永久 permanent", "4 年 10 月 4y 10m", ""]


def test_the_page_escapes_names_and_forbids_itself_scripts() -> None:
    page = list_html(made_list(volume(1, 1)))
    assert "凭证 &lt;b&gt;&amp; vouchers" in page
    assert "示例甲 &lt;giver&gt;" in page
    assert "default-src &#39;none&#39;" in page
    assert "<script" not in page


def test_the_page_has_slots_for_all_who_sign_in_both_words() -> None:
    page = list_html(made_list(volume(1, 1)))
    for word in ("移交人", "接收人", "经办人", "监交人", "监督人", "一式三份", "未了事项", "职务"):
        assert word in page
    for test in ("准确性", "完整性", "可用性", "安全性"):
        assert test in page
    assert page.count("签字、日期") == 4
    assert "none declared" in page
    assert "盖章前补齐" in list_html(made_list(volume(1, 1), open_questions=("盖章前补齐",)))


@pytest.mark.parametrize("count", [1, 8, 9, 40])
def test_pages_are_counted_and_hold_every_volume_once(count: int) -> None:
    page = list_html(made_list(*(volume(number, count) for number in range(1, count + 1))))
    sections = page.split('<section class="page">')[1:]
    for number, section in enumerate(sections, 1):
        assert f"第 {number} 页 共 {len(sections)} 页" in section
    assert f"本清册共 {len(sections)} 页，列 {count} 卷" in page
    listed = [int(n) for n in re.findall(r'<td class="centre">(\d+) / \d+</td>', page)]
    assert listed == list(range(1, count + 1))
    most = max(section.count("账务.vouchers") for section in sections)
    assert most <= 8


# -- what a case declares -----------------------------------------------------------------------------------


def refused(**changes: Any) -> str:
    document = {
        **CASE,
        "reconciliation": DECLARED,
        "ledger": {**LEDGER, **changes.pop("ledger", {})},
        **changes,
    }
    with pytest.raises(CaseInvalid) as error:
        parse_case(yaml.safe_dump(document, allow_unicode=True), Path("test-transfer.yaml"))
    return str(error.value)


def with_archive(**changes: object) -> dict[str, Any]:
    return {"archives": [ARCHIVE | {"totals": [{"item": "trial"}]} | changes]}


def test_what_a_ledger_declares_wrongly_is_named() -> None:
    assert "reconciliation has no item 'none'" in refused(ledger=with_archive(totals=[{"item": "none"}]))
    wrong = with_archive(totals=[{"item": "vouchers", "year": "colour"}])
    assert "vouchers does not part rows by 'colour'" in refused(ledger=wrong)
    assert "whole does not say the fiscal year" in refused(ledger=with_archive(totals=[{"item": "whole"}]))
    twice = with_archive(totals=[{"item": "trial"}, {"item": "trial"}])
    assert "s.line is counted by an item before it" in refused(ledger=twice)
    assert "years ends before it begins" in refused(ledger=with_archive(years=[2021, 2019]))
    same = {"archives": LEDGER["archives"] * 2}
    assert "archives gives a code twice" in refused(ledger=same)
    assert "ledger.pack cn-accounting@2026.11 is not one of policy" in refused(policy=["cn-pipl@2026.11"])
    assert "ledger.pack" in refused(ledger={"pack": "cn-accounting"})
