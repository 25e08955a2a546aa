"""Rows of applications, loans and all money that moves: column builders by row index.

A loan's schedule is computed again wherever it is needed, so instalments, repayments and vouchers agree
to the cent without any of them being kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from handover.sample import people, staff, words
from handover.sample.activity_rows import hosts
from handover.sample.columns import Columns, cents, dates, instants, join, null_where, numbers, pick, scaled
from handover.sample.company_rows import FIRST_DAY, LAST_DAY, Company
from handover.sample.dice import Bools, Ints
from handover.sample.people import Role

PRODUCTS = ("XJD", "JYD", "NHD", "ZXD", "CQD", "old/1")
CHANNELS = ("微信", "支付宝", "银行卡", "现金")
# In turn, so that the number of instalments hardly depends on the seed.
_TERMS = np.array([6, 12, 9, 12, 24])
_LONGEST = 24
GUARANTEED_EVERY = 4
_PERIOD_DAYS = 30
_LAST_DISBURSAL = LAST_DAY - 120
_RATE_UNITS = 1_000_000  # rates have six decimals
# Ids of repayments and vouchers are the loan's times this plus the instalment's number; 0 is the disbursal.
_PER_LOAN = 100
_BANK, _LENT, _INTEREST = "1002", "130301", "6011"


def _application_of(loan: Ints) -> Ints:
    """Three of five applications become loans."""
    return loan * 5 // 3


def _customer_of(company: Company, application: Ints) -> Ints:
    return company.dice.below("application.customer", application, company.sizes.customers)


def _applied(company: Company, application: Ints) -> tuple[Ints, Ints]:
    day = FIRST_DAY + company.dice.below("application.day", application, _LAST_DISBURSAL - FIRST_DAY)
    return day, company.dice.below("application.second", application, 86_400) * 1_000_000


def _product(company: Company, application: Ints) -> pa.Array:
    return company.one_of("application.product", application, PRODUCTS)


def _wanted(company: Company, application: Ints) -> Ints:
    """Cents; whole hundreds of yuan."""
    return (5 + company.dice.below("application.amount", application, 1000)) * 10_000


def applications(company: Company, index: Ints) -> Columns:
    dice = company.dice
    score = dice.below("application.score", index, 1000)
    amount = _wanted(company, index)
    features = join("{", numbers(score / 8), ",NULL,", numbers(dice.below("feature", index, 9999) / 64), "}")
    return {
        "application_id": numbers(index + 1),
        "customer_id": numbers(_customer_of(company, index) + 1),
        "product_code": _product(company, index),
        "amount": cents(amount),
        "applied_at": instants(*_applied(company, index)),
        "score": null_where(score < 20, numbers(score / 16)),
        "features": null_where(index % 10 == 9, features),
        "ip": null_where(index % 6 == 5, hosts(company, "application.ip", index)),
        "request": join(company.one_of("request", index, words.REQUESTS), cents(amount), "}"),
    }


@dataclass(frozen=True)
class Terms:
    """What was agreed for each loan, and how far it was paid."""

    principal: Ints
    rate: Ints
    term: Ints
    start: Ints
    paid_until: Ints
    defaulted: Bools

    @classmethod
    def of(cls, company: Company, loan: Ints) -> Terms:
        dice = company.dice
        term = _TERMS[loan % len(_TERMS)]
        defaulted = dice.chance("loan.defaulted", loan, 6)
        start = _applied(company, _application_of(loan))[0] + 1
        return cls(
            principal=_wanted(company, _application_of(loan)),
            rate=30_000 + dice.below("loan.rate", loan, 150_000),
            term=term,
            start=start,
            paid_until=np.where(defaulted, dice.below("loan.paid", loan, _LONGEST) % term, term),
            defaulted=defaulted,
        )


def loans(company: Company, index: Ints) -> Columns:
    agreed = Terms.of(company, index)
    application = _application_of(index)
    customer = _customer_of(company, application)
    branch = staff.home_branch(company.dice, company.sizes, customer)
    officer = staff.somebody_at(company.dice, company.sizes, "loan.officer", index, branch)
    end = agreed.start + agreed.term * _PERIOD_DAYS
    status = np.where(agreed.defaulted, 2 + (index % 3 == 0), (end + _PERIOD_DAYS <= LAST_DAY) * 1)
    return {
        "loan_id": numbers(index + 1),
        "contract_no": join("HT", numbers(100_000_000 + index), pick(("甲", "乙", "-A"), index % 3)),
        "application_id": numbers(application + 1),
        "customer_id": numbers(customer + 1),
        "product_code": _product(company, application),
        "branch_id": numbers(branch + 1),
        "officer_id": numbers(officer + 1),
        "principal": cents(agreed.principal),
        "rate": scaled(agreed.rate, 6),
        "period": join("[", dates(agreed.start), ",", dates(end), ")"),
        "term": numbers(agreed.term),
        "status": pick(("repaying", "settled", "overdue", "written_off"), status),
    }


def guaranteed(loan: Ints) -> Ints:
    """The loans among these that have a guarantor."""
    with_one: Ints = loan[loan % GUARANTEED_EVERY == 0]
    return with_one


def guarantors(company: Company, index: Ints) -> Columns:
    """One for every fourth loan."""
    loan = guaranteed(index)
    return {
        "loan_id": numbers(loan + 1),
        "resident_id": people.identities(company.dice, Role.GUARANTOR, loan).numbers,
        "name": people.names(company.dice, Role.GUARANTOR, loan),
        "mobile": people.mobiles(company.dice, Role.GUARANTOR, loan),
        "share": pick(
            ("1", "0.50", "0.3333333333333333333333", "1.000", "1E-7"), loan // GUARANTEED_EVERY % 5
        ),
    }


@dataclass(frozen=True)
class Schedule:
    """The instalments of some loans, one entry for each."""

    loan: Ints
    number: Ints
    due: Ints
    principal: Ints
    interest: Ints
    paid_on: Ints
    paid: Bools

    @classmethod
    def of(cls, company: Company, index: Ints) -> Schedule:
        agreed = Terms.of(company, index)
        row = np.repeat(np.arange(len(index)), agreed.term)
        number = np.arange(len(row)) - np.repeat(np.cumsum(agreed.term) - agreed.term, agreed.term) + 1
        term, lent, loan = agreed.term[row], agreed.principal[row], index[row]
        part = lent // term
        interest = (lent - part * (number - 1)) * agreed.rate[row] // (12 * _RATE_UNITS)
        due = agreed.start[row] + number * _PERIOD_DAYS
        paid_on = due - 5 + company.dice.below("paid.on", loan * _PER_LOAN + number, 15)
        return cls(
            loan=loan,
            number=number,
            due=due,
            principal=np.where(number == term, lent - part * (term - 1), part),
            interest=interest,
            paid_on=paid_on,
            paid=(number <= agreed.paid_until[row]) & (paid_on <= LAST_DAY),
        )

    def only_paid(self) -> Schedule:
        kept = self.paid
        return Schedule(
            loan=self.loan[kept],
            number=self.number[kept],
            due=self.due[kept],
            principal=self.principal[kept],
            interest=self.interest[kept],
            paid_on=self.paid_on[kept],
            paid=kept[kept],
        )

    @property
    def event(self) -> Ints:
        """The id of the repayment of each instalment, and of its voucher."""
        return (self.loan + 1) * _PER_LOAN + self.number


def instalments(company: Company, index: Ints) -> Columns:
    schedule = Schedule.of(company, index)
    return {
        "loan_id": numbers(schedule.loan + 1),
        "instalment_no": numbers(schedule.number),
        "due_on": dates(schedule.due),
        "principal": cents(schedule.principal),
        "interest": cents(schedule.interest),
        "paid": numbers(schedule.paid),
    }


def repayments(company: Company, index: Ints) -> Columns:
    paid = Schedule.of(company, index).only_paid()
    return {
        "repayment_id": numbers(paid.event),
        "loan_id": numbers(paid.loan + 1),
        "instalment_no": numbers(paid.number),
        "paid_on": dates(paid.paid_on),
        "amount": cents(paid.principal + paid.interest),
        "channel": company.one_of("repayment.channel", paid.event, CHANNELS),
    }


def reversals(company: Company, index: Ints) -> Columns:
    """The first repayment of every sixth loan was booked back and paid again."""
    paid = Schedule.of(company, index[index % 6 == 0]).only_paid()
    first = paid.number == 1
    return {
        "repayment_id": numbers(paid.event[first]),
        "paid_on": dates(paid.paid_on[first]),
        "reason": pick(("重复入账", "wrong account", ""), paid.loan[first] % 3),
    }


def disbursal_vouchers(company: Company, index: Ints) -> Columns:
    start = Terms.of(company, index).start
    return _vouchers((index + 1) * _PER_LOAN, index, start, "付", "发放贷款 ")


def repayment_vouchers(company: Company, index: Ints) -> Columns:
    paid = Schedule.of(company, index).only_paid()
    return _vouchers(paid.event, paid.loan, paid.paid_on, "收", "收回贷款 ")


def _vouchers(number: Ints, loan: Ints, day: Ints, kind: str, summary: str) -> Columns:
    year = day.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    return {
        "voucher_id": numbers(number),
        "book_year": numbers(year),
        "kind": pick((kind,), number * 0),
        "made_on": dates(day),
        "loan_id": numbers(loan + 1),
        "摘要": join(summary, numbers(loan + 1)),
    }


def disbursal_lines(company: Company, index: Ints) -> Columns:
    """Debit the loan, credit the bank."""
    lent = Terms.of(company, index).principal
    nothing = np.zeros_like(lent)
    return _lines((index + 1) * _PER_LOAN, (_LENT, _BANK), (lent, nothing), (nothing, lent))


def repayment_lines(company: Company, index: Ints) -> Columns:
    """Debit the bank, credit the loan and the interest."""
    paid = Schedule.of(company, index).only_paid()
    nothing = np.zeros_like(paid.principal)
    debits = (paid.principal + paid.interest, nothing, nothing)
    return _lines(paid.event, (_BANK, _LENT, _INTEREST), debits, (nothing, paid.principal, paid.interest))


def _lines(
    voucher: Ints, accounts: tuple[str, ...], debits: tuple[Ints, ...], credits: tuple[Ints, ...]
) -> Columns:
    """The lines of one voucher stand together."""
    line = np.tile(np.arange(len(accounts)), len(voucher))
    return {
        "voucher_id": numbers(np.repeat(voucher, len(accounts))),
        "line_no": numbers(line + 1),
        "account_code": pick(accounts, line),
        "debit": cents(np.column_stack(debits).ravel()),
        "credit": cents(np.column_stack(credits).ravel()),
    }
