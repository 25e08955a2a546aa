"""Which table is filled by which builder, and in batches of which size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from handover.sample import activity_rows, company_rows, consent_rows, loan_rows
from handover.sample.columns import Columns
from handover.sample.company_rows import Company
from handover.sample.dice import Ints
from handover.sample.sizes import Sizes

# About 10 MB of CSV: the fixed cost of a batch does not show, and it is small beside the memory limit.
_BATCH_ROWS = 100_000


@dataclass(frozen=True)
class Load:
    """One COPY: a table, its builder, how many things it is built from and rows made for each of them."""

    schema: str
    table: str
    build: Callable[[Company, Ints], Columns]
    count: Callable[[Sizes], int]
    rows_each: int = 1

    def batches(self, company: Company) -> Iterator[Columns]:
        """The table's columns, a batch at a time; memory does not grow with the table."""
        step, count = _BATCH_ROWS // self.rows_each, self.count(company.sizes)
        for start in range(0, count, step):
            yield self.build(company, np.arange(start, min(start + step, count)))


def _customers(sizes: Sizes) -> int:
    return sizes.customers


def _loans(sizes: Sizes) -> int:
    return sizes.loans


LOADS = (
    Load("lending", "branches", company_rows.branches, lambda sizes: sizes.branches),
    Load("lending", "employees", company_rows.employees, lambda sizes: sizes.employees),
    Load("lending", "customers", company_rows.customers, _customers),
    Load("lending", "identity_documents", company_rows.identity_documents, _customers, rows_each=4),
    Load("lending", "contacts", company_rows.contacts, _customers, rows_each=2),
    Load("lending", "addresses", company_rows.home_addresses, _customers),
    Load("lending", "addresses", company_rows.work_addresses, _customers),
    Load("lending", "bank_cards", company_rows.bank_cards, lambda sizes: sizes.cards),
    Load("lending", "consents", activity_rows.consents, lambda sizes: sizes.customers * 3 // 2),
    Load("lending", "complaints", activity_rows.complaints, lambda sizes: sizes.complaints),
    Load("lending", "call_notes", activity_rows.call_notes, _customers),
    Load("lending", "客户备注", activity_rows.remarks, lambda sizes: (sizes.customers + 2) // 3),
    Load("lending", "device_logs", activity_rows.device_logs, lambda sizes: sizes.customers * 12),
    Load("lending", "page_views", activity_rows.page_views, lambda sizes: sizes.page_views),
    Load("lending", "attachments", activity_rows.attachments, lambda sizes: sizes.attachments),
    Load("lending", "credit_applications", loan_rows.applications, lambda sizes: sizes.applications),
    Load("lending", "loans", loan_rows.loans, _loans),
    Load("lending", "guarantors", loan_rows.guarantors, _loans),
    Load("lending", "transfer_consents", consent_rows.of_customers, _customers),
    Load("lending", "transfer_consents", consent_rows.of_employees, lambda sizes: sizes.employees),
    Load("lending", "transfer_consents", consent_rows.of_guarantors, _loans),
    Load("lending", "instalments", loan_rows.instalments, _loans, rows_each=12),
    Load("lending", "repayments", loan_rows.repayments, _loans, rows_each=12),
    Load("lending", "repayment_reversals", loan_rows.reversals, _loans, rows_each=4),
    Load("账务", "vouchers", loan_rows.disbursal_vouchers, _loans),
    Load("账务", "vouchers", loan_rows.repayment_vouchers, _loans, rows_each=12),
    Load("账务", "voucher_lines", loan_rows.disbursal_lines, _loans, rows_each=2),
    Load("账务", "voucher_lines", loan_rows.repayment_lines, _loans, rows_each=36),
)
