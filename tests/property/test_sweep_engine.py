"""The sample company lives through twelve years of sweeps, holds and requests; an oracle says what is left.

fixtures/years.py is the oracle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.clusters import DatabaseFactory, databases
from fixtures.years import Company, later, read
from handover.law.packs import load_packs, select
from handover.local.clusters import Cluster
from handover.model.policy import Pack
from handover.model.registered import RegisteredSource, load_source
from handover.model.scope import Scope
from handover.postgres.closure import Closure
from handover.postgres.expiring import Expiring
from handover.postgres.keysets import scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.references import reaches
from handover.postgres.referring import read_graph
from handover.postgres.session import Connection, connect
from handover.sample.company import generate
from handover.settings import REPOSITORY
from handover.stages.daily_cases import erasure_case, sweep_case
from handover.stages.holds import following_all

MODEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
INCLUDE = REPOSITORY / "include"
PACKED = date(2026, 11, 22)
FIRST, YEARS = date(2024, 2, 29), 12
ROWS = 1_000


@dataclass
class Life:
    """The company's database, and what the oracle thinks is there."""

    session: Connection
    source: RegisteredSource
    company: Company
    gone: int = 0
    waited: int = 0
    loans: int = 0

    def step(self, on: date, held: set[int], person: int | None) -> None:
        """Let everything go that is over on a day, as the product finds it, and as the oracle does."""
        packs = [
            without_lists(p) for p in select(load_packs(INCLUDE / "policies"), self.source.policy, PACKED)
        ]
        if person:
            scope = erasure_case(self.source, packs, on, "request-1").scope
        else:
            scope = sweep_case(self.source, packs, on).scope
        assert scope is not None
        graph = following_all(read_graph(self.session, self.source.database.schemas, scope))
        within = Closure(self.session, graph, customers({person}), prefix="within") if person else None
        stays = Closure(self.session, graph, customers(held), prefix="held") if held else None
        found = Expiring(self.session, graph, scope, stays, within)
        self.session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found.compute(lambda rows: None)
        self.session.execute("COMMIT")
        below = reaches(graph)
        self.session.execute("BEGIN READ WRITE")
        for number in sorted(found.key_sets, key=lambda n: len(below[n])):
            key_set = found.key_sets[number]
            delete = sql.SQL("DELETE FROM {} AS t WHERE {}").format(
                rows_of(key_set.table), scoped_rows(key_set)
            )
            self.gone += self.session.execute(delete).rowcount
        self.session.execute("COMMIT")
        self.session.execute("DISCARD TEMP")
        self.waited += sum(one.rows for one in found.kept)
        self.company.rows -= self.company.goes(on, held, person)


def customers(numbers: set[int]) -> Scope:
    where = " OR ".join(f"customer_id = {n}" for n in sorted(numbers))
    return Scope.model_validate({"roots": [{"table": "lending.customers", "where": where}]})


def without_lists(pack: Pack) -> Pack:
    """Return a pack whose archives go without a destruction list; with one no sweep lets them go."""
    rules = {n: one.model_copy(update={"before_destruction": ()}) for n, one in pack.retention.items()}
    return pack.model_copy(update={"retention": rules})


def live(url: str, random: Random, steps: int) -> Life:
    """Twelve years in so many sweeps; now and then a hold comes or goes, or somebody asks to be erased."""
    generate(url, rows=ROWS, seed=random.randrange(1000))
    source = load_source(INCLUDE / "sources", "sample-lending")
    # Ten years for vouchers: in thirty nobody would see a loan go.
    brief = [
        one.model_copy(update={"rules": ("R03",), "accounting": False}) if one.accounting else one
        for one in source.retention
    ]
    company = read(url)
    company.voucher_years = 10
    held: set[int] = set()
    with closing(connect(url)) as session:
        life = Life(session, source.model_copy(update={"retention": tuple(brief)}), company)
        life.loans = sum(row[0] == "lending.loans" for row in company.rows)
        everybody = sorted(company.customers)
        for step in range(steps):
            on = later(FIRST, months=step * YEARS * 12 // steps) + timedelta(days=random.randrange(20))
            if random.random() < 0.5:
                held ^= {random.choice(everybody)}
            life.step(on, held, None)
            if random.random() < 0.4:
                life.step(on, held, random.choice(everybody))
            assert read(url).rows == company.rows, on
    return life


@pytest.fixture(scope="module")
def factory(cluster: Cluster) -> Iterator[DatabaseFactory]:
    with databases(cluster) as made:
        yield made


def test_the_company_is_after_twelve_years_what_an_oracle_says(factory: DatabaseFactory) -> None:
    life = live(factory("years"), Random(11), 12)
    assert life.gone > 100
    assert life.waited > 0
    assert not [row for row in life.company.rows if row[0] == "lending.page_views"]
    assert [row for row in life.company.rows if row[0] == "lending.complaints"]
    assert life.loans > sum(row[0] == "lending.loans" for row in life.company.rows) > 0


@pytest.mark.campaign
@settings(MODEST, max_examples=15)
@given(st.integers(0, 2**64))
def test_many_companies_live_through_their_years(factory: DatabaseFactory, seed: int) -> None:
    live(factory("years"), Random(seed), 36)
