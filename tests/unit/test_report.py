"""The verification report: what it says follows from the ledger, whatever is absent, and names stay text."""

import json
import re
import tomllib
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fixtures.reports import Book, equal_run, result
from handover.evidence import report_html
from handover.evidence.charts import figure_bars, largest_tables, lengths, number
from handover.evidence.compared import digest_of
from handover.evidence.report import verification_document, write_report
from handover.evidence.report_html import content_policy, moment, size, verification_html
from handover.settings import REPOSITORY

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onclick='x",
    "{{ 7 * 7 }}",
    "{% include 'report.css' %}",
    "</style><script>",
    "<!--",
    "&lt;b&gt;",
    "\u202ereversed",
]


def text_of(html: str) -> tuple[set[str], str]:
    """Return the elements of a page and its text outside style and script."""
    elements: set[str] = set()
    texts: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            elements.add(tag)
            elements.update(f"{tag}@{name}" for name, _ in attrs)

        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader(convert_charrefs=True).feed(html)
    return elements, "".join(texts)


def page(book: Book) -> str:
    return verification_html(book.document)


def test_a_run_in_which_all_agrees_is_equal() -> None:
    document = equal_run(groups=2).document
    assert (document["verdict"], document["status"], document["findings"]) == ("equal", "complete", [])
    assert document["totals"] == {
        "tables": 2,
        "rows": 80,
        "bytes": 8_000,
        "chunks": 8,
        "comparisons": 5,
        "equal": 5,
        "different": 0,
        "not_compared": 0,
    }
    _, text = text_of(page(equal_run()))
    assert "核验通过" in text
    assert "Verified" in text
    assert "Everything compared is equal" in text


def test_tables_tell_how_they_travelled() -> None:
    first, second = equal_run(groups=2).document["tables"]
    assert first["key"] == [{"column": "id", "order": "natural"}]
    assert (first["format"], first["text_because"], first["groups"], first["chunks"]) == ("binary", "", 2, 4)
    assert second["text_because"].startswith("binary form of amount")
    chunks = ["100", "101", "110", "111"]
    assert first["digest"] == digest_of([chunk.ljust(64, "a") for chunk in chunks]), (
        "in order, not as written"
    )


def test_a_table_is_as_good_as_its_worst_group() -> None:
    book = Book().opened().planned("loan", groups=3).backed_up().restored()
    book.add("verified", {"unit": "t00000/0", "generation": 1, "differences": []})
    assert book.document["tables"][0]["state"] == "not compared"
    book.add("verified", {"unit": "t00000/1", "generation": 1, "differences": ["s.loan: row is missing"]})
    assert book.document["tables"][0]["state"] == "different"
    assert [c["what"] for c in book.document["comparisons"][:3]] == ["s.loan 1/3", "s.loan 2/3", "s.loan 3/3"]


def test_large_objects_are_compared_and_are_no_table() -> None:
    document = equal_run("loan", "").document
    assert [table["table"] for table in document["tables"]] == ["s.loan", "large-objects"]
    assert (document["totals"]["tables"], document["totals"]["rows"]) == (1, 40)


def test_only_the_generation_that_was_sealed_counts() -> None:
    book = Book().opened().planned("loan").backed_up(rows=7, generation=1)
    book.add("generation-void", {"generation": 1}, "g1")
    book.backed_up(rows=10, generation=2)
    assert book.document["totals"]["rows"] == 20
    assert book.document["how"]["snapshot"]["generation"] == 2
    book.add("verified", {"unit": "t00000/0", "generation": 1, "differences": []})
    assert book.document["comparisons"][0]["state"] == "not compared"


def test_only_the_latest_verification_of_a_unit_counts() -> None:
    book = Book().opened().planned("loan").backed_up().restored()
    book.verified(t00000_0=["s.loan: row with id = 1 differs in amount"], objects=["index x is missing"])
    assert [f["text"] for f in book.document["findings"]] == [
        "s.loan: row with id = 1 differs in amount",
        "index x is missing",
    ]
    assert (book.document["verdict"], book.document["tables"][0]["state"]) == ("different", "different")
    book.verified()
    unit = book.document["comparisons"][0]
    assert (unit["state"], unit["attempts"], unit["attempts_that_differed"]) == ("equal", 2, 1)
    assert book.document["verdict"] == "equal"
    assert "compared more than once" in page(book)
    book.verified(objects=["index x is missing"])
    assert book.document["verdict"] == "different"


