"""The plan as a page: the document that was approved, readable, and nothing in it but text."""

import re

import pytest

from handover.evidence.plan_text import plan_markdown
from handover.evidence.report_plan import plan_html, plan_policy
from unit.test_plan_text import BLOCKED, LATE, PASSED, scoped
from unit.test_report import HOSTILE, text_of

MARKDOWN_SIGNS = [
    "[a](javascript:alert(1))",
    "![a](x.png)",
    "<https://a.example>",
    "`a`",
    "**a**",
    "&lt;i&gt;",
    "<b>x</b>",
]


def test_the_page_shows_the_whole_document() -> None:
    made = scoped([BLOCKED, PASSED, LATE])
    markdown = plan_markdown(made)
    elements, text = text_of(plan_html(markdown, "test-case", "run-1"))
    assert {"h1", "h2", "table", "th", "td", "li"} <= elements
    cells = [
        cell.strip() for line in markdown.splitlines() if line.startswith("|") for cell in line.split("|")
    ]
    for cell in {re.sub(r"&#(\d+);", lambda sign: chr(int(sign[1])), cell) for cell in cells} - {"---"}:
        assert cell in text, cell
    assert made.plan.sha256_of_json() in text


@pytest.mark.parametrize("name", [*HOSTILE, *MARKDOWN_SIGNS])
def test_whatever_a_name_holds_stays_text(name: str) -> None:
    def of(word: str) -> tuple[set[str], str]:
        blocked = BLOCKED | {"gate": word, "lacking": [word], "basis": {"source": word}}
        return text_of(plan_html(plan_markdown(scoped([blocked], title=word)), word, word))

    elements, text = of(name)
    assert elements == of("harmless")[0]
    assert text.count(name.replace("\u202e", "\ufffd")) >= 4


@pytest.mark.parametrize("text", [*HOSTILE, *MARKDOWN_SIGNS])
def test_a_text_that_nobody_made_plain_is_no_html_either(text: str) -> None:
    """The page does not rest on the document's own care: Markdown and HTML mean nothing here."""
    elements, shown = text_of(plan_html(f"# {text}\n\n{text}\n\n- {text}\n", "case", "run"))
    assert elements == text_of(plan_html("# x\n\nx\n\n- x\n", "case", "run"))[0]
    assert shown.count(text if text != "&lt;i&gt;" and text != "&lt;b&gt;" else "<") >= 3


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = plan_html(plan_markdown(scoped()), "case-1", "run-1")
    assert "<script" not in html and "script-src" not in plan_policy()
    assert not re.search(r"""(src|action)\s*=|url\(|@import|https?://|\sstyle=|\son\w+=""", html)
    assert re.findall(r'href="([^"]*)"', html) == ["../run-1"], "the report of the same run"
    assert plan_policy() in html.replace("&#39;", "'")
    assert plan_policy().startswith("default-src 'none'") and "unsafe" not in plan_policy()
