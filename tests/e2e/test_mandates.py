"""A sweep goes alone only under a mandate that two persons signed, for its rules and within its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.clusters import databases
from fixtures.disposed import say
from fixtures.login import login_service
from fixtures.runs import Runner, backed_up, make_ledger
from handover.cli import main
from handover.errors import LedgerRefused, NotReady
from handover.local.clusters import Cluster
from handover.model.approval import Account
from handover.sample.company import generate
from handover.settings import REPOSITORY, Settings
from handover.stages import mandate_standing, mandates
from handover.stages.approval_standing import standing
from handover.stages.approvals import (
    Answer,
    Outcome,
    ask,
    open_round,
    record_answer,
    record_requester,
    require_approval,
)
from handover.stages.context import Context
from handover.stages.daily_cases import open_sweep
from handover.stages.disposal import open_disposal
from handover.stages.erase_here import erase_here
from handover.stages.facts import legal_day
from handover.stages.inventory import inventory
from handover.stages.mandate_standing import issued
from handover.stages.mandates import draft, open_mandates, revoke, sign
from handover.stages.plan import plan
from handover.stages.restore_test import restore_test

SOURCE = "sample-lending"
ANN, BOB, EVE = (Account(name=name, id=name) for name in ("ann", "bob", "eve"))
VIEWS, LOANS, VOUCHERS = (
    "网站浏览记录 / page views",
    "已结清贷款 / settled loans",
    "会计凭证 / vouchers",
)
Document = dict[str, Any]


@dataclass(frozen=True)
class Company(Runner):
    """A runner whose source is registered in a folder of its own."""

    def settings(self) -> Settings:
        """Return the settings with that folder."""
        return replace(super().settings(), sources=self.home / "sources")

    def register(self, *changes: Callable[[Document], object]) -> None:
        """Write the sample's file as it is shipped, with two persons who sign, and these changes."""
        text = (REPOSITORY / "include" / "sources" / f"{SOURCE}.yaml").read_text(encoding="utf-8")
        said: Document = yaml.safe_load(text)
        said["mandate_signers"] = [{"name": one.name, "id": one.id} for one in (ANN, BOB)]
        # What goes beside page views is not of these tests; a table that no class names stays.
        said["retention"] = [one for one in said["retention"] if one["name"] in (VIEWS, LOANS, VOUCHERS)]
        for name in (LOANS, VOUCHERS):
            of(said, name)["where"] = "false"
        for change in changes:
            change(said)
        folder = self.home / "sources"
        folder.mkdir(exist_ok=True)
        (folder / f"{SOURCE}.yaml").write_text(yaml.safe_dump(said, allow_unicode=True))

    def planned(self, run: str, requester: str | None = None, on: date | None = None) -> Context:
        """Plan a sweep of today, or a day, that its schedule began, unless somebody is named."""
        context = self.opened(run, on)
        record_requester(context, requester)
        inventory(context)
        plan(context)
        return context

    def opened(self, run: str, on: date | None = None) -> Context:
        """Open it, in whatever process."""
        return open_sweep(self.settings(), SOURCE, run, self.urls.__getitem__, on or legal_day())


def of(said: Document, name: str) -> Document:
    return next(one for one in said["retention"] if one["name"] == name)


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Company]:
    """The sample company, registered."""
    with databases(cluster) as source, databases(second_cluster) as target:
        urls = {"sample_source": source("source"), "sample_target": target("target")}
        generate(urls["sample_source"], rows=1_000, seed=7)
        home = tmp_path_factory.mktemp("mandates")
        made = Company(home, make_ledger(cluster, source), str(second_cluster.programs), urls)
        made.register()
        yield made


@pytest.fixture(scope="module")
def sweep(company: Company) -> Context:
    """A planned sweep, by which page views go."""
    return company.planned("scheduled-1")


@pytest.fixture
def there(company: Company) -> Iterator[Context]:
    """The source opened for its mandates; none of them outlives the test."""
    company.register()
    context = open_mandates(company.settings(), SOURCE, company.urls.__getitem__)
    yield context
    company.register()
    for one, lacking in mandates.mandates(context):
        if not lacking.startswith(("it was revoked", "it is over")):
            revoke(context, ANN, one.mandate.id, "the test is over")