def test_a_unit_not_compared_is_never_equal() -> None:
    book = Book().opened().planned("loan", "customer").backed_up().restored()
    for unit in ("t00000/0", "t00001/0"):
        book.add("verified", {"unit": unit, "generation": 1, "differences": []})
    assert book.document["verdict"] == "unfinished", "the objects are still to be compared"
    assert "核验未完成" in page(book)


def test_a_restore_that_failed_is_a_finding_until_it_succeeds() -> None:
    book = Book().opened().planned("loan").backed_up().restored("s.loan: row is missing")
    assert book.document["findings"] == [{"area": "restore_test", "text": "s.loan: row is missing"}]
    assert book.restored().document["findings"] == []
    assert book.document["restore_test"]["attempts"] == 2


def test_the_status_follows_the_closing_and_the_work_after_it() -> None:
    book = Book().opened().planned("loan").backed_up()
    assert book.document["status"] == "in progress"
    book.closed("step migrate is not done").failed("the run is not complete", stage="close")
    assert (book.document["status"], book.document["reasons"]) == (
        "not complete",
        ["step migrate is not done"],
    )
    assert book.document["verdict"] == "unfinished"
    assert book.restored().verified().document["status"] == "in progress"
    assert book.closed().document["verdict"] == "equal"


def test_not_complete_is_not_called_equal() -> None:
    book = Book().opened().planned("loan").backed_up().restored().verified().closed("something else")
    assert book.document["verdict"] == "unfinished"


def test_a_run_that_ends_a_companys_data_is_not_compared_with_a_target() -> None:
    book = Book().opened(kind="deregistration").planned("loan").backed_up().restored()
    assert book.document["verdict"] == "unfinished"
    assert book.closed("erased at the source: not done").document["verdict"] == "unfinished"
    book.add("disposal-opened", {"plan_digest": "9" * 64})
    document = book.closed().document
    assert (document["verdict"], document["kind"]) == ("disposed", "deregistration")
    assert "dispose" in [one["step"] for one in document["steps"]]
    page = verification_html(document)
    assert "Archived, disposed of, proven" in page
    assert "What was compared" not in page
    assert book.restored("table s.loan differs").closed().document["verdict"] == "different"


def test_an_aborted_run_proves_nothing() -> None:
    book = equal_run()
    book.add("run-aborted", {"removed": []})
    assert (book.document["status"], book.document["verdict"]) == ("aborted", "aborted")
    assert "Aborted" in page(book)


def moved(source: dict[str, object] | None, target: dict[str, object] | None) -> tuple[str, int]:
    """Return the standing of one result and the number of findings."""
    book = Book().opened().planned("loan").backed_up().restored()
    book.checked("source", *([source] if source else [])).verified()
    book.checked("target", *([target] if target else []))
    document = book.document
    return document["expectations"]["results"][0]["standing"], len(document["findings"])


@pytest.mark.parametrize(
    "source, target, standing, findings",
    [
        (result("a"), result("a"), "met", 0),
        (result("a", 3), result("a", 3), "source", 0),
        (result("a", 3), result("a"), "source", 0),
        (result("a"), result("a", 1), "moved", 1),
        (result("a", 3), result("a", 4), "moved", 1),
        (result("a", 3), result("a", 2), "moved", 1),
        (None, result("a", 2), "moved", 1),
        (None, result("a"), "met", 0),
        (result("a"), None, "missing", 1),
        (result("a"), result("a", None, error="SQLSTATE 42703"), "error", 1),
        (result("a", None, error="x"), result("a", None, error="x"), "error", 1),
    ],
)
def test_a_fault_is_blamed_on_whom_it_belongs_to(
    source: dict[str, object], target: dict[str, object], standing: str, findings: int
) -> None:
    assert moved(source, target) == (standing, findings)


def test_what_the_target_still_has_to_show_is_pending() -> None:
    book = (
        Book().opened().planned("loan").backed_up().restored().checked("source", result("a"), result("b", 2))
    )
    assert (
        book.document["expectations"]["standings"] | {"pending": 1, "source": 1}
        == book.document["expectations"]["standings"]
    )
    assert book.verified().document["verdict"] == "unfinished"


