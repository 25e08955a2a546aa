"""Rows of branches, employees, customers and what is known about customers: column builders by row index."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from handover.sample import people, staff, words
from handover.sample.columns import (
    Columns,
    cents,
    dates,
    fixed_text,
    hexadecimal,
    instants,
    join,
    null_where,
    numbers,
    pick,
    uuid_text,
)
from handover.sample.dice import Bools, Dice, Ints
from handover.sample.people import Role
from handover.sample.sizes import Sizes

FIRST_DAY = 17_897  # 2019-01-01
LAST_DAY = 20_453  # 2025-12-31
_DAYS = LAST_DAY - FIRST_DAY + 1
_DAY_MICROSECONDS = 86_400_000_000


@dataclass(frozen=True)
class Company:
    """What every row is made from."""

    dice: Dice
    sizes: Sizes

    def moment(self, stream: str, index: Ints) -> tuple[Ints, Ints]:
        """A day of the company's life and a microsecond of that day."""
        day = FIRST_DAY + self.dice.below(f"{stream}.day", index, _DAYS)
        millis = self.dice.below(f"{stream}.time", index, _DAY_MICROSECONDS // 1000)
        return day, millis * 1000 + self.dice.below(f"{stream}.micro", index, 1000)

    def at(self, stream: str, index: Ints) -> pa.Array:
        return instants(*self.moment(stream, index))

    def on(self, stream: str, index: Ints) -> pa.Array:
        return dates(FIRST_DAY + self.dice.below(stream, index, _DAYS))

    def one_of(self, stream: str, index: Ints, pool: tuple[str | None, ...]) -> pa.Array:
        return pick(pool, self.dice.below(stream, index, len(pool)))

    def id_of(self, stream: str, index: Ints, count: int) -> pa.Array:
        return numbers(1 + self.dice.below(stream, index, count))


def branches(company: Company, index: Ints) -> Columns:
    city = [entry.split("/")[1] for entry in words.CITIES]
    opening = 8 + index % 3
    return {
        "branch_id": numbers(index + 1),
        "code": join("B", numbers(1000 + index)),
        "name": join(pick(city, index % len(city)), "示例分公司", numbers(index // len(city) + 1)),
        "credit_code": people.credit_codes(company.dice, b"91", index),
        "opened_on": company.on("branch.opened", index),
        "opening_hours": join("[", numbers(opening), ",", numbers(opening + 9), ")"),
        "network": join("10.", numbers(index // 256), ".", numbers(index % 256), ".0/24"),
        "manager_id": numbers(index * staff.FIRST_STAFF + 1),
    }


def employees(company: Company, index: Ints) -> Columns:
    """The staff of the branches, each line with its head."""
    dice, sizes = company.dice, company.sizes
    manager = staff.manager(sizes, index)
    salary = 400_000 + dice.below("employee.salary", index, 3_000_000)
    return {
        "employee_id": numbers(index + 1),
        "branch_id": numbers(staff.workplace(sizes, index)[0] + 1),
        "manager_id": null_where(manager < 0, numbers(manager + 1)),
        "name": people.names(dice, Role.EMPLOYEE, index),
        "resident_id": people.identities(dice, Role.EMPLOYEE, index).numbers,
        "mobile": people.mobiles(dice, Role.EMPLOYEE, index),
        "email": people.emails(dice, Role.EMPLOYEE, index),
        "hired_on": company.on("employee.hired", index),
        "salary": null_where(dice.chance("employee.unpaid", index, 5), cents(salary)),
        "skills": company.one_of("employee.skills", index, words.TAGS),
    }


def customers(company: Company, index: Ints) -> Columns:
    dice = company.dice
    who = people.identities(dice, Role.CUSTOMER, index)
    business = people.credit_codes(dice, b"92", index)
    income = 200_000 + dice.below("customer.income", index, 4_000_000)
    email = people.emails(dice, Role.CUSTOMER, index)
    return {
        "customer_id": numbers(index + 1),
        "public_id": uuids(dice, "customer", index),
        "name": people.names(dice, Role.CUSTOMER, index),
        "sex": pick(("F", "M"), who.male.astype(np.int64)),
        "born_on": dates(who.born),
        "resident_id": who.numbers,
        "mobile": people.mobiles(dice, Role.CUSTOMER, index),
        "email": null_where(without_email(index), email),
        "business_code": null_where(dice.chance("customer.private", index, 85), business),
        "monthly_income": null_where(dice.chance("customer.income.unknown", index, 10), cents(income)),
        "tags": company.one_of("customer.tags", index, words.TAGS),
        "profile": _profiles(company, index),
        "remark": company.one_of("customer.remark", index, words.AWKWARD),
        "branch_id": customer_branch(company, index),
        "primary_card_id": null_where(dice.chance("customer.cardless", index, 10), numbers(index + 1)),
        "created_at": company.at("customer.created", index),
    }


def customer_branch(company: Company, index: Ints) -> pa.Array:
    return numbers(staff.home_branch(company.dice, company.sizes, index) + 1)


def without_email(index: Ints) -> Bools:
    without: Bools = index % 5 == 4
    return without


def uuids(dice: Dice, stream: str, index: Ints) -> pa.Array:
    return uuid_text(dice.words(f"{stream}.uuid.high", index), dice.words(f"{stream}.uuid.low", index))


def _profiles(company: Company, index: Ints) -> pa.Array:
    employers = tuple(json.dumps(employer, ensure_ascii=False) for employer in words.EMPLOYERS)
    return join(
        '{"education": "',
        company.one_of("profile.education", index, words.EDUCATION),
        '", "employer": ',
        company.one_of("profile.employer", index, employers),
        ', "children": ',
        numbers(company.dice.below("profile.children", index, 4)),
        ', "score": ',
        cents(company.dice.below("profile.score", index, 100_000)),
        "}",
    )


@cache
def _scan_tails() -> pa.Array:
    """Most scans are short; one in sixteen is so long that PostgreSQL stores it out of line."""
    noise = fixed_text(hexadecimal([Dice(0).words(f"scan.tail{n}", np.arange(4)) for n in range(500)]))
    long, medium = noise[0].as_py(), noise[1].as_py()[:1200]
    return pa.array([""] * 13 + [medium, medium[::-1], long])


def identity_documents(company: Company, index: Ints) -> Columns:
    dice = company.dice
    tails = _scan_tails()
    words_of_scan = [dice.words(f"scan{n}", index) for n in range(12)]
    scan = fixed_text(b"\\x53414d504c452d5343414e2d", hexadecimal(words_of_scan))  # "SAMPLE-SCAN-"
    valid_from = company.on("document.valid", index)
    kinds = ("resident_id",) * 7 + ("driving_licence", "household_register", "营业执照")
    return {
        "document_id": uuids(dice, "document", index),
        "customer_id": numbers(index + 1),
        "kind": company.one_of("document.kind", index, kinds),
        "number": people.identities(dice, Role.CUSTOMER, index).numbers,
        "valid": join("[", valid_from, ",", pick(("", "infinity", "2045-01-01"), index % 3), ")"),
        "scan": null_where(index % 11 == 10, join(scan, pick(tails, dice.below("tail", index, len(tails))))),
        "captured_at": company.at("document.captured", index),
    }


def contacts(company: Company, index: Ints) -> Columns:
    """One, two or three for each customer."""
    count = index % 3 + 1
    owner = np.repeat(index, count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    contact = owner * 3 + number
    relations = ("spouse", "parent", "sibling", "colleague", "friend")
    return {
        "customer_id": numbers(owner + 1),
        "contact_no": numbers(number + 1),
        "relation": company.one_of("contact.relation", contact, relations),
        "name": people.names(company.dice, Role.CONTACT, contact),
        "mobile": people.mobiles(company.dice, Role.CONTACT, contact),
    }


def _addresses(company: Company, index: Ints, kind: str) -> Columns:
    where = people.addresses(company.dice, kind, index)
    postcode = numbers(999_000 + company.dice.below("postcode", index, 1000))
    return {
        "customer_id": numbers(index + 1),
        "kind": pick((kind,), index * 0),
        "place": join("(", where.province, ",", where.city, ',"', where.street, '")'),
        "full_text": where.whole,
        "postcode": null_where(index % 4 == 3, postcode),
    }


def home_addresses(company: Company, index: Ints) -> Columns:
    return _addresses(company, index, "home")


def work_addresses(company: Company, index: Ints) -> Columns:
    return _addresses(company, index[index % 2 == 0], "单位")


def bank_cards(company: Company, index: Ints) -> Columns:
    """The first cards belong to one customer each; further ones to anybody."""
    customers_count = company.sizes.customers
    anybody = company.dice.below("card.owner", index, customers_count)
    return {
        "card_id": numbers(index + 1),
        "customer_id": numbers(np.where(index < customers_count, index, anybody) + 1),
        "card_no": people.card_numbers(company.dice, index),
        "bank": company.one_of("card.bank", index, words.BANKS),
        "bound_on": company.on("card.bound", index),
    }
