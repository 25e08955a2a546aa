"""How standing mandates stand, and whether one covers a sweep: read from the ledger, asked whenever rows go.

A mandate counts while two different persons whom the source names have signed it as it is, nobody revoked it,
its day has not come, and the rules are what they were. Its limits hold for all sweeps of a day together, so
that nobody takes a backlog slice by slice. Whatever is not so is said, and people are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property

from psycopg.conninfo import conninfo_to_dict

from handover.errors import PolicyInvalid, SourceInvalid
from handover.evidence.ledger import Entry
from handover.law.expiring import Expired
from handover.law.packs import load_packs, select
from handover.law.retention import Question, decide
from handover.model.approval import Account
from handover.model.mandate import Mandate, Rules, Tables, going, together
from handover.model.matter import RowClassRules
from handover.model.plan import Plan
from handover.model.policy import Pack
from handover.model.registered import RegisteredSource, RetentionClass, load_source
from handover.stages.context import Context
from handover.stages.daily_cases import row_classes, sweep_case
from handover.stages.facts import judged_on, legal_day
from handover.stages.mandate_uses import legal_day_of, plans_under

RUN = "mandates"
DRAFTED, SIGNED, REVOKED = "mandate-drafted", "mandate-signed", "mandate-revoked"
NEEDED = 2
LIST_BEFORE = "destruction_list"
MOST_SAID = 3
# Who asked for a sweep that no person started.
SCHEDULE = "(schedule)"


@dataclass(frozen=True)
class Issued:
    """A mandate in the ledger, who asked for it, who signed it and when, and who revoked it."""

    mandate: Mandate
    by: Account
    at: str
    signed: tuple[tuple[Account, str], ...] = ()
    revoked_by: str = ""

    def signatures(self, signers: Sequence[Account], requester: str = "") -> list[tuple[Account, str]]:
        """Return the signatures of different persons whom the source names, and not a run's requester."""
        found: list[tuple[Account, str]] = []
        for who, at in self.signed:
            is_another = who.folded != requester.casefold() and not any(is_same(who, o) for o, _ in found)
            if who in signers and is_another:
                found.append((who, at))
        return found

    def lacks(self, signers: Sequence[Account], on: date, requester: str = "") -> str:
        """Return why it is not in force on a day, empty when it is."""
        if self.revoked_by:
            return f"it was revoked by {self.revoked_by}"
        if on >= self.mandate.until:
            return f"it is over since {self.mandate.until}"
        given = len(self.signatures(signers, requester))
        beside = f" beside the requester {requester}" if given < len(self.signatures(signers)) else ""
        return "" if given >= NEEDED else f"{given} of {NEEDED} signed it{beside}"


