"""COPY text as columns: what is not changed comes back to the last byte, as PostgreSQL itself writes it."""

from collections.abc import Callable
from contextlib import closing

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from handover.codec.columns import columns_of, text_of, values_of, written_of
from handover.errors import VaultCorrupt
from handover.postgres.copying import read_rows
from handover.postgres.session import connect

VALUES = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
NAMES = ("a", "b")


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=20))
def test_rows_come_back_as_they_were(rows: list[tuple[str | None, str | None]]) -> None:
    written = pa.table(
        {name: written_of(pa.array([row[place] for row in rows], pa.large_string()))
         for place, name in enumerate(NAMES)}
    )  # fmt: skip
    data = text_of(written)
    assert data.count(b"\n") == len(rows)
    table = columns_of(data, NAMES)
    assert text_of(table) == data
    assert [tuple(row) for row in zip(*(values_of(table[n]).to_pylist() for n in NAMES), strict=True)] == rows


def test_columns_are_what_the_server_meant(database: Callable[..., str]) -> None:
    odd = ["", "\\N", "tab\t", "line\n", "\r\b\f\v", "\\", "中文", None]
    with closing(connect(database("odd"))) as session:
        session.execute("CREATE TEMP TABLE odd (n int, v text)")
        for number, value in enumerate(odd):
            session.execute("INSERT INTO odd VALUES (%s, %s)", [number, value])
        query = sql.SQL("SELECT n, v FROM pg_temp.odd ORDER BY n")
        data = b"".join(bytes(row) for row in read_rows(session, query, "text"))
    table = columns_of(data, ("n", "v"))
    assert values_of(table["v"]).to_pylist() == odd
    assert text_of(table) == data


def test_a_chunk_that_is_cut_is_refused() -> None:
    with pytest.raises((VaultCorrupt, pa.ArrowInvalid)):
        columns_of(b"1\t2\n3", NAMES)
