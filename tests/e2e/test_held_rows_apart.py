"""Held rows of a term that ends go into an archive of their own, and everybody else's go with its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import bagit
import pytest

from fixtures.archived import OLD, apart, archived, ending_company, open_ending
from fixtures.clusters import databases
from fixtures.disposed import Disposing
from handover.errors import HandoverError, NotReady
from handover.local.clusters import Cluster
from handover.model.approval import Account
from handover.stages.archive_terms import bag_of, held_apart, keys_of
from handover.stages.context import Context
from handover.stages.custody import approve, ask_reading, newest_archive, read
from handover.stages.expired_archives import expired_terms
from handover.stages.facts import legal_day
from handover.stages.holding import Matter, hold_subject, open_holder, release, request_release
from handover.stages.key_destruction import Destroyed, ask_destroying, destroy
from handover.vault.keyring import KeyState

ANN, BOB = (Account(name=name, id=name) for name in ("ann", "bob"))
WHY = Matter("litigation", "a claim is before the court", "示例法院 (sample court)")
OLD_FILE = "tables/004-loan/term-01.parquet"


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disposing]:
    """A runner whose source is filled."""
    with databases(cluster) as source, databases(second_cluster) as target:
        home = tmp_path_factory.mktemp("apart")
        yield ending_company(home, cluster, second_cluster.programs, source, target)


@pytest.fixture(scope="module")
def kept(company: Disposing) -> Context:
    """A run with an archive."""
    made = open_ending(company)
    archived(made)
    return made


@pytest.fixture
def context(kept: Context, tmp_path: Path) -> Context:
    """The same run, with keys of its own to be destroyed."""
    return apart(kept, tmp_path)


@pytest.fixture
def hold(company: Disposing, context: Context) -> Iterator[Callable[[str], str]]:
    """Lays a hold on a person; what is open at the end is released."""
    there = open_holder(context.settings, "test-transfer", company.urls.__getitem__)
    there = replace(there, keyring=context.keyring)
    laid: list[str] = []

    def lay(person: str) -> str:
        laid.append(hold_subject(there, ANN, person, "s.person", WHY).id)
        return laid[-1]

    yield lay
    for one in laid:
        with suppress(HandoverError):
            released(context, one)


def released(context: Context, hold: str) -> None:
    there = replace(context, run="holds")
    release(there, BOB, request_release(there, ANN, hold, "the court has decided"))


def asked(context: Context, number: int = OLD) -> str:
    name = ask_destroying(context, ANN, number, "T-2", "it is over", identifying_only=False)
    approve(context, BOB, name)
    return name


def ended(context: Context, number: int = OLD) -> Destroyed:
    return destroy(context, ANN, asked(context, number))


def told(context: Context, value: str) -> tuple[list[dict[str, str | None]], list[str]]:
    """The loans of an id that two persons read, and the files that are closed."""
    name = ask_reading(context, ANN, "s.loan", "id", value, "T-1", "a court asks")
    approve(context, BOB, name)
    found = read(context, ANN, name, value).values()
    return [dict(row.values) for one in found for row in one.rows], [f for one in found for f in one.closed]


def test_the_held_rows_stay_and_the_others_go(context: Context, hold: Callable[[str], str]) -> None:
    before = told(context, "3")
    laid = hold("3")
    done = ended(context)
    assert done.closed == (OLD_FILE,)
    (entry,) = context.entries("archive-held-rows")
    assert (entry.body["term"], entry.body["holds"], entry.body["rows"]) == (OLD, [laid], 1)
    assert [(one["table"], one["rows"], one["of"]) for one in entry.body["tables"]] == [("s.loan", 1, 4)]
    assert told(context, "3") == (before[0], [OLD_FILE]), "read from the archive of its own"
    assert told(context, "2") == ([], [OLD_FILE])
    into = held_apart(context)[OLD]
    assert into.run == entry.body["run"] == "run-1-held-1-1"
    bag = bagit.Bag(str(bag_of(into)))
    bag.validate()
    assert laid in bag.info["Internal-Sender-Description"]
    assert "class old loans" in bag.info["Internal-Sender-Description"]
    assert not set(keys_of(into)) & set(keys_of(context)), "keys of its own"
    assert newest_archive(context) == "run-1"
    with pytest.raises(NotReady, match=f"kept by a legal hold: {laid}"):
        ask_destroying(into, ANN, OLD, "T", "over", identifying_only=False)
    assert not [one for one in expired_terms(context.settings, legal_day()).terms if one.run == into.run]
    released(context, laid)
    (due,) = [one for one in expired_terms(context.settings, legal_day()).terms if one.run == into.run]
    assert (due.term, due.row_class, due.rows) == (OLD, "old loans", 1)
    assert ended(into).closed == (OLD_FILE,)
    assert told(context, "3") == ([], [OLD_FILE, f"{into.run}: {OLD_FILE}"])
    assert {one.state for one in keys_of(into).values()} == {KeyState.DESTROYED}
