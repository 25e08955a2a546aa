"""The stop flag is asked for now and then, not for every chunk, and holds until it is lifted."""

from collections.abc import Callable

import pytest

from fixtures.runs import make_ledger
from handover.errors import Stopped
from handover.evidence.ledger import Ledger
from handover.local.clusters import Cluster
from handover.stages import stopping
from handover.stages.stopping import StopFlag
from handover.vault.signing import Signer


@pytest.fixture
def ledger(cluster: Cluster, database: Callable[..., str]) -> Ledger:
    return Ledger(make_ledger(cluster, database), Signer(bytes(range(32))))


def test_the_ledger_is_asked_at_most_once_in_the_given_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = StopFlag(ledger, "c", "r")
    monkeypatch.setattr(stopping, "LOOK_SECONDS", 10_000.0)
    flag.honour()
    ledger.append("c", "", "stop-requested", {})
    flag.honour()
    with pytest.raises(Stopped):
        StopFlag(ledger, "c", "r").honour()
    monkeypatch.setattr(stopping, "LOOK_SECONDS", 0.0)
    for _ in range(2):
        with pytest.raises(Stopped, match="case c was told to stop"):
            flag.honour()
    ledger.append("c", "", "stop-lifted", {})
    flag.honour()


def test_the_time_is_as_short_as_people_are_told() -> None:
    assert stopping.LOOK_SECONDS <= 1.0


def test_only_a_run_that_was_opened_later_goes_on(ledger: Ledger) -> None:
    ledger.append("c", "old", "run-opened", {})
    ledger.append("c", "", "stop-requested", {})
    ledger.append("c", "new", "run-opened", {})
    StopFlag(ledger, "c", "new").honour()
    with pytest.raises(Stopped):
        StopFlag(ledger, "c", "old").honour()
