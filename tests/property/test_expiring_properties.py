"""A row goes in a sweep exactly when the law, asked about that one row, lets it go; never a day earlier."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from fixtures.clusters import databases
from handover.errors import PolicyInvalid
from handover.law.dates import EARLIEST
from handover.law.expiring import FREE, Value, expired, is_number, started
from handover.law.packs import load_packs
from handover.law.retention import Question, decide
from handover.local.clusters import Cluster
from handover.model.legal_terms import Trigger
from handover.model.matter import RowClassRules
from handover.model.policy import Pack, Period
from handover.model.reconciliation import TableName
from handover.model.registered import DayOf, RegisteredSource, RetentionClass, load_source
from handover.postgres.row_classes import checked_predicate
from handover.postgres.session import Connection, connect, fetch
from handover.settings import REPOSITORY
from handover.stages.daily_cases import predicate

MODEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ZONES = ("Asia/Shanghai", "UTC", "America/New_York", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu")
TABLE = "CREATE TABLE s.t (id int, d date, m timestamp, z timestamptz, r daterange, y smallint)"
ROWS = 40
TABLE_NAME = TableName(schema_name="s", name="t")


@cache
def packs() -> tuple[Pack, ...]:
    return load_packs(REPOSITORY / "include" / "policies")


@cache
def sample() -> RegisteredSource:
    return load_source(REPOSITORY / "include" / "sources", "sample-lending")


@dataclass(frozen=True)
class Life:
    """A class of rows, the day on which the law is asked about it, and where that is."""

    rows: RetentionClass
    on: date
    source: RegisteredSource
    aml: str


def random_life(random: Random) -> Life:
    known = {name: rule for pack in packs() for name, rule in pack.retention.items()}
    # Most rules let nothing go without something else; those with periods are drawn more often.
    likely = [name for name, rule in known.items() if rule.trigger]
    names = [random.choice(likely if random.random() < 0.95 else list(known)) for _ in range(3)]
    names = list(dict.fromkeys(names[: random.randint(1, 3)]))
    days: dict[Trigger, DayOf] = {}
    for rule in (known[name] for name in known):
        if rule.trigger and random.random() < 0.97:
            days.setdefault(rule.trigger, random_day_of(rule.trigger, random))
    rows = RetentionClass(name="rows", table=TABLE_NAME, rules=tuple(names), days=days)
    on = random.choice([date(2024, 2, 29), date(2026, 3, 31), date(2027, 1, 1), date(2028, 12, 31)])
    if random.random() < 0.5:
        on = date(2019, 1, 1) + timedelta(days=random.randrange(6000))
    source = sample().model_copy(update={"timezone": random.choice(ZONES)})
    return Life(rows, on, source, random.choice(["yes", "yes", "no", "unknown"]))


def random_day_of(trigger: str, random: Random) -> DayOf:
    if trigger == "fiscal_year" and random.random() < 0.5:
        return DayOf(column="y")
    ends = f"{random.randint(1, 12):02}-{random.choice([28, 29, 30, 31])}"
    column = random.choice("dmzr")
    return DayOf(
        column=column,
        bound=random.choice(["lower", "upper"]) if column == "r" else None,
        plus=random.choice([None, Period(months=1), Period(months=6), Period(years=3)])
        if trigger != "fiscal_year"
        else None,
        year_ends=ends if trigger == "fiscal_year" else None,
    )


@dataclass(frozen=True)
class Row:
    """A row as the database is told of it, and the days that it really bears."""

    literals: tuple[str | None, ...]
    days: dict[tuple[str, str | None], Value | None]


def random_row(life: Life, random: Random) -> Row:
    day, moment, instant = (random_day(life, random) for _ in range(3))
    at = time(random.choice([0, 12, 23]), random.choice([0, 59]), random.choice([0, 59]))
    # A day of the calendar where the source is, told as an instant of another zone.
    there = datetime.combine(instant, at, life.source.zone).astimezone(UTC) if instant else None
    lower, upper = sorted([random_day(life, random) or life.on, random_day(life, random) or life.on])
    year = random.choice([None, 0, 1900, life.on.year + 1, *range(life.on.year - 33, life.on.year + 1)])
    spans: dict[str, tuple[date | None, date | None]] = {
        f"[{lower},{upper})": (lower, upper) if lower < upper else (None, None),
        f"[{lower},)": (lower, None),
        f"(,{upper})": (None, upper),
        "empty": (None, None),
    }
    span = random.choice([*spans, next(iter(spans)), next(iter(spans))])
    odd = random.choice(["infinity", "-infinity", "0044-03-15 BC", None])
    days: dict[tuple[str, str | None], Value | None] = {
        ("d", None): day,
        ("m", None): moment,
        ("z", None): there.astimezone(life.source.zone).date() if there else None,
        ("r", "lower"): spans[span][0],
        ("r", "upper"): spans[span][1],
        ("y", None): year,
    }
    literals = (
        str(day) if day else odd,
        f"{moment} {at}" if moment else odd,
        str(there) if there else odd,
        span,
        None if year is None else str(year),
    )
    return Row(literals, days)


def random_day(life: Life, random: Random) -> date | None:
    """Mostly a day at which something ends, some days more or less; sometimes none, or one that cannot be."""
    chance = random.random()
    if chance < 0.1:
        return None
    if chance < 0.2:
        return random.choice([date(1900, 1, 1), EARLIEST, EARLIEST - timedelta(1), date(2999, 12, 31)])
    if chance < 0.4:
        return date(1949, 1, 1) + timedelta(days=random.randrange(30_000))
    months = random.choice([0, 1, 6, 12, 36, 60, 120, 360]) + random.choice([0, 0, 1, 6, 36])
    place = life.on.year * 12 + life.on.month - 1 - months
    day = date(place // 12, place % 12 + 1, min(life.on.day, 28))
    return day + timedelta(days=random.randint(-4, 4))


def allowed(life: Life, row: Row) -> bool:
    """What the law says when it is asked about this row alone."""
    triggers: dict[Trigger, Value] = {}
    for trigger, day in life.rows.days.items():
        raw = row.days[day.column, day.bound]
        least = EARLIEST.year if is_number(trigger, day) else EARLIEST
        if raw is not None and raw >= least:  # type: ignore[operator]
            triggers[trigger] = started(trigger, day, raw)
    rules = RowClassRules(row_class="rows", rules=life.rows.rules, triggers=triggers)
    question = Question(rows=rules, on=life.on, aml_obliged=life.aml, holds=())  # type: ignore[arg-type]
    return decide(packs(), question).outcome in FREE


def going(session: Connection, life: Life, rows: list[Row]) -> set[int]:
    """Which rows the sweep's own predicate takes."""
    session.execute("TRUNCATE s.t")
    with session.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO s.t VALUES (%s, %s::date, %s::timestamp, %s::timestamptz, %s::daterange, %s::int2)",
            [(n, *row.literals) for n, row in enumerate(rows)],
        )
    found = expired(packs(), life.rows, life.on, life.aml)  # type: ignore[arg-type]
    if found.never:
        return set()
    condition = checked_predicate(session, "s", "t", predicate(life.source, life.rows, found))
    query = sql.SQL("SELECT id FROM s.t AS t WHERE {}").format(condition)
    return {int(str(n)) for (n,) in fetch(session, query)}


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Connection]:
    with databases(cluster) as factory, closing(connect(factory("expiring", owner="expiring_owner"))) as made:
        made.execute("CREATE SCHEMA s")
        made.execute(TABLE)
        yield made


