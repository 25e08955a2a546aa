"""The verification report as a person meets it: in Airflow, logged in, and as a file with the network off."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from fixtures.demo import Demo
from fixtures.reports import Book, equal_run, lawful_run, result, verdict
from handover.evidence.plan_text import plan_markdown
from handover.evidence.report import write_report
from handover.evidence.report_plan import plan_html
from unit.test_plan_text import BLOCKED, scoped

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
REPORT = "Verification report 核验报告"
PLAN = "Plan 计划"


class Visit:
    """A page and everything it said or asked for that it should not have."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)


@pytest.fixture(scope="module")
def browser(page: Page) -> Browser:
    """The browser of the demo's page; a second one would cost seconds."""
    assert page.context.browser is not None
    return page.context.browser


@pytest.fixture(params=["zh", "en", "both"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def save(folder: Path, book: Book, name: str = "verification.html") -> Path:
    path = folder / name
    path.write_bytes(write_report(book.entries)["verification.html"])
    return path


def faulty() -> Book:
    """A run with differences of every kind, in tables with hostile names."""
    book = Book().opened(title=f"示例 {HOSTILE}").planned("loan", HOSTILE, "账务").backed_up().restored()
    book.checked("source", result("own", 3), result("kept")).verified(
        t00001_0=[f"s.{HOSTILE}: row with id = 17 differs in amount"]
    )
    book.checked("target", result("own", 3), result("kept", 2)).reconciled("s.loan.amount: 1.10 became 1.1")
    return book.failed(f"s.{HOSTILE} differs\nHINT: repair").closed("s.loan differs")


def blocked() -> Book:
    """A run that gates hold up, with every state of a verdict and every kind of answer."""
    states = [verdict("B1", "block"), verdict("C1", "block", "C"), verdict("W1", "warn", "W"), verdict("P1")]
    book = lawful_run().judged(*states, verdict(HOSTILE, "block"), verdict("N1", "not_applicable"))
    book.asked("accept", "3" * 64).answered("refused", reason=HOSTILE).answered("answer-rejected")
    return book.rechecked(scope=[f"s.{HOSTILE}: row with id = 3 came into scope"])


def save_plan(folder: Path) -> Path:
    path = folder / "plan.html"
    path.write_text(plan_html(plan_markdown(scoped([BLOCKED], title=HOSTILE)), "case-1", "run-1"))
    return path


def _gate(page: Page, name: str) -> Locator:
    return page.locator("#gates .verdicts tbody th", has_text=name)


@pytest.fixture
def offline(browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    yield Visit(context.new_page())
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_file_reads_without_a_network(
    offline: Visit, tmp_path: Path, pictures: Path, language: str, theme: str
) -> None:
    path = save(tmp_path, faulty())
    offline.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    offline.page.goto(f"{path.as_uri()}#{language}")
    chinese, english = (
        offline.page.get_by_role("heading", name=n).first for n in ("核验未通过", "Not equal")
    )
    expect(chinese).to_be_visible(visible=language != "en")
    expect(english).to_be_visible(visible=language != "zh")
    expect(offline.page.locator("#findings tbody tr")).to_have_count(3)
    offline.page.screenshot(path=pictures / f"report-{language}-{theme}.png", full_page=True)
    assert offline.complaints == []
    assert offline.requests == [path.as_uri()]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_gates_scope_and_answers_read_without_a_network(
    offline: Visit, tmp_path: Path, pictures: Path, theme: str
) -> None:
    page = offline.page
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto(f"{save(tmp_path, blocked()).as_uri()}#both")
    expect(_gate(page, "B1")).to_be_visible()
    expect(_gate(page, "P1")).to_be_hidden()
    page.locator("#gates").get_by_text("Gates that passed").click()
    expect(_gate(page, "P1")).to_be_visible()
    expect(page.locator("#answers tbody tr")).to_have_count(4)
    page.get_by_label("Filter").first.fill("disputed")
    expect(page.locator("#tables-in-scope tbody tr").locator("visible=true")).to_have_count(1)
    page.screenshot(path=pictures / f"report-gates-{theme}.png", full_page=True)
    assert offline.complaints == []
    assert len(offline.requests) == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_plan_reads_without_a_network(offline: Visit, tmp_path: Path, pictures: Path, theme: str) -> None:
    page = offline.page
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto(save_plan(tmp_path).as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("计划 / Plan: test-transfer")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    expect(page.get_by_role("cell", name="取得同意")).to_be_visible()
    assert page.locator("img").count() == 0
    page.screenshot(path=pictures / f"plan-{theme}.png", full_page=True)
    assert offline.complaints == []
    assert len(offline.requests) == 1


def test_hostile_names_are_only_text(offline: Visit, tmp_path: Path) -> None:
    offline.page.goto(save(tmp_path, faulty()).as_uri())
    expect(offline.page.get_by_text(HOSTILE).first).to_be_visible()
    assert offline.page.locator("img").count() == 0
    assert offline.page.title().startswith("核验报告")


def test_the_page_could_not_run_or_load_anything_else(offline: Visit, tmp_path: Path) -> None:
    """The policy proves itself: what is put into the page by force is refused."""
    page = offline.page
    path = save(tmp_path, equal_run())
    text = path.read_text()
    path.write_text(text.replace("</main>", '<script>document.title = "taken"</script></main>'))
    page.goto(path.as_uri())
    assert page.title() != "taken"
    assert "Content Security Policy" in " ".join(offline.complaints)


def test_without_script_both_languages_and_the_switch_are_there(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(save(tmp_path, equal_run()).as_uri())
    chinese, english = page.get_by_text("全部比对项目一致"), page.get_by_text("Everything compared is equal")
    expect(chinese).to_be_visible()
    expect(english).to_be_visible()
    page.get_by_text("English", exact=True).click()
    expect(chinese).to_be_hidden()
    expect(english).to_be_visible()
    expect(page.locator(".filter").first).to_be_hidden()
    context.close()


def test_two_thousand_tables_stay_usable(offline: Visit, tmp_path: Path) -> None:
    page = offline.page
    page.goto(f"{save(tmp_path, equal_run(*(f'table_{n:04}' for n in range(2_000)))).as_uri()}#en")
    rows = page.locator("#all-tables tbody tr")
    expect(rows.first).to_be_hidden()
    page.get_by_text("All tables").click()
    page.get_by_label("Filter").first.fill("table_1234")
    expect(rows.locator("visible=true")).to_have_count(1)
    assert page.locator("#all-tables tbody tr:not([hidden])").inner_text().startswith("s.table_1234")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_runs_out_of_the_page(offline: Visit, tmp_path: Path, width: int) -> None:
    long_names = equal_run("x" * 60, "表" * 20, "a b " * 15)
    offline.page.set_viewport_size({"width": width, "height": 800})
    pages = [save(tmp_path, long_names), save(tmp_path, blocked(), "blocked.html"), save_plan(tmp_path)]
    for path in pages:
        offline.page.goto(path.as_uri())
        assert offline.page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_folded_is_printed_too(offline: Visit, tmp_path: Path, pictures: Path) -> None:
    page = offline.page
    page.goto(f"{save(tmp_path, blocked()).as_uri()}#both")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(_gate(page, "P1")).to_be_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(_gate(page, "P1")).to_be_hidden()
    page.pdf(path=pictures / "report-gates.pdf", format="A4")


def test_it_prints_on_paper(offline: Visit, tmp_path: Path, pictures: Path) -> None:
    offline.page.goto(f"{save(tmp_path, faulty()).as_uri()}#both")
    printed = offline.page.pdf(path=pictures / "report.pdf", format="A4")
    assert printed.startswith(b"%PDF")
    offline.page.emulate_media(media="print", color_scheme="dark")
    expect(offline.page.locator(".languages")).to_be_hidden()
    assert offline.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_contrast_is_enough_to_read(offline: Visit, tmp_path: Path) -> None:
    """WCAG AA: 4.5 to 1 for every text that is seen, in both themes."""
    measure = (Path(__file__).parent / "contrast.js").read_text()
    for theme in ("light", "dark"):
        offline.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        for book in (faulty(), equal_run(), blocked(), Book().opened().planned("loan")):
            offline.page.goto(save(tmp_path, book).as_uri())
            offline.page.evaluate(
                "document.querySelectorAll('details').forEach((list) => { list.open = true; })"
            )
            assert offline.page.evaluate(measure) == []
        offline.page.goto(save_plan(tmp_path).as_uri())
        assert offline.page.evaluate(measure) == []


def test_a_tab_of_the_run_shows_the_report(demo: Demo, page: Page, pictures: Path) -> None:
    page.goto(f"/dags/transfer/runs/{demo.run}")
    page.get_by_role("link", name=REPORT).first.click()
    frame = page.frame_locator(f"iframe[title='{REPORT}']")
    expect(frame.get_by_role("heading", level=1)).to_be_visible(timeout=20_000)
    expect(frame.locator("body")).to_have_class("equal")
    expect(frame.get_by_text(demo.run).first).to_be_visible()
    page.screenshot(path=pictures / "report-in-airflow.png")


def test_a_verify_task_links_to_the_report(demo: Demo, page: Page) -> None:
    page.goto(f"/dags/transfer/runs/{demo.run}/tasks/verify/mapped/0/details")
    page.get_by_role("link", name=REPORT).click()
    page.wait_for_url(re.compile(f"/handover/runs/demo-transfer/{demo.run}$"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_the_page_in_airflow_is_quiet_and_keeps_to_itself(demo: Demo, page: Page) -> None:
    visit = Visit(page.context.new_page())
    address = f"/handover/runs/demo-transfer/{demo.run}"
    visit.page.goto(address)
    expect(visit.page.get_by_role("heading", level=1)).to_be_visible()
    assert visit.complaints == []
    assert [url.removeprefix(demo.settings["AIRFLOW_URL"]) for url in visit.requests] == [address]
    visit.page.close()


@pytest.mark.parametrize("task", ["plan", "gates"])
def test_the_tasks_plan_and_gates_link_to_the_plan(demo: Demo, page: Page, pictures: Path, task: str) -> None:
    page.goto(f"/dags/transfer/runs/{demo.run}/tasks/{task}/details")
    page.get_by_role("link", name=PLAN).click()
    page.wait_for_url(re.compile(f"/handover/runs/demo-transfer/{demo.run}/plan$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("计划 / Plan: demo-transfer")
    page.screenshot(path=pictures / "plan-in-airflow.png")
    page.get_by_role("link", name="Verification report").click()
    expect(page.locator("body")).to_have_class("equal")


def test_another_task_has_no_link_to_the_plan(demo: Demo, page: Page) -> None:
    page.goto(f"/dags/transfer/runs/{demo.run}/tasks/seal/details")
    expect(page.get_by_role("link", name=REPORT).last).to_be_visible()
    expect(page.get_by_role("link", name=PLAN)).to_have_count(0)


def test_the_plan_in_airflow_is_quiet_and_keeps_to_itself(demo: Demo, page: Page) -> None:
    visit = Visit(page.context.new_page())
    address = f"/handover/runs/demo-transfer/{demo.run}/plan"
    visit.page.goto(address)
    expect(visit.page.get_by_role("heading", level=1)).to_be_visible()
    assert visit.complaints == []
    assert [url.removeprefix(demo.settings["AIRFLOW_URL"]) for url in visit.requests] == [address]
    visit.page.close()
