"""One fault in a copy whose rows arrived with pseudonyms is found and named like any other.

Keys masked and in clear, tables with none. What the digests cannot see, a mask that itself does nothing, is
told by the suites.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fixtures import masked
from fixtures.mutation import Copied, copied, that_changes
from fixtures.runs import Runner, backed_up, filled
from handover.errors import VerificationFailed
from handover.local.clusters import Cluster
from handover.pseudonymise.chunks import MaskedChunk
from handover.stages.context import Context
from handover.stages.masking import Masking
from handover.stages.verify import verify_expectations, verify_lane

TABLES = ("customer", "loan", "visit")
Record = Callable[[str, object], None]


def opened(runner: Runner) -> Context:
    return masked.open_masked(runner, lanes=4)


def opened_with_clear_key(runner: Runner) -> Context:
    datamap = masked.data_map()
    masked.treat(datamap, "s.loan", "no", {"strategy": "clear"})
    return masked.open_masked(runner, datamap=datamap, lanes=4)


@pytest.fixture(scope="module")
def rekeyed(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copied]:
    """All keys are masked, so that rows arrived in another order."""
    home = tmp_path_factory.mktemp("rekeyed")
    with copied(home, cluster, second_cluster, masked.SOURCE, 4096, opened) as made:
        yield made


@pytest.fixture(scope="module")
def in_order(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copied]:
    """Loans keep their numbers, and so their order."""
    home = tmp_path_factory.mktemp("in-order")
    with copied(home, cluster, second_cluster, masked.SOURCE, 4096, opened_with_clear_key) as made:
        yield made


# Which people these are hangs on the keys of the run, so that they are chosen by what makes a fault one.
FIRST = {
    "customer": "SELECT min(id) FROM s.customer WHERE resident_id IS NOT NULL",
    "loan": 'SELECT min(no COLLATE "C") FROM s.loan WHERE guarantor_id IS NOT NULL',
}
OTHER = {
    "customer": "SELECT max(id) FROM s.customer",
    "loan": f'SELECT max(no COLLATE "C") FROM s.loan WHERE customer_id <>'
    f" (SELECT customer_id FROM s.loan WHERE no = ({FIRST['loan']}))",
}
KEYS = {"customer": "id", "loan": "no"}
FIRST_VISIT = "ctid = (SELECT min(ctid) FROM s.visit)"


@dataclass(frozen=True)
class Fault:
    """Damage to a table, and the begin of each line that tells of it.

    {a} and {b} name its first row and another as they were, {new} one that came. ``twice``: what may be told
    in place of it where keys are masked.
    """

    table: str
    sql: str
    told: tuple[str, ...]
    twice: tuple[str, ...] = ()


def customer(change: str, column: str) -> Fault:
    sql = f"UPDATE s.customer SET {change} WHERE id = ({FIRST['customer']})"
    return Fault("customer", sql, (f"{{a}} differs in {column}",))


def loan(change: str, column: str) -> Fault:
    sql = f"UPDATE s.loan SET {change} WHERE no = ({FIRST['loan']})"
    return Fault("loan", sql, (f"{{a}} differs in {column}",))


def swapped(table: str, *columns: str) -> Fault:
    key, first, other = KEYS[table], FIRST[table], OTHER[table]
    change = ", ".join(f"{column} = o.{column}" for column in columns)
    sql = (
        f"UPDATE s.{table} t SET {change} FROM s.{table} o"
        f" WHERE (t.{key}, o.{key}) IN (SELECT ({first}), ({other}) UNION SELECT ({other}), ({first}))"
    )
    return Fault(table, sql, ("{a} differs in", "{b} differs in"))


NEW_NUMBER = "ZZZZZZZZZZZZ"
NEW_LOAN = f"INSERT INTO s.loan SELECT '{NEW_NUMBER}', customer_id, NULL, 1, NULL FROM s.loan LIMIT 1"
RAW_NUMBER, RAW_MOBILE = "110101197004080071", "13800007919"
CUSTOMERS = {
    "raw identity number put back": customer(f"resident_id = '{RAW_NUMBER}'", "resident_id"),
    "raw mobile put back": customer(f"mobile = '{RAW_MOBILE}'", "mobile"),
    "raw e-mail put back": customer("email = 'c1@mail.example'", "email"),
    "raw birthday put back": customer("born = born + 97", "born"),
    "raw address put back": customer("address = address || '中山东路1号'", "address"),
    "raw mention put back": customer(f"remark = 'called {RAW_MOBILE}'", "remark"),
    "raw number in a document put back": customer(f"""pages = '{{"id" : "{RAW_NUMBER}"}}'""", "pages"),
    "picture put back": customer("photo = '\\x7831'", "photo"),
    "another valid token": customer(
        "mobile = (SELECT max(mobile) FROM s.customer c WHERE c.mobile <> customer.mobile)", "mobile"
    ),
    "another name of the same list": customer(
        "name = (SELECT max(name) FROM s.customer c WHERE c.name <> customer.name)", "name"
    ),
    "year after": customer("born = born + interval '1 year'", "born"),
    "month after": customer("seen = seen + interval '1 month'", "seen"),
    "pseudonym lost": customer("email = NULL", "email"),
    "pseudonym in capitals": customer("email = upper(email)", "email"),
    "blank behind a pseudonym": customer("mobile = mobile || ' '", "mobile"),
    "white space of a document": customer("pages = (pages::text || ' ')::json", "pages"),
    "clear column": customer("income = income + 0.01", "income"),
    "pseudonyms of two rows swapped": swapped("customer", "mobile"),
    "all pseudonyms of two rows swapped": swapped("customer", "mobile", "email", "name", "born"),
    "row too many": Fault(
        "customer",
        "INSERT INTO s.customer (id, name, branch) VALUES (5, '王一白', 'B001')",
        ("s.customer: row with id = 5 is not in the backup",),
    ),
}
LOANS = {
    "child of another pseudonym": loan(
        "customer_id = (SELECT max(id) FROM s.customer c WHERE c.id <> loan.customer_id)", "customer_id"
    ),
    "optional parent lost": loan("guarantor_id = NULL", "guarantor_id"),
    "another optional parent": loan(
        "guarantor_id = (SELECT max(id) FROM s.customer c WHERE c.id IS DISTINCT FROM loan.guarantor_id)",
        "guarantor_id",
    ),
    "shifted by a day more": loan("signed = signed + 1", "signed"),
    "amount": loan("amount = amount + 0.01", "amount"),
    "children of two rows swapped": swapped("loan", "customer_id"),
    "row missing": Fault("loan", f"DELETE FROM s.loan WHERE no = ({FIRST['loan']})", ("{a} is missing",)),
    "row too many": Fault("loan", NEW_LOAN, ("{new} is not in the backup",)),
    "row twice where the key is gone": Fault(
        "loan",
        "ALTER TABLE s.loan DROP CONSTRAINT loan_pkey;"
        f" INSERT INTO s.loan SELECT * FROM s.loan WHERE no = ({FIRST['loan']})",
        ("{a} is not in the backup",),
        twice=("s.loan holds a row twice",),
    ),
    "row gone and another come": Fault(
        "loan",
        f"DELETE FROM s.loan WHERE no = ({FIRST['loan']}); {NEW_LOAN}",
        ("{a} is missing", "{new} is not in the backup"),
    ),
    "another key of the same form": Fault(
        "loan",
        f"UPDATE s.loan SET no = '{NEW_NUMBER}' WHERE no = ({FIRST['loan']})",
        ("{a} is missing", "{new} is not in the backup"),
    ),
}
VISITS = {
    "row missing": Fault("visit", "DELETE FROM s.visit WHERE " + FIRST_VISIT, ("{a} is missing",)),
    "row twice": Fault(
        "visit",
        "INSERT INTO s.visit SELECT * FROM s.visit WHERE " + FIRST_VISIT,
        ("{a} is not in the backup",),
    ),
    "another pseudonym": Fault(
        "visit",
        "UPDATE s.visit SET customer_no = 5 WHERE " + FIRST_VISIT,
        ("{a} is missing", "{new} is not in the backup"),
    ),
    "raw number put back": Fault(
        "visit",
        "UPDATE s.visit SET customer_no = 2 WHERE " + FIRST_VISIT,
        ("{a} is missing", "{new} is not in the backup"),
    ),
    "moved by an hour": Fault(
        "visit",
        "UPDATE s.visit SET at = at + interval '1 hour' WHERE " + FIRST_VISIT,
        ("{a} is missing", "{new} is not in the backup"),
    ),
}


def named(copy: Copied, table: str, key: object) -> str:
    return f"s.{table}: row with ({KEYS[table]}) = token {copy.token(str(key).encode())}"


def names_before(copy: Copied, table: str) -> dict[str, str]:
    """How rows of a table are named, by their keys as they arrived or, without one, as whole rows."""
    if table == "visit":
        (row,) = copy.rows_in_form("visit", FIRST_VISIT)
        return {"a": f"s.visit: row {copy.token(row)}"}
    found = {"a": copy.value(FIRST[table]), "b": copy.value(OTHER[table]), "new": NEW_NUMBER}
    return {name: named(copy, table, key) for name, key in found.items()}


def check_told(
    copy: Copied, fault: Fault, record_property: Record, name: str, *, in_order: bool = False
) -> None:
    names = names_before(copy, fault.table)
    before = copy.rows_in_form("visit", "true")
    with that_changes(lambda: copy.fingerprint(fault.table)):
        copy.change(fault.sql)
    come = set(copy.rows_in_form("visit", "true")) - set(before)
    if come:
        names["new"] = f"s.visit: row {copy.token(come.pop())}"
    told = copy.differing_rows(fault.table)
    sure = [line.format(**names) for line in fault.told]
    rest = [line for line in told if in_order or line not in fault.twice]
    assert [line for line in sure if not any(one.startswith(line) for one in rest)] == [], told
    assert len(rest) == len(sure), told
    for raw in (RAW_NUMBER, RAW_MOBILE, "mail.example"):
        assert raw not in "\n".join(told)
    record_property("fault", (name, f"masked {fault.table}", str(masked.PEOPLE), "; ".join(told)))


@pytest.mark.parametrize("name", CUSTOMERS)
def test_fault_in_masked_customers(rekeyed: Copied, name: str, record_property: Record) -> None:
    with rekeyed.aside() as copy:
        check_told(copy, CUSTOMERS[name], record_property, name)


def in_either_order() -> list[object]:
    """Every fault of a loan with keys masked and in clear; one of both is left to the campaign."""
    return [
        pytest.param(name, order, marks=() if number % 2 == place else (pytest.mark.campaign,))
        for number, name in enumerate(LOANS)
        for place, order in enumerate(("rekeyed", "in_order"))
    ]


@pytest.mark.parametrize("name, order", in_either_order())
def test_fault_in_masked_loans(
    name: str, order: str, request: pytest.FixtureRequest, record_property: Record
) -> None:
    with request.getfixturevalue(order).aside() as copy:
        described = f"{name}, {order.replace('_', ' ')}"
        check_told(copy, LOANS[name], record_property, described, in_order=order == "in_order")


@pytest.mark.parametrize("name", VISITS)
def test_fault_in_masked_rows_without_a_key(rekeyed: Copied, name: str, record_property: Record) -> None:
    with rekeyed.aside() as copy:
        check_told(copy, VISITS[name], record_property, name)


def test_a_column_put_back_in_all_rows_is_told(rekeyed: Copied) -> None:
    with rekeyed.aside() as copy:
        copy.change("UPDATE s.customer SET mobile = '138' || mobile")
        told = copy.differing_rows("customer")
    assert len(told) > 1
    assert all(line.endswith((" differs in mobile", ": and more")) for line in told)


def test_copies_are_what_they_are_called(rekeyed: Copied, in_order: Copied) -> None:
    """Several parts of each table, so that what leaves a part is seen; and nothing to tell of."""
    assert rekeyed.table("loan").rekeyed and rekeyed.table("customer").rekeyed
    assert in_order.table("loan").masked and not in_order.table("loan").rekeyed
    assert not rekeyed.table("visit").key
    for copy in (rekeyed, in_order):
        assert min(copy.table(name).groups for name in ("customer", "loan")) > 1
        assert copy.differing_rows(*TABLES) == []
        assert copy.differing_objects() == []


def test_an_injector_that_changes_nothing_fails_its_test(rekeyed: Copied, record_property: Record) -> None:
    with rekeyed.aside() as copy, pytest.raises(AssertionError, match="changes nothing"):
        check_told(copy, customer("mobile = mobile", "mobile"), record_property, "nothing")


def test_a_mask_that_does_nothing_is_told_by_the_suites(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digests agree with themselves; what a pseudonym looks like is known without them."""

    def raw(self: Masking, connection: Any, table: Any, rows: bytes) -> MaskedChunk:
        return MaskedChunk(rows, {})

    masked.fill(runner)
    context = masked.open_masked(runner)
    backed_up(context)
    monkeypatch.setattr(Masking, "arriving", raw)
    filled(context)
    for lane in context.plan().lanes:
        verify_lane(context, lane.number)
    with pytest.raises(VerificationFailed) as raised:
        verify_expectations(context)
    told = "\n".join(raised.value.data["differences"])  # type: ignore[call-overload]
    for column in ("resident_id", "mobile", "email", "name", "born", "seen", "address", "photo", "pages"):
        assert f"s.customer ({column}): expect_" in told
    assert "s.loan (no): expect_pseudonyms" in told
    assert RAW_MOBILE not in told
