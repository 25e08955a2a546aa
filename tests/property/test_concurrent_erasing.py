"""While others write, only what is as it was backed up goes; and what goes is what the receipts say.

Others insert children of rows that go, change rows, make deleted ones again, lock, and commit or not: between
any two statements of the engine, so that an example can be repeated, or in threads as it comes.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from threading import Event

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from fixtures.clusters import databases
from fixtures.erasing import RUN, STEP, Asking, saved
from fixtures.others import Content, Other, committed, watch
from fixtures.worlds import COLUMNS, Place, World, build, chosen, random_world
from handover.codec.rows import fields
from handover.errors import Busy, ScopeChanged, Stopped
from handover.local.clusters import Cluster
from handover.postgres.erasing.engine import deleted_so_far, erase
from handover.postgres.erasing.request import Erased, ErasedTable, Pace
from handover.postgres.receipts import create_receipts, receipts
from handover.postgres.session import Connection, connect, fetch

MODEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WAYS = st.sampled_from(["one by one", "many at once", "emptied"])
ATTEMPTS = 3
# Of what happens when others are in the way, these say so; anything else would be the engine's fault.
IN_THE_WAY = (ScopeChanged, Busy, Stopped)


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """One subject a number; and a row more or less is no other share of so few."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handover.postgres.erasing.batches.SUBJECTS_OF_A_NUMBER", 1)
        patch.setattr("handover.postgres.erasing.pace.FIRST_WIDTH", 2)
        patch.setattr("handover.postgres.erasing.breaker.SHARE_TOLERANCE", 1000.0)
        yield


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> Iterator[str]:
    """A database whose server finds out early that two wait for each other."""
    with databases(cluster) as factory:
        made = factory("others", owner="others_owner")
        admin = cluster.admin_url(str(conninfo_to_dict(made)["dbname"]))
        with closing(psycopg.connect(admin, autocommit=True)) as session:
            session.execute("ALTER ROLE others_owner SET deadlock_timeout = '30ms'")
        yield made


@pytest.fixture(scope="module")
def session(url: str) -> Iterator[Connection]:
    with closing(connect(url)) as made:
        yield made


def row_of(content: Content) -> dict[str, int | None]:
    return dict(zip(COLUMNS, content[1:], strict=True))


