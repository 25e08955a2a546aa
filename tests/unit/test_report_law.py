"""What the report says of law and people: worst first, nothing hidden that is in the way, names stay text."""

import json
from typing import Any

import pytest

from fixtures.reports import ACCEPTED, Book, lawful_run, scope, verdict
from handover.evidence.report import verification_document, write_report
from handover.evidence.report_html import share, verification_html
from unit.test_report import HOSTILE, page, text_of


def section(html: str, name: str) -> str:
    """The text of one section of the page."""
    start = html.index(f'<section id="{name}">')
    return text_of(html[start : html.index("</section>", start)])[1]


def begun() -> Book:
    return Book().opened().planned("loan", scope=scope())


def test_what_is_in_the_way_comes_first_and_the_rest_is_folded() -> None:
    book = begun().judged(
        verdict("P1"),
        verdict("C1", "block", "C"),
        verdict("N1", "not_applicable"),
        verdict("W1", "warn", "W", accepted=ACCEPTED),
        verdict("W2", "warn", "W"),
        verdict("B1", "block"),
    )
    gates = book.document["gates"]
    assert [one["gate"] for one in gates["verdicts"]] == ["B1", "W2", "C1", "W1", "P1", "N1"]
    assert [one["gate"] for one in gates["verdicts"] if one["hinders"]] == ["B1", "W2"]
    assert gates["counts"] == {
        "hindering": 2, "accepted": 1, "block": 2, "warn": 2, "pass": 1, "not_applicable": 1,
    }  # fmt: skip
    html = page(book)
    shown = html[html.index('id="gates"') :]
    shown = shown[: shown.index("<details>")]
    assert [name in shown for name in ("B1", "W2", "C1", "W1", "P1", "N1")] == [True] * 4 + [False] * 2
    assert shown.index("In the way of this step") < shown.index(">B1<") < shown.index(">C1<")
    assert "No gate is in the way" not in shown
    said = section(html, "gates")
    for words in (
        "示例法 1 / Sample Law 1",
        "V2",
        "confirmed by a secondary page",
        "matter.custodian is not said",
    ):
        assert words in said
    assert "a sample remedy" in said and "示例补救" in said and "sample-pack@2026.02" in said


def test_when_nothing_is_in_the_way_it_says_so() -> None:
    assert "No gate is in the way of this step." in page(begun().judged(verdict("P1")))
    assert "No gate is in the way of this step." not in page(begun().judged(verdict("P1", "block")))


def test_the_latest_hearing_counts_and_all_are_listed() -> None:
    gates = begun().judged(verdict("P1", "block")).judged(verdict("P1"), step="closing").document["gates"]
    assert (gates["step"], gates["counts"]["hindering"]) == ("closing", 0)
    assert [(one["step"], one["hindering"]) for one in gates["hearings"]] == [
        ("execution", 1),
        ("closing", 0),
    ]


def test_a_hearing_of_another_plan_is_not_called_good() -> None:
    book = begun().judged(verdict("P1"))
    assert not book.document["gates"]["outdated"]
    book.planned("loan", digest="8" * 64)
    assert book.document["gates"]["outdated"]
    said = section(page(book), "gates")
    assert "must be judged again" in said and "No gate is in the way" not in said


def test_a_verdict_of_another_version_is_not_folded_away() -> None:
    book = begun().judged(verdict("P1"), verdict("X1"))
    entries = list(book.entries)
    body = json.loads(json.dumps(entries.pop().body))
    body["verdicts"][1]["state"] = "deferred"
    later = Book(entries)
    later.add("gates", body)
    assert [one["gate"] for one in later.document["gates"]["verdicts"]] == ["X1", "P1"]
    html = page(later)
    assert ">X1<" in html[html.index('id="gates"') : html.index("<details>")]
    assert "deferred" in section(html, "gates")


def test_who_accepted_is_named_and_no_other_words_of_the_case() -> None:
    book = begun().judged(verdict("W1", "warn", "W", accepted=ACCEPTED))
    made = write_report(book.entries)
    for data in made.values():
        assert "示例负责人 (sample)".encode() in data
        assert b"words of the case" not in data and b"4242" not in data


