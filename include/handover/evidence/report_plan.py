"""The plan's Markdown as a page that needs no network and no script.

Only headings, lists and tables are Markdown here: whatever else a text holds, links and HTML among it, is
shown as the signs that it is made of. The page forbids itself everything but its own style.
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

from handover.evidence.report_html import STYLE, environment, own_text, source

_TEMPLATE = "report.plan.html.j2"
_MEANT = ("heading", "list", "table", "entity")


def plan_html(markdown: str, case: str, run: str) -> str:
    """Return the page for the plan of a run."""
    return (
        environment()
        .get_template(_TEMPLATE)
        .render(
            case=case,
            run=run,
            policy=plan_policy(),
            style=own_text(STYLE),
            plan=_rendered(markdown),
        )
    )


def _rendered(markdown: str) -> Markup:
    """Return the text as HTML; all that it says is escaped, tables scroll by themselves."""
    html = MarkdownIt("zero").enable(_MEANT).render(markdown)
    wide = html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return Markup(wide)  # noqa: S704 (escaped by the library, which knows no HTML here)


def plan_policy() -> str:
    """Return the Content-Security-Policy of the page."""
    return f"default-src 'none'; style-src '{source(STYLE)}'; base-uri 'none'; form-action 'none'"
