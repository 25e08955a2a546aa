"""Rows of the consents to the sale of the loans: what each person was asked and answered."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from handover.sample import people
from handover.sample.columns import Columns, instants, null_where, numbers, pick
from handover.sample.company_rows import LAST_DAY, Company
from handover.sample.dice import Bools, Ints
from handover.sample.loan_rows import GUARANTEED_EVERY, guaranteed
from handover.sample.people import Role

# Everybody is asked in the weeks after the last day of business and has some weeks for an answer.
_ASKED_FROM, _ASKED_DAYS, _ANSWER_DAYS = LAST_DAY + 10, 20, 30
_SECOND = 1_000_000
# Of a thousand customers so many do not answer, so many more consent to all but the sensitive data, and of
# those who consent so many take it back or object later.
_SILENT, _NOT_SENSITIVE, _WITHDRAWN, _OBJECTED = 95, 30, 13, 4


def of_customers(company: Company, index: Ints) -> Columns:
    answer = company.dice.below("transfer.answer", index, 1000)
    later = company.dice.below("transfer.later", index, 1000)
    gave = answer >= _SILENT
    return {
        "consent_no": numbers(index + 1),
        "customer_id": numbers(index + 1),
        **_answers(company, index, gave, answer >= _SILENT + _NOT_SENSITIVE),
        "withdrawn_at": null_where(~gave | (later >= _WITHDRAWN), _afterwards(company, index)),
        "objected_at": null_where(
            (later < _WITHDRAWN) | (later >= _WITHDRAWN + _OBJECTED), _afterwards(company, index)
        ),
    }


def of_employees(company: Company, index: Ints) -> Columns:
    """All consent: they go over with their branch."""
    number = company.sizes.customers + index
    return {"consent_no": numbers(number + 1), "employee_id": numbers(index + 1), **_all(company, number)}


def of_guarantors(company: Company, index: Ints) -> Columns:
    """All consent: their guarantee goes over with the loan."""
    loan = guaranteed(index)
    number = company.sizes.customers + company.sizes.employees + loan // GUARANTEED_EVERY
    return {
        "consent_no": numbers(number + 1),
        "loan_id": numbers(loan + 1),
        "guarantor_id": people.identities(company.dice, Role.GUARANTOR, loan).numbers,
        **_all(company, number),
    }


def _all(company: Company, number: Ints) -> Columns:
    everybody = np.ones(len(number), bool)
    return _answers(company, number, everybody, everybody)


def _answers(company: Company, number: Ints, given: Bools, sensitive: Bools) -> Columns:
    asked = _ASKED_FROM + number % _ASKED_DAYS
    second = company.dice.below("transfer.second", number, 86_400) * _SECOND
    day = asked + 1 + company.dice.below("transfer.day", number, _ANSWER_DAYS)
    return {
        "text_version": pick(("2026-1", "2026-2"), (number % _ASKED_DAYS) // (_ASKED_DAYS // 2)),
        "asked_at": instants(asked, second),
        "given_at": null_where(~given, instants(day, second)),
        "sensitive_at": null_where(~sensitive, instants(day, second)),
    }


def _afterwards(company: Company, index: Ints) -> pa.Array:
    """A moment after every answer."""
    day = _ASKED_FROM + _ASKED_DAYS + _ANSWER_DAYS + 1 + index % 10
    return instants(day, company.dice.below("transfer.afterwards", index, 86_400) * _SECOND)
