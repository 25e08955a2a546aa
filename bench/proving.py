"""Proof of absence: a whole database and its files searched for what was known of people who are not in it.

Nothing is erased: those looked for are further persons of the same make, 30 % of all. What is looked for, and
how, is as ``prove`` does; with names, birth dates and addresses as well, as ``absence`` does.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

import psycopg
from psycopg import sql

from bench import BenchFailed
from bench.arena import Arena
from bench.costs import Figure
from bench.engine import peak_mb
from bench.shapes import generate, people, read_all
from handover.local.clusters import Cluster
from handover.model.masking import MaskedColumn, Pseudonym
from handover.model.plan import table_plan
from handover.postgres.catalog import read_catalog
from handover.postgres.copying import cut_by_size, read_rows
from handover.postgres.residue.searching import search_files
from handover.postgres.session import connect
from handover.risk.sieved_bytes import SievedBytesSearch
from handover.risk.sieved_values import SievedValues
from handover.stages.raw_rows import ADDRESS, NAME, RawRows, Sought, Taken
from handover.stages.raw_search import search_place

PROVE = "prove"
# Of ten persons three went.
_GONE, _LEFT = 3, 7
_KINDS = {"document": "resident_id", "phone": "mobile", "card": "bank_card", "mail": "email"}
_TOLD = {"name": NAME, "street": ADDRESS}
_ROWS = sql.SQL("SELECT p.* FROM generate_series({}::bigint, {}::bigint) AS i, bench.person(i) AS p")
_SPAWN = multiprocessing.get_context("spawn")
_SEARCHES = ("values", "values and persons", "files")


@dataclass(frozen=True)
class _Found:
    """What a search read, and what it took."""

    seconds: float
    cpu: float
    bytes: int
    passes: int
    hits: int
    peak: float


@dataclass(frozen=True)
class _Task:
    """One search, done by a process of its own."""

    what: str
    url: str
    cluster: Cluster

    def done(self) -> _Found:
        """Search; what is imported and who is looked for is known before the clock starts."""
        began, used = time.monotonic(), time.process_time()
        size, passes, hits = self._files() if self.what == "files" else self._rows()
        seconds, cpu = time.monotonic() - began, time.process_time() - used
        return _Found(seconds, cpu, size, passes, hits, peak_mb())

    def _rows(self) -> tuple[int, int, int]:
        outcome = search_place(self.url, self._sought(self.what != "values"), b"e" * 32)
        return sum(one.bytes for one in outcome.parts[0].searched), outcome.passes, len(outcome.findings)

    def _files(self) -> tuple[int, int, int]:
        values = SievedValues()
        taken = Taken(b"k" * 32, (0, 1), (1, 1))
        taken.values = values
        for rows in self._sought(persons=False).rows():
            taken.take(rows)
        found = search_files(self.cluster.data, SievedBytesSearch(values))
        return found.bytes, 1, len(found.hits)

    def _sought(self, persons: bool) -> Sought:
        with closing(connect(self.url, read_only=True)) as session:
            tables = read_catalog(session, ["bench"]).tables
            table = next(one for one in tables if one.name == "customer")
            (count,) = session.execute("SELECT count(*) FROM bench.customer").fetchone() or (0,)
        plan = table_plan(0, table, same_major=True, groups=1, because="rows are searched")
        first = int(str(count)) + 1
        gone = (first - 1) * _GONE // _LEFT
        columns = tuple(_masked(*one) for one in {**_KINDS, **(_TOLD if persons else {})}.items())

        def rows() -> Iterator[RawRows]:
            with closing(connect(self.url, read_only=True)) as session:
                query = _ROWS.format(first, first + gone - 1)
                for chunk in cut_by_size(read_rows(session, query, "text")):
                    yield RawRows(plan, columns, chunk.data, ("born",) if persons else None)

        return Sought(rows, gone * len(_KINDS), gone if persons else 0)


def _masked(column: str, kind: str) -> MaskedColumn:
    pseudonym = Pseudonym(domain="gone", writing="", treatment={"strategy": "erase"})
    return MaskedColumn(column=column, type="text", kind=kind, pseudonym=pseudonym)


def _work(task: _Task, answer: Pipe) -> None:
    answer.send(task.done())


def _apart(task: _Task) -> _Found:
    """Do a search in a process of its own, whose memory is its own as well."""
    mine, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_work, args=(task, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        found: _Found = mine.recv()
    except EOFError:
        raise BenchFailed(f"the search for {task.what} failed", hint="see its error above") from None
    finally:
        process.join()
    return found


def beside_reading(place: Arena, size: float) -> Iterator[Figure]:
    """Search a database of people once for everything, beside reading it and doing nothing."""
    shape = people(size)
    url = place.fresh(place.source, shape.name)
    written = generate(url, shape)
    with psycopg.connect(place.source.admin_url(shape.name)) as connection:
        (on_disk,) = connection.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
        began = time.monotonic()
        read_all(connection)
        plain = time.monotonic() - began
    print(f"\ndatabase people: {written / 1e6:,.0f} MB as COPY text, {on_disk / 1e6:,.0f} MB on disk")
    print(f"plain read {plain:.1f} s, {written / 1e6 / plain:.0f} MB/s")
    for what in _SEARCHES:
        place.settle()
        found = _apart(_Task(what, url, place.source))
        if found.hits and what != "files":
            raise BenchFailed(f"{found.hits} columns hold what is in none", hint="see handover.risk")
        print(
            f"{what}: {found.seconds:.1f} s ({found.cpu:.1f} CPU), {found.bytes / 1e6:,.0f} MB in "
            f"{found.passes} passes, {found.bytes / 1e6 / found.seconds:.0f} MB/s, peak {found.peak:.0f} MB, "
            f"{found.hits} hits"
        )
        name = f"prove_{what.replace(' ', '_')}"
        ratio = found.seconds / plain if what != "files" else None
        peer = "plain read" if ratio else None
        yield Figure(f"{name}_s", round(found.seconds, 1), "s", peer, ratio and round(ratio, 2))
        yield Figure(f"{name}_peak_rss_mb", round(found.peak), "MB")
    yield Figure("prove_gb", round(written / 1e9, 3), "GB")
    place.source.drop_database(shape.name)