def test_a_case_without_policy_says_that_nothing_was_judged() -> None:
    book = begun()
    assert book.document["gates"] == {} and 'id="gates"' not in page(book)
    book.add("gates-not-judged", {"reason": "the case names no policy"}, "gates-not-judged")
    assert book.document["gates"] == {"judged": False}
    assert "no gate was judged" in section(page(book), "gates")


def test_the_scope_is_counted_by_table_class_and_person() -> None:
    found = begun().document["scope"]
    assert found["totals"] == {"tables": 2, "tables_in_scope": 1, "rows": 50, "of": 78_777, "copied": 40}
    assert [(part["name"], part["rows"]) for part in found["tables"][0]["classes"]] == [
        ("settled", 40),
        ("disputed", 10),
    ]
    assert found["persons"] == [{"table": "s.person", "considered": 1_200, "in_scope": 911, "staying": 289}]
    said = section(page(begun()), "scope")
    for words in (
        "50 / 78,777",
        "disputed",
        "不移转",
        "restricted",
        "4.0%",
        "1.0%",
        "289",
        "5,555",
        "novel_fact",
    ):
        assert words in said, words
    assert "Consent withdrawn" in said and "referred to: 2" in said and "77,777" in said


def test_without_a_scope_every_row_is_meant() -> None:
    book = Book().opened().planned("loan")
    assert book.document["scope"] == {"every_row": True}
    assert "every row of its schemas is in scope" in section(page(book), "scope")
    assert Book().opened().document["scope"] == {}


def test_answers_say_who_when_for_what_and_why() -> None:
    book = (
        begun()
        .asked()
        .answered("answer-rejected", by="requester")
        .answered("refused", reason="太早 / too early")
    )
    book.answered("approved", by="supervisor")
    found = book.document["approvals"]
    assert found["requester"] == "requester"
    assert [(a["outcome"], a["by"], a["reason"], a["problem"]) for a in found["answers"]] == [
        ("answer-rejected", "requester", "", "no reason was given"),
        ("refused", "approver", "太早 / too early", ""),
        ("approved", "supervisor", "the plan was read", ""),
    ]
    last = found["answers"][-1]
    assert (last["account_id"], last["auth_manager"], last["outdated"]) == ("7", "SomeAuthManager", False)
    assert (last["digest"], last["plan_digest"], last["seq"]) == ("1" * 64, "9" * 64, len(book.entries))
    said = section(page(book), "approvals")
    for words in (
        "does not count",
        "no reason was given",
        "太早 / too early",
        "supervisor",
        "1" * 64,
        "2026-01-04",
    ):
        assert words in said, words


def answers(book: Book) -> list[tuple[str, bool]]:
    return [(one["what"], one["outdated"]) for one in book.document["approvals"]["answers"]]


def test_a_yes_to_what_is_not_in_force_any_more_is_marked() -> None:
    book = begun().asked().answered()
    assert answers(book) == [("execute", False)]
    assert "counts no more" not in page(book)
    replanned = begun().asked().answered().planned("loan", digest="8" * 64)
    assert answers(replanned) == [("execute", True)], "the plan is another one"
    assert "counts no more" in page(replanned)
    other_result = begun().asked("accept").answered(what="accept").asked("accept", "2" * 64)
    assert answers(other_result) == [("accept", True)], "the verification is another one"
    assert answers(begun().answered()) == [("execute", True)], "nobody was asked"
    assert answers(replanned.answered("refused"))[1] == ("execute", False)


def test_a_refusal_takes_away_what_was_given_before() -> None:
    book = begun().asked().answered().answered("refused")
    assert answers(book) == [("execute", True), ("execute", False)]
    assert answers(book.answered(by="supervisor"))[2] == ("execute", False), "said after the refusal"
    elsewhere = begun().asked().answered().answered("refused", "accept")
    assert answers(elsewhere)[0] == ("execute", False)
    assert section(page(book), "approvals").count("holds until") == 2, "a no does not expire"


def test_nobody_asked_and_nobody_answered_are_told_apart() -> None:
    assert begun().document["approvals"] == {}
    assert "nobody has answered yet" in section(page(begun().asked()), "approvals")
    book = begun()
    book.add("approval-not-required", {"what": "execute", "said": "x"}, "execute")
    assert "nobody approved" in section(page(book), "approvals")