@dataclass
class Trial:
    """One world, what its backup says, and what became of it."""

    session: Connection
    world: World
    asking: Asking
    emptied: bool

    @classmethod
    def of(cls, session: Connection, world: World, binary: bool, way: str) -> "Trial":
        world.changed = set()
        build(session, world)
        watch(session, world)
        backup = saved(session, "s.t0", binary)
        pace = Pace(seconds_per_batch=0.0 if way == "one by one" else 2.0, lock_seconds=0.05)
        asking = Asking(backup, "s.t0", chosen(world), pace=pace).name_keys(session)
        session.execute("DISCARD TEMP")
        return cls(session, world, asking, way == "emptied")

    def erase(self) -> Erased:
        """Erase as a process that was just started would."""
        request = self.asking.again(self.session).request()
        try:
            emptied = frozenset(self.asking.going) if self.emptied else frozenset()
            return erase(self.session, replace(request, emptied=emptied))
        finally:
            self.session.execute("DISCARD TEMP")

    def attempts(self) -> None:
        for _ in range(ATTEMPTS):
            try:
                self.erase()
            except IN_THE_WAY:
                continue
            return

    def backed_up(self) -> Counter[Content]:
        """The rows that may go, as the backup has them."""
        return Counter((t, *self.world.rows[t, n].values()) for t, n in self.world.going)

    def found(self) -> Counter[Content]:
        return Counter(
            (t, *row)
            for t in range(len(self.world.kinds))
            for row in fetch(self.session, f"SELECT id, a, b, v, w FROM s.t{t}")
        )

    def taken(self) -> Counter[Content]:
        """What the engine took away: all that is missing and that no other session took."""
        before, after = committed(self.session)
        taken = Counter((t, *row.values()) for (t, _), row in self.world.rows.items())
        taken.update(after)
        taken.subtract(before)
        taken.subtract(self.found())
        return Counter({content: n for content, n in taken.items() if n})

    def check_taken(self) -> None:
        """Only rows as backed up went, and the receipts count them."""
        taken, backed_up = self.taken(), self.backed_up()
        assert not {content: n for content, n in taken.items() if n < 0 or content not in backed_up}
        counts: Counter[str] = Counter()
        for content, n in taken.items():
            counts[f"s.t{content[0]}"] += n
        assert counts == +deleted_so_far(self.session, self.asking.request())
        assert not receipts(self.session, RUN, f"{STEP}/effect")
        for child, column, parent, _, _ in self.world.keys:
            orphans = f"""SELECT FROM s.t{child} AS c WHERE {column} IS NOT NULL
                AND NOT EXISTS (SELECT FROM s.t{parent} AS p WHERE p.id = c.{column})"""
            assert fetch(self.session, orphans) == []

    def now(self) -> World:
        """The world as it is now: what of the approved rows is still there, and which of them are others."""
        approved: dict[tuple, Content] = {self._key(content): content for content in self.backed_up()}
        now = World(self.world.kinds, self.world.keys)
        for content, copies in self.found().items():
            for copy in range(copies):
                place = self._place(content, copy)
                now.rows[place] = row_of(content)
                if (key := self._key(content)) in approved and not copy:
                    now.going.add(place)
                    if approved[key] != content:
                        now.changed.add(place)
        return now

    def _key(self, content: Content) -> tuple:
        """What tells rows of a table apart."""
        kind, row = self.world.kinds[content[0]], row_of(content)
        return {
            "keyed": (content[0], row["id"]),
            "partitioned": (content[0], row["id"], row["v"]),
            "keyless": content,
        }[kind]

    def _place(self, content: Content, copy: int) -> Place:
        t, number = content[:2]
        return (t, number) if self.world.kinds[t] == "keyed" else (t, (content, copy))

    def finish(self) -> bool:
        """Nobody else is at work any more: say whether it was all that may go."""
        now, going = self.now(), self.backed_up()
        staying = now.stays()
        before = self.found()
        try:
            erased = self.erase()
        except ScopeChanged:
            over = Counter(t for t, _ in now.going) + Counter(c[0] for c in self.taken().elements())
            assert now.others_refer() or over - Counter(content[0] for content in going.elements())
            return False
        gone = Counter((t, *now.rows[t, n].values()) for t, n in now.going - staying)
        assert self.found() == before - gone
        taken = Counter(content[0] for content in self.taken().elements())
        for table in erased.tables:
            t = int(table.table[3:])
            stays = {place for place in staying if place[0] == t}
            self.check_table(table, taken[t], now, stays)
        return True

    def check_table(self, table: ErasedTable, taken: int, now: World, staying: set[Place]) -> None:
        why = {one.why: one.rows for one in table.stayed}
        assert sum(why.values()) == len(staying)
        assert why.get("differs", 0) <= len(staying & now.changed)
        assert table.asked == sum(place[0] == int(table.table[3:]) for place in self.world.going)
        # What was erased, made again and stayed counts once, as what it is.
        assert table.deleted == min(taken, table.asked - len(staying))
        assert table.gone == table.asked - table.deleted - len(staying)
        names = [token for one in table.stayed for token in one.tokens]
        assert len(names) == len(set(names)) == len(staying)
        if self.world.kinds[int(table.table[3:])] != "keyless":
            assert {self._id(name) for name in names} == {now.rows[place]["id"] for place in staying}

    def _id(self, name: str) -> int:
        """The id in the name that the fixture gives a row."""
        label, _, row = name.partition(":")
        (plan, *_) = [plan for plan in self.asking.saved.plans if plan.label == label]
        key = [c.name for c in plan.key]
        value = fields(bytes.fromhex(row), plan.format)[key.index("id")]
        return int.from_bytes(value) if plan.format == "binary" else int(value)


@dataclass
class Stepping:
    """Others who act between statements of the engine, and wherever it asks or tells something."""

    others: list[Other]
    random: Random
    chance: float
    points: Counter[str] = field(default_factory=Counter)

    def point(self, name: str) -> None:
        self.points[name] += 1
        while self.random.random() < self.chance:
            self.random.choice(self.others).act()

    def stop(self) -> None:
        self.point("honour_stop")
        if self.random.random() < 0.03:
            raise Stopped("stopped")

    @contextmanager
    def holding(self) -> Iterator[Callable[[], None]]:
        self.point("holding")
        yield lambda: self.point("before commit")
        self.point("after commit")

    def listen(self, trial: Trial, patch: pytest.MonkeyPatch) -> None:
        execute = trial.session.execute

        def listened(*arguments: object, **options: object) -> object:
            self.point("statement")
            return execute(*arguments, **options)

        patch.setattr(trial.session, "execute", listened, raising=False)
        trial.asking = replace(trial.asking, holding=self.holding, honour_stop=self.stop)


@contextmanager
def others(url: str, trial: Trial, random: Random, lock: str) -> Iterator[list[Other]]:
    """One or two at work."""
    intrudes = random.random() < 0.3
    with ExitStack() as sessions:
        there = [
            Other(sessions.enter_context(closing(psycopg.connect(url))), trial.world, n + 1,
                  Random(random.random()), intrudes, lock)
            for n in range(random.randint(1, 2))
        ]  # fmt: skip
        yield there
        for other in there:
            other.end()
        for other in there:
            other.leave()


