"""The report says how columns were masked, what became of the keys, and no more than the ledger bears out."""

from copy import deepcopy
from typing import Any

import pytest

from fixtures.reports import Book
from handover.evidence.history import History
from handover.evidence.report_html import MOST_LINES, environment
from handover.evidence.report_pseudonyms import DESTROYED, KEPT, pseudonyms, wording
from handover.model.masking import MaskedColumn, Pseudonym

VERIFIED = "destroyed, attested by the provider"
UNLINKED = "unlinked, not verifiable"


def made(domain: str, strategy: str = "token") -> Pseudonym:
    return Pseudonym(domain=domain, writing="exact", treatment={"strategy": strategy})


MASKED = [
    MaskedColumn(column="mobile", type="text", kind="mobile", pseudonym=made("mobile")),
    MaskedColumn(
        column="remark",
        type="text",
        kind="free_text",
        pseudonym=made("mentioned", "redact"),
        mentions={"mobile": made("mobile"), "resident_id": made("resident_id", "fpe")},
        paths={"$.mail": made("email")},
    ),
]
HERE = [MaskedColumn(column="name", type="text", kind="person_name", pseudonym=made("person_name", "choice"))]
DOMAINS = ("email", "mentioned", "mobile", "person_name", "resident_id")
FIGURES: dict[str, Any] = {
    "label": "s.person",
    "quasi_identifiers": ["born", "address"],
    "records": 1200,
    "classes": 40,
    "smallest_class": 12,
    "unique_records": 0,
    "unique_share": 0.0,
    "diversity": {"income": 4},
    "population": False,
    "prosecutor": {"highest": 0.083333, "mean": 0.033, "at_risk_share": 0.0},
    "thresholds": {
        "smallest_class": 5,
        "diversity": 2,
        "record_risk": "0.2",
        "unique_share": "0",
        "at_risk_share": "0",
        "mean_risk": "0.05",
    },
    "exceeded": [],
}
TEST: dict[str, Any] = {
    "generation": 2,
    "figures": [FIGURES],
    "proposals": {},
    "unseen": [],
    "unjoined": [],
    "passed": True,
    "acknowledged": [],
}
SEARCH: dict[str, Any] = {
    "absent": True,
    "findings": [],
    "excepted": {"alike": 3},
    "not_searched": [],
    "acknowledged": [],
    "values": {"mobile": 1200},
}
FOUND = {
    "schema_name": "s",
    "table": "person",
    "column": "note",
    "cells": 17,
    "kinds": {"mobile": 17},
    "row_tokens": ["f" * 32],
}
UNSEARCHED = {"schema_name": "s", "table": "person", "column": "photo", "why": "too large"}


def destroyed(claim: str = VERIFIED, **changes: Any) -> dict[str, Any]:
    keys = [
        {"domain": d, "key": f"pseudonym-{d}", "at": "2026-01-01T00:00:00Z", "result": claim, "copies": []}
        for d in DOMAINS
    ]
    keys[0] |= changes
    return {"keys": keys}


def planned() -> Book:
    """A plan with a masked table."""
    table = {
        "id": "t00000",
        "schema_name": "s",
        "name": "person",
        "masked": [one.document() for one in MASKED],
        "masked_here": [one.document() for one in HERE],
    }
    book = Book().opened()
    book.add("plan", {"plan": {"tables": [table, {"schema_name": "s", "name": "other"}]}, "digest": "9" * 64})
    book.add("key-created", {"key": "backup-1", "purpose": "backup"})
    for domain in DOMAINS:
        book.add("key-created", {"key": f"pseudonym-{domain}", "purpose": "pseudonym"})
    book.add("backup-sealed", {"generation": 2}, "g2")
    return book


def chunk(book: Book, unit: str, generation: int = 2, **counts: dict[str, int]) -> None:
    body = {"generation": generation, "unit": unit, "table": "s.person", "rows": 10, "digest": "d" * 64}
    book.add("chunk-masked", body | {"counts": counts}, f"g{generation}/{unit}")


# What must be in the ledger before anything is called anonymised, in the order of a run.
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "search": ("absence-searched", {"generation": 2, **SEARCH}),
    "test": ("reidentification-tested", TEST),
    "backup": ("key-destroyed", {"key": "backup-1", "result": VERIFIED}),
    "keys": (DESTROYED, destroyed()),
}


def run(**changes: tuple[str, dict[str, Any]] | None) -> History:
    """A run in which all was done, but for what is changed or left out."""
    book = planned()
    for step in {**STEPS, **changes}.values():
        if step:
            book.add(*step)
    return History(book.entries)


