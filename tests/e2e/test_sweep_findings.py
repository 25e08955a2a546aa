"""What a sweep says beside its plan, and what the months to come will bring; on the sample company."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import psycopg
import pytest

from fixtures.daily import SOURCE as NAME
from fixtures.daily import Changed, settings, sweep, urls
from fixtures.runs import Runner
from handover.cli import main
from handover.errors import CaseInvalid, NotReady
from handover.evidence.forecast import ClassForecast, Forecast, csv_of, draw, html_of, nice, svg_of, table_of
from handover.sample.company import generate
from handover.stages.context import Context
from handover.stages.inventory import inventory
from handover.stages.plan import plan
from handover.stages.sweep_findings import FOUND
from handover.stages.sweep_forecast import forecast, month_ends

ON = date(2026, 11, 22)


def resolve(runner: Runner) -> Callable[[str], str]:
    return urls(runner).__getitem__


def looked(runner: Runner, run: str, change: Changed | None = None) -> Context:
    context = sweep(runner, ON, run, change)
    inventory(context)
    plan(context)
    return context


def by_name(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in document["retention"] if name in one["name"])


def test_a_sweep_says_what_it_found_and_stops_for_what_is_gone(runner: Runner) -> None:
    url = runner.urls["src"]
    generate(url, rows=1_500, seed=7)
    with psycopg.connect(url) as session:
        session.execute(
            "UPDATE lending.device_logs SET seen_at = '1901-01-01' WHERE ctid IN"
            " (SELECT ctid FROM lending.device_logs LIMIT 2)"
        )

    def settled(document: dict[str, Any]) -> None:
        by_name(document, "已结清贷款")["along"].append("lending.branches")

    context = looked(runner, "run-1", settled)
    (entry,) = context.entries(FOUND)
    found = {(one["kind"], one["about"]): one for one in entry.body["findings"]}
    early = found["day", "设备日志 / device logs"]
    assert ("too early" in early["said"], early["rows"]) == (True, 2)
    assert "R21: its period is not known" in found["never", "投诉 / complaints"]["said"]
    assert ("along", "lending.branches") in found
    assert ("unnamed", "lending.customers") in found
    assert ("unnamed", "lending.loans") not in found
    assert not [one for kind, one in found if kind == "index"], "the sample is small"
    assert "1901" not in str(entry.body)

    def renamed(document: dict[str, Any]) -> None:
        by_name(document, "device logs")["days"]["created"]["column"] = "seen"
        by_name(document, "page views")["table"] = "lending.views"

    context = sweep(runner, ON, "run-2", renamed)
    inventory(context)
    with pytest.raises(CaseInvalid) as refused:
        plan(context)
    assert "lending.device_logs has no column 'seen', the day of created" in str(refused.value)
    assert "table lending.views is not there" in str(refused.value)
    assert not context.entries("plan")


def test_the_missing_index_is_named(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    url = runner.urls["src"]
    generate(url, rows=1_500, seed=7)
    monkeypatch.setattr("handover.stages.sweep_findings.WORTH_AN_INDEX", 1)
    first = looked(runner, "run-1").last(FOUND, "plan").body["findings"]
    said = {one["about"]: one["said"] for one in first if one["kind"] == "index"}
    assert 'an index on upper("period") is missing' in said["已结清贷款 / settled loans"]
    with psycopg.connect(url) as session:
        session.execute("CREATE INDEX ON lending.loans (upper(period))")
    second = looked(runner, "run-2").last(FOUND, "plan").body["findings"]
    assert "已结清贷款 / settled loans" not in {one["about"] for one in second if one["kind"] == "index"}


def test_the_forecast_is_what_sweeps_of_those_days_find(runner: Runner) -> None:
    url = runner.urls["src"]
    generate(url, rows=1_500, seed=7)
    found = forecast(settings(runner), NAME, resolve(runner), ON, 12)
    assert (found.ends[0], found.ends[-1], len(found.ends)) == (date(2026, 11, 30), date(2027, 10, 31), 12)
    views = next(one for one in found.classes if "page views" in one.name)
    logs = next(one for one in found.classes if "device logs" in one.name)
    over = "viewed_on + interval '6 months' + interval '1 day' <= %s"
    count = f"SELECT count(*) FROM lending.page_views WHERE {over}"
    with psycopg.connect(url) as session:
        for place, day in enumerate((ON, *found.ends)):
            row = session.execute(count, [day]).fetchone()
            assert row and row[0] == views.due + sum(views.months[:place]), day
        total = session.execute("SELECT count(*) FROM lending.device_logs").fetchone()
    assert total == (logs.rows,)
    complaints = next(one for one in found.classes if "complaints" in one.name)
    assert (complaints.due, set(complaints.months)) == (0, {0})
    assert complaints.never
    with pytest.raises(NotReady):
        forecast(settings(runner), NAME, resolve(runner), ON, 0)


def test_the_command_prints_and_writes(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(runner.urls["src"], rows=1_000, seed=7)
    for name, value in runner.settings().variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_SAMPLE_SOURCE", runner.urls["src"])
    assert main(["sweep", "forecast", NAME, "--as-of", str(ON), "--months", "3"]) == 0
    printed = capsys.readouterr().out
    assert "2027-01" in printed
    assert "page views" in printed
    folder = runner.home / "evidence" / NAME / f"forecast-{ON}"
    assert {one.name for one in folder.iterdir()} == {"forecast.html", "forecast.svg", "forecast.csv"}
    assert main(["sweep", "check"]) == 0
    assert "R21" in capsys.readouterr().out

    def gone(document: dict[str, Any]) -> None:
        by_name(document, "page views")["table"] = "lending.views"

    monkeypatch.setenv("HANDOVER_SOURCES", str(settings(runner, gone).sources))
    assert main(["sweep", "check"]) == 1
    assert "lending.views" in capsys.readouterr().out


HOSTILE = '=<script>alert(1)</script>"'
FORECAST = Forecast(
    source=NAME,
    title=HOSTILE,
    on=ON,
    ends=month_ends(ON, 2),
    classes=(
        ClassForecast(name=HOSTILE, table="s.a", then="erase", due=1_000, months=(5, 0), rows=2_000),
        ClassForecast(name="b", table="s.b", then="erase", due=0, months=(95, 7), rows=102, never=()),
    ),
)


def test_the_files_say_the_numbers_and_nothing_escapes_its_place() -> None:
    assert [row[1:] for row in table_of(FORECAST)][1:] == [
        ("1,000", "5", "0", "995"),
        ("0", "95", "7", "0"),
        ("1,000", "100", "7", "995"),
    ]
    page, chart = html_of(FORECAST), svg_of(FORECAST)
    for text in (page, chart):
        assert "<script>" not in text
        assert "2026-12" in text
    assert chart.startswith("<svg")
    assert "script-src" not in page
    lines = csv_of(FORECAST).splitlines()
    assert len(lines) == 1 + 2 * 3
    assert lines[1].split(",")[2].startswith("\"'=")


def test_columns_stand_on_each_other_and_fit_their_scale() -> None:
    drawn = draw(FORECAST)
    first = [piece for piece in drawn.pieces if piece.x == drawn.pieces[0].x]
    assert first[0].y == first[1].y + first[1].height
    assert min(piece.y for piece in drawn.pieces) >= 16
    assert [nice(most) for most in (0, 4, 7, 100, 101, 950)] == [4, 4, 8, 100, 120, 1000]
    assert draw(FORECAST.model_copy(update={"classes": ()})).pieces == ()