def stepped(url: str, session: Connection, seed: int, binary: bool, way: str) -> bool:
    random = Random(seed)
    trial = Trial.of(session, random_world(random), binary, way)
    quiet = trial.asking
    with others(url, trial, random, "20ms") as there, pytest.MonkeyPatch.context() as patch:
        Stepping(there, random, random.choice([0.01, 0.05, 0.2])).listen(trial, patch)
        trial.attempts()
    trial.asking = quiet
    trial.check_taken()
    done = trial.finish()
    trial.check_taken()
    return done


LIES = {
    "a row that changed has gone": "UPDATE s.t0 SET w = 7 WHERE id = 1; DELETE FROM s.t0 WHERE id = 1",
    "a row that others made has gone": "DELETE FROM s.t0 WHERE id = 1000",
    "an approved row has gone without receipt": "DELETE FROM s.t0 WHERE id = 1",
    "a row that nobody approved has gone": "DELETE FROM s.t0 WHERE id = 2",
    "a receipt for nothing": f"INSERT INTO handover.receipt VALUES ('{RUN}', '{STEP}', '0/s.t0', 1, '')",
    "something else changed": f"INSERT INTO handover.receipt VALUES ('{RUN}', '{STEP}/effect', '0', 1, '')",
    "a row of others is another one": "UPDATE s.t0 SET v = v + 1 WHERE id = 2",
    "a child is left alone": "ALTER TABLE s.t0 DROP CONSTRAINT t0_a_fkey; SET others.write = 'yes';"
    "INSERT INTO s.t0 VALUES (9, 77); SET others.write = 'no'",
}


def small_world() -> World:
    """Rows 1 and 3 go, 2 stays."""
    rows = {(0, n): {"id": n, "a": None, "b": None, "v": n, "w": 0} for n in (1, 2, 3)}
    return World(["keyed"], [(0, "a", 0, "NO ACTION", "")], rows, {(0, 1), (0, 3)})


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_what_would_be_wrong_is_seen(session: Connection, lie: str) -> None:
    trial = Trial.of(session, small_world(), True, "one by one")
    create_receipts(session, RUN)
    session.execute("SET others.write = 'yes'; INSERT INTO s.t0 (id) VALUES (1000); SET others.write = 'no'")
    trial.check_taken()
    session.execute(lie)
    with pytest.raises(AssertionError):
        trial.check_taken()


@pytest.mark.parametrize("wrong", ["DELETE FROM s.t0 WHERE id = 2", "INSERT INTO s.t0 VALUES (1)"])
def test_an_end_that_would_be_wrong_is_seen(session: Connection, wrong: str) -> None:
    trial = Trial.of(session, small_world(), True, "one by one")
    trial.asking.progress = lambda _: session.execute(wrong) and None
    with pytest.raises(AssertionError):
        trial.finish()


@settings(MODEST, max_examples=20)
@given(st.integers(0, 2**64), st.booleans(), WAYS)
def test_between_any_two_statements_others_may_write(
    url: str, session: Connection, seed: int, binary: bool, way: str
) -> None:
    stepped(url, session, seed, binary, way)


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
@settings(MODEST, max_examples=1500)
@given(st.integers(0, 2**64), st.booleans(), WAYS)
def test_between_any_two_statements_on_many_worlds(
    url: str, session: Connection, seed: int, binary: bool, way: str
) -> None:
    stepped(url, session, seed, binary, way)


def at_once(url: str, session: Connection, seed: int, binary: bool, way: str) -> bool:
    """The same with others in threads of their own, who wait for the engine as it waits for them."""
    random = Random(seed)
    trial = Trial.of(session, random_world(random), binary, way)
    trial.asking.pace = replace(trial.asking.pace, lock_seconds=0.5)
    ended = Event()

    def work(other: Other) -> None:
        while not ended.wait(other.random.random() / 100):
            other.act()

    with others(url, trial, random, "300ms") as there, ThreadPoolExecutor(len(there)) as pool:
        working = [pool.submit(work, other) for other in there]
        try:
            trial.attempts()
        finally:
            ended.set()
        for one in working:
            one.result()
    trial.check_taken()
    done = trial.finish()
    trial.check_taken()
    return done


@pytest.mark.parametrize("seed", range(6))
def test_others_write_while_rows_go(url: str, session: Connection, seed: int) -> None:
    at_once(url, session, seed, seed % 2 == 0, ("one by one", "many at once", "emptied")[seed % 3])


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
def test_others_write_while_rows_of_many_worlds_go(url: str, session: Connection) -> None:
    for seed in range(100, 700):
        at_once(url, session, seed, seed % 2 == 0, ("one by one", "many at once", "emptied")[seed % 3])