def test_only_the_latest_check_of_a_side_counts() -> None:
    book = equal_run().checked("target", result("a", 2))
    assert book.document["verdict"] == "different"
    assert book.checked("target", result("a")).document["verdict"] == "equal"


def test_an_acknowledged_fault_is_marked() -> None:
    book = Book().opened(acknowledge=["expectation:a"]).planned("loan").backed_up()
    book.checked("source", result("a", 2), result("b", 2))
    assert [r["acknowledged"] for r in book.document["expectations"]["results"]] == [True, False]
    assert page(book).count("acknowledged") == 2, "once among the source's own faults, once among all"


def test_a_difference_of_figures_is_a_finding() -> None:
    book = equal_run().reconciled("s.loan.amount: source 1.10, target 1.11")
    assert book.document["findings"] == [
        {"area": "reconciliation", "text": "s.loan.amount: source 1.10, target 1.11"}
    ]
    assert book.reconciled().document["verdict"] == "equal"


def test_figures_without_their_reconciliation_are_not_equal_yet() -> None:
    book = Book().opened().planned("loan").backed_up().restored()
    book.add("tallied", {"side": "source", "generation": 1, "digest": "x"}, "g1/source")
    assert book.verified().document["verdict"] == "unfinished"
    assert book.reconciled().document["verdict"] == "equal"


def test_figures_are_shown_to_the_last_digit_and_withheld_ones_as_such() -> None:
    _, text = text_of(page(equal_run()))
    assert text.count("12345678901234567890.12") >= 4, "in the chart and in the table, of either side"
    assert "<10 rows" in text


KINDS = sorted({entry.kind for entry in equal_run().failed("x").entries})


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_entry_may_be_absent(kind: str) -> None:
    entries = [entry for entry in equal_run().failed("x").entries if entry.kind != kind]
    made = write_report(entries)
    assert json.loads(made["verification.json"])["case"] == "case-1"
    assert b"</html>" in made["verification.html"]


@pytest.mark.parametrize("count", range(len(equal_run("loan").entries) + 1))
def test_it_can_be_made_at_any_moment_of_a_run(count: int) -> None:
    document = verification_document(equal_run("loan").entries[:count])
    assert document["verdict"] == ("equal" if count >= len(equal_run("loan").entries) - 3 else "unfinished")
    verification_html(document)


def test_what_was_not_compared_is_said() -> None:
    document = Book().opened(source={"schemas": ["s", "账务"], "large_objects": False}).planned("l").document
    left_out = {item["id"]: item for item in document["not_compared"]}
    assert "s, 账务" in left_out["other-schemas"]["en"]
    assert {"large-objects", "expectations", "reconciliation", "later-changes", "other-copies"} <= set(
        left_out
    )
    complete = {item["id"]: item for item in equal_run().document["not_compared"]}
    assert not {"large-objects", "expectations", "reconciliation"} & set(complete)
    assert "publication:p" in complete["acknowledged"]["en"]
    assert "s.never" in complete["unpopulated-views"]["en"]
    assert all(item["zh"] and item["en"] for item in document["not_compared"])


def test_the_same_entries_give_the_same_bytes() -> None:
    once, again = (write_report(equal_run("loan", "账务").entries) for _ in range(2))
    assert once == again
    entries = equal_run("loan", "账务").entries
    assert write_report(reversed(entries)) == once


def test_the_json_is_canonical() -> None:
    data = write_report(equal_run("账务").entries)["verification.json"]
    document: Any = json.loads(data)
    compact = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert data == compact.encode() + b"\n"
    assert document["format"] == "handover.verification.v1"