def reasons(history: History) -> list[str]:
    return [one["en"] for one in wording(history)["because"]]


def test_anonymised_is_said_when_all_of_it_is_there() -> None:
    assert wording(run()) == {"word": "anonymised", "zh": "匿名化", "en": "anonymised", "because": []}


def changed(step: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    kind, body = STEPS[step]
    return kind, body | fields


EXCEEDED = deepcopy(FIGURES) | {"exceeded": ["smallest class <5, at least 10 wanted"]}
LACKING: dict[str, tuple[dict[str, tuple[str, dict[str, Any]] | None], str]] = {
    "keys in use": ({"keys": None}, "not every pseudonym key"),
    "keys kept": ({"keys": (KEPT, {"keys": [{"domain": d, "key": d} for d in DOMAINS]})}, "not every"),
    "one key is left": ({"keys": (DESTROYED, {"keys": destroyed()["keys"][1:]})}, "not every pseudonym key"),
    "no keys at all": ({"keys": (DESTROYED, {"keys": []})}, "not every pseudonym key"),
    "a file was unlinked": ({"keys": (DESTROYED, destroyed(UNLINKED))}, "cannot be verified"),
    "one was unlinked": (
        {"keys": (DESTROYED, destroyed(result=UNLINKED))},
        "cannot be verified",
    ),
    "nothing is claimed": ({"keys": (DESTROYED, destroyed(""))}, "cannot be verified"),
    "a copy is known": ({"keys": (DESTROYED, destroyed(VERIFIED, copies=["of May"]))}, "copies of a key"),
    "the backup is there": ({"backup": None}, "the backup can still be read"),
    "another key": ({"backup": ("key-destroyed", {"key": "pseudonym-email"})}, "the backup can still"),
    "not tested": ({"test": None}, "re-identification test"),
    "nothing measured": ({"test": changed("test", figures=[])}, "re-identification test"),
    "exceeded": ({"test": changed("test", figures=[FIGURES, EXCEEDED])}, "re-identification test"),
    "excess accepted": ({"test": changed("test", acknowledged=["s.person"])}, "re-identification test"),
    "not passed": ({"test": changed("test", passed=False)}, "re-identification test"),
    "not together": ({"test": changed("test", unjoined=["s.loan"])}, "re-identification test"),
    "an old backup": ({"test": changed("test", generation=1)}, "re-identification test"),
    "not searched": ({"search": None}, "search for raw values"),
    "found": ({"search": changed("search", absent=False, findings=[FOUND])}, "search for raw"),
    "found, yet absent": ({"search": changed("search", findings=[FOUND])}, "search for raw"),
    "accepted": ({"search": changed("search", acknowledged=["raw-value:s.p.note"])}, "search for raw"),
    "not everywhere": ({"search": changed("search", not_searched=[UNSEARCHED])}, "search for raw"),
    "handed over in clear": ({"search": changed("search", excepted={"clear": 1})}, "search for raw"),
    "said in words": ({"search": changed("search", absent="yes")}, "search for raw values"),
}  # fmt: skip


@pytest.mark.parametrize("what", LACKING)
def test_a_single_thing_that_lacks_takes_the_word_away(what: str) -> None:
    changes, said = LACKING[what]
    found = wording(run(**changes))
    assert (found["word"], found["zh"]) == ("de-identified", "去标识化（仍属个人信息）")
    assert found["en"] == "de-identified (still personal data)"
    (reason,) = found["because"]
    assert said in reason["en"] and reason["zh"]


def test_the_last_word_on_keys_counts() -> None:
    book = planned()
    book.add(*STEPS["keys"])
    book.add(KEPT, {"keys": []})
    assert "not every pseudonym key was destroyed" in reasons(History(book.entries))


def test_by_default_data_stay_personal() -> None:
    assert len(reasons(History(planned().entries))) == 4
    assert wording(History([]))["word"] == "de-identified"


def test_a_run_without_pseudonyms_has_no_section() -> None:
    assert pseudonyms(History(Book().opened().planned("loan").entries)) == {}
    assert pseudonyms(History([])) == {}


def test_cells_are_counted_by_column() -> None:
    book = planned()
    chunk(
        book, "t00000/0/0", mobile={"masked": 7, "null": 2, "fallback": 1}, remark={"masked": 3, "clean": 7}
    )
    chunk(
        book, "t00000/0/1", mobile={"masked": 9, "null": 1, "fallback": 0}, remark={"masked": 1, "clean": 9}
    )
    chunk(book, "t00000/0/2", generation=1, mobile={"masked": 500, "null": 0, "fallback": 0})
    found = {one["column"]: one for one in pseudonyms(History(book.entries))["columns"]}
    assert found["mobile"] == {
        "table": "s.person",
        "column": "mobile",
        "side": "target",
        "kind": "mobile",
        "strategy": "token",
        "domain": "mobile",
        "cells": {"masked": 16, "null": 3, "fallback": 1, "clean": 0},
    }
    assert found["remark"]["cells"] == {"masked": 4, "null": 0, "fallback": 0, "clean": 16}
    assert (found["remark"]["strategy"], found["remark"]["domain"]) == ("redact", "")
    assert (found["name"]["side"], found["name"]["cells"]) == ("source", None)


def test_keys_searches_figures_and_uses_are_shown() -> None:
    found = pseudonyms(run())
    assert found["keys"]["state"] == "destroyed" and len(found["keys"]["keys"]) == 5
    assert found["search"] == {
        "clean": True,
        "findings": [],
        "not_searched": [],
        "acknowledged": [],
        "in_clear": 0,
        "alike": 3,
    }
    assert found["risk"]["passed"] and found["risk"]["figures"][0]["highest_risk"] == 0.083333
    assert found["risk"]["figures"][0]["least_diversity"] == 4
    assert found["risk"]["thresholds"] == FIGURES["thresholds"]
    assert found["reveals"] == {"requested": 0, "approved": 0, "used": 0, "refused": 0}
    empty = pseudonyms(History(planned().entries))
    assert (empty["keys"]["state"], empty["search"], empty["risk"]) == ("in use", {}, {})


def page(history: History) -> str:
    """The section alone, with the words that all sections share."""
    made = environment()
    whole = made.loader.get_source(made, "report.html.j2")[0]  # type: ignore[union-attr]
    lines = (line for line in whole.splitlines() if line.startswith("{% macro"))
    shared = "\n".join(line for line in lines if line.endswith("{% endmacro %}"))
    text = shared + '{% include "report.pseudonyms.html.j2" %}'
    document = {"pseudonyms": pseudonyms(history)}
    return made.from_string(text).render(document=document, most_lines=MOST_LINES)


def test_the_page_says_it_in_both_languages() -> None:
    clean = page(run())
    assert "结果：匿名化" in clean and "The result is anonymised" in clean
    assert "It may not be called" not in clean and "No raw value was found." in clean
    assert "s.person" in clean and "born, address" in clean and "0.083333" in clean
    assert '>4<small translate="no">income</small>' in clean and "≥ 5" in clean and "≤ 0.05" in clean
    risky = changed("test", figures=[EXCEEDED], proposals={"s.person": "born to year"}, unjoined=["s.loan"])
    kept = run(keys=LACKING["keys kept"][0]["keys"], test=risky)
    said = page(kept)
    assert "born to year" in said and "Not tested together:" in said and "s.loan" in said
    assert "de-identified (still personal data)" in said and "去标识化（仍属个人信息）" in said
    assert "假名密钥未全部销毁" in said and "smallest class &lt;5" in said and "密钥：保留" in said
    everything = changed(
        "search",
        absent=False,
        findings=[FOUND],
        not_searched=[UNSEARCHED],
        acknowledged=["raw-value:s.person.note"],
        excepted={"clear": 44, "alike": 3},
    )
    found = page(run(search=everything))
    for words in ("s.person.note", "mobile 17", "too large", "Accepted in the case:", "44 more cells"):
        assert words in found
    assert FOUND["row_tokens"][0] not in found
    assert page(History(planned().entries)).count("Not done yet.") == 2
    assert page(History([])).strip() == ""


def test_uses_are_told_once_somebody_asked() -> None:
    book = planned()
    assert "Revealed by two persons" not in page(History(book.entries))
    for kind in ("reveal-requested", "reveal-approved", "reveal-used"):
        book.add(kind, {"request": "rv-1"})
    assert "asked 1, approved 1, used 1, refused 0 times" in page(History(book.entries))


def test_names_stay_text() -> None:
    hostile = MaskedColumn(column="<b>x</b>", type="text", kind="mobile", pseudonym=made("mobile"))
    book = Book().opened()
    table = {"schema_name": "<i>s</i>", "name": "t", "masked": [hostile.document()]}
    book.add("plan", {"plan": {"tables": [table]}, "digest": "9" * 64})
    said = page(History(book.entries))
    assert "<b>x" not in said and "<i>s" not in said and "&lt;b&gt;x" in said
