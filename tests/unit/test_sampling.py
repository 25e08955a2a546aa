"""The sampling sheet on a real database: rows in scope alone, by the tokens that verification prints."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from fixtures.contents import run_sql
from fixtures.runs import Runner
from handover.errors import NotReady
from handover.model.catalog import Table
from handover.model.plan import table_plan
from handover.model.scope import Scope
from handover.postgres.catalog import read_whole_tables
from handover.postgres.closure import Closure
from handover.postgres.copying import read_rows
from handover.postgres.keysets import KeySet
from handover.postgres.ordering import ordered_rows
from handover.postgres.referring import read_graph
from handover.postgres.session import Connection, connect, fetch
from handover.stages.context import Context
from handover.stages.narrowing import Narrowing
from handover.stages.reading import begin_snapshot
from handover.stages.sampling import MOST_TABLES, ROWS_A_TABLE, SHEET, draw_sample, find_rows, sampling_sheet

SOURCE = """
CREATE SCHEMA s;
CREATE TABLE s.person (phone text PRIMARY KEY, branch int);
CREATE TABLE s.loan (id int PRIMARY KEY, phone text REFERENCES s.person, day date) PARTITION BY HASH (id);
CREATE TABLE s.loan_0 PARTITION OF s.loan FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE s.loan_1 PARTITION OF s.loan FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE s.view (phone text, what text, at timestamptz);
CREATE TABLE s.made (id int, twice int GENERATED ALWAYS AS (id * 2) STORED, phone text, PRIMARY KEY (twice));
INSERT INTO s.person SELECT 'privat-' || n, n % 2 FROM generate_series(1, 40) n;
INSERT INTO s.loan SELECT n, 'privat-' || n % 40 + 1, '2020-01-01' FROM generate_series(1, 100) n;
INSERT INTO s.view SELECT 'privat-' || n % 40 + 1, E'tab\\t\\\\', NULL FROM generate_series(1, 100) n;
INSERT INTO s.made (id, phone) SELECT n, 'privat-' || n FROM generate_series(1, 40) n;
"""


def followed(table: str) -> dict[str, object]:
    return {"table": table, "columns": ["phone"], "references": "s.person", "to_columns": ["phone"]}


SCOPE = Scope.model_validate(
    {
        "roots": [{"table": "s.person", "where": "branch = 1"}],
        "virtual_keys": [followed("s.view"), followed("s.made")],
    }
)
Pairs = list[tuple[Table, KeySet | None]]


@pytest.fixture
def context(runner: Runner) -> Context:
    run_sql(runner.urls["src"], SOURCE)
    return runner.open()


@contextmanager
def key_sets(url: str) -> Iterator[tuple[Connection, Pairs]]:
    """A session in the snapshot in which the scope was closed, and its tables."""
    with closing(connect(url, read_only=True)) as session:
        graph = read_graph(session, ["s"], SCOPE)
        closure = Closure(session, graph, SCOPE)
        begin_snapshot(session)
        closure.compute(lambda rows: None)
        yield session, [(theirs.table, theirs) for theirs in closure.key_sets.values()]


def sheet(context: Context, seed: int | None = 7, same_major: bool = True) -> dict[str, list[str]]:
    with key_sets(context.source) as (session, pairs):
        found = sampling_sheet(context, session, pairs, same_major=same_major, seed=seed)
    return {one["table"]: one["tokens"] for one in found["tables"]}


def named_by_verification(context: Context, table: Table, same_major: bool) -> dict[str, bool]:
    """What verification prints for each row of a table, and whether the row is in scope."""
    # A bare number is printed openly; it has a token all the same, which that of a text shows.
    key = tuple(column.model_copy(update={"type": "text"}) for column in table.key)
    plan = table_plan(0, table, same_major, 1)
    named = plan.model_copy(update={"key": key})
    with closing(connect(context.source, read_only=True)) as session:
        rows = [bytes(row) for row in read_rows(session, ordered_rows(plan), plan.format)]
    phones = [re.search(rb"privat-(\d+)", row) for row in rows]
    return {
        line: phone is not None and int(phone[1]) % 2 == 1
        for phone, row in zip(phones, rows, strict=True)
        for line in Narrowing(named, context.evidence_key).lines(iter([row]), iter([]))
    }


@pytest.mark.parametrize("same_major", [True, False])
def test_tokens_are_those_of_verification_and_of_rows_in_scope(context: Context, same_major: bool) -> None:
    found = sheet(context, same_major=same_major)
    assert set(found) == {"s.loan", "s.made", "s.person", "s.view"}
    with key_sets(context.source) as (_, pairs):
        tables = {table.label: table for table, _ in pairs}
    for label, tokens in found.items():
        lines = named_by_verification(context, tables[label], same_major)
        assert len(tokens) == ROWS_A_TABLE, label
        assert [inside for token in tokens for line, inside in lines.items() if token in line] == [
            True
        ] * 3, label


def test_the_seed_draws_the_same_sample_again_and_another_seed_another(context: Context) -> None:
    assert sheet(context) == sheet(context)
    assert sheet(context) != sheet(context, seed=8)
    with key_sets(context.source) as (session, pairs):
        first, second = (sampling_sheet(context, session, pairs, same_major=True) for _ in range(2))
    assert first["seed"] != second["seed"]


def test_only_rows_in_scope_are_drawn(context: Context) -> None:
    with key_sets(context.source) as (session, pairs):
        for table, key_set in pairs:
            drawn = draw_sample(session, table, key_set, "text", 1000, 1)
            assert key_set is not None
            rows = ", ".join(key_set.columns())
            inside = fetch(session, f"SELECT count(DISTINCT ({rows})) FROM pg_temp.{key_set.name}")
            assert len(drawn) == inside[0][0] > 0
            if table.name == "person":
                assert {parts[0] for parts in drawn} == {f"privat-{n}".encode() for n in range(1, 41, 2)}


def test_nothing_of_a_row_is_on_the_sheet(context: Context) -> None:
    with key_sets(context.source) as (session, pairs):
        text = json.dumps(sampling_sheet(context, session, pairs, same_major=True))
    assert "privat" not in text


def test_a_whole_table_needs_no_key_set_and_many_tables_are_drawn_from(context: Context) -> None:
    with closing(connect(context.source, read_only=True)) as session:
        tables = read_whole_tables(session, ["s"])
        begin_snapshot(session)
        found = sampling_sheet(context, session, [(t, None) for t in tables], same_major=True, seed=1)
        assert [len(one["tokens"]) for one in found["tables"]] == [3, 3, 3, 3]
        # As if nearly all of it were long values beside the rows: no page is drawn at first.
        vast = tables[0].model_copy(update={"bytes": 10**15})
        assert len(draw_sample(session, vast, None, "text", 3, 1)) == 3
        renamed = [(tables[0].model_copy(update={"bytes": n}), None) for n in range(MOST_TABLES + 5)]
        many = sampling_sheet(context, session, renamed, same_major=True)
        assert (len(many["tables"]), many["tables_in_scope"]) == (MOST_TABLES, MOST_TABLES + 5)


def test_equal_rows_without_a_key_are_one_token(context: Context) -> None:
    run_sql(
        context.source,
        "DELETE FROM s.view; INSERT INTO s.view SELECT 'privat-1', 'x' FROM generate_series(1, 9)",
    )
    assert len(sheet(context)["s.view"]) == 1


def recorded(context: Context) -> dict[str, list[str]]:
    with key_sets(context.source) as (session, pairs):
        made = sampling_sheet(context, session, pairs, same_major=True)
    context.record(SHEET, made)
    return {one["table"]: one["tokens"] for one in made["tables"]}


def find(context: Context, token: str) -> dict[str, str]:
    with closing(connect(context.source, read_only=True)) as session:
        (row,) = find_rows(context, session, token)
        return row


def test_a_token_leads_to_its_row(context: Context) -> None:
    tokens = recorded(context)
    person = find(context, tokens["s.person"][0])
    assert person["table"] == "s.person" and int(person["phone"].removeprefix("privat-")) % 2 == 1
    loan = find(context, tokens["s.loan"][0])
    assert loan["tableoid"] in ("s.loan_0", "s.loan_1")
    with closing(connect(context.source, read_only=True)) as session:
        place = f"SELECT id::text FROM {loan['tableoid']} WHERE ctid = '{loan['ctid']}'"
        assert fetch(session, place) == [(loan["id"],)]
    assert set(find(context, tokens["s.view"][0])) == {"table", "tableoid", "ctid"}


def test_a_token_that_is_not_on_the_sheet_leads_nowhere(context: Context, runner: Runner) -> None:
    with pytest.raises(NotReady, match="step plan has not been done"):
        find(context, "ab" * 16)
    tokens = recorded(context)
    with pytest.raises(NotReady, match="no row with this token"):
        find(context, "ab" * 16)
    run_sql(context.source, "TRUNCATE s.view")
    with pytest.raises(NotReady, match="changed or gone"):
        find(context, tokens["s.view"][0])