def hostile_run(name: str) -> Book:
    """A run in which every text that somebody else chose is the same hostile one."""
    book = Book().opened(title=name, parties={"giver": {"name": name}, "recipient": {"name": name}})
    book.planned(name).backed_up().restored()
    fields: dict[str, object] = {"table": name, "columns": [name], "kind": name, "suite": name, "error": name}
    words = {"zh": name, "en": name}
    sheet = {
        "id": name,
        "title": words,
        "columns": [words, words],
        "rows": [[name, "1"]],
        "chart": {"label": [0], "value": [1]},
    }
    book.checked("source", result(name, **fields)).verified(t00000_0=[name], objects=[name])
    book.checked("target", result(name, 2, **fields, tokens=[name]))
    return book.reconciled(name, tables=[sheet]).failed(name, stage=name).closed(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_name_holds_stays_text(name: str) -> None:
    elements, text = text_of(page(hostile_run(name)))
    harmless, _ = text_of(page(hostile_run("harmless")))
    assert elements == harmless
    assert text.count(name) > 10


def test_the_page_carries_all_it_needs() -> None:
    html = page(equal_run())
    assert not re.search(r"""(src|href|action)\s*=|url\(|@import|https?://|\sstyle=|\son\w+=""", html)
    assert html.count("<script") == 1
    assert content_policy() in html.replace("&#39;", "'")


def test_the_files_of_the_page_are_packaged() -> None:
    """An installation that is no clone gets them too."""
    packaged = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    folder = Path(report_html.__file__).parent
    files = {path for pattern in packaged["handover.evidence"] for path in folder.glob(pattern)}
    assert {"report.css", "report.html.j2", "report.js"} <= {path.name for path in files}


def test_both_servers_are_named() -> None:
    servers = equal_run().document["how"]["servers"]
    assert servers["source"] == {"version": "18.6", "encoding": "UTF8", "collation": "C"}
    assert servers["target"]["version"] == "18.3"


def test_the_policy_names_the_style_and_script_that_are_there() -> None:
    policy = content_policy()
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert policy.count("sha256-") == 2


def test_a_long_list_is_cut_on_the_page_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_html, "MOST_LINES", 3)
    book = Book().opened().planned("loan").backed_up().restored()
    book.verified(t00000_0=[f"row {n} differs" for n in range(5)])
    html = page(book)
    assert "row 2 differs" in html
    assert "row 3 differs" not in html
    assert "2 more are in verification.json." in html
    assert len(book.document["findings"]) == 5


def test_both_languages_say_as_much() -> None:
    for book in (equal_run(), hostile_run("x"), Book().opened().planned("loan")):
        html = page(book)
        assert html.count('lang="zh-CN">') == html.count('lang="en">') + 1, "the document itself is Chinese"


@pytest.mark.parametrize(
    "count, shown",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (104_882_929, "104.8 MB"),
        (999_999_999, "999.9 MB"),
        (5 * 10**18, "5,000.0 PB"),
    ],
)
def test_sizes_never_round_up(count: int, shown: str) -> None:
    assert size(count) == shown


def test_moments_are_cut_to_the_second() -> None:
    assert moment("2026-01-31T23:59:59.999999Z") == "2026-01-31 23:59:59"


def test_bars_are_in_proportion_and_never_vanish() -> None:
    assert lengths([0, 1, 500_000, 1_000_000]) == [0, 1, 500, 1000]
    assert lengths([Decimal("-2.5"), Decimal("5")]) == [500, 1000]
    assert lengths([]) == []
    assert lengths([0, 0]) == [0, 0]


@pytest.mark.parametrize("text", ["", "–", "<10 rows", "NaN", "Infinity", "token 6d1f", "1e999999999"])
def test_what_is_no_finite_number_has_no_bar(text: str) -> None:
    assert number(text) is None


def test_numbers_are_read_exactly() -> None:
    assert number("12,345,678,901,234,567,890.12") == Decimal("12345678901234567890.12")
    assert number("-0.10") == Decimal("-0.10")


def test_a_chart_shows_the_largest_and_counts_the_rest() -> None:
    table = {
        "columns": [{"zh": n, "en": n} for n in ("status", "source", "target")],
        "rows": [[f"s{n}", str(n), str(n)] for n in range(20)] + [["few", "<10 rows", "<10 rows"]],
        "chart": {"label": [0], "value": [1, 2]},
    }
    chart = figure_bars(table)
    assert (chart["rows"][0]["label"], len(chart["rows"]), chart["more"]) == ("s19", 12, 8)
    assert [bar["length"] for bar in chart["rows"][0]["bars"]] == [1000, 1000]
    assert figure_bars({"rows": []}) == {}
    assert figure_bars(table | {"rows": [["few", "<10 rows", "<10 rows"]]}) == {}


def test_the_largest_tables_come_first_and_the_others_together() -> None:
    tables = [{"table": f"t{n:02}", "rows": n} for n in range(15)]
    bars = largest_tables(tables)
    assert [bar["label"] for bar in bars[:2]] == ["t14", "t13"]
    assert (bars[-1]["others"], bars[-1]["rows"], bars[-1]["length"]) == (3, 3, 0)
