"""What becomes of each kind of a person's data when they ask to have it erased, and why, before it goes.

The arithmetic is that of sweeps: a class goes by its rules as they stand under a duty to erase. Until when
rows stay is found by asking for later days. Rows that no class names stay: nobody has said that they may go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, timedelta

from psycopg import sql

from handover.evidence.answer import Decided
from handover.law.expiring import Expired
from handover.law.packs import load_packs, select
from handover.model.disposition import GOING
from handover.model.hold import DataHold
from handover.model.policy import Pack, Text
from handover.model.registered import RegisteredSource, RetentionClass, load_source
from handover.postgres.closure import Closure
from handover.postgres.keysets import KeySet, scoped_rows
from handover.postgres.ordering import rows_of
from handover.postgres.row_classes import checked_predicate
from handover.postgres.session import Connection, connect, database_errors, fetch
from handover.stages.context import Context
from handover.stages.daily_cases import let_go, predicate
from handover.stages.facts import judged_on
from handover.stages.holds import binding_holds, held_graph, held_scope
from handover.stages.reading import begin_snapshot
from handover.stages.request_copies import named
from handover.stages.request_subjects import DECIDED, own_closure, subject_of
from handover.stages.requests import Desk, find_request

# Telling somebody that an authority looks into them is forbidden (AML), and could spoil the inquiry.
SECRET = {"inquiry"}
BY_LAW = Text(zh="法律、行政法规规定须继续保存", en="the law or a regulation requires that it is kept")
# Whoever would keep rows longer keeps them for good, as far as a letter can say.
FURTHEST = timedelta(days=365 * 100)
LET_GO = Text(zh="不存在须继续保存的法定期限", en="no period of the law keeps it")
NO_RULE = Text(
    zh="尚未确定保存规则，暂予限制处理，由负责部门决定",
    en="no rule was named for it yet: it is restricted until the office in charge has decided",
)
FOR_GOOD = Text(zh="须永久保存或尚不能确定期限", en="kept for good, or the end of its period is not known")
REFERRED = Text(zh="其他须保存的记录引用了它", en="other rows that must be kept refer to it")


@dataclass(frozen=True)
class _Rows:
    """A person's rows in a session outside a transaction, and those of them that are held."""

    connection: Connection
    own: dict[str, KeySet]
    held: dict[str, KeySet]

    def count(self, label: str, *conditions: sql.Composable) -> int:
        keys = self.own.get(label)
        if keys is None:
            return 0
        tests = sql.SQL(" AND ").join([scoped_rows(keys, "owned"), *conditions])
        query = sql.SQL("SELECT count(*) FROM {} AS t WHERE {}").format(rows_of(keys.table), tests)
        with database_errors(f"counting a person's rows of {label}"):
            return int(str(fetch(self.connection, query)[0][0]))

    def meeting(self, one: RetentionClass, text: str) -> sql.Composable:
        """Return a predicate on a class's table, in parentheses."""
        table = one.table
        return sql.SQL("({})").format(checked_predicate(self.connection, table.schema_name, table.name, text))

    def free(self, label: str) -> sql.Composable:
        keys = self.held.get(label)
        return sql.SQL("NOT {}").format(scoped_rows(keys)) if keys else sql.SQL("true")


def decide_erasure(context: Context, desk: Desk) -> list[Decided]:
    """Decide about each kind of the person's data in a source, and write it down for the letter.

    A stage of the run that erases, after its plan and before anything goes: what is known of the person goes
    too. So the rows that no data map leads to them, and that name them, are counted now, in all sources.
    """
    source = load_source(context.settings.sources, context.case.case)
    with context.step("decide"), closing(connect(context.source, read_only=True)) as connection:
        holds = binding_holds(context)
        rows = _found(context, connection, holds)
        found = list(_decided(context, source, rows, holds))
        elsewhere, not_searched = named(desk, find_request(desk, str(context.case.request)))
        body = {
            "request": context.case.request,
            "run": context.run,
            "on": judged_on(context.case).isoformat(),
            "decided": [noted(one) for one in found],
            "named": [asdict(one) for one in elsewhere],
            "not_searched": [list(one) for one in not_searched],
        }
        context.record(DECIDED, body)
    return found


def noted(one: Decided) -> dict[str, object]:
    """Return a decision for the ledger: classes, counts and reasons, nobody's data."""
    return {
        "row_class": one.row_class,
        "rows": one.rows,
        "goes": one.goes,
        "why": [text.document() for text in one.why],
        "until": one.until.isoformat() if one.until else "",
    }


def read_noted(source: str, said: dict[str, object]) -> Decided:
    """Return what ``noted`` wrote."""
    why = [Text.model_validate(text) for text in said["why"]]  # type: ignore[attr-defined]
    until = date.fromisoformat(str(said["until"])) if said["until"] else None
    return Decided(source, str(said["row_class"]), int(str(said["rows"])), bool(said["goes"]), why, until)