def check(session: Connection, seed: int) -> tuple[int, int]:
    random = Random(seed)
    life = random_life(random)
    rows = [random_row(life, random) for _ in range(ROWS)]
    wanted = {n for n, row in enumerate(rows) if allowed(life, row)}
    got = going(session, life, rows)
    assert got == wanted, [(rows[n], n in wanted) for n in sorted(got ^ wanted)][:3]
    return len(wanted), ROWS - len(wanted)


@settings(MODEST, max_examples=40)
@given(st.integers(0, 2**64))
def test_a_row_goes_exactly_when_the_law_lets_it_go(session: Connection, seed: int) -> None:
    check(session, seed)


@pytest.mark.campaign
@settings(MODEST, max_examples=4000)
@given(st.integers(0, 2**64))
def test_the_predicate_is_the_law_for_many_classes(session: Connection, seed: int) -> None:
    check(session, seed)


def test_the_lives_drawn_let_rows_go_and_keep_others(session: Connection) -> None:
    """Worlds in which nothing ever goes, or everything does, would prove nothing."""
    counts = [check(session, seed) for seed in range(20)]
    mixed = [one for one in counts if min(one) > 0]
    assert len(mixed) >= 5, counts


@pytest.mark.parametrize(
    ("rules", "days", "goes"),
    [
        (("R16", "R25"), ("2000-01-01", "2000-01-01"), True),
        (("R16", "R25"), ("2000-01-01", None), False),
        (("R16", "R25"), ("2000-01-01", "2999-01-01"), False),
        (("R16", "R25"), ("2025-12-31", "2000-01-01"), False),
        (("R16", "R25"), (None, "2000-01-01"), False),
        (("R25",), (None, "2025-12-30"), True),
        (("R25",), (None, "2025-12-31"), False),
    ],
)
def test_a_day_that_is_missing_is_a_doubt_and_keeps_the_row(
    session: Connection, rules: tuple[str, ...], days: tuple[str | None, str | None], goes: bool
) -> None:
    """Also where another rule alone would let the row go."""
    rows = RetentionClass.model_validate(
        {
            "name": "rows",
            "table": "s.t",
            "rules": rules,
            "days": {"created": {"column": "d"}, "purpose_end": {"column": "r", "bound": "lower"}},
        }
    )
    life = Life(rows, date(2025, 12, 31), sample(), "yes")
    span = f"[{days[1]},)" if days[1] else None
    row = Row((days[0], None, None, span, None), {})
    assert bool(going(session, life, [row])) is goes


def test_a_rule_that_no_pack_has_is_named(session: Connection) -> None:
    rows = RetentionClass(name="rows", table=TABLE_NAME, rules=("R99",))
    with pytest.raises(PolicyInvalid, match="R99"):
        expired(packs(), rows, date(2026, 1, 1), "yes")


@pytest.mark.parametrize(
    ("on", "latest"),
    [
        (date(2025, 6, 30), date(2024, 12, 29)),  # kept through 30 June: seen on the 30th, from the 31st on
        (date(2025, 7, 1), date(2024, 12, 31)),  # June has no 31st: of both days the six months are over
        (date(2025, 7, 2), date(2025, 1, 1)),
    ],
)
def test_six_months_at_the_end_of_a_month(on: date, latest: date) -> None:
    """Device logs: kept for six months after the day, of use for six months from it (R16, R25)."""
    rows = next(one for one in sample().retention if one.table.label == "lending.device_logs")
    found = expired(packs(), rows, on, sample().aml_obliged)
    assert min(one.latest for one in found.needed if isinstance(one.latest, date)) == latest