def drafted(there: Context, *names: str, who: Account = EVE, **changes: Any) -> str:
    limits = {"rows": 100_000, "share": Decimal(1), "until": legal_day() + timedelta(days=90)} | changes
    return draft(there, who, names or (VIEWS,), **limits).id


def in_force(there: Context, *names: str, **changes: Any) -> str:
    name = drafted(there, *names, **changes)
    for who in (ANN, BOB):
        sign(there, who, name)
    return name


def why_not(context: Context) -> str:
    """Why people are asked."""
    with pytest.raises(NotReady, match="execute is not approved: 0 of 2") as raised:
        require_approval(context, "execute")
    return raised.value.message


def test_without_a_mandate_people_are_asked(sweep: Context, there: Context) -> None:
    assert "mandate" in why_not(sweep)
    open_round(sweep, "execute")
    asked = ask(sweep, "execute", 1, "yes_1")
    assert asked is not None and {one.name for one in asked.eligible} == {"approver", "supervisor"}
    assert sweep.entries("approval-asked")[-1].body["no_mandate"]


def test_two_different_persons_sign(sweep: Context, there: Context) -> None:
    name = drafted(there, who=ANN)
    assert f"{name}: 0 of 2 signed it" in why_not(sweep)
    sign(there, ANN, name)
    assert f"{name}: 1 of 2 signed it" in why_not(sweep)
    with pytest.raises(LedgerRefused, match="was signed by this person"):
        sign(there, ANN, name)
    for stranger in (EVE, Account(name="bob", id="17"), Account(name="Ann", id="ann")):
        with pytest.raises(LedgerRefused, match="cannot be signed by this account"):
            sign(there, stranger, name)
    assert f"{name}: 1 of 2 signed it" in why_not(sweep)
    sign(there, BOB, name)
    require_approval(sweep, "execute")
    with pytest.raises(LedgerRefused, match="no mandate with this id"):
        sign(there, ANN, "md-nothing")


def test_signatures_that_got_into_the_ledger_otherwise_do_not_count(
    company: Company, sweep: Context, there: Context
) -> None:
    name = drafted(there)
    sign(there, ANN, name)
    (one,) = [found for found in issued(there.ledger.entries(SOURCE)) if found.mandate.id == name]
    digest = one.mandate.sha256_of_json()
    for by, account_id, about in (("ann", "ann", digest), ("eve", "eve", digest), ("bob", "bob", "0" * 64)):
        body = {"id": name, "digest": about, "by": by, "account_id": account_id}
        there.record("mandate-signed", body, key=f"{by}-{about}")
    assert "1 of 2 signed it" in why_not(sweep)
    sign(there, BOB, name)
    require_approval(sweep, "execute")
    company.register(lambda said: said["mandate_signers"].pop())
    assert "1 of 2 signed it" in why_not(sweep), "who left signs nothing any more"


def test_who_asks_for_a_sweep_has_not_signed_for_it(company: Company, there: Context) -> None:
    name = in_force(there)
    assert f"{name}: 1 of 2 signed it beside the requester Ann" in why_not(
        company.planned("by-hand-1", "Ann")
    )
    require_approval(company.planned("by-hand-2", "eve"), "execute")


