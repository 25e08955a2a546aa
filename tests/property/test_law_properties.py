"""At random: a fact less opens no gate and erases nothing; another minimum shortens nothing."""

from copy import deepcopy
from datetime import date
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fixtures.closings import CLOSING, asked_of, closed
from fixtures.matters import complete, packs, put
from handover.law.dates import after, plausible_start
from handover.law.facts import Facts
from handover.law.gates import evaluate
from handover.law.retention import Question, decide
from handover.model.matter import RowClassRules
from handover.model.policy import Period
from handover.model.stated import Hold

RULES = {name: rule for pack in packs() for name, rule in pack.retention.items()}
TRIGGERS = sorted({rule.trigger for rule in RULES.values() if rule.trigger})
HOLDS = sorted({name for pack in packs() for name in pack.holds})
DAYS = st.dates(date(1950, 1, 1), date(2090, 12, 31))
# Lists of evidence lose single entries; of the others an entry less is another statement, not a missing one.
EVIDENCE = {"documents", "opinions", "acceptances", "counsel_acceptances", "verified", "controls", "clauses",
            "purposes", "bases", "retention", "mechanism_data_sets", "sector_profiles", "about"}  # fmt: skip


def _parts(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every part of a document that can be taken away."""
    if isinstance(value, dict):
        return [
            found
            for key, below in value.items()
            for found in ((*path, key), *_parts(below, (*path, key)))
            if key not in ("matter", "data") or path or found != (key,)
        ]
    if isinstance(value, list):
        found = [one for n, below in enumerate(value) for one in _parts(below, (*path, n))]
        return found + ([(*path, n) for n in range(len(value))] if path[-1] in EVIDENCE else [])
    return []


def _without(document: Any, path: tuple[str | int, ...]) -> None:
    for part in path[:-1]:
        document = document[part]
    del document[path[-1]]


def _hindering(document: dict[str, Any]) -> set[str] | None:
    try:
        facts = Facts.model_validate(document)
    except ValidationError:
        return None  # such a case is refused as a whole
    return {one.gate for one in evaluate(packs(), facts) if one.hinders("closing")}


def _opened_by_taking(document: dict[str, Any], path: tuple[str | int, ...]) -> set[str]:
    before = _hindering(document)
    return set() if before is None else before - _hindering_without(document, path, before)


def _hindering_without(document: dict[str, Any], path: tuple[str | int, ...], refused: set[str]) -> set[str]:
    _without(document, path)
    after_it = _hindering(document)
    return refused if after_it is None else after_it


@settings(max_examples=100, deadline=None)
@given(data=st.data(), gate=st.sampled_from(sorted(CLOSING)))
def test_taking_anything_away_opens_no_gate(data: st.DataObject, gate: str) -> None:
    document = deepcopy(closed(gate, asked_of(gate)))  # what is taken away must not be missing next time
    for _ in range(2):
        path = data.draw(st.sampled_from(_parts(document)))
        assert _opened_by_taking(document, path) == set()


@pytest.mark.parametrize("transaction", ["loan_portfolio_transfer", "bankruptcy"])
def test_no_single_part_opens_any_of_all_the_closed_gates(transaction: str) -> None:
    """Everything that a change of a value can close is closed at once, then each part is taken away."""
    shut = complete(transaction)
    changes = [one for one in CLOSING.values() if not isinstance(one, str)]
    for path, value in (pair for one in changes for pair in (one if isinstance(one, list) else [one])):
        if value not in ([], None):  # what is missing already cannot be taken away
            put(shut, path, value)
    before = _hindering(shut) or set()
    assert len(before) > 45
    for path in _parts(shut):
        assert before <= _hindering_without(deepcopy(shut), path, before), path


def test_the_search_for_parts_reaches_everything() -> None:
    """A search that finds nothing would take nothing away."""
    parts = set(_parts(complete()))
    for path in (("matter", "documents", 3), ("matter", "exports", "flows", 0, "region"), ("data", "persons"),
                 ("matter", "documents", 0, "clauses", 2), ("matter", "documents", 0, "expires"),
                 ("verified", 0), ("data", "outgoing")):  # fmt: skip
        assert path in parts
    assert ("matter", "exports", "flows", 0) not in parts


# Mostly everything is known and long past, so that erasing is often allowed and can be lost again.
FULL = {name: st.integers(1950, 2090) if name == "fiscal_year" else DAYS for name in TRIGGERS}
PLAIN = sorted(name for name, rule in RULES.items() if rule.period and rule.period.years <= 10)
RULE_LISTS = st.lists(st.sampled_from(PLAIN), min_size=1, max_size=3, unique=True) | st.lists(
    st.sampled_from(sorted(RULES)), max_size=3, unique=True
)
RELEASED = st.builds(
    Hold, kind=st.sampled_from(HOLDS), opened=DAYS, released_by=st.just("某"), released_on=DAYS
)
OPEN = st.builds(Hold, kind=st.sampled_from(HOLDS), opened=DAYS)
QUESTIONS = st.builds(
    Question,
    rows=st.builds(
        RowClassRules,
        row_class=st.just("rows"),
        rules=RULE_LISTS.map(tuple),
        triggers=st.fixed_dictionaries(FULL) | st.fixed_dictionaries({}, optional=FULL),
        indivisible=st.none() | st.booleans(),
    ),
    on=st.dates(date(2070, 1, 1), date(2125, 12, 31)),
    aml_obliged=st.sampled_from(["yes", "no", "unknown"]),
    holds=st.lists(RELEASED, max_size=2).map(tuple) | st.lists(RELEASED | OPEN, max_size=2).map(tuple),
    deletion_duty=st.none() | st.sampled_from(["request", "purpose_ended"]),
)
ERASES = {"may_erase": 2, "must_erase": 2, "split": 1, "restrict": 0}


@settings(max_examples=300, deadline=None)
@given(question=QUESTIONS, minimum=st.sampled_from([n for n in RULES if RULES[n].direction == "minimum"]))
def test_another_minimum_never_shortens(question: Question, minimum: str) -> None:
    rows = question.rows.model_copy(update={"rules": (*(question.rows.rules or ()), minimum)})
    before = decide(packs(), question)
    with_it = decide(packs(), question.model_copy(update={"rows": rows}))
    if any(one.direction == "minimum" and not one.unsure for one in before.rules):
        assert ERASES[with_it.outcome] <= ERASES[before.outcome]
    if before.free_from and with_it.free_from:
        assert with_it.free_from >= before.free_from
    assert with_it.permanent >= before.permanent


def _lost(question: Question) -> list[Question]:
    """The same question with one fact less, in every way."""
    rows, triggers = question.rows, question.rows.triggers or {}
    fewer = [
        rows.model_copy(update={"triggers": {k: v for k, v in triggers.items() if k != key}})
        for key in triggers
    ]
    fewer += [rows.model_copy(update={name: None}) for name in ("rules", "triggers", "indivisible")]
    lost = [question.model_copy(update={"rows": one}) for one in fewer]
    lost += [
        question.model_copy(update={"aml_obliged": "unknown"}),
        question.model_copy(update={"holds": None}),
    ]
    lost.append(question.model_copy(update={"deletion_duty": None}))
    for number, hold in enumerate(question.holds or ()):
        for field in ("released_by", "released_on"):
            holds = list(question.holds or ())
            holds[number] = hold.model_copy(update={field: None})
            lost.append(question.model_copy(update={"holds": tuple(holds)}))
    return lost


@pytest.mark.parametrize("outcome", ERASES)
def test_every_outcome_is_drawn(outcome: str) -> None:
    """Questions that all end in restricting would prove nothing below."""
    search = settings(max_examples=5000, derandomize=True, database=None, phases=[Phase.generate])
    assert find(QUESTIONS, lambda one: decide(packs(), one).outcome == outcome, settings=search)


@settings(max_examples=200, deadline=None)
@given(question=QUESTIONS)
def test_a_fact_less_never_leads_to_erasing(question: Question) -> None:
    before = ERASES[decide(packs(), question).outcome]
    for less in _lost(question):
        assert ERASES[decide(packs(), less).outcome] <= before


@given(start=DAYS, later=DAYS, years=st.integers(0, 100), months=st.integers(0, 11), more=st.integers(0, 30))
def test_periods_keep_their_order(start: date, later: date, years: int, months: int, more: int) -> None:
    """A later start never ends earlier, and a longer period never either."""
    first, last = sorted((start, later))
    period = Period(years=years, months=months)
    ends, ends_later = after(first, period), after(last, period)
    longer = after(first, Period(years=years + more, months=months))
    assert ends is not None and ends_later is not None and longer is not None
    assert first <= ends <= ends_later
    assert ends <= longer
    assert plausible_start("created", first, last) is not None
