"""Rows of what customers did and what was noted about it: column builders by row index."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa

from handover.sample import people, staff, words
from handover.sample.columns import (
    Columns,
    empty_unless,
    fixed_text,
    hexadecimal,
    join,
    null_where,
    numbers,
    pick,
)
from handover.sample.company_rows import Company, customer_branch, uuids
from handover.sample.dice import Ints
from handover.sample.people import Role

_ADDRESSES = 100_000  # network and hardware addresses are drawn from that many


def consents(company: Company, index: Ints) -> Columns:
    """One and a half for each customer."""
    customer = index * 2 // 3
    return {
        "consent_id": uuids(company.dice, "consent", index),
        "customer_id": numbers(customer + 1),
        "purpose": company.one_of("consent.purpose", index, words.PURPOSES),
        "version": join("v", numbers(1 + index % 4), ".", numbers(index % 10)),
        "granted_at": company.at("consent.granted", index),
        "withdrawn_at": null_where(index % 8 != 0, company.at("consent.withdrawn", index)),
    }


def complaints(company: Company, index: Ints) -> Columns:
    dice = company.dice
    customer = dice.below("complaint.customer", index, company.sizes.customers)
    return {
        "complaint_id": numbers(index * 2 + 1),
        "customer_id": numbers(customer + 1),
        "branch_id": customer_branch(company, customer),
        "opened_at": company.at("complaint.opened", index),
        "body": join(
            people.names(dice, Role.CUSTOMER, customer),
            " 投诉 ",
            company.one_of("complaint.subject", index, words.COMPLAINTS),
            " tel ",
            people.mobiles(dice, Role.CUSTOMER, customer),
        ),
    }


def call_notes(company: Company, index: Ints) -> Columns:
    """Free text that mentions the customer's name and mobile, now and then the resident number."""
    dice = company.dice
    customer = dice.below("call.customer", index, company.sizes.customers)
    branch = staff.home_branch(dice, company.sizes, customer)
    resident = join(" 证件 ", people.identities(dice, Role.CUSTOMER, customer).numbers)
    note = join(
        company.one_of("call.opening", index, words.CALL_OPENINGS),
        people.names(dice, Role.CUSTOMER, customer),
        company.one_of("call.middle", index, words.CALL_MIDDLES),
        people.mobiles(dice, Role.CUSTOMER, customer),
        empty_unless(index % 4 == 0, resident),
        company.one_of("call.ending", index, words.CALL_ENDINGS),
    )
    return {
        "note_id": numbers(index + 1),
        "customer_id": numbers(customer + 1),
        "employee_id": numbers(staff.somebody_at(dice, company.sizes, "call.employee", index, branch) + 1),
        "called_at": company.at("call.at", index),
        "duration": join(numbers(dice.below("call.seconds", index, 3600)), " s"),
        "note": null_where(index % 13 == 12, note),
    }


def remarks(company: Company, index: Ints) -> Columns:
    return {
        "客户编号": numbers(index * 3 + 1),
        "序号": numbers(index % 4),
        "备注内容": company.one_of("remark.text", index, words.REMARKS),
        "Recorded On": company.on("remark.on", index),
    }


@cache
def _hosts() -> pa.Array:
    """Addresses of the block for benchmarks (RFC 2544), which no host on the Internet has."""
    return pa.array([f"198.{18 + n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(_ADDRESSES)])


@cache
def _hardware() -> pa.Array:
    return pa.array(
        [None] + [f"02:00:5e:{n // 65536:02x}:{n // 256 % 256:02x}:{n % 256:02x}" for n in range(_ADDRESSES)]
    )


def hosts(company: Company, stream: str, index: Ints) -> pa.Array:
    return pick(_hosts(), company.dice.below(stream, index, _ADDRESSES))


def device_logs(company: Company, index: Ints) -> Columns:
    dice = company.dice
    return {
        "log_id": numbers(index + 1),
        "customer_id": company.id_of("log.customer", index, company.sizes.customers),
        "seen_at": company.at("log.at", index),
        "event": company.one_of("log.event", index, words.EVENTS),
        "ip": hosts(company, "log.ip", index),
        "mac": pick(_hardware(), dice.below("log.mac", index, _ADDRESSES)),
        "latency": numbers(dice.below("log.latency", index, 1 << 20) / 1024),
    }


def page_views(company: Company, index: Ints) -> Columns:
    """Every seventh row is the row before it once more."""
    same = np.where(index % 7 == 6, index - 1, index)
    customer = company.id_of("view.customer", same, company.sizes.customers)
    return {
        "customer_id": null_where(same % 9 == 0, customer),
        "viewed_on": company.on("view.on", same),
        "page": company.one_of("view.page", same, words.PAGES),
    }


def attachments(company: Company, index: Ints) -> Columns:
    """The owner is a customer, a loan or an application."""
    dice, sizes = company.dice, company.sizes
    counts = np.array([sizes.customers, sizes.loans, sizes.applications])
    kind = dice.below("attachment.kind", index, len(counts))
    owner = dice.words("attachment.owner", index) % counts[kind].astype(np.uint64)
    content = fixed_text(b"\\x", hexadecimal([dice.words(f"attachment{n}", index) for n in range(6)]))
    return {
        "attachment_id": numbers(index + 1),
        "owner_type": pick(("customer", "loan", "application"), kind),
        "owner_id": numbers(owner.astype(np.int64) + 1),
        "file_name": company.one_of("attachment.name", index, words.FILE_NAMES),
        "content": null_where(index % 5 == 0, content),
        "meta": company.one_of("attachment.meta", index, words.METAS),
    }