def test_it_ends_by_its_day_or_by_one_person(
    sweep: Context, there: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = in_force(there, until=legal_day() + timedelta(days=2))
    require_approval(sweep, "execute")
    until = legal_day() + timedelta(days=2)
    with monkeypatch.context() as later:
        later.setattr(mandate_standing, "legal_day", lambda: until)
        assert f"it is over since {until}" in why_not(sweep)
    with pytest.raises(LedgerRefused, match="cannot be revoked by this account"):
        revoke(there, Account(name="mallory", id="mallory"), name, "no")
    revoke(there, BOB, name, "the purpose has changed")
    assert "it was revoked by bob" in why_not(sweep)
    with pytest.raises(LedgerRefused, match="was revoked by bob"):
        revoke(there, ANN, name, "again")
    with pytest.raises(LedgerRefused, match="is over"):
        sign(there, ANN, name)


def test_more_than_was_signed_is_asked_of_people(sweep: Context, there: Context) -> None:
    inside = sweep.plan().scope.of("lending.page_views")  # type: ignore[union-attr]
    share = Decimal(inside.rows) / inside.total
    too_few = in_force(there, rows=inside.rows - 1)
    assert f"{inside.rows} rows of class {VIEWS} go, more than {inside.rows - 1}" in why_not(sweep)
    revoke(there, ANN, too_few, "too few")
    too_little = in_force(there, share=share - Decimal("0.001"))
    assert f"of {inside.total} rows of lending.page_views go, more than a share" in why_not(sweep)
    revoke(there, ANN, too_little, "too little")
    other = in_force(there, LOANS)
    assert f"class {VIEWS} is not in it" in why_not(sweep)
    revoke(there, ANN, other, "another class")
    in_force(there, VIEWS, LOANS, rows=inside.rows)
    require_approval(sweep, "execute")


def test_nobody_takes_a_backlog_slice_by_slice(
    company: Company, there: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = legal_day() - timedelta(days=1)
    name = in_force(there)
    early = company.planned("slice-1", "eve", yesterday)
    assert f"it asks of {yesterday}, a day before the one on which it began, {legal_day()}" in why_not(early)
    require_approval(
        company.planned("late-1", on=yesterday), "execute"
    )  # its schedule did not choose the day
    revoke(there, ANN, name, "another limit")
    first, second = company.planned("slice-2", "eve"), company.planned("slice-3", "eve")
    rows = first.plan().scope.of("lending.page_views").rows  # type: ignore[union-attr]
    in_force(there, rows=2 * rows - 1)
    require_approval(second, "execute")
    require_approval(first, "dispose")
    require_approval(first, "dispose")  # what it takes itself counts once
    told = (
        f"{2 * rows} rows of class {VIEWS} go, more than {2 * rows - 1}; {rows} of these rows went under it"
    )
    assert f"{told} today" in why_not(second)
    with monkeypatch.context() as later:
        later.setattr(mandate_standing, "legal_day", lambda: legal_day() + timedelta(days=1))
        require_approval(second, "execute")


def test_a_changed_rule_voids_it(company: Company, there: Context) -> None:
    in_force(there)
    company.register(lambda said: of(said, VIEWS)["days"]["purpose_end"].update(plus={"months": 5}))
    changed = company.planned("changed-1")
    assert f"class {VIEWS} changed" in why_not(changed)
    company.register()
    assert "source file is not the one of this run" in why_not(changed), "which was planned by another"


def test_where_a_person_said_no_no_mandate_says_yes(company: Company, there: Context) -> None:
    context = company.planned("refused-1")
    say(context, "execute", "approver")
    in_force(there)
    require_approval(context, "execute")
    code = standing(context, "execute").code
    no = Answer("supervisor", "supervisor", "a.Manager", False, "", "not now", datetime.now(UTC))
    assert record_answer(context, "execute", no).outcome is Outcome.REFUSED
    assert code == standing(context, "execute").code
    why_not(context)


def test_never_for_accounting_archives(company: Company, sweep: Context, there: Context) -> None:
    with pytest.raises(LedgerRefused, match="accounting archives, which go under no mandate"):
        drafted(there, VIEWS, VOUCHERS)
    company.register(lambda said: of(said, VOUCHERS).update(accounting=False))
    with pytest.raises(LedgerRefused, match="accounting archives"):
        drafted(there, VOUCHERS)  # whatever the file says, a rule of it wants a destruction list
    company.register()
    in_force(there)
    company.register(lambda said: of(said, VIEWS).update(accounting=True))
    assert f"class {VIEWS} is of accounting archives" in why_not(sweep)


WRONG: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "no class": (("nothing",), {}, "has no class 'nothing'"),
    "today": ((), {"until": legal_day()}, "is over already"),
    "for ever": ((), {"until": legal_day() + timedelta(days=367)}, "not within a year"),
    "no rows": ((), {"rows": 0}, "cannot be a mandate: rows"),
    "all and more": ((), {"share": Decimal("1.1")}, "cannot be a mandate: share"),
}


@pytest.mark.parametrize("names, limits, said", WRONG.values(), ids=WRONG)
def test_what_cannot_be_signed(there: Context, names: tuple[str, ...], limits: Any, said: str) -> None:
    with pytest.raises(LedgerRefused, match=said):
        drafted(there, *names, **limits)


def test_a_source_that_names_no_two_persons_has_no_mandate(company: Company, there: Context) -> None:
    company.register(lambda said: said["mandate_signers"].append({"name": "ANN", "id": "9"}),
                     lambda said: said["mandate_signers"].pop(1))  # fmt: skip
    with pytest.raises(NotReady, match="does not name two persons"):
        drafted(there)


def test_the_commands(
    company: Company,
    there: Context,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    passwords = {"ann": "secret of ann", "bob": "secret of bob"}
    with login_service(tmp_path / "login", passwords) as address:
        variables = {**company.settings().variables, "AIRFLOW__API__BASE_URL": address}
        variables["HANDOVER_SOURCES"] = str(company.home / "sources")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for name, url in company.urls.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", url)
        for name, password in passwords.items():
            (tmp_path / name).write_text(password)

        def run(action: str, *arguments: str, who: str = "") -> tuple[int, str]:
            proof = ["--as", who, "--password-file", str(tmp_path / who)] if who else []
            status = main(["mandate", action, SOURCE, *arguments, *proof])
            return status, capsys.readouterr().out.strip()

        until = (legal_day() + timedelta(days=30)).isoformat()
        limits = ["--rows", "5000", "--share", "0.05", "--until", until]
        status, name = run("draft", "--class", VIEWS, LOANS, *limits, who="ann")
        assert status == 0
        assert run("sign", name, who="ann") == (0, f"{name}: 1 of 2 signed it")
        assert run("sign", name, who="ann")[0] == 1
        assert run("sign", name, who="bob") == (0, f"{name}: in force")
        (line,) = [one for one in run("list")[1].splitlines() if name in one]
        assert all(part in line for part in ("in force", until, "5000", "0.05", VIEWS, LOANS, "bob"))
        assert run("revoke", name, "--reason", "it is over", who="bob")[0] == 0
        assert "it was revoked by bob" in run("list")[1]
        with pytest.raises(SystemExit):
            run("draft", "--class", VIEWS, "--rows", "5", "--share", "half", "--until", until, who="ann")


# The last one: what the others plan is gone after it.
def test_a_sweep_goes_under_a_mandate_and_says_so_first(company: Company, there: Context) -> None:
    name = in_force(there)
    context = company.planned("whole-1")
    open_round(context, "execute")
    assert ask(context, "execute", 1, "yes_1") is None, "nobody is asked"
    backed_up(context)
    restore_test(context)
    open_disposal(context)
    used = context.entries("mandate-used")
    assert [one.body["what"] for one in used] == ["execute", "dispose"]
    assert used[-1].seq < context.entries("disposal-opened")[0].seq
    body = used[0].body
    assert (body["mandate"], body["plan_digest"]) == (name, context.plan().sha256_of_json())
    assert [who for who, _ in body["signed_by"]] == ["ann", "bob"]
    assert body["rows"] == {VIEWS: context.plan().scope.of("lending.page_views").rows}  # type: ignore[union-attr]
    assert context.entries("requested")[0].body["by"] == "(schedule)"
    open_disposal(context)
    assert context.entries("mandate-used") == used, "the same use is written down once"
    assert erase_here(context) == body["rows"][VIEWS]
    revoke(there, BOB, name, "another look is wanted")
    with pytest.raises(NotReady, match=r"is not approved: 0 of 2 .* revoked by bob"):
        open_disposal(context)
