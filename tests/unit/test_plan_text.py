"""The plan as a document: what of whom, what happens to it, under which rule; names change nothing in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.evidence.case_brief import MOST, Standing, case_brief
from handover.evidence.markdown import plain, table
from handover.evidence.plan_estimate import estimated
from handover.evidence.plan_gates import gates_line
from handover.evidence.plan_text import NO_RULE, Planned, plan_document, plan_markdown, rows_table
from handover.model.case import Case
from handover.model.plan import Plan, PlannedScope, narrowed
from handover.model.policy import Text
from unit.test_plan import MB, case, catalog, planned
from unit.test_plan import table as catalog_table

DIGEST = "ab" * 32
SCOPE = {
    "roots": [{"table": "s.person", "where": "branch = 1"}],
    "decided": [{"table": "s.log", "rows": "none"}],
}
CLASSES = [
    {"name": "settled", "tables": ["s.loan"], "where": "paid", "source": "restrict"},
    {"name": "disputed", "tables": ["s.loan"], "where": "NOT paid", "target": "nothing"},
]
COUNTED = {
    "persons": {"s.person": (120, 90)},
    "facts": {"withdrawn": 3},
    "tables": [
        {"table": "s.person", "owned": 90, "needed": 0, "total": 400, "keys_digest": DIGEST,
         "classes": [{"name": "s.person", "target": "copy", "source": "keep", "rows": 90}]},
        {"table": "s.loan", "owned": 50, "needed": 0, "total": 50, "keys_digest": DIGEST, "classes": [
            {"name": "settled", "target": "copy", "source": "restrict", "rows": 40},
            {"name": "disputed", "target": "nothing", "source": "keep", "rows": 10}]},
        {"table": "s.log", "owned": 0, "needed": 0, "total": 1000, "keys_digest": DIGEST,
         "classes": [{"name": "s.log", "target": "copy", "source": "keep", "rows": 0}]},
        {"table": "s.branch", "owned": 0, "needed": 2, "total": 8, "keys_digest": DIGEST,
         "classes": [{"name": "s.branch", "target": "copy", "source": "keep", "rows": 2}]},
    ],
}  # fmt: skip
BLOCKED: dict[str, Any] = {
    "gate": "P23.separate", "state": "block", "severity": "B", "basis": {"source": "PIPL 23"},
    "reason": {"zh": "缺少", "en": "lacking"}, "remedy": {"zh": "取得同意", "en": "get the consents"},
    "lacking": ["data.without_separate_consent is 4"], "accepted": None, "hinders": ["execution", "closing"],
}  # fmt: skip
PASSED = BLOCKED | {"gate": "P6", "state": "pass", "remedy": None, "lacking": [], "hinders": []}
LATE = BLOCKED | {"gate": "C.later", "severity": "C", "hinders": ["closing"]}


def scoped_case(**changes: object) -> Case:
    """A case with a scope, classes and a rule for one of them."""
    retention = [{"row_class": "settled", "rules": ["R01", "R20"]}]
    source = {"connection": "src", "schemas": ["s"], "large_objects": False}
    given = {"scope": SCOPE, "classes": CLASSES, "matter": {"retention": retention}, "source": source}
    return case(**{**given, **changes})


def scoped(gates: list[dict[str, Any]] | None = None, **changes: object) -> Planned:
    """A plan about some rows of four tables."""
    found = catalog(*(catalog_table(name, MB) for name in ("person", "loan", "log", "branch")))
    few = {"connection": "src", "schemas": ["s"], "large_objects": False}
    plan = planned(narrowed(found, PlannedScope.model_validate(COUNTED)), source=few).model_copy(
        update={"scope": COUNTED, "policy": {"p@2026.11": DIGEST}}
    )
    return Planned(scoped_case(**changes), "run-1", Plan.model_validate(plan.document()), gates)


def line(text: str, *words: str) -> str:
    """The one line of a document that has all these words."""
    (found,) = [one for one in text.splitlines() if all(word in one for word in words)]
    return found


def test_every_class_of_every_table_says_rows_share_fate_and_rule() -> None:
    text = plan_markdown(scoped())
    settled, disputed = line(text, "| settled |"), line(text, "| disputed |")
    assert "| 40 | 80.0% | 复制 copy | 限制处理 restrict | R01, R20 |" in settled
    assert f"| 10 | 20.0% | 不移转 nothing | 保留 keep | {NO_RULE} |" in disputed
    assert "| 90 | 22.5% |" in line(text, "| s.person |", "复制 copy")
    assert "142 of 1,458 rows (9.7%) are in scope, in 3 of 4 tables; 132 of them are copied" in text
    assert "| s.log |  | " not in text, "a table without a row in scope is no line of what moves"
    assert DIGEST in line(text, "p@2026.11") and "数据地图 Data map | 无 none" in text


def test_what_stays_is_listed_with_the_reason() -> None:
    text = plan_markdown(scoped()).split("## 3")[1].split("## 4")[0]
    assert "| 310 | 不符合范围条件，或无同意" in line(text, "s.person")
    assert "decided: none of it" in line(text, "s.log")
    assert "its class is not copied: disputed" in line(text, "s.loan", "| 10 |")
    assert "| 6 | 与范围内的行无关" in line(text, "s.branch")


def test_persons_and_key_sets_are_named() -> None:
    text = plan_markdown(scoped())
    assert "| s.person | 120 | 90 | 30 |" in text and "- withdrawn: 3" in text
    assert line(text, "| s.loan | binary | 1 |").endswith(f"| {DIGEST[:16]} |")
    assert DIGEST not in text.split("## 6")[1]


def test_gates_are_judged_or_it_says_why_not() -> None:
    assert "the case names no policy" in plan_markdown(scoped())
    assert "Not judged yet" in plan_markdown(scoped(policy=["p@2026.11"]))
    text = plan_markdown(scoped([PASSED, BLOCKED, LATE]))
    assert "3 gates apply: 1 hinder execution, 2 hinder closing" in text
    assert "data.without&#95;separate" not in text and "取得同意 / get the consents" in line(
        text, "P23.separate"
    )
    assert gates_line([], ()) != gates_line(None, ())


def test_the_json_has_whole_digests_and_everything_else() -> None:
    made = scoped([BLOCKED])
    found = json.loads(json.dumps(plan_document(made)))
    assert found["digest"] == made.plan.sha256_of_json() and found["plan"] == made.plan.document()
    assert found["plan"]["scope"]["tables"][0]["keys_digest"] == DIGEST
    assert found["gates"] == [BLOCKED] and found["rules"]["settled"] == ["R01", "R20"]
    assert found["estimate"]["seconds"] > 0
    assert plan_document(scoped())["gates"] is None


def test_without_a_scope_it_says_all_rows() -> None:
    whole = Planned(case(), "run-1", planned(catalog(catalog_table("t"))), None)
    text = plan_markdown(whole)
    assert "All rows: together about 1 rows in 2 tables" in text
    assert "约 about 1 | 100% | 复制 copy" in line(text, "| s.t |", "复制") and "全部 all" in text
    assert "未统计。 / Not counted." in text


def test_the_estimate_counts_only_what_is_copied() -> None:
    some, every = (
        scoped().plan,
        planned(catalog(*(catalog_table(n, MB) for n in ("person", "loan", "log", "branch")))),
    )
    # 22.5 % of person, 80 % of loan, nothing of log, a quarter of branch.
    share = estimated(some).copy_bytes / (4 * MB)
    assert share == pytest.approx((0.225 + 0.8 + 0 + 0.25) / 4, abs=0.001)
    assert estimated(every).copy_bytes >= 4 * MB


def test_a_question_shows_only_so_many_lines() -> None:
    text = rows_table(scoped(), 2)
    assert "and 2 more, all in the plan" in text and "s.branch" not in text
    assert "more" not in rows_table(scoped(), 4)


@given(st.text())
def test_no_name_changes_the_document(name: str) -> None:
    shown = plain(name)
    assert not set("\\`*[]|<>~\n\r\x1b\u202e") & set(shown)
    assert table(("a", "b"), [(name, "x")]).count("\n") == 2
    assert table(("a", "b"), [(name, "x")]).splitlines()[2].count("|") == 3


@pytest.mark.parametrize(
    ("name", "shown"),
    {
        "s.loan_events": "s.loan_events",
        "s._x_": "s.&#95;x&#95;",
        "a|b <i>&amp;": "a&#124;b &#60;i&#62;&#38;amp;",
        "客户_备注": "客户_备注",
        "x\x1b[2J": "x\ufffd&#91;2J",
    }.items(),
)
def test_names_stay_readable(name: str, shown: str) -> None:
    assert plain(name) == shown


def brief(made: Planned | None, *blocks: str) -> str:
    said = [Text(zh="步骤", en=text) for text in blocks]
    return case_brief(scoped_case(), "run-1", made, Standing(said, [Text(zh="批准人", en="first: approve")]))


def test_the_brief_says_who_moves_who_stays_what_blocks_and_who_acts() -> None:
    text = brief(scoped([BLOCKED, LATE]), "it failed")
    assert "90 of 120 persons" in text.split("## 谁移转")[1].split("## 谁留下")[0]
    staying = text.split("## 谁留下")[1].split("## 依据")[0]
    assert "s.person: 30 人" in staying and "s.log: 1,000" in staying
    blocks = text.split("## 什么在阻碍")[1].split("## 下一步")[0]
    assert "it failed" in blocks and "P23.separate (PIPL 23): 取得同意 / get the consents" in blocks
    assert "C.later" not in blocks, "it hinders only the closing"
    assert text.endswith("- 批准人 / first: approve\n")


def test_the_brief_fits_a_page_however_much_there_is() -> None:
    gates = [BLOCKED | {"gate": f"G{number}"} for number in range(60)]
    text = brief(scoped(gates), *["failed"] * 20)
    assert text.count("failed") == MOST and "and 74 more, in the plan" in text
    assert len(text.splitlines()) < 60


def test_the_brief_needs_no_plan() -> None:
    assert "There is no plan yet" in brief(None)
