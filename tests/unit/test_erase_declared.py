"""What only the scope declares to be a reference keeps rows as a foreign key does: nobody is orphaned."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from fixtures.contents import run_sql
from fixtures.erasing import Asking, never, saved
from handover.postgres.erasing.engine import erase
from handover.postgres.session import Connection, connect, fetch

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.customer (id int PRIMARY KEY);
INSERT INTO s.customer SELECT generate_series(1, 40);
CREATE TABLE s.loan (id int PRIMARY KEY, customer int NOT NULL REFERENCES s.customer);
INSERT INTO s.loan SELECT n, n FROM generate_series(1, 40) n;
CREATE TABLE s.page_view (id int PRIMARY KEY, customer int, path text);
INSERT INTO s.page_view SELECT n, 1 + n % 40, '/' FROM generate_series(1, 80) n;
CREATE TABLE s.attachment (id int PRIMARY KEY, kind text, owner bigint, note text);
INSERT INTO s.attachment SELECT n, CASE n % 2 WHEN 0 THEN 'loan' ELSE 'customer' END, n, ''
  FROM generate_series(1, 40) n;
"""
VIEWS = {"table": "s.page_view", "columns": ["customer"], "references": "s.customer", "to_columns": ["id"]}
ATTACHMENTS = {
    "table": "s.attachment", "type_column": "kind", "id_column": "owner",
    "targets": {"loan": {"table": "s.loan", "column": "id"},
                "customer": {"table": "s.customer", "column": "id"}},
}  # fmt: skip
GOING = {
    "s.customer": "t.id <= 30", "s.loan": "t.id <= 30", "s.page_view": "t.customer <= 30",
    "s.attachment": "t.owner <= 30",
}  # fmt: skip
# What is changed, which rows stay of those that were to go, and why.
CHANGES = {
    "a view": (
        "UPDATE s.page_view SET path = '/other' WHERE id = 6",
        {"s.customer": [7], "s.page_view": [6]},
    ),
    "a view, to another customer": (
        "UPDATE s.page_view SET customer = 9 WHERE id = 6",
        {"s.customer": [9], "s.page_view": [6]},
    ),
    "an attachment of a customer": (
        "UPDATE s.attachment SET note = 'x' WHERE id = 5",
        {"s.customer": [5], "s.attachment": [5]},
    ),
    "an attachment of a loan": (
        "UPDATE s.attachment SET note = 'x' WHERE id = 8",
        {"s.customer": [8], "s.loan": [8], "s.attachment": [8]},
    ),
    "a view that anybody else has": ("INSERT INTO s.page_view VALUES (81, 3, '/')", {}),
}


@pytest.fixture
def session(database: Callable[..., str]) -> Iterator[Connection]:
    url = database("erase")
    run_sql(url, SOURCE)
    with closing(connect(url)) as made:
        yield made


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """One subject a number, one number the first transaction."""
    monkeypatch.setattr("handover.postgres.erasing.batches.SUBJECTS_OF_A_NUMBER", 1)
    monkeypatch.setattr("handover.postgres.erasing.pace.FIRST_WIDTH", 1)


def ids(session: Connection, label: str, where: str = "true") -> list[int]:
    return [int(str(n)) for (n,) in fetch(session, f"SELECT id FROM {label} AS t WHERE {where} ORDER BY 1")]


@pytest.mark.parametrize("late", [False, True], ids=["before", "meanwhile"])
@pytest.mark.parametrize("emptied", [[], ["s.page_view", "s.attachment"]], ids=["deleted", "emptied"])
@pytest.mark.parametrize("change, staying", CHANGES.values(), ids=CHANGES)
def test_what_a_row_that_stays_refers_to_stays(
    session: Connection, change: str, staying: dict[str, list[int]], emptied: list[str], late: bool
) -> None:
    backup = saved(session, "s.customer", virtual=[VIEWS], polymorphic=[ATTACHMENTS])
    asking = Asking(backup, "s.customer", GOING).name_keys(session)
    asked = {label: ids(session, label, where) for label, where in GOING.items()}
    waiting = [change]

    @contextmanager
    def holding() -> Iterator[Callable[[], None]]:
        while waiting:
            session.execute(waiting.pop().encode())
        yield never

    if late:
        asking.holding = holding
    else:
        session.execute(waiting.pop().encode())
    erased = erase(session, replace(asking.request(), emptied=frozenset(emptied)))
    there = {label: sorted({*ids(session, label)} & {*asked[label]}) for label in GOING}
    assert {label: rows for label, rows in there.items() if rows} == staying
    assert sum(one.rows for table in erased.tables for one in table.stayed) == sum(map(len, staying.values()))
    assert ids(session, "s.page_view", "t.id = 81") == [81] * (not staying)
