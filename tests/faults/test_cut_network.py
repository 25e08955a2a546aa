"""A connection that is cut, in mid-COPY or around a COMMIT, is lost and no more: the step is tried again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from fixtures.audit import audit
from fixtures.child import Child
from fixtures.drive import Drive, Fault
from fixtures.proxy import Proxy, before
from fixtures.runs import Runner

# The table s.a weighs twice as much, nothing else comes near.
IN_MID_COPY = 60_000


@contextmanager
def through_proxy(world: Runner, side: str) -> Iterator[tuple[Runner, Proxy]]:
    """The same world, with one of its servers behind a proxy."""
    url = world.ledger_url if side == "ledger" else world.urls[side]
    with before(url) as proxy:
        if side == "ledger":
            yield replace(world, ledger_url=proxy.url(url)), proxy
        else:
            yield replace(world, urls=world.urls | {side: proxy.url(url)}), proxy


def then_on(act: Callable[[], None]) -> Callable[[Child], None]:
    """Do something while a task pauses, and let it go on."""

    def strike(child: Child) -> None:
        act()
        child.resume()

    return strike


def check_went_on(world: Runner, drive: Drive, words: str) -> None:
    """The cut was noticed as what it is, and the repeated run is whole."""
    assert any(said.startswith("ConnectionLost: ") and words in said for said in drive.said), drive.said
    assert audit(world, drive.moments) == []


# Where the proxy is told to cut the next heavy line: the server, a task before that line, what is then said.
COPIES = {
    "backup": ("src", "snapshot", "SNAPSHOT_UNRECORDED", "reading s.a from the source"),
    "migrate": ("dst", "prepare", "OBJECT_UNCOMMITTED", "migrate: loading chunk"),
    "read back": ("dst", "finish", "TARGET_UNRECORDED", "migrate: reading s.a back"),
}


@pytest.mark.parametrize("side, task, point, words", COPIES.values(), ids=COPIES)
def test_cut_in_mid_copy(world: Runner, side: str, task: str, point: str, words: str) -> None:
    with through_proxy(world, side) as (proxied, proxy):
        drive = Drive(proxied)
        drive.go(
            {task: [Fault(f"point:{point}:1", strike=then_on(lambda: proxy.cut_one_after(IN_MID_COPY)))]}
        )
        assert proxy.cuts == 1
    check_went_on(world, drive, words)


# Both what the server never heard and what it did but could not say any more.
COMMITS = {
    "ledger": ("ledger", ["backup 0", "migrate 0", "close"], "LEDGER_ENTRY_UNCOMMITTED", "the ledger at"),
    "rows": ("dst", ["migrate 0", "migrate 1"], "ROWS_UNCOMMITTED", "migrate: loading chunk"),
    "objects": ("dst", ["prepare", "finish"], "OBJECT_UNCOMMITTED", "migrate: creating"),
}


@pytest.mark.parametrize("cut", [Proxy.cut, Proxy.lose_answers], ids=["before", "after"])
@pytest.mark.parametrize("side, tasks, point, words", COMMITS.values(), ids=COMMITS)
def test_cut_around_a_commit(
    world: Runner, side: str, tasks: list[str], point: str, words: str, cut: Callable[[Proxy], None]
) -> None:
    with through_proxy(world, side) as (proxied, proxy):
        drive = Drive(proxied)
        strike = then_on(lambda: cut(proxy))
        drive.go({task: [Fault(f"point:{point}:1", strike=strike)] for task in tasks})
    check_went_on(world, drive, words)