def _found(context: Context, connection: Connection, holds: Sequence[DataHold]) -> _Rows:
    """Find the person's rows and those held, and leave the snapshot: what is asked next is proven first."""
    own = own_closure(context, connection, "own")
    graph = held_graph(context, connection)
    held = held_scope(context, judged_on(context.case), connection, graph, holds)
    kept = Closure(connection, graph, held, prefix="kept") if held else None
    begin_snapshot(connection)
    for closure in (own, kept):
        if closure:
            closure.compute(lambda rows: context.honour_stop())
    connection.execute("COMMIT")

    def keys(closure: Closure | None) -> dict[str, KeySet]:
        return {one.table.label: one for one in closure.key_sets.values()} if closure else {}

    return _Rows(connection, keys(own), keys(kept))


def _decided(
    context: Context, source: RegisteredSource, rows: _Rows, holds: Sequence[DataHold]
) -> Iterator[Decided]:
    packs = select(load_packs(context.settings.policies), source.policy, judged_on(context.case))
    told: set[str] = set()
    counted: dict[str, int] = {}
    for one in source.retention:
        told |= {one.table.label, *(table.label for table in one.along)}
        inside = rows.meeting(one, one.where or "true")
        total = rows.count(one.table.label, inside)
        counted[one.table.label] = counted.get(one.table.label, 0) + total
        if total:
            yield from _of_class(context, source, packs, one, rows, holds)
    for label in rows.own:
        left = rows.count(label) - counted.get(label, 0)
        if left and (label not in told or label in counted):
            yield Decided(source.source, label, left, False, [NO_RULE])


def _of_class(
    context: Context,
    source: RegisteredSource,
    packs: Sequence[Pack],
    one: RetentionClass,
    rows: _Rows,
    holds: Sequence[DataHold],
) -> Iterator[Decided]:
    on, label = judged_on(context.case), one.table.label
    inside = rows.meeting(one, one.where or "true")

    def let_go(day: date) -> sql.Composable:
        found = _expired(packs, source, one, day)
        return sql.SQL("false") if found.never else rows.meeting(one, predicate(source, one, found))

    total, over = rows.count(label, inside), rows.count(label, let_go(on))
    going = rows.count(label, let_go(on), rows.free(label))
    planned = _planned(context, one)
    referred = going - min(going, planned) if planned is not None else 0
    going -= referred
    if referred:
        yield Decided(source.source, one.name, referred, False, [REFERRED])
    if going:
        yield Decided(source.source, one.name, going, True, [LET_GO])
    if held := over - going - referred:
        yield Decided(source.source, one.name, held, False, _held_words(context, packs, holds))
    if total > over:

        def all_gone(day: date) -> bool:
            return rows.count(label, let_go(day)) == total

        until = _first(all_gone, on)
        why = _rules(packs, one) + ([] if until else [FOR_GOOD])
        yield Decided(source.source, one.name, total - over, False, why or [FOR_GOOD], until)


def _expired(packs: Sequence[Pack], source: RegisteredSource, one: RetentionClass, day: date) -> Expired:
    return let_go(source, packs, one, day, "request")


def _first(gone: Callable[[date], bool], on: date) -> date | None:
    """Return the first day after one on which all is gone; what is gone once is gone on later days."""
    low, high = on, on + FURTHEST
    if not gone(high):
        return None
    while (high - low).days > 1:
        middle = low + (high - low) // 2
        low, high = (low, middle) if gone(middle) else (middle, high)
    return high


def _rules(packs: Sequence[Pack], one: RetentionClass) -> list[Text]:
    """Return the rules that keep a class, with the article of each."""
    known = {name: rule for pack in packs for name, rule in pack.retention.items()}
    names = list(dict.fromkeys(name for rule in one.rules for name in (rule, *known[rule].rests_on)))
    found = [known[name] for name in names if name in known]
    return [
        Text(zh=f"{rule.category.zh}：{rule.basis.source}", en=f"{rule.category.en}: {rule.basis.source}")
        for rule in found
        if rule.direction in ("minimum", "undecided")
        and (rule.blocks_deletion or rule.direction == "undecided")
    ]


def _held_words(context: Context, packs: Sequence[Pack], holds: Sequence[DataHold]) -> list[Text]:
    """Return why rows of this person are held: kinds with their article. An inquiry is never told to them."""
    subject = subject_of(context, str(context.case.request))
    label = subject.label if subject else ""
    mine = {one.kind for one in holds if one.what != "subject" or one.subject == label}
    kinds = {name: kind for pack in packs for name, kind in pack.holds.items() if name in mine - SECRET}
    said = [
        Text(zh=f"{kind.label.zh}：{kind.basis.source}", en=f"{kind.label.en}: {kind.basis.source}")
        for kind in kinds.values()
    ]
    return said or [BY_LAW]


def _planned(context: Context, one: RetentionClass) -> int | None:
    """Return how many rows of a class the run lets go; None before its plan."""
    if not context.entries("plan"):
        return None
    scope = context.plan().scope
    return sum(
        rows.rows
        for table in (scope.tables if scope else ())
        for rows in table.classes
        if table.table == one.table.label and rows.name == one.name and rows.source in GOING
    )
