"""The page of a forecast reads in a browser without a network, and its chart shows all rows."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from fixtures.browser import CHROMIUM, QUIET
from handover.evidence.forecast import ClassForecast, Forecast, html_of
from handover.stages.sweep_forecast import month_ends

ON = date(2026, 11, 22)
CLASSES = tuple(
    ClassForecast(
        name=f"类别 {n} / class {n}",
        table=f"s.t{n}",
        then="erase",
        due=n * 1_000,
        months=tuple((n * m) % 7 * 10 for m in range(12)),
        rows=100_000,
    )
    for n in range(1, 11)
)
FORECAST = Forecast(source="sample", title="示例 / sample", on=ON, ends=month_ends(ON, 12), classes=CLASSES)
OVERFLOWS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def visit(file: Path, width: int, picture: Path) -> tuple[list[str], bool, int]:
    """What the browser complains of, whether the page is too wide, and how many pieces the chart has."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        sheet = browser.new_context(offline=True, viewport={"width": width, "height": 900}).new_page()
        sheet.on("console", lambda message: complaints.append(message.text))
        sheet.goto(file.as_uri())
        found = complaints, bool(sheet.evaluate(OVERFLOWS)), sheet.locator("svg rect:has(title)").count()
        sheet.screenshot(path=picture, full_page=True)
        browser.close()
    return found


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_reads_and_shows_every_class_of_every_month(
    width: int, tmp_path: Path, pictures: Path
) -> None:
    file = tmp_path / "forecast.html"
    file.write_text(html_of(FORECAST), encoding="utf-8")
    with ThreadPoolExecutor(1) as pool:  # the demo's browser may be at work in this thread
        found = pool.submit(visit, file, width, pictures / f"forecast-{width}.png").result()
    pieces = sum(rows > 0 for one in CLASSES for rows in one.months)
    assert found == ([], False, pieces)