@dataclass(frozen=True)
class Cover:
    """The mandate under which a plan may be carried out, and what is used of it; or why there is none."""

    issued: Issued | None = None
    signed_by: tuple[tuple[str, str], ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


NOBODY_ASKED = Cover()


def is_same(one: Account, other: Account) -> bool:
    """Say whether two accounts are one, or could be taken for one."""
    return one.id == other.id or one.folded == other.folded


def issued(entries: Iterable[Entry]) -> list[Issued]:
    """Return all mandates among verified entries, oldest first."""
    found: dict[str, Issued] = {}
    for entry in (one for one in entries if one.run == RUN):
        if entry.kind == DRAFTED:
            mandate = Mandate.model_validate(entry.body["mandate"])
            found[mandate.id] = Issued(mandate, _account(entry), entry.at)
            continue
        one = found.get(str(entry.body.get("id")))
        if one is None:
            continue
        if entry.kind == SIGNED and entry.body["digest"] == one.mandate.sha256_of_json():
            found[one.mandate.id] = replace(one, signed=(*one.signed, (_account(entry), entry.at)))
        elif entry.kind == REVOKED:
            found[one.mandate.id] = replace(one, revoked_by=entry.body["by"])
    return list(found.values())


def _account(entry: Entry) -> Account:
    return Account(name=entry.body["by"], id=entry.body["account_id"])


def cover(context: Context, entries: Sequence[Entry], plan: Plan, requester: str) -> Cover:
    """Return under which mandate a sweep's plan may be carried out now, from verified entries of its source.

    Of no other run a mandate covers anything. Who asked for the sweep cannot have signed for it.
    """
    if context.case.kind != "retention":
        return NOBODY_ASKED
    try:
        source = load_source(context.settings.sources, context.case.case)
        packs = packs_of(context, source, judged_on(context.case))
        made = sweep_case(source, packs, judged_on(context.case))
    except (SourceInvalid, PolicyInvalid) as problem:
        return Cover(reasons=(problem.message,))
    names = {made.name: one.name for one in source.retention for made in row_classes(one, Expired())}
    asked = _Asked(context, source, packs, plan, requester, names, entries)
    if wrong := list(asked.refused(same_case=made == context.case)):
        return Cover(reasons=tuple(wrong))
    said = []
    for one in reversed(issued(entries)):
        if not (lacking := asked.lacking(one)):
            return asked.cover(one)
        said.append(f"mandate {one.mandate.id}: {'; '.join(lacking)}")
    return Cover(reasons=tuple(said[:MOST_SAID]) or ("there is no standing mandate",))


def place_of(url: str) -> str:
    """Return which database a connection leads to, however its other settings are."""
    said = conninfo_to_dict(url)
    parts = {name: said.get(name) for name in ("host", "hostaddr", "port", "dbname", "service")}
    return " ".join(
        f"{name}={value}" for name, value in (parts | {"port": parts["port"] or 5432}).items() if value
    )


def packs_of(context: Context, source: RegisteredSource, on: date) -> tuple[Pack, ...]:
    """Return the packs of a source on a day."""
    return select(load_packs(context.settings.policies), source.policy, on)


def is_accounting(one: RetentionClass, packs: Sequence[Pack]) -> bool:
    """Say whether rows of a class are accounting archives: as it says, or because a rule wants a list."""
    rules = RowClassRules(row_class=one.name, rules=one.rules)
    # Asked of any day: what has to come before a destruction is the same on each.
    before = decide(packs, Question(rows=rules, on=legal_day())).before_destruction
    return one.accounting or LIST_BEFORE in before


@dataclass(frozen=True)
class _Asked:
    """What a mandate is asked for: the plan of a sweep, and the rules as they are now."""

    context: Context
    source: RegisteredSource
    packs: Sequence[Pack]
    plan: Plan
    requester: str
    names: Mapping[str, str]
    entries: Sequence[Entry]

    @cached_property
    def rows(self) -> Mapping[str, Tables]:
        """What the plan lets go, by class."""
        return going(self.plan, self.names)

    def refused(self, *, same_case: bool) -> Iterator[str]:
        """Yield why no mandate at all can stand in."""
        if not same_case:
            yield "the source file is not the one of this run any more"
        if self.plan.policy != self._policy:
            yield "the plan was made by other policy packs"
        if not self.rows:
            yield "nothing goes"
        if self.requester != SCHEDULE and judged_on(self.context.case) < (day := self._began):
            yield f"it asks of {judged_on(self.context.case)}, a day before the one on which it began, {day}"
        for one in self.source.retention:
            if one.name in self.rows and is_accounting(one, self.packs):
                yield f"class {one.name} is of accounting archives, which go under no mandate"

    @property
    def _began(self) -> date:
        """The day on which the run began, there or where the law counts: whichever is the earlier."""
        opened = next(e for e in self.entries if (e.run, e.kind) == (self.context.run, "run-opened"))
        there = datetime.fromisoformat(opened.at).astimezone(self.source.zone).date()
        return min(there, legal_day_of(opened))

    @property
    def _policy(self) -> dict[str, str]:
        return {pack.label: pack.digest for pack in self.packs}

    def lacking(self, one: Issued) -> list[str]:
        """Return why a mandate does not cover the plan."""
        if said := one.lacks(self.source.mandate_signers, legal_day(), self.requester):
            return [said]
        signed = one.mandate.rules
        now = Rules.of(
            self.source,
            list(signed.classes),
            self._policy,
            place_of(self.context.source),
            self.plan.datamap_digest,
        )
        return [*signed.changes(now), *self._exceeded(one.mandate)]

    def _exceeded(self, mandate: Mandate) -> Iterator[str]:
        """Yield why more goes than was signed, with what went under it today by other plans."""
        mine = (self.context.run, self.plan.sha256_of_json())
        gone: dict[str, Tables] = {}
        for plan in plans_under(self.entries, mandate.id, legal_day(), mine):
            gone = together(going(plan, self.names), gone)
        if exceeded := list(mandate.exceeded(together(self.rows, gone))):
            yield from exceeded
            if had := sum(some for name in self.rows for some, _ in gone.get(name, {}).values()):
                yield f"{had} of these rows went under it today"

    def cover(self, one: Issued) -> Cover:
        """Return what is used of a mandate."""
        signed = one.signatures(self.source.mandate_signers, self.requester)
        return Cover(
            issued=one,
            signed_by=tuple((who.name, at) for who, at in signed),
            rows={name: sum(some for some, _ in tables.values()) for name, tables in self.rows.items()},
        )