def test_the_second_look_is_complete_partial_or_finds_changes() -> None:
    book = begun().backed_up()
    assert book.document["recheck"] == {}
    book.add("source-rechecked", {"unit": "t00000/0", "generation": 1, "differences": []})
    found = book.document["recheck"]
    assert (found["looked_at"], found["parts"]) == (1, 3)
    assert "Not all parts have been read again" in section(page(book), "recheck")
    book.rechecked()
    assert (book.document["recheck"]["looked_at"], book.document["recheck"]["looks"]) == (3, 4)
    assert "is as it was backed up" in section(page(book), "recheck")
    book.rechecked(scope=["s.loan: row with id = 3 came into scope"])
    assert book.document["findings"][-1] == {
        "area": "source",
        "text": "s.loan: row with id = 3 came into scope",
    }
    assert "changed after the backup in 1 places" in section(page(book), "recheck")
    book.add("source-frozen", {"schemas": ["s"]}, "source-frozen")
    assert "Source frozen since" in section(page(book), "recheck")


def test_a_second_look_at_another_generation_does_not_count() -> None:
    book = begun().backed_up()
    book.add("source-rechecked", {"unit": "t00000/0", "generation": 2, "differences": ["x"]})
    assert book.document["recheck"] == {} and book.document["findings"] == []


KINDS = sorted({entry.kind for entry in lawful_run().entries})


def test_a_lawful_run_is_equal_and_says_all_of_it() -> None:
    document = lawful_run().document
    assert (document["verdict"], document["status"]) == ("equal", "complete")
    html = page(lawful_run())
    places = [html.index(f'<section id="{name}">') for name in ("gates", "scope", "approvals", "recheck")]
    assert places == sorted(places)


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_entry_may_be_absent(kind: str) -> None:
    entries = [entry for entry in lawful_run().entries if entry.kind != kind]
    assert b"</html>" in write_report(entries)["verification.html"]


@pytest.mark.parametrize("count", range(len(lawful_run().entries) + 1))
def test_it_can_be_made_at_any_moment_of_a_run(count: int) -> None:
    verification_html(verification_document(lawful_run().entries[:count]))


def hostile_run(name: str) -> Book:
    """A run in which every text about law and people that somebody else chose is the same hostile one."""
    words = {"zh": name, "en": name}
    counted: dict[str, Any] = scope(name).document()
    for table in counted["tables"]:
        for part in table["classes"]:
            part["name"] = name
    counted["persons"], counted["facts"] = {name: (2, 1)}, {name: 1}
    book = Book().opened().planned("loan", scope=type(scope()).model_validate(counted))
    told: dict[str, Any] = {
        "basis": {"source": name, "status": "V1", "verified": "2026-01-01"},
        "reason": words,
    }
    told |= {"lacking": [name], "notes": [words], "remedy": words, "pack": name}
    book.judged(
        verdict(name, "block", **told),
        verdict("W1", "warn", "W", **told, accepted=ACCEPTED | {"name": name}),
        verdict("P1", **told),
    )
    book.add("requested", {"by": name})
    fields = {"by": name, "account_id": name, "auth_manager": name}
    book.asked().answered(reason=name, **fields).answered("answer-rejected", problem=name, **fields)
    book.add("approval-not-required", {"what": name, "said": name}, name)
    return book.backed_up().rechecked(t00000_0=[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_name_holds_stays_text(name: str) -> None:
    elements, text = text_of(page(hostile_run(name)))
    harmless, _ = text_of(page(hostile_run("harmless")))
    assert elements == harmless
    assert text.count(name) > 30


@pytest.mark.parametrize("book", [lawful_run(), hostile_run("x")], ids=["lawful", "hostile"])
def test_both_languages_say_as_much(book: Book) -> None:
    html = page(book)
    assert html.count('lang="zh-CN">') == html.count('lang="en">') + 1, "the document itself is Chinese"


def test_shares_are_those_of_the_plan() -> None:
    assert (share(7_560, 21_549), share(0, 5), share(5, 5), share(0, 0)) == ("35.1%", "0.0%", "100.0%", "–")
