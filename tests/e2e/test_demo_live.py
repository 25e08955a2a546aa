"""The demo of a living company, as `make demo-live` runs it: request, sweep, backup, drill, audit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.demo import PATIENCE_SECONDS, performed

LONGEST_SECONDS = 2 * PATIENCE_SECONDS
pytestmark = [pytest.mark.campaign, pytest.mark.timeout(2 * LONGEST_SECONDS)]
SCALE = 20_000


@pytest.fixture(scope="module")
def lived() -> Iterator[tuple[Path, str, int]]:
    """The state folder of a demo that ran, what it printed, and its exit status."""
    home = Path(tempfile.mkdtemp(prefix="handover-live-"))
    with performed(home, "--live", "--scale", str(SCALE), longest=LONGEST_SECONDS) as (output, status):
        yield home, output, status


def test_every_part_of_the_day_ends_well(lived: tuple[Path, str, int]) -> None:
    home, output, status = lived
    assert status == 0, output
    for dag in ("subject_request", "scheduled_backup.sample-lending", "restore_drill", "evidence_audit"):
        assert f"{dag}: success" in output
    assert "RESULT: everything holds" in output
    assert [path.suffix for path in (home / "answers").iterdir()] == [".p7m"]
    assert list((home / "evidence" / "audits").glob("*/audit.html"))
    assert list((home / "evidence" / "sample-lending").glob("drill-*/restore-drill.md"))
