"""Which columns are masked: those that refer to each other alike, and nothing personal stays by silence."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handover.model.datamap import ColumnEntry
from handover.model.kinds import KINDS
from handover.pseudonymise.deciding import Defaults, Holding, Undecided, decide
from handover.pseudonymise.strategy import Room

TOKEN, CLEAR = {"strategy": "token"}, {"strategy": "clear"}
EVERY_KIND = Defaults({kind: [TOKEN] for kind in KINDS})


def entry(kind: str, treatment: dict[str, object] | None = None) -> ColumnEntry:
    return ColumnEntry.model_validate({"kind": kind, **KINDS[kind].levels.document(), "treatment": treatment})


def holding(
    kind: str = "internal_id",
    treatment: dict[str, object] | None = None,
    *,
    masked: bool = True,
    type_name: str = "text",
    unique: bool = False,
) -> Holding:
    return Holding(Room(type_name, unique=unique), masked, entry(kind, treatment))


def said(problems: list[Undecided]) -> str:
    return "\n".join(f"{'.'.join(one.place)} {one.said}" for one in problems)


tables = st.sampled_from(["a", "b", "c", "d"])
places = st.tuples(tables, st.sampled_from(["x", "y"]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(places, places), max_size=8), st.sets(tables))
def test_columns_that_refer_to_each_other_are_masked_alike_or_not_at_all(
    references: list[tuple[tuple[str, str], tuple[str, str]]], masked: set[str]
) -> None:
    columns = {(t, c): holding(masked=t in masked) for t in "abcd" for c in "xy"}
    found, problems = decide(columns, references, EVERY_KIND)
    refused = {one.place for one in problems}
    for child, parent in references:
        if not refused:
            one, other = found.get(child), found.get(parent)
            assert (one and one.pseudonym) == (other and other.pseudonym)
    if not references:
        assert set(found) == {place for place in columns if place[0] in masked}


def test_a_child_in_clear_gets_the_pseudonyms_of_its_parent() -> None:
    columns = {("p", "id"): holding(), ("c", "p_id"): holding(masked=False)}
    found, problems = decide(columns, [(("c", "p_id"), ("p", "id"))], EVERY_KIND)
    assert not problems
    assert found["c", "p_id"].pseudonym == found["p", "id"].pseudonym


def test_a_child_of_a_row_in_clear_stays_as_it_is() -> None:
    columns = {("p", "id"): holding(masked=False), ("c", "p_id"): holding()}
    found, problems = decide(columns, [(("c", "p_id"), ("p", "id"))], EVERY_KIND)
    assert (found, problems) == ({}, [])


def test_a_treatment_that_would_cut_a_join_is_refused() -> None:
    columns = {("p", "id"): holding(masked=False), ("c", "p_id"): holding(treatment=TOKEN)}
    _, problems = decide(columns, [(("c", "p_id"), ("p", "id"))], EVERY_KIND)
    assert "c.p_id has a treatment, but the row of p that it refers to arrives in clear" in said(problems)


def test_a_reference_to_rows_in_clear_and_to_masked_ones_is_refused() -> None:
    columns = {("p", "id"): holding(), ("q", "id"): holding(masked=False), ("c", "any_id"): holding()}
    references = [(("c", "any_id"), ("p", "id")), (("c", "any_id"), ("q", "id"))]
    _, problems = decide(columns, references, EVERY_KIND)
    assert "some lead to rows in clear" in said(problems)


# A customer names the card to pay from, and the card its customer; a note refers to the customer.
CIRCLE = [
    (("customer", "id"), ("card", "owner")),
    (("card", "owner"), ("customer", "id")),
    (("note", "about"), ("customer", "id")),
]


def circle(*, cards: bool) -> dict[tuple[str, str], Holding]:
    return {
        ("customer", "id"): holding(),
        ("card", "owner"): holding(masked=cards),
        ("note", "about"): holding(masked=False),
    }


def test_a_circle_is_masked_alike_with_all_that_refers_to_it() -> None:
    found, problems = decide(circle(cards=True), CIRCLE, EVERY_KIND)
    assert not problems
    assert len(found) == len(CIRCLE)
    assert len({one.pseudonym.sha256_of_json() for one in found.values()}) == 1


def test_a_circle_of_which_one_table_is_in_clear_is_refused_and_never_unmasks_the_others() -> None:
    """A table that no class names arrives in clear."""
    found, problems = decide(circle(cards=False), CIRCLE, EVERY_KIND)
    assert not found
    assert "some lead to rows in clear" in said(problems)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].personal])
def test_no_personal_column_stays_by_silence(kind: str) -> None:
    _, problems = decide({("t", "c"): holding(kind)}, [], Defaults({}))
    assert f"t.c holds {kind} in rows that are pseudonymised, and neither" in said(problems)


def test_what_is_none_of_a_person_stays() -> None:
    assert decide({("t", "c"): holding("none")}, [], EVERY_KIND) == ({}, [])


def test_clear_must_be_said() -> None:
    assert decide({("t", "c"): holding("mobile", CLEAR)}, [], EVERY_KIND) == ({}, [])


def test_equal_kinds_share_a_domain_over_tables() -> None:
    columns = {("a", "phone"): holding("mobile"), ("b", "tel"): holding("phone")}
    found, _ = decide(columns, [], EVERY_KIND)
    assert {one.pseudonym.domain for one in found.values()} == {"mobile"}
    assert {one.pseudonym.writing for one in found.values()} == {"mobile"}


def test_the_first_treatment_that_fits_all_columns_of_a_domain_is_taken() -> None:
    defaults = Defaults({"mobile": [TOKEN, {"strategy": "token", "length": 12}]})
    columns = {
        ("a", "m"): holding("mobile"),
        ("b", "m"): holding("mobile", type_name="character varying(12)"),
    }
    found, problems = decide(columns, [], defaults)
    assert not problems
    assert {one.pseudonym.treatment["length"] for one in found.values()} == {12}
    narrow = columns | {("c", "m"): holding("mobile", type_name="character varying(3)")}
    _, problems = decide(narrow, [], defaults)
    assert "c.m token: needs 12 characters, the column holds 3" in said(problems)


def test_one_domain_has_one_treatment() -> None:
    columns = {
        ("a", "m"): holding("mobile", {"strategy": "token", "length": 12}),
        ("b", "m"): holding("mobile", {"strategy": "token", "length": 14}),
    }
    _, problems = decide(columns, [], EVERY_KIND)
    assert "shares domain mobile with a column of another treatment" in said(problems)
    apart = columns | {("b", "m"): holding("mobile", {"strategy": "token", "domain": "other"})}
    found, problems = decide(apart, [], EVERY_KIND)
    assert not problems
    assert found["b", "m"].pseudonym.domain == "other"


def test_a_text_mentions_what_the_column_would_have() -> None:
    columns = {
        ("t", "mobile"): holding("mobile", {"strategy": "token", "length": 12}),
        ("t", "remark"): holding("free_text", {"strategy": "redact"}),
    }
    found, _ = decide(columns, [], EVERY_KIND)
    assert found["t", "remark"].mentions["mobile"] == found["t", "mobile"].pseudonym
    assert found["t", "remark"].mentions["phone"] == found["t", "mobile"].pseudonym


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (holding("free_text", {"strategy": "redact"}, type_name="bytea"), "redact takes texts"),
        (holding("free_text", {"strategy": "redact"}, unique=True), "would not stay different"),
        (holding("mobile", {"strategy": "token", "length": 99}), "treatment: .*length"),
        (holding("mobile", {"strategy": "mask"}, unique=True), "would not stay different"),
        (holding("mobile", {"strategy": "token", "domain": "Not a name"}), "is no name"),
        (holding("birth_date", {"strategy": "shift", "person": "gone"}, type_name="date"), "write person"),
    ],
)
def test_what_cannot_be_done_is_said(one: Holding, reason: str) -> None:
    _, problems = decide({("t", "c"): one}, [], EVERY_KIND)
    assert re.search(reason, said(problems))


def test_dates_move_by_the_persons_domain() -> None:
    columns = {
        ("p", "id"): holding(),
        ("c", "p_id"): holding(),
        ("c", "day"): holding("related", {"strategy": "shift", "person": "p_id"}, type_name="date"),
    }
    found, problems = decide(columns, [(("c", "p_id"), ("p", "id"))], EVERY_KIND)
    assert not problems
    assert found["c", "day"].pseudonym.domain == found["p", "id"].pseudonym.domain
    assert found["c", "day"].person == "p_id"
